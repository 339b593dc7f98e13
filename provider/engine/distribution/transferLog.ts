import type { CloneResult } from "../../hypervisors/hypervisor";
import { CopyTimes } from "./copyTimes";
import type { BookedTransfer, SourceBook } from "./sourceBook";
import type { Clock } from "../../async/clock";
import type { CloneTrace } from "../types";

/** What was copied from where to where and when; the summary's numbers come from here. */
export class TransferLog {
  readonly traces: CloneTrace[] = [];
  /** Of the traces whose copies reported often enough. */
  readonly times = new Map<CloneTrace, CopyTimes>();
  /** Went on from what an earlier attempt left: they took less than a copy takes. */
  readonly resumed = new Set<CloneTrace>();
  private readonly reported = new WeakMap<BookedTransfer, CopyTimes>();
  /** Over the network. */
  bytesMoved = 0;
  bytesAcrossRacks = 0;
  /** Of bytesMoved, what had arrived before. */
  bytesResent = 0;
  /** From each guest's start until it was ready, of those that were waited for. */
  readonly guestSeconds: number[] = [];
  private readonly zeroMs: number;
  private firstSeconds: number | undefined;
  private lastSeconds = 0;
  private lastGuestSeconds = 0;

  constructor(private readonly clock: Clock, private readonly book: SourceBook) {
    this.zeroMs = clock.nowMs();
  }

  /** Since the run began to make copies. */
  nowSeconds(): number {
    return (this.clock.nowMs() - this.zeroMs) / 1000;
  }

  /** Members are being made from now on, even where nothing has to be copied for them. */
  begun(): void {
    this.firstSeconds ??= this.nowSeconds();
    this.ready();
  }

  /** What a copy under way says of itself. */
  progress(transfer: BookedTransfer): void {
    let times = this.reported.get(transfer);
    if (!times) this.reported.set(transfer, times = new CopyTimes());
    times.seen(transfer.bytesDone, transfer.done >= 1, this.nowSeconds());
  }

  copied(transfer: BookedTransfer, label: string, result: CloneResult): void {
    const { hosts } = this.book.topology;
    const { earlier, from, targetHost } = transfer;
    const replaced = earlier.length === 0 ? undefined : earlier.map((e) => ({ source: e.from.label, sourceHost: e.from.hostName, untilSeconds: e.untilSeconds }));
    const trace = this.record(label, from.label, from.hostName, hosts[targetHost]!.name, transfer.startedAtSeconds, replaced);
    const times = this.reported.get(transfer);
    if (times) this.times.set(trace, times);
    if (result.resumed) this.resumed.add(trace);
    this.count(transfer, result);
  }

  /** A copy that failed: what it moved went over cards and uplinks all the same. */
  broken(transfer: BookedTransfer, moved: Pick<CloneResult, "bytesMoved" | "bytesResent">): void {
    this.count(transfer, moved);
  }

  private count({ earlier, from, targetHost }: BookedTransfer, { bytesMoved, bytesResent = 0 }: Pick<CloneResult, "bytesMoved" | "bytesResent">): void {
    const { hosts } = this.book.topology;
    this.bytesResent += bytesResent;
    this.bytesMoved += bytesMoved;
    if (bytesMoved === 0) return;
    // What each gave is known to a look's precision: the last one that is not its own host gave the rest.
    const remote = [...earlier, { from, bytes: Infinity }].filter((one) => one.from.host !== targetHost);
    let left = bytesMoved;
    remote.forEach(({ from: { host }, bytes }, index) => {
      const passed = index === remote.length - 1 ? left : Math.min(bytes, left);
      left -= passed;
      if (hosts[host]!.rack !== hosts[targetHost]!.rack) this.bytesAcrossRacks += passed;
    });
  }

  /** One that did not get there. */
  uploadBroken(bytesMoved: number): void {
    this.bytesMoved += bytesMoved;
  }

  /** A local file's way to its first host. */
  uploaded(label: string, targetHost: string, startSeconds: number, bytesMoved: number): void {
    this.record(label, "template", "local", targetHost, startSeconds);
    this.bytesMoved += bytesMoved;
  }

  /** A member is ready. */
  ready(): void {
    this.lastSeconds = Math.max(this.lastSeconds, this.nowSeconds());
  }

  /** A member's guest is ready. @param tookSeconds since its start; undefined: that says nothing about others */
  guestReady(tookSeconds: number | undefined): void {
    this.lastGuestSeconds = Math.max(this.lastGuestSeconds, this.nowSeconds());
    if (tookSeconds !== undefined) this.guestSeconds.push(tookSeconds);
  }

  /** When the last member was ready, or the last copy there. */
  get readySeconds(): number {
    return this.lastSeconds;
  }

  /** From the last copy's end to the last member ready; 0 when no member was ready later. */
  get finishSeconds(): number {
    return Math.max(0, this.lastSeconds - this.traces.reduce((last, trace) => Math.max(last, trace.endSeconds), 0));
  }

  /** Since the first byte; 0 before it. */
  get elapsedSeconds(): number {
    return this.firstSeconds === undefined ? 0 : this.nowSeconds() - this.firstSeconds;
  }

  /** From the first byte to the last member ready; 0 when nothing was made. */
  get makespanSeconds(): number {
    return this.firstSeconds === undefined ? 0 : Math.max(0, Math.max(this.lastSeconds, this.lastGuestSeconds) - this.firstSeconds);
  }

  private record(
    slot: string, source: string, sourceHost: string, targetHost: string, startSeconds: number, replaced?: CloneTrace["replaced"],
  ): CloneTrace {
    this.firstSeconds = Math.min(this.firstSeconds ?? startSeconds, startSeconds);
    const trace: CloneTrace = { slot, source, sourceHost, targetHost, startSeconds, endSeconds: this.nowSeconds() };
    if (replaced) trace.replaced = replaced;
    this.traces.push(trace);
    this.ready();
    return trace;
  }
}
