import { SourceLostError } from "../../hypervisor";
import { abortable } from "../../../async/abortable";
import type { Clock } from "../../../async/clock";
import { within } from "../../../async/within";
import type { Extent } from "../holes/extents";
import type { Helper } from "../helper/helper";
import { FILTER_NODE, type NbdExport } from "../helper/nodes";
import type { Recorder } from "../early/recorder";

/** How long a copy is slow after a guest was seen to read. */
const YIELD_MS = 1_000;

/** How long neighbours wait for one that connects. */
const TURN_MS = 1_000;

/** What a copy is of: fixed for its whole life, known before its first byte. */
export interface ImageFacts {
  capacityBytes: number;
  allocationBytes: number;
}

/** A promise that can be made anew: what waits on it waits for the next time. */
class Gate<T> {
  private promise!: Promise<T>;
  private settle: { resolve(value: T): void; reject(error: Error): void } | undefined;
  open = false;

  constructor() {
    this.shut();
  }
  /** One that is shut stays as it is: who waits on it waits for its next time, too. */
  shut(): void {
    if (!this.open && this.settle) return;
    this.open = false;
    this.promise = new Promise((resolve, reject) => { this.settle = { resolve, reject }; });
    this.promise.catch(() => undefined); // whoever waits handles it; nobody waiting is no fault
  }
  pass(value: T): void {
    this.open = true;
    this.settle!.resolve(value);
  }
  fail(error: Error): void {
    this.settle!.reject(error);
  }
  wait(): Promise<T> {
    return this.promise;
  }
}

/**
 * One copy under way, as those see it that read from it (a relay). Its filter node may be exported as soon as its
 * helper runs, but its reads are true only while all its upstream is connected: without a backing an empty overlay
 * reads as zeros.
 */
export class Copy {
  readonly facts = new Gate<ImageFacts>();
  /** What of the image is data; undefined: its source does not say. Known before the helper is. */
  readonly extents = new Gate<readonly Extent[] | undefined>();
  private readonly helper = new Gate<Helper>();
  private readonly connected = new Gate<void>();
  /** From then on other nodes may stand over the filter: QEMU begins to mirror root nodes only. */
  readonly isPulling = new Gate<void>();
  /** All of it is there. */
  readonly isThere = new Gate<void>();
  private readonly readers = new Set<object>();
  /** While it, or one that reads from it, connects. */
  busy: Promise<void> | undefined;
  private readonly opening = new Set<Promise<unknown>>();
  /** Those who wait until nobody reads from it. */
  private readonly untilUnread = new Set<() => void>();
  /** Counts the helpers it had: an export of an earlier one is gone. */
  epoch = 0;
  /** When its last byte came, by its clock. */
  movedAtMs: number;
  /** How long its own source may be silent. */
  patienceMs = 0;
  ended: Error | undefined;
  /** It ended, and what it made is no image. */
  failed = false;
  /** It stands still because its own pool is full, or one above it does: those that read from it lack nothing of their own. */
  lacksRoom = false;
  /** Set where its first guest's reads are to be recorded. */
  recorder: Recorder | undefined;
  private guestsWaitedAt = -Infinity;

  constructor(readonly host: string, private readonly clock: Clock) {
    this.movedAtMs = clock.nowMs();
  }

  get isRead(): boolean {
    return this.readers.size > 0;
  }
  get isConnected(): boolean {
    return this.connected.open;
  }
  /** Resolves when those who wait for it already have their exports. */
  async hasHelper(helper: Helper): Promise<void> {
    this.epoch++;
    this.helper.pass(helper);
    await Promise.allSettled(this.opening);
  }

  /**
   * A helper that connects serves nobody meanwhile, and one connection takes QEMU 90 ms (two delayed acknowledgements):
   * where all hops of a relay connected at once each would wait for all before it. So no two neighbours do, unless it
   * takes one so long that its source must be dead.
   */
  async connecting(upstream: Copy | undefined, connect: () => Promise<void>, signal?: AbortSignal): Promise<void> {
    const ends = upstream ? [this, upstream] : [this];
    for (let turn = busyOf(ends); turn; turn = busyOf(ends)) await abortable(turn, signal);
    const done = connect();
    const turn = within(this.clock, TURN_MS, done.catch(() => undefined)).then(() => {
      for (const end of ends) if (end.busy === turn) end.busy = undefined;
    });
    for (const end of ends) end.busy = turn;
    await done;
  }
  lostHelper(): void {
    this.helper.shut();
    this.connected.shut();
    if (this.isPulling.open) this.isPulling.shut();
  }
  isFed(): void {
    this.connected.pass();
  }
  lostSource(): void {
    if (this.connected.open) this.connected.shut();
  }
  whenFed(): Promise<void> {
    return this.connected.wait();
  }

  /** Serves a reader from what it has and what it gets. @throws SourceLostError when it cannot, or no longer */
  async serve(targetHost: string): Promise<{ at: NbdExport; epoch: number; close(): Promise<void> }> {
    if (this.ended) throw this.ended;
    const reader = {};
    this.readers.add(reader);
    try {
      const opening = this.open();
      this.opening.add(opening);
      const { helper, at, epoch } = await opening.finally(() => this.opening.delete(opening));
      return {
        at, epoch,
        close: async () => {
          // The export goes first: QEMU drains all readers when a job ends, and one that goes meanwhile can hang it.
          await helper.unexport(at);
          this.release(reader);
        },
      };
    } catch (error) {
      this.release(reader);
      throw new SourceLostError(this.host, targetHost, (error as Error).message, { cause: error });
    }
  }
  private async open(): Promise<{ helper: Helper; at: NbdExport; epoch: number }> {
    const helper = await this.helper.wait();
    const { epoch } = this;
    return { helper, epoch, at: await helper.exportNode(helper.mapped?.readNode ?? FILTER_NODE) };
  }

  /**
   * Serves a guest of its own host, once all above is connected. The guest does not hold up its end: without this export
   * the guest stands still until its disk is put over the finished image.
   * @param boots its reads are worth recording: `recording` is set where they are
   */
  async serveGuest(boots = false): Promise<{ at: NbdExport; epoch: number; recording?: Recorder }> {
    if (this.ended) throw this.ended;
    const helper = await this.helper.wait();
    await this.connected.wait();
    if (boots && this.recorder) await this.isPulling.wait();
    const { epoch, recorder } = this;
    const node = helper.mapped?.readNode ?? FILTER_NODE;
    const recorded = boots ? await recorder?.export(helper, node) : undefined;
    if (recorded) return { at: recorded, epoch, recording: recorder };
    return { at: await helper.exportNode(node), epoch };
  }

  /** Goes on serving, whoever reads, until the call that it returns. */
  hold(): () => void {
    const holder = {};
    this.readers.add(holder);
    return () => this.release(holder);
  }

  /** Guests are reading what has not arrived: the copy leaves them the way. */
  guestsWait(): void {
    this.guestsWaitedAt = this.clock.nowMs();
  }
  get isYielding(): boolean {
    return this.clock.nowMs() - this.guestsWaitedAt < YIELD_MS;
  }

  private release(reader: object): void {
    this.readers.delete(reader);
    if (this.readers.size > 0) return;
    for (const resolve of this.untilUnread) resolve();
    this.untilUnread.clear();
  }
  /** Resolves when nobody reads from it. @throws the signal's reason, however early it came */
  async unread(signal?: AbortSignal): Promise<void> {
    if (this.readers.size > 0) await abortable(new Promise<void>((resolve) => this.untilUnread.add(resolve)), signal);
  }
  /** No more copy: complete and closed, or failed. */
  end(error: Error, failed: boolean): void {
    this.ended = error;
    this.failed = failed;
    for (const gate of [this.facts, this.extents, this.helper, this.connected, this.isPulling, this.isThere]) gate.fail(error);
  }
}

const busyOf = (ends: readonly Copy[]): Promise<void> | undefined => ends.find((end) => end.busy !== undefined)?.busy;

/** The copies of one adapter, those under way and how others ended, by their target's volume. */
export class Copies {
  private readonly byKey = new Map<string, Copy>();
  /** How the last copy to a volume ended: what a failed one leaves bears the name of a finished image. */
  private readonly ends = new Map<string, SourceLostError | "whole">();

  constructor(private readonly clock: Clock) {}

  get(key: string): Copy | undefined {
    return this.byKey.get(key);
  }
  begin(key: string, host: string): Copy {
    if (this.byKey.has(key)) throw new Error(`a copy to ${key} is under way already`);
    const copy = new Copy(host, this.clock);
    this.ends.delete(key);
    this.byKey.set(key, copy);
    return copy;
  }
  end(key: string, failure?: Error): void {
    const copy = this.byKey.get(key);
    if (!copy) return;
    this.byKey.delete(key);
    const error = new SourceLostError(copy.host, "its reader", failure?.message ?? "the copy ended before the export was opened");
    this.ends.set(key, failure ? error : "whole");
    copy.end(error, failure !== undefined);
  }

  /** The last copy to it was ended whole, by this adapter. @throws SourceLostError when it failed */
  endedWhole(key: string): boolean {
    const end = this.ends.get(key);
    if (end instanceof Error) throw end;
    return end === "whole";
  }
}
