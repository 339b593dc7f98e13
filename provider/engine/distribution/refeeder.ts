import type { CopyRef, ImageRef } from "../../hypervisors/hypervisor";
import type { RunContext } from "../run/context";
import type { TransferLog } from "./transferLog";
import type { BookedSource, BookedTransfer, SourceBook } from "./sourceBook";

/** A copy whose readers have this part of what it has lags itself, not they. */
const CAUGHT_UP_PART = 0.8;

/** A copy that lags on with another source for this long is slow itself. */
const PATIENCE_SECONDS = 3;

/** A reader with less to come, in parts and in time, is waited for. */
const NEARLY_DONE = 0.9;
const SOON_SECONDS = 3;

interface Waiting {
  transfer: BookedTransfer;
  /** Not from here. */
  not: (source: BookedSource) => boolean;
  answer(source: ImageRef | null): void;
}

/**
 * Gives copies under way another source: when theirs is lost, and when it lags. What has arrived stays, and what reads
 * from the copy goes on reading from it. Nobody is sent to a source that reads, through others, from the copy itself.
 */
export class Refeeder {
  private readonly waiting = new Set<Waiting>();
  /** When copies lagged first, and were given another source where there was one. */
  private readonly moved = new Map<BookedTransfer, number>();
  /** Copies that are all there and under way for their readers. */
  private readonly lingering = new Set<BookedTransfer>();
  private readonly handed = new WeakSet<BookedTransfer>();
  private readonly replaced = new Map<BookedTransfer, number>();

  constructor(
    private readonly context: RunContext,
    private readonly book: SourceBook, private readonly log: TransferLog, private readonly ask: () => void,
  ) {}

  /**
   * The source of this copy is lost.
   * @returns what to read from now; null: nothing that has more, or it was tried often enough
   */
  async replace(transfer: BookedTransfer): Promise<ImageRef | null> {
    const { signal, spec } = this.context;
    const { from } = transfer;
    const not = (source: BookedSource): boolean => source === from;
    const times = (this.replaced.get(transfer) ?? 0) + 1;
    this.replaced.set(transfer, times);
    this.book.lose(transfer);
    if (signal.aborted || times > spec.limits.retries + 1) return null;
    return this.feed(transfer, not) ?? await this.waitFor(transfer, not);
  }

  /** Something ended: those that wait for room at a source may go on. */
  offer(): void {
    for (const waiting of this.waiting) {
      const { transfer, not, answer } = waiting;
      const source = this.feed(transfer, not);
      if (!source && this.nearest(transfer, not, false)) continue;
      this.waiting.delete(waiting);
      answer(source);
    }
  }

  private feed(transfer: BookedTransfer, not: Waiting["not"]): ImageRef | null {
    const source = this.book.isUnderWay(transfer) ? this.nearest(transfer, not, true) : undefined;
    if (source) this.book.refeed(transfer, source, this.log.nowSeconds());
    return source?.ref ?? null;
  }

  /** Copies that read from this host are taken elsewhere before they notice that it is gone. */
  hostGone(host: number): void {
    for (const transfer of [...this.book.transfers]) {
      if (transfer.sourceHost === host && transfer.targetHost !== host && !transfer.lost) this.move(transfer);
    }
  }

  /** A copy that lags: first it gets another source; if that does not help, those that read from it do. */
  relieve(transfer: BookedTransfer, nowSeconds: number): void {
    const movedSeconds = this.moved.get(transfer);
    if (transfer.lost || transfer.leaving) return;
    if (movedSeconds === undefined) {
      const { from } = transfer;
      this.moved.set(transfer, nowSeconds);
      // Nobody else is sent there. The template may be all there is.
      if (!this.move(transfer) || from.kind === "template") return;
      from.lags = true;
      this.book.drop(from);
    } else if (nowSeconds - movedSeconds > PATIENCE_SECONDS && transfer.makes.serving > 0) {
      for (const other of [...this.book.transfers]) if (other.from === transfer.makes) this.move(other);
    }
  }

  /**
   * A copy that is all there and goes on only for a reader that has far to go: the reader is handed to a whole, idle
   * source of its rack, so that the member can be made.
   */
  handOver(): void {
    if (!this.context.abilities.relaying) return;
    for (const relay of this.lingering) {
      if (!this.book.isUnderWay(relay)) this.lingering.delete(relay);
      else if (relay.makes.serving > 0) for (const reader of [...this.book.transfersAt(relay.targetHost)]) this.handOn(relay, reader);
    }
  }

  /** All of it is there. */
  allThere(transfer: BookedTransfer): void {
    this.lingering.add(transfer);
  }

  private handOn(relay: BookedTransfer, reader: BookedTransfer): void {
    const { from, lost, leaving, sourceHost, targetHost } = reader;
    if (from !== relay.makes || sourceHost === targetHost || lost || leaving || this.isNearlyDone(reader) || this.handed.has(reader)) return;
    const { hosts } = this.book.topology;
    const { rack } = hosts[targetHost]!;
    const to = this.nearest(reader, (source) => {
      const { host, arriving } = source;
      return arriving === true || host === sourceHost || hosts[host]!.rack !== rack || this.isBusy(source) || this.hasOwnToMake(host);
    }, true);
    if (!to) return;
    this.handed.add(reader);
    this.turn(reader, to);
  }

  /** Feeds a copy that lacks something: one that is all there only serves on. */
  private isBusy(source: BookedSource): boolean {
    if (source.serving === 0) return false;
    for (const transfer of this.book.transfersAt(source.host)) if (transfer.from === source && transfer.done < 1) return true;
    return false;
  }

  /** Its disk is spoken for. */
  private hasOwnToMake(host: number): boolean {
    const { targets, made, making } = this.book.view;
    return targets[host]! > made[host]! + making[host]!;
  }

  private isNearlyDone({ done, startedAtSeconds }: BookedTransfer): boolean {
    return done > NEARLY_DONE && (this.log.nowSeconds() - startedAtSeconds) * (1 / done - 1) < SOON_SECONDS;
  }

  /** It runs no slower than the copy it reads from: that one is to blame if it lags. */
  static followsItsSource({ from, bytesDone }: BookedTransfer): boolean {
    return from.arrival !== undefined && bytesDone >= CAUGHT_UP_PART * from.arrival.bytesDone && from.arrival.done < 1;
  }

  private move(transfer: BookedTransfer): boolean {
    const { abilities } = this.context;
    // One change at a time: with two nobody could say what it reads from. What is lost finds another by itself.
    if (transfer.lost || transfer.leaving) return false;
    const source = abilities.relaying ? this.nearest(transfer, ({ host }) => host === transfer.sourceHost, true) : undefined;
    if (source) this.turn(transfer, source);
    return source !== undefined;
  }

  private turn(transfer: BookedTransfer, source: BookedSource): void {
    const { abilities, fleet, tasks } = this.context;
    this.book.turn(transfer, source, this.log.nowSeconds());
    const { image } = this.book;
    const { leaving } = transfer;
    // Not when it ended, or lost its source and was given another, in the meantime.
    const isStill = (): boolean => transfer.leaving === leaving;
    tasks.start(async () => {
      const target = transfer.makes.ref as CopyRef;
      try {
        await abilities.relaying!.refeed({ fleet, image, target, source: source.ref });
        if (isStill()) this.book.turned(transfer);
      } catch {
        // It reads from where it did. If that is gone the copy itself says so.
        if (isStill()) this.book.unturn(transfer);
      } finally {
        this.ask(); // there is room again at one of the two
      }
    });
  }

  /** Until a source that has more has room, or the copy would count as stalled. */
  private async waitFor(transfer: BookedTransfer, not: Waiting["not"]): Promise<ImageRef | null> {
    if (!this.nearest(transfer, not, false)) return null;
    const { clock, signal, spec } = this.context;
    const over = new AbortController();
    let waiting: Waiting | undefined;
    const offered = new Promise<ImageRef | null>((resolve) => {
      waiting = { transfer, not, answer: resolve };
      this.waiting.add(waiting);
    });
    const late = clock.sleep(spec.timeouts.stallMs, over.signal).then(() => null, () => null);
    const cancelled = new Promise<null>((resolve) => signal.addEventListener("abort", () => resolve(null), { once: true, signal: over.signal }));
    try {
      return await Promise.race([offered, late, cancelled]);
    } finally {
      over.abort();
      this.waiting.delete(waiting!);
    }
  }

  /** On the same host, in the same rack, then any; among those who serves least, the template before others. */
  private nearest(transfer: BookedTransfer, not: Waiting["not"], withRoom: boolean): BookedSource | undefined {
    const { hosts } = this.book.topology;
    const rack = hosts[transfer.targetHost]!.rack;
    const distance = ({ host }: BookedSource): number => {
      if (host === transfer.targetHost) return 0;
      return hosts[host]!.rack === rack ? 1 : 2;
    };
    // Feeds the source that is lost, and so nobody soon.
    const above = transfer.from.arrival?.from;
    let best: { source: BookedSource; rank: number[] } | undefined;
    const consider = (source: BookedSource): void => {
      if (not(source) || this.book.isExcluded(source.host) || (withRoom && !this.book.mayFeed(source.host, transfer))) return;
      if (source.arrival && !this.hasMore(source.arrival, transfer)) return;
      const rank = [distance(source), source.serving - (source === above ? 1 : 0), source.kind === "template" ? 0 : source.arriving ? 2 : 1, source.id];
      if (!best || before(rank, best.rank)) best = { source, rank };
    };
    this.book.sources.forEach(consider);
    if (this.context.abilities.relaying) this.book.arriving.forEach(consider);
    return best?.source;
  }

  private hasMore(other: BookedTransfer, transfer: BookedTransfer): boolean {
    if (other.lost || other.straggling) return false;
    for (let up: BookedTransfer | undefined = other; up; up = up.from.arrival) if (up === transfer) return false;
    if (other.bytesDone > transfer.bytesDone) return true;
    for (let up = transfer.from.arrival; up; up = up.from.arrival) if (up === other) return true;
    return false;
  }
}

function before(a: number[], b: number[]): boolean {
  const i = a.findIndex((value, at) => value !== b[at]);
  return i >= 0 && a[i]! < b[i]!;
}
