import { NoSpaceError, SourceLostError } from "../../hypervisor";
import { abortable } from "../../../async/abortable";
import { within } from "../../../async/within";
import type { Copy } from "./copies";
import type { MirrorJob } from "../helper/mirror";
import type { TransferOptions } from "./transferOptions";

const POLL_MS = 100;
/** A host that does not answer the question is not asked for longer. */
const ASK_PATIENCE_MS = 3_000;

/**
 * A copy whose writes find no room. QEMU stops its job where it is: with room it goes on from there, so whoever runs the
 * copies is asked whether to wait for any. A relay's readers meet its want of room, too, and wait with it.
 */
export class WantedRoom {
  private failedAtOffset = -1;
  private waitsForRelay = false;

  constructor(private readonly options: Pick<TransferOptions, "copy" | "targetHost" | "pool" | "context" | "isPoolFull" | "clock">) {}

  /**
   * Of a job that stands still: when it was for room, and it may go on, it does.
   * @returns false: it was for something else
   * @throws NoSpaceError when it is not to wait
   */
  async settled(job: MirrorJob, upstream: Copy | undefined, resume: () => Promise<void>): Promise<boolean> {
    const { copy, clock } = this.options;
    if (upstream && job["io-status"] === "nospace" && !this.waitsForRelay) await clock.sleep(2 * POLL_MS); // it sees its own trouble within one look
    if (upstream?.lacksRoom && !upstream.ended) {
      this.waitsForRelay = copy.lacksRoom = true;
      await clock.sleep(POLL_MS);
      return true;
    }
    if (!this.waitsForRelay) {
      if (!(await this.isOurs(job, upstream))) return false;
      await this.asked();
    }
    this.waitsForRelay = copy.lacksRoom = false;
    if (upstream?.ended) return false; // whatever it waited for did not come
    await resume();
    return true;
  }

  /** Of a quota QEMU knows no word: that one is reached the pool tells, where a copy fails twice in one place. */
  private async isOurs(job: MirrorJob, upstream: Copy | undefined): Promise<boolean> {
    if (job["io-status"] === "nospace") return upstream?.failed !== true;
    const isAgain = this.failedAtOffset === job.offset;
    this.failedAtOffset = job.offset;
    return isAgain && this.options.isPoolFull();
  }

  private async asked(): Promise<void> {
    const { context, copy } = this.options;
    const error = this.error();
    copy.lacksRoom = true;
    const goesOn = await abortable(context.onNoSpace?.(error) ?? Promise.resolve(false), context.signal);
    if (!goesOn) throw error;
  }

  /** What cannot be written any more fails in many words, most of them about the source: asked once more before they are believed. */
  async cause(error: unknown): Promise<unknown> {
    const { context, isPoolFull, clock } = this.options;
    if (!(error instanceof SourceLostError) || context.signal?.aborted) return error;
    const isFull = await within(clock, ASK_PATIENCE_MS, isPoolFull().catch(() => false));
    return isFull ? this.error(error) : error;
  }

  private error(cause?: Error): NoSpaceError {
    const { targetHost, pool } = this.options;
    return new NoSpaceError(targetHost, "clone", `storage pool ${pool} is full`, { cause });
  }
}
