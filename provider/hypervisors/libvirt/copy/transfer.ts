import type { ImageRef } from "../../hypervisor";
import { LibvirtError } from "../rpc/errors";
import { beginCopying, drop, type Copying } from "./phases/copying";
import { close, letGo } from "./phases/ending";
import { join, open, takeStock } from "./phases/opening";
import { heldIn, withoutHelper, type Phase } from "./phases/phase";
import { pull } from "./phases/pulling";
import { exchange, recover, replaceHelper, resume, returnToSource } from "./phases/recovering";
import { connectOther, search, switchSource } from "./phases/sources";
import { start, startRest } from "./phases/starting";
import type { TransferOptions } from "./transferOptions";

const MAX_HELPER_RESTARTS = 3;

/**
 * Brings every byte of an image into the helper's disk, from one source after another if need be. What has arrived
 * stays: a source that fails, stops sending or is exchanged costs what was under way, a helper that dies what was not
 * flushed.
 */
export class Transfer {
  private readonly copying: Copying;

  constructor(options: TransferOptions, private readonly source: ImageRef) {
    this.copying = beginCopying(options);
  }

  /** Over the network, so far. */
  get bytesMoved(): number {
    return this.copying.account.bytesMoved;
  }
  get bytesResent(): number {
    return this.copying.account.bytesResent;
  }
  /** The template itself was, or was to be, a source of it. */
  get readsTemplate(): boolean {
    return this.copying.account.readsTemplate;
  }
  /** It counts only if the template is unchanged at its end: it read from that, or from a copy that still arrived. */
  get needsTemplate(): boolean {
    return this.copying.account.needsTemplate;
  }

  /** Resolves when the image is complete and closed, and nobody reads from it any more. */
  async run(): Promise<void> {
    let phase: Phase = { name: "opening", ref: this.source };
    try {
      for (let restarts = 0; phase.name !== "done";) {
        try {
          phase = await next(this.copying, phase);
        } catch (error) {
          const other = withoutHelper(phase);
          if (!other || !(error instanceof LibvirtError) || ++restarts > MAX_HELPER_RESTARTS) throw error;
          phase = other;
        }
      }
    } catch (error) {
      throw await fail(this.copying, phase, error);
    }
  }

  /** Reads from another source from now on. Resolves when it does. */
  redirect(ref: ImageRef): Promise<void> {
    return this.copying.orders.place(ref);
  }
}

function next(copying: Copying, phase: Phase): Promise<Phase> {
  switch (phase.name) {
    case "opening": return open(copying, phase);
    case "joining": return join(copying, phase);
    case "takingStock": return takeStock(copying, phase);
    case "starting": return start(copying, phase);
    case "startingRest": return startRest(copying, phase);
    case "pulling": return pull(copying, phase);
    case "recovering": return recover(copying, phase);
    case "exchanging": return exchange(copying, phase);
    case "searching": return search(copying, phase);
    case "switching": return switchSource(copying, phase);
    case "connecting": return connectOther(copying, phase);
    case "resuming": return resume(copying, phase);
    case "replacing": return replaceHelper(copying, phase);
    case "returning": return returnToSource(copying, phase);
    case "lettingGo": return letGo(copying, phase);
    case "closing": return close(copying, phase);
    case "done": return Promise.resolve(phase);
  }
}

/** @returns why: what the phase threw, or what is behind that */
async function fail(copying: Copying, phase: Phase, reason: unknown): Promise<unknown> {
  const { room, orders, pacer, copy } = copying;
  const error = await room.cause(reason);
  orders.fail(error); // whoever ordered a source waits for an answer
  pacer.end(copy);
  copy.lostSource();
  await drop(copying, heldIn(phase));
  return error;
}
