import {
  HostUnreachableError, NoSpaceError, SourceLostError, TemplateChangedError, type CallContext, type CloneOrder, type HintedCloneResult, type ImageRef,
} from "../../hypervisors/hypervisor";
import { imageBytes } from "../../fleet";
import type { Decision, Policy } from "../../scheduler";
import { linkSignals } from "../../async/abort";
import { backoffMs, isFinal, signalFor, type RunContext } from "../run/context";
import { Looks } from "./looks";
import type { BookedSource, BookedTransfer, SourceBook } from "./sourceBook";
import { CopyQueues, type QueuedCopy, type WantedCopy } from "./queues";
import type { ReadHints } from "./reads";
import { Refeeder } from "./refeeder";
import type { Room } from "./room";
import { StragglerWatch } from "./straggler";
import type { TransferLog } from "./transferLog";

/** Ends a copy that lags so far behind that another source does it sooner. */
class OvertakenError extends Error {}

/**
 * Brings base images to hosts: asks the policy at every event which copies to start now, starts them within the limits,
 * enters what arrived into the source book, and gives what failed to another source.
 */
export class Distributor {
  private readonly queues: CopyQueues;
  private readonly watch: StragglerWatch;
  private readonly refeeder: Refeeder;
  private policy: Policy | undefined;
  private asked = false;
  private readonly underWay = new Map<BookedTransfer, { copy: QueuedCopy; abort(reason: unknown): void }>();
  /** The source that copies to this host lost first. */
  private readonly lostBy = new Map<number, BookedSource>();
  /** Go on while copies do. */
  private readonly looks: Looks;
  /** Set when the template changed: what is under way may still end, nothing new starts. */
  private stopped: { error: unknown } | undefined;

  /**
   * @param watches whether to look for stragglers
   * @param afterEvent called after every decision round; `book` is up to date then
   */
  constructor(
    private readonly context: RunContext,
    private readonly book: SourceBook,
    private readonly log: TransferLog,
    private readonly room: Room,
    private readonly watches: boolean,
    private readonly afterEvent: () => void,
  ) {
    this.queues = new CopyQueues(book, room);
    this.watch = new StragglerWatch(book.topology, imageBytes(book.image), context.spec.limits.stragglerFactor);
    this.looks = new Looks(context, () => 1000 * this.book.transfers.reduce((least, t) => Math.min(least, this.watch.paceSeconds(t)), Infinity), () => this.lookForStragglers());
    this.refeeder = new Refeeder(context, book, log, () => this.ask());
    context.hostBook.onGivenUp((name) => this.hostGivenUp(name));
    for (const host of book.topology.hosts) if (context.hostBook.failure(host.name)) this.hostGivenUp(host.name);
  }

  want(copy: WantedCopy): void {
    const down = this.context.hostBook.failure(this.book.topology.hosts[copy.host]!.name);
    if (down) return copy.failed(down);
    this.queues.add(copy);
  }

  /** Starts copying what is wanted, as this policy says. */
  begin(policy: Policy): void {
    this.policy = policy;
    this.ask();
  }

  /**
   * Ask the policy once everything that happens at this very instant has happened: sources that become free together
   * are decided on together (`rounds` needs it).
   */
  ask(): void {
    if (this.asked || !this.policy) return;
    this.asked = true;
    this.context.tasks.start(async () => {
      await this.context.clock.sleep(0);
      this.asked = false;
      this.decide(this.policy!);
    });
  }

  private decide(policy: Policy): void {
    if (this.context.signal.aborted) this.queues.drain();
    else {
      if (!policy.keepsSources) this.refeeder.handOver();
      const view = this.book.at(this.log.nowSeconds());
      const decisions = this.book.open() > 0 ? policy.next(view) : [];
      this.book.seen();
      const started: (BookedTransfer | undefined)[] = [];
      for (const decision of decisions) {
        const { source: from, targetHost } = decision;
        const source = typeof from === "number" ? this.book.source(from) : started[from.decision]?.makes;
        const copy = this.queues.first(targetHost);
        const fits = this.room.admits(targetHost);
        const starts = source !== undefined && copy !== undefined && fits && this.book.mayStart(source, targetHost);
        if (!fits) this.queues.hold(targetHost);
        if (starts) this.queues.removeFirst(targetHost);
        if (!starts) this.book.touch(targetHost);
        started.push(starts ? this.launch(source, copy, decision) : undefined);
      }
      if (this.book.open() > 0 && this.book.transfers.length === 0 && this.book.resting.every((n) => n === 0)) {
        this.failQueued(noSource(policy, this.book));
      }
    }
    this.refeeder.offer();
    this.room.review();
    this.afterEvent();
  }

  private launch(source: BookedSource, copy: QueuedCopy, decision: Decision): BookedTransfer {
    const { abilities, fleet, hostBook, tasks, reads } = this.context;
    const ours = signalFor(this.context, this.book.topology.hosts[copy.host]!.name);
    const image = { ref: copy.target, label: copy.label, kind: copy.target.kind };
    const transfer = this.book.begin(source, decision, this.log.nowSeconds(), image);
    this.room.begin(transfer);
    // Where copies can go on from another source, one whose source's host is gone does.
    const sourceGone = abilities.relaying ? undefined : hostBook.signal(source.hostName);
    const link = sourceGone ? linkSignals(ours, sourceGone) : { signal: ours, abort: nothing, unlink: nothing };
    this.underWay.set(transfer, { copy, abort: link.abort });
    this.context.ledger.worked.add(this.book.topology.hosts[copy.host]!.name);
    if (this.watches && !this.policy?.keepsSources) this.looks.begun(1000 * this.watch.paceSeconds(transfer));
    tasks.start(async () => {
      const local = source.host === copy.host && !source.arriving;
      const hints = copy.hints?.(local);
      const order: CloneOrder = { fleet, image: this.book.image, source: source.ref, target: copy.target };
      let result: HintedCloneResult | undefined;
      try {
        result = await this.cloned(order, hints, transfer, link.signal, () => copy.begun?.(local));
      } catch (error) {
        // Asked before the book takes its source from it, as from every copy that ends.
        const { lost } = transfer;
        this.finish(transfer, false);
        // However an adapter words an abort, our own reason for it counts.
        const { reason } = link.signal;
        this.recover(reason instanceof OvertakenError ? reason : error, transfer, copy, lost);
      }
      try {
        if (!result) return;
        this.finish(transfer, true);
        this.log.copied(transfer, copy.label, result);
        copy.whole(this.promoted(transfer));
      } finally {
        if (hints) reads.copied(this.book.image.contentId, hints, result);
        link.unlink();
        this.ask();
      }
    });
    return transfer;
  }

  private async cloned(
    order: CloneOrder, hints: ReadHints | undefined, transfer: BookedTransfer, signal: AbortSignal, begun: () => void,
  ): Promise<HintedCloneResult> {
    const { hypervisor, abilities } = this.context;
    const call: CallContext = {
      signal,
      onSourceLost: abilities.relaying && (() => this.sourceLost(transfer)),
      onNoSpace: () => this.room.starves(transfer),
      onBroken: (moved) => this.log.broken(transfer, moved),
      onProgress: (done, total) => this.progressed(transfer, done, total),
    };
    const cloning = hints ? abilities.startsEarly!.clone({ ...order, ...hints }, call) : hypervisor.clone(order, call);
    begun();
    return cloning;
  }

  private progressed(transfer: BookedTransfer, done: number, total: number): void {
    const before = transfer.done;
    transfer.bytesDone = done;
    transfer.done = total > 0 ? Math.min(1, done / total) : 0;
    if (this.watches) this.log.progress(transfer);
    this.context.meter.moved(transfer, done);
    // All there: it may go on serving for long, and leaves room for others.
    if (this.context.abilities.relaying && transfer.done >= 1 && before < 1) this.allThere(transfer);
  }

  private allThere(transfer: BookedTransfer): void {
    this.refeeder.allThere(transfer);
    this.book.touch(transfer.sourceHost);
    this.book.touch(transfer.targetHost);
    this.ask();
  }

  private sourceLost(transfer: BookedTransfer): Promise<ImageRef | null> {
    if (!transfer.lost) this.drops(transfer);
    const answer = this.refeeder.replace(transfer);
    this.ask();
    return answer;
  }

  private finish(transfer: BookedTransfer, whole: boolean): void {
    this.underWay.delete(transfer);
    this.watch.ended(transfer, whole, this.log.nowSeconds());
    this.context.meter.ended(transfer, whole);
    this.book.end(transfer, whole);
    this.room.end(transfer, whole);
    this.queues.release(transfer.targetHost);
    if (this.book.transfers.length === 0) this.looks.ended();
  }

  private promoted({ makes }: BookedTransfer): BookedSource | undefined {
    if (this.context.hostBook.failure(makes.hostName)) return undefined;
    if (!makes.lags || this.book.sources.length === 0) this.book.promote(makes);
    return makes;
  }

  /**
   * What to do about a copy that failed: another source, another time, or not in this run.
   * @param lost it had no source any more, and could go on from nowhere else
   */
  private recover(error: unknown, transfer: BookedTransfer, copy: QueuedCopy, lost: boolean): void {
    const { signal, hostBook, spec } = this.context;
    if (signal.aborted) return this.abandon(copy);
    if (error instanceof HostUnreachableError) hostBook.giveUp(error);
    const down = hostBook.failure(this.book.topology.hosts[copy.host]!.name);
    if (down) return this.fail(copy, down);
    if (hostBook.failure(transfer.from.hostName) && !lost) return this.requeue(copy);
    if (error instanceof OvertakenError) {
      this.book.drop(transfer.from);
      return this.requeue(copy);
    }

    if (error instanceof TemplateChangedError) {
      this.stopped ??= { error };
      this.book.drop(transfer.from);
      this.fail(copy, error);
      return this.failQueued(error);
    }
    if (error instanceof NoSpaceError) return this.noRoom(error, transfer, copy);
    if (isFinal(error) || ++copy.attempts > spec.limits.retries) return this.fail(copy, error);
    // One that could go on from nowhere else had its source dropped already.
    if (error instanceof SourceLostError && !lost && this.drops(transfer)) return this.requeue(copy);
    this.rest(copy);
  }

  /**
   * A lost source serves no more, unless the target is to blame: one that lost two sources is not believed any more,
   * and the first gets its place back. The last source stays: it may be a hiccup, and there is nothing else.
   */
  private drops({ from, targetHost }: BookedTransfer): boolean {
    const earlier = this.lostBy.get(targetHost);
    if (earlier && earlier !== from) this.book.restore(earlier);
    if (earlier || this.book.sources.length < 2) return false;
    this.lostBy.set(targetHost, from);
    this.book.drop(from);
    return true;
  }

  /** Beside others in its store it may have been they who filled it; alone it does not fit, and nothing like it will. */
  private noRoom(error: NoSpaceError, transfer: BookedTransfer, copy: QueuedCopy): void {
    if (this.stopped) return this.fail(copy, this.stopped.error);
    if (!this.room.wasAlone(transfer)) {
      this.room.isCrowded(copy.host);
      this.queues.again(copy);
      this.queues.hold(copy.host);
      return this.queues.release(copy.host);
    }
    this.fail(copy, error);
    for (const { index } of this.book.topology.hosts) if (this.room.isSameStore(index, copy.host)) this.failQueued(error, index);
  }

  private rest(copy: QueuedCopy): void {
    const { clock, signal, tasks } = this.context;
    this.queues.setAside(copy);
    tasks.start(async () => {
      await clock.sleep(backoffMs(copy.attempts - 1), signal).catch(() => undefined);
      this.queues.takeBack(copy);
      const down = this.context.hostBook.failure(this.book.topology.hosts[copy.host]!.name);
      if (signal.aborted) this.abandon(copy);
      else if (down) this.fail(copy, down);
      else this.requeue(copy);
      this.ask();
    });
  }

  private requeue(copy: QueuedCopy): void {
    if (this.stopped) return this.fail(copy, this.stopped.error);
    this.queues.again(copy);
  }

  private abandon(copy: QueuedCopy): void {
    this.book.want(copy.host, -1);
  }

  private fail(copy: QueuedCopy, error: unknown): void {
    this.abandon(copy);
    copy.failed(error);
  }

  private failQueued(error: unknown, host?: number): void {
    for (const copy of this.queues.drain(host)) this.fail(copy, error);
  }

  private hostGivenUp(name: string): void {
    const host = this.book.topology.hosts.find((h) => h.name === name);
    if (!host) return;
    this.book.exclude(host.index);
    for (const source of [...this.book.sources, ...this.book.arriving]) if (source.host === host.index) this.book.drop(source);
    this.refeeder.hostGone(host.index);
    this.failQueued(this.context.hostBook.failure(name), host.index);
    this.askAnew();
  }

  /** Something changed that concerns decisions about any host. */
  private askAnew(): void {
    this.book.touchAll();
    this.ask();
  }

  /** Looks whether a copy lags, and asks the policy again when that changed. */
  private lookForStragglers(): void {
    if (this.watch.update(this.book.transfers, this.log.nowSeconds())) this.askAnew();
    if (this.context.abilities.relaying) {
      for (const t of [...this.book.transfers]) if (t.straggling) this.refeeder.relieve(t, this.log.nowSeconds());
    } else {
      this.overtake();
    }
  }

  /**
   * With nothing left to start, idle sources take over what a hopeless laggard still owes. Its source serves no more
   * in this run.
   */
  private overtake(): void {
    if (this.book.open() > 0) return;
    const now = this.log.nowSeconds();
    for (const [transfer, { copy, abort }] of this.underWay) {
      if (copy.overtaken || !this.watch.isHopeless(transfer, now)) continue;
      if (!this.book.sources.some((source) => source.host !== transfer.sourceHost)) continue;
      copy.overtaken = true;
      abort(new OvertakenError(`the source on ${transfer.from.hostName} lags`));
    }
  }
}

const nothing = (): void => undefined;

function noSource(policy: Policy, book: SourceBook): Error {
  return new Error(book.sources.length === 0
    ? "nothing is left to copy from: the template and every finished copy are out of reach"
    : `policy ${policy.name} found no copy to start`);
}
