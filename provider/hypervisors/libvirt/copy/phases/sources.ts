import { abortable } from "../../../../async/abortable";
import { SourceLostError } from "../../../hypervisor";
import { tlsAdvice } from "../../helper/tls";
import { LibvirtError } from "../../rpc/errors";
import type { Resolved } from "../feeds";
import { lost, openFeed, type Copying } from "./copying";
import type { Connecting, Phase, PhaseOf, Reading, Rig, Switching } from "./phase";

/** How often, and after how long, a relay that just changed is looked up again. */
const RECONNECTS = 10;
const RECONNECT_MS = 300;

/** Over the feed, and then true for whoever reads from the copy: when all above is connected too. */
export async function connect(copying: Copying, { pull }: Rig, reading: Reading): Promise<void> {
  const { copy, context, targetHost, pacer } = copying;
  const { at, host, upstream, localPath } = reading.feed;
  reading.bytesPerSecond = pacer.feed(copy, { sourceHost: host, targetHost, upstream }, (bytesPerSecond) => {
    reading.bytesPerSecond = bytesPerSecond;
    void pull.limit(bytesPerSecond); // never rejects
  });
  try {
    if (at) await copy.connecting(upstream, () => pull.connect(at, reading.bytesPerSecond), context.signal);
    else await pull.stayLocal(localPath!);
  } catch (error) {
    if (error instanceof LibvirtError) throw error; // our own helper is gone
    throw lost(copying, reading, `cannot connect to ${host}: ${(error as Error).message}${at?.tls ? tlsAdvice(host, at.host, targetHost) : ""}`, error);
  }
  await abortable(upstream?.whenFed() ?? Promise.resolve(), context.signal);
  copy.isFed();
}

/**
 * A source was lost, or could not be read at all.
 * @throws the error itself, where it is our own helper that is gone
 */
export function searchAfter(copying: Copying, { rig, origin, then }: Pick<PhaseOf<"searching">, "rig" | "origin" | "then">, error: unknown): PhaseOf<"searching"> {
  if (error instanceof LibvirtError) throw error;
  const failure = error instanceof SourceLostError ? error : lost(copying, origin, (error as Error).message, error);
  return { name: "searching", rig, origin, failure, then };
}

/** Asks for another source. One that was ordered meanwhile comes first: whoever ordered it counts on it. */
export async function search({ context, orders, holes }: Copying, { rig, origin, failure, then }: PhaseOf<"searching">): Promise<Phase> {
  context.signal?.throwIfAborted();
  // As when the first source is joined: readers' exports come before whatever keeps the helper from answering.
  if (then.name === "takingStock" && holes.isWritten) await abortable(then.opened, context.signal);
  const order = orders.take();
  const ref = order?.ref ?? await context.onSourceLost?.(failure) ?? null;
  if (ref === null) throw failure;
  return { name: "switching", rig, origin, ref, attempt: 1, order, then };
}

/**
 * Opens the other source. One that was still arriving may be complete, or have another helper, by the time it is asked:
 * then it is looked up once more; but not one whose copy failed.
 */
export async function switchSource(copying: Copying, phase: Switching): Promise<Phase> {
  const { rig, origin, ref, resolved, attempt, order, then } = phase;
  try {
    copying.context.signal?.throwIfAborted();
    const from = resolved ?? { ...await copying.resolve(ref), local: false };
    try {
      const feed = await openFeed(copying, ref, from);
      copying.account.reads(feed);
      void origin.feed?.close(); // only now: a relay that nobody reads ends
      return { name: "connecting", rig, reading: { ref, feed }, from, attempt, order, then };
    } catch (error) {
      if (!mayChangeYet(from, attempt, error)) throw error;
      await copying.clock.sleep(RECONNECT_MS);
      return { name: "switching", rig, origin, ref, attempt: attempt + 1, order, then };
    }
  } catch (error) {
    order?.failed(error);
    return searchAfter(copying, phase, error);
  }
}

/** Connects the other source. */
export async function connectOther(copying: Copying, phase: Connecting): Promise<Phase> {
  const { rig, reading, from, attempt, order, then } = phase;
  try {
    // Over a relay that stands over nothing itself, those that read through us would take what is missing for zeros.
    await abortable(reading.feed.upstream?.whenFed() ?? Promise.resolve(), copying.context.signal);
    await connect(copying, rig, reading);
  } catch (error) {
    if (mayChangeYet(from, attempt, error)) {
      await copying.clock.sleep(RECONNECT_MS);
      return { name: "switching", rig, origin: reading, ref: reading.ref, attempt: attempt + 1, order, then };
    }
    order?.failed(error);
    return searchAfter(copying, { rig, origin: reading, then }, error);
  }
  copying.account.asksAgain();
  order?.done();
  return { ...then, rig, reading };
}

const mayChangeYet = (from: Resolved, attempt: number, error: unknown): boolean =>
  from.kind === "arriving" && !from.copy.failed && error instanceof SourceLostError && attempt < RECONNECTS;
