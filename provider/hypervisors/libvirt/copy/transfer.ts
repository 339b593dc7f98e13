import { setTimeout as sleep } from "node:timers/promises";
import { SourceLostError, type ImageRef } from "../../hypervisor";
import { abortable, idle } from "../../../async/abortable";
import { bytesThere } from "./copyProgress";
import type { Feed, Resolved } from "./feeds";
import { Flushing } from "./flushing";
import type { Helper } from "../helper/helper";
import { KnownHoles } from "./knownHoles";
import type { MirrorJob } from "../helper/mirror";
import { Moved } from "./moved";
import { IN_FLIGHT_BYTES, Pull } from "./pull";
import { LibvirtError } from "../rpc/errors";
import { tlsAdvice } from "../helper/tls";
import type { TransferOptions } from "./transferOptions";
import { WantedRoom } from "./wantedRoom";
import { Yielding } from "./yielding";

const POLL_MS = 100;
/** Near its end a copy is looked at more often: those behind it wait for its end. */
const LAST_POLLS_MS = 10;
/** Under way at most where guests wait behind it. */
const GUESTS_IN_FLIGHT_BYTES = 4 << 20;
/** Failures in a row, without a byte between, after which a source that still answers is given up. */
const MAX_FAILURES = 5;
const MAX_HELPER_RESTARTS = 3;
const STOP_PATIENCE_MS = 3_000;
/** Readers that take longer than this do not keep our own source waiting. */
const READER_PATIENCE_MS = 1_000;
/** A relay that answers, if only with an error, lives and is looking for another source itself. */
const RELAY_PATIENCE_MS = 60_000;
/** How often, and after how long, a relay that just changed is looked up again. */
const RECONNECTS = 10;
const RECONNECT_MS = 300;
/**
 * Brings every byte of an image into the helper's disk, from one source after another if need be. What has arrived
 * stays: a source that fails, stops sending or is exchanged costs what was under way, a helper that dies what was not
 * flushed.
 */
export class Transfer {
  bytesResent = 0;
  /** Of the image, in the disk when the copy began: not fetched again. */
  bytesFound = 0;
  /** The template itself was, or was to be, a source of it. */
  readsTemplate = false;
  /** It counts only if the template is unchanged at its end: it read from that, or from a copy that still arrived. */
  needsTemplate = false;
  private helper: Helper | undefined;
  private pull: Pull | undefined;
  private feed: Feed | undefined;
  private startedAt = performance.now();
  private lastOffset = -1;
  private lastMove = performance.now();
  private readonly flushing = new Flushing();
  private failures = 0;
  /** As limited now; undefined: not limited. */
  private bytesPerSecond: number | undefined;
  private restarts = 0;
  /** The pull is of what is wanted first. */
  private isFirst = false;
  /** It needs no source any more. */
  private complete = false;
  /** Why it takes none any more. */
  private failed: { error: unknown } | undefined;
  private exchange: { ref: ImageRef; done(): void; failed(error: unknown): void } | undefined;
  private readonly yielding: Yielding;
  private readonly map: KnownHoles;
  /** Of the whole copy, so that progress never falls back when a helper begins again. */
  private best = 0;
  private readonly moved = new Moved();
  private readonly room: WantedRoom;

  constructor(private readonly options: TransferOptions, private source: ImageRef) {
    this.yielding = new Yielding(options.copy);
    this.map = new KnownHoles(options.copy, options.map);
    this.room = new WantedRoom(options);
  }

  /** Resolves when the image is complete and closed, and nobody reads from it any more. */
  async run(): Promise<void> {
    const { copy, context } = this.options;
    try {
      await this.begin();
      await this.watch();
      this.options.pacer.end(copy);
      // While its readers still read: what is left to write then is little.
      await this.helper!.flush();
      await this.letGo();
      await copy.unread(context.signal);
      await copy.recorder?.finish();
      await this.pull!.cancel(context.signal);
      // The source's host need not be done before this one closes its file.
      const [, finished] = await Promise.allSettled([this.feed?.close(), this.helper!.finish()]);
      if (finished.status === "rejected") throw finished.reason;
    } catch (reason) {
      const error = await this.room.cause(reason);
      this.failed = { error };
      this.exchange?.failed(error); // whoever ordered it waits for an answer
      this.options.pacer.end(copy);
      copy.lostSource();
      await this.pull?.yank().catch(() => undefined);
      // A host that died does not answer; its helpers die with our connection, and the next source need not wait.
      await Promise.race([Promise.all([this.helper?.stop(), this.feed?.close()]), idle(STOP_PATIENCE_MS)]);
      throw error;
    }
  }

  /** Reads from another source from now on. Resolves when it does. */
  redirect(ref: ImageRef): Promise<void> {
    if (this.complete) return Promise.resolve();
    if (this.failed) return Promise.reject(this.failed.error as Error);
    return new Promise((resolve, reject) => {
      this.exchange?.failed(new Error("another source was chosen meanwhile"));
      this.exchange = { ref, done: resolve, failed: reject };
    });
  }

  /** All is there: whoever fed us may end, however long we go on for those that read from us. */
  private async letGo(): Promise<void> {
    this.complete = true;
    this.exchange?.done();
    this.exchange = undefined;
    const { feed } = this;
    const { copy, context } = this.options;
    // Readers as quick as we are end right behind us, and an exchange would only hold them up.
    await Promise.race([copy.unread(context.signal), idle(READER_PATIENCE_MS)]);
    if (!feed || !copy.isRead) return;
    this.feed = undefined;
    if (feed.at) await this.pull!.disconnect();
    void feed.close();
  }

  private async begin(): Promise<void> {
    const { context } = this.options;
    const from = await this.options.resolve(this.source);
    const opening = this.open(this.source, from);
    this.map.learn(from, opening);
    const arrived = this.options.arrivedBytes();
    arrived.catch(() => undefined); // the helper's start says it
    const started = this.startHelper(from);
    const opened = started.then(async () => (await arrived) === undefined ? this.openToReaders() : undefined);
    opened.catch(() => undefined); // awaited below
    const [helper, feed] = await Promise.allSettled([started, opening]);
    if (feed.status === "fulfilled") this.readFrom(feed.value);
    if (helper.status === "rejected") throw helper.reason;
    // A helper that connects answers nobody else meanwhile: readers' exports come first, unless we are to wait for the map.
    if (this.map.isWritten) await abortable(opened, context.signal);
    context.signal?.throwIfAborted();
    if (feed.status === "rejected") await this.findOther(feed.reason as Error);
    else await this.connect().catch((error: unknown) => this.findOther(error as Error));
    await abortable(opened, context.signal);
    const arrivedBytes = await arrived;
    if (arrivedBytes !== undefined) {
      await this.takeStock(arrivedBytes);
      await this.openToReaders();
    }
    this.isFirst = await this.startFirst();
    if (!this.isFirst) await this.startPull();
    this.startedAt = performance.now();
  }

  /** Over the network, so far. */
  get bytesMoved(): number {
    return this.moved.bytesMoved;
  }

  private readFrom(feed: Feed, againBytes = 0): void {
    this.feed = feed;
    this.moved.from(feed.host !== this.options.targetHost, againBytes);
  }

  private open(ref: ImageRef, from: Resolved): Promise<Feed> {
    this.readsTemplate ||= ref.kind === "template";
    this.needsTemplate ||= this.readsTemplate || from.kind === "arriving";
    return this.options.openFeed(from);
  }

  private async startPull(): Promise<void> {
    const { facts, forGuests } = this.options;
    if (forGuests) await this.pull!.startSlowable(facts.capacityBytes, GUESTS_IN_FLIGHT_BYTES);
    else await this.pull!.start(facts.capacityBytes);
    this.options.copy.isPulling.pass();
  }

  private get inFlightBytes(): number | undefined {
    return this.options.forGuests ? GUESTS_IN_FLIGHT_BYTES : undefined;
  }

  /** What a guest will ask for at once. A hint: where it does not work, the copy begins as any other. */
  private async startFirst(): Promise<boolean> {
    const { first, facts } = this.options;
    if (!first) return false;
    try {
      await this.pull!.startFirst(await first.attach(this.helper!), facts.capacityBytes, this.inFlightBytes);
      return true;
    } catch {
      await first.detach(this.helper!).catch(() => undefined);
      return false; // a helper that is gone is noticed by whatever comes next
    }
  }

  private async endFirst(isThere: boolean): Promise<void> {
    if (isThere) await this.pull!.cancel();
    await this.options.first!.detach(this.helper!);
    this.isFirst = false;
    this.lastOffset = -1;
    await this.startPull();
    this.startedAt = this.lastMove = performance.now();
  }

  /**
   * What an earlier attempt left; of what it had fetched it may have forgotten what was not flushed. The overlay must
   * be connected (over nothing, all of it would count) and must not have its map yet (QEMU mirrors root nodes only).
   */
  private async takeStock(arrivedBytes: number): Promise<void> {
    const { facts, context } = this.options;
    // Holes that came as zeros are held, too.
    const held = await this.pull!.bytesHeld(facts.capacityBytes, context.signal);
    this.bytesFound = Math.round(held * await this.map.allocatedShare(facts));
    this.best = Math.min(this.bytesFound, facts.allocationBytes);
    this.moved.found(this.best);
    this.bytesResent += Math.max(0, Math.min(arrivedBytes, facts.allocationBytes) - this.bytesFound - qcow2MetadataBytes(facts.capacityBytes));
  }

  private async startHelper(over: Resolved | undefined): Promise<void> {
    this.helper = await this.options.startHelper(over);
    this.pull = new Pull(this.helper);
  }

  private async openToReaders(): Promise<void> {
    await this.map.attach(this.helper!);
    await this.options.copy.hasHelper(this.helper!);
  }

  /** Over the feed, and then true for whoever reads from us: when all above is connected too. */
  private async connect(): Promise<void> {
    const { copy, context, targetHost } = this.options;
    const pull = this.pull!;
    const { at, host, upstream } = this.feed!;
    this.bytesPerSecond = this.options.pacer.feed(copy, { sourceHost: host, targetHost, upstream }, (bytesPerSecond) => {
      this.bytesPerSecond = bytesPerSecond;
      void pull.limit(bytesPerSecond); // never rejects
    });
    try {
      if (at) await copy.connecting(upstream, () => pull.connect(at, this.bytesPerSecond), context.signal);
      else await pull.stayLocal(this.feed!.localPath!);
    } catch (error) {
      if (error instanceof LibvirtError) throw error; // our own helper is gone
      throw this.lost(`cannot connect to ${host}: ${(error as Error).message}${at?.tls ? tlsAdvice(host, at.host, targetHost) : ""}`, error);
    }
    await abortable(this.feed!.upstream?.whenFed() ?? Promise.resolve(), context.signal);
    copy.isFed();
    this.lastMove = performance.now();
  }

  private lost(message: string, cause?: unknown): SourceLostError {
    return new SourceLostError(this.feed?.host ?? ("host" in this.source ? this.source.host ?? "" : ""), this.options.targetHost, message, { cause });
  }

  /** Until all is there. Whatever of it fails because our own QEMU is gone is begun again with a new one. */
  private async watch(): Promise<void> {
    for (let isGone = false; ;) {
      try {
        if (isGone) await this.restart();
        isGone = false;
        return await this.untilReady();
      } catch (error) {
        if (!(error instanceof LibvirtError) || ++this.restarts > MAX_HELPER_RESTARTS) throw error;
        isGone = true;
      }
    }
  }

  private async untilReady(): Promise<void> {
    const { context, forGuests } = this.options;
    for (;;) {
      context.signal?.throwIfAborted();
      const job = await this.pull!.job();
      if (this.isFirst && (!job || job.ready)) {
        await this.endFirst(job !== undefined);
        continue;
      }
      // Only while bytes come: a flush waits for the reads under way, and QEMU answers nothing until then.
      if (job && job.offset !== this.lastOffset) await this.flushing.look(this.helper!);
      if (!job) throw this.lost("the copy ended before it was complete");
      this.report(job);
      if (job.ready) return;
      const isSlow = forGuests && !this.isFirst && await this.yielding.look((speed) => this.pull!.setSpeed(speed));
      if (isSlow) this.lastMove = performance.now(); // because we said so
      if (job["io-status"] !== "ok" && await this.room.settled(job, this.feed!.upstream, () => this.pull!.resume())) {
        this.lastMove = performance.now();
        continue;
      }
      if (job.offset !== this.lastOffset) {
        if (job.offset > this.lastOffset) this.failures = 0;
        this.lastOffset = job.offset;
        this.lastMove = this.options.copy.movedAtMs = performance.now();
      }
      if (this.exchange) await this.exchangeSource();
      else if (job["io-status"] !== "ok") await this.recover(`reading from ${this.feed!.host} failed`);
      else if (performance.now() - this.lastMove > this.patienceMs() + this.slownessMs()) await this.recover(`no byte from ${this.feed!.host} for ${Math.round((performance.now() - this.lastMove) / 1000)} s`, true);
      else await sleep(this.untilNextLook(job));
    }
  }

  /**
   * Of a silent line of relays the first one looks for another source, and the others go on behind it: each has a little
   * more patience than the one it reads from.
   */
  private patienceMs(): number {
    const { copy, stallMs } = this.options;
    const { upstream } = this.feed!;
    const isStill = upstream && !upstream.ended && performance.now() - upstream.movedAtMs > stallMs / 2;
    copy.patienceMs = isStill ? Math.max(stallMs, upstream.patienceMs) + stallMs / 4 : stallMs;
    return copy.patienceMs;
  }

  /** Half of what is left of the time, by how fast it went so far. */
  private untilNextLook({ offset, len }: MirrorJob): number {
    const total = this.isFirst ? len : this.options.facts.capacityBytes; // `len` may be of what is under way only
    const leftMs = offset > 0 ? ((total - offset) / offset) * (performance.now() - this.startedAt) : POLL_MS;
    return Math.min(POLL_MS, Math.max(LAST_POLLS_MS, leftMs / 2));
  }

  /**
   * A read failed or hangs. Behind a relay it is often the relay's own source that went: then the relay finds another,
   * and we only go on. Else we find another ourselves.
   */
  private async recover(why: string, silent = false): Promise<void> {
    const { copy, context } = this.options;
    const { upstream, epoch } = this.feed!;
    copy.lostSource();
    if (upstream && !upstream.ended && !silent) {
      await sleep(POLL_MS * 2); // the relay sees its own trouble within one look
      const fed = await Promise.race([
        abortable(upstream.whenFed(), context.signal).then(() => true, () => false), idle(RELAY_PATIENCE_MS).then(() => false),
      ]);
      context.signal?.throwIfAborted();
      if (fed && ++this.failures <= MAX_FAILURES) {
        if (upstream.epoch !== epoch) await this.reconnect(this.source).catch((error: unknown) => this.findOther(error as Error));
        else copy.isFed();
        await this.pull!.resume();
        this.lastMove = performance.now();
        return;
      }
    }
    await this.pull!.yank();
    await this.findOther(this.lost(why));
    await this.pull!.resume();
  }

  /** Asks for other sources until one can be read. One that was ordered meanwhile comes first: whoever ordered it counts on it. */
  private async findOther(error: Error): Promise<void> {
    const { context } = this.options;
    if (error instanceof LibvirtError) throw error; // our own helper is gone
    let failure = error instanceof SourceLostError ? error : this.lost(error.message, error);
    for (;;) {
      context.signal?.throwIfAborted();
      const { exchange } = this;
      this.exchange = undefined;
      const other = exchange?.ref ?? await context.onSourceLost?.(failure) ?? null;
      if (other === null) throw failure;
      try {
        await this.reconnect(other);
        exchange?.done();
        return;
      } catch (next) {
        exchange?.failed(next);
        if (next instanceof LibvirtError) throw next; // our own helper is gone
        failure = next instanceof SourceLostError ? next : this.lost((next as Error).message, next);
      }
    }
  }

  /**
   * Reads from this image from now on. One that was still arriving may be complete, or have another helper, by the
   * time it is asked: then it is looked up once more; but not one whose copy failed.
   * @param first what it stands for, and what the helper was started over
   */
  private async reconnect(ref: ImageRef, first?: Resolved): Promise<void> {
    const { context, resolve } = this.options;
    for (let attempt = 1; ; attempt++) {
      context.signal?.throwIfAborted();
      const given = attempt === 1 ? first : undefined;
      const from = given ?? { ...await resolve(ref), local: false };
      try {
        const old = this.feed;
        const feed = await this.open(ref, from);
        this.readFrom(feed, Math.min(IN_FLIGHT_BYTES, this.best));
        this.source = ref;
        void old?.close(); // only now: a relay that nobody reads ends
        // Over a relay that stands over nothing itself, those that read through us would take what is missing for zeros.
        await abortable(feed.upstream?.whenFed() ?? Promise.resolve(), context.signal);
        await this.connect();
        this.bytesResent += Math.min(IN_FLIGHT_BYTES, this.best);
        return;
      } catch (error) {
        if (from.kind !== "arriving" || from.copy.failed || !(error instanceof SourceLostError) || attempt >= RECONNECTS) throw error;
        await sleep(RECONNECT_MS);
      }
    }
  }

  private async exchangeSource(): Promise<void> {
    const { exchange } = this;
    this.exchange = undefined;
    try {
      this.options.copy.lostSource();
      await this.pull!.yank();
      await this.reconnect(exchange!.ref);
      await this.pull!.resume();
      exchange!.done();
    } catch (error) {
      exchange!.failed(error);
      if (error instanceof LibvirtError) throw error;
      await this.findOther(error as Error);
      await this.pull!.resume();
    }
  }

  /** Our own QEMU died: its disk keeps what was flushed; a new one goes on from there. */
  private async restart(): Promise<void> {
    const { copy } = this.options;
    copy.lostHelper();
    this.lastOffset = -1;
    this.isFirst = false;
    this.yielding.reset();
    await this.helper?.stop(); // it may only have failed to answer, and nobody else may write its disk
    const [from] = await Promise.allSettled([this.options.resolve(this.source)]);
    await this.startHelper(from.status === "fulfilled" ? from.value : undefined);
    await this.openToReaders();
    if (from.status === "rejected") await this.findOther(from.reason as Error);
    else await this.reconnect(this.source, from.value).catch((error: unknown) => this.findOther(error as Error));
    await this.startPull();
  }

  /** How long a copy may move nothing only because it is limited: all that is under way is let through at its rate. */
  private slownessMs(): number {
    return this.bytesPerSecond === undefined ? 0 : (1000 * IN_FLIGHT_BYTES) / this.bytesPerSecond;
  }

  private report(job: MirrorJob): void {
    const { facts, context, first, forGuests = false } = this.options;
    const there = bytesThere(job, { facts, forGuests, extents: this.map.extents, ...(this.isFirst && { firstBytes: first!.bytes }) });
    this.best = Math.max(this.best, there);
    this.moved.there(this.best);
    context.onProgress?.(this.best, facts.allocationBytes);
  }
}

/** At most: tables of 8 and 2 bytes for each 64 KiB, and the first clusters of each sort. */
const qcow2MetadataBytes = (capacityBytes: number): number => (1 << 20) + Math.ceil(capacityBytes / 6400);
