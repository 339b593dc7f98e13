/**
 * Copies under way over time: the one clockwork behind simulatePolicy and the simulated hypervisor.
 * Rates (flowRates.ts) are computed anew when a copy starts, ends or catches up with the relay it reads from.
 *
 * A copy may read from one still arriving (cut-through): it never has more than that one has, and once it has caught up
 * it is no faster. The one it reads from is over only when its own image is there and its readers are over.
 */
import { Heap } from "../../heap";
import { arrivedAt, countArrived, relayOf, type Flow, type FlowOptions, type LiveFlow, type Phase } from "./flow";
import { FlowRates } from "./flowRates";
import { capacitiesOf, costOf, nicIn, nicOut, storeRead, storeWrite, type CopyCost } from "./timeModel";
import { imageBytes } from "../../fleet/images";
import type { Image } from "../../fleet/model";
import type { Topology } from "../types";

export type { Flow, FlowOptions } from "./flow";

/** Ends closer than this are one instant: rates and times are floating point. */
const sameInstantSeconds = (nowSeconds: number): number => Math.max(1e-9, nowSeconds * 1e-12);

interface QueueEntry<T> {
  atSeconds: number;
  flow: LiveFlow<T>;
  version: number;
}

export class FlowNetwork<T> {
  private readonly rates: FlowRates<T>;
  private readonly copyBytes: number;
  private readonly queue = new Heap<QueueEntry<T>>((a, b) =>
    a.atSeconds !== b.atSeconds ? a.atSeconds < b.atSeconds : a.flow.order < b.flow.order);
  private readonly outFactors = new Map<number, number>();
  /** Over since the last advanceTo. */
  private ended: LiveFlow<T>[] = [];
  /** All there and still serving, since the last takeServing. */
  private serving: LiveFlow<T>[] = [];
  private started = 0;
  private nowSeconds = 0;

  /** @param image what each copy is of */
  constructor(private readonly topology: Topology, image: Pick<Image, "disks">) {
    this.copyBytes = imageBytes(image);
    this.rates = new FlowRates(topology, this.copyBytes, (flow) => this.enqueue(flow));
  }

  /** A copy of one image from now on. */
  start(sourceHost: number, targetHost: number, tag: T, nowSeconds: number, options: FlowOptions<T> = {}): Flow<T> {
    const { part = 1, upstream, arrived = 0 } = options;
    const cost = this.costFrom(sourceHost, targetHost, part);
    if (options.startupSeconds !== undefined) cost.startupSeconds = options.startupSeconds;
    const flow: LiveFlow<T> = {
      tag, sourceHost, targetHost, cost, part,
      startSeconds: nowSeconds,
      order: this.started++,
      phase: "starting",
      upstream: undefined,
      readers: undefined,
      readySeconds: nowSeconds + cost.startupSeconds,
      movedSeconds: undefined,
      bytesArrived: Math.min(1, arrived / part) * cost.bytes,
      asOfSeconds: nowSeconds,
      bytesPerSecond: 0,
      caughtUp: false,
      dueSeconds: Infinity,
      dueIsEnd: false,
      version: 0,
      mark: 0,
      position: 0,
    };
    this.readFrom(flow, upstream as LiveFlow<T> | undefined);
    this.schedule(flow, nowSeconds);
    return flow;
  }

  /** Ends a copy early. Its readers stand still when they have what it had, until they get another source. */
  stop(flow: Flow<T>, nowSeconds: number): void {
    const live = flow as LiveFlow<T>;
    if (live.phase === "over") return;
    live.stoppedAt = this.fraction(live, nowSeconds);
    this.pause(live, nowSeconds);
    live.phase = "over";
    if (live.readers) for (const reader of live.readers) this.rates.touch(reader);
  }

  /** Some of its bytes are still to come. */
  needsSource(flow: Flow<T>): boolean {
    const { phase } = flow as LiveFlow<T>;
    return phase !== "over" && phase !== "serving";
  }

  /** The copy lost its source: it keeps what has arrived and stands still. */
  pause(flow: Flow<T>, nowSeconds: number): void {
    const live = flow as LiveFlow<T>;
    if (live.phase === "over" || live.phase === "serving") return;
    this.advance(live, nowSeconds);
    this.leave(live, "paused");
    this.readFrom(live, undefined);
  }

  /** Goes on from another source with what is missing. */
  resource(flow: Flow<T>, sourceHost: number, upstream: Flow<T> | undefined, nowSeconds: number): void {
    const live = flow as LiveFlow<T>;
    if (live.phase === "over" || live.phase === "serving") return;
    this.pause(live, nowSeconds);
    const arrivedPart = live.cost.bytes > 0 ? live.bytesArrived / live.cost.bytes : 0;
    live.sourceHost = sourceHost;
    live.cost = this.costFrom(sourceHost, live.targetHost, live.part);
    live.bytesArrived = arrivedPart * live.cost.bytes;
    live.phase = "starting";
    this.readFrom(live, upstream as LiveFlow<T> | undefined);
    this.schedule(live, nowSeconds);
  }

  /**
   * Makes a host's store and NIC this much of what they were declared: 0.1 is ten times slower, 0 stands still.
   * `out`: only what it sends. In unit time copies that start later take longer from this source.
   */
  setHostFactor(host: number, factor: number, nowSeconds: number, direction: "out" | "both" = "both"): void {
    this.touch(nowSeconds);
    this.outFactors.set(host, factor);
    const declared = capacitiesOf(this.topology);
    const { store } = this.topology.hosts[host]!;
    const out = [storeRead(store), nicOut(this.topology, host)];
    for (const resource of direction === "out" ? out : [...out, storeWrite(store), nicIn(this.topology, host)]) {
      this.rates.setCapacity(resource, declared[resource]! * factor);
    }
  }

  /** When the next thing happens if nothing else is started or stopped; Infinity: never. */
  nextSeconds(): number {
    this.rates.settle(this.nowSeconds);
    if (this.ended.length > 0) return this.nowSeconds;
    for (;;) {
      const top = this.queue.peek();
      if (!top) return Infinity;
      if (top.flow.phase !== "over" && top.version === top.flow.version) return top.atSeconds;
      this.queue.pop();
    }
  }

  /** Moves time on to `nowSeconds` (not past nextSeconds()) and returns the copies that end then, oldest first. */
  advanceTo(nowSeconds: number): Flow<T>[] {
    const instantEnds = nowSeconds + sameInstantSeconds(nowSeconds);
    this.touch(nowSeconds);
    const ended: LiveFlow<T>[] = [];
    while (this.nextSeconds() <= instantEnds) {
      ended.push(...this.ended.splice(0));
      const due: LiveFlow<T>[] = [];
      for (let top = this.queue.peek(); top && top.atSeconds <= instantEnds; top = this.queue.peek()) {
        this.queue.pop();
        if (top.flow.phase !== "over" && top.version === top.flow.version) due.push(top.flow);
      }
      for (const flow of due) this.happen(flow, nowSeconds);
    }
    return ended.sort((a, b) => a.order - b.order);
  }

  /** Copies that have all their bytes since it was last asked, and go on only for their readers. */
  takeServing(): Flow<T>[] {
    return this.serving.splice(0);
  }

  /** Part of the copy that is there, 0 to 1. */
  fraction(flow: Flow<T>, nowSeconds: number): number {
    const live = flow as LiveFlow<T>;
    if (live.stoppedAt !== undefined) return live.stoppedAt;
    if (live.phase === "over" || live.phase === "serving") return 1;
    if (live.cost.bytes > 0) return Math.min(1, Math.max(0, arrivedAt(live, nowSeconds) / live.cost.bytes));
    if (live.dueSeconds === Infinity) return 0;
    const { startupSeconds } = live.cost;
    return startupSeconds === 0 ? 1 : Math.min(1, Math.max(0, 1 - (live.dueSeconds - nowSeconds) / startupSeconds));
  }

  private costFrom(sourceHost: number, targetHost: number, part: number): CopyCost {
    const cost = costOf(this.topology, this.copyBytes, sourceHost, targetHost);
    cost.bytes *= part;
    if (this.topology.time === "unit") cost.startupSeconds *= part / (this.outFactors.get(sourceHost) ?? 1);
    return cost;
  }

  private readFrom(flow: LiveFlow<T>, upstream: LiveFlow<T> | undefined): void {
    const before = flow.upstream;
    if (before === upstream) return;
    flow.upstream = upstream;
    if (upstream) (upstream.readers ??= new Set()).add(flow);
    if (!before) return;
    before.readers!.delete(flow);
    this.endIfServed(before);
  }

  /** When a copy that starts may begin to move. One that is done with its start-up (unit time, reflinks) needs a whole source. */
  private schedule(flow: LiveFlow<T>, nowSeconds: number): void {
    const { cost } = flow;
    const relay = relayOf(flow);
    if (!relay) flow.dueSeconds = Math.max(flow.readySeconds, nowSeconds);
    else if (cost.bytes === 0 || relay.movedSeconds === undefined) flow.dueSeconds = Infinity;
    else flow.dueSeconds = Math.max(flow.readySeconds, nowSeconds, relay.movedSeconds + (this.topology.hopSeconds ?? 0));
    flow.dueIsEnd = cost.bytes === 0;
    if (cost.bytes > 0 && flow.dueSeconds <= nowSeconds) this.move(flow, nowSeconds);
    else this.enqueue(flow);
  }

  private happen(flow: LiveFlow<T>, nowSeconds: number): void {
    if (flow.dueIsEnd) this.complete(flow, nowSeconds);
    else if (flow.phase === "starting") this.move(flow, nowSeconds);
    else this.rates.touch(flow);
  }

  private move(flow: LiveFlow<T>, nowSeconds: number): void {
    flow.phase = "moving";
    flow.asOfSeconds = nowSeconds;
    flow.dueSeconds = Infinity;
    flow.version++;
    this.touch(nowSeconds);
    this.rates.add(flow);
    if (flow.movedSeconds === undefined) {
      flow.movedSeconds = nowSeconds;
      this.wakeReaders(flow, nowSeconds);
    }
  }

  /** All its bytes are there, or as many as it gets. */
  private complete(flow: LiveFlow<T>, nowSeconds: number): void {
    flow.bytesArrived = flow.cost.bytes;
    flow.asOfSeconds = nowSeconds;
    const failed = flow.part < 1;
    if (failed) flow.stoppedAt = 1;
    this.leave(flow, "serving");
    this.readFrom(flow, undefined);
    if (!failed) this.wakeReaders(flow, nowSeconds);
    if (flow.readers) for (const reader of flow.readers) this.rates.touch(reader);
    if (failed) this.end(flow);
    else this.endIfServed(flow);
    if (flow.phase === "serving") this.serving.push(flow);
  }

  private wakeReaders(flow: LiveFlow<T>, nowSeconds: number): void {
    for (const reader of flow.readers ?? []) {
      if (reader.phase !== "starting") continue;
      if (reader.cost.bytes === 0) reader.readySeconds = nowSeconds + reader.cost.startupSeconds;
      this.schedule(reader, nowSeconds);
    }
  }

  private endIfServed(flow: LiveFlow<T>): void {
    if (flow.phase === "serving" && !flow.readers?.size) this.end(flow);
  }

  private end(flow: LiveFlow<T>): void {
    flow.phase = "over";
    this.ended.push(flow);
  }

  private leave(flow: LiveFlow<T>, phase: Phase): void {
    const moving = flow.phase === "moving";
    flow.phase = phase;
    flow.bytesPerSecond = 0;
    flow.dueSeconds = Infinity;
    flow.version++;
    if (moving) this.rates.remove(flow);
  }

  private advance(flow: LiveFlow<T>, nowSeconds: number): void {
    this.touch(nowSeconds);
    if (flow.phase !== "moving") return;
    countArrived(flow, nowSeconds);
  }

  private enqueue(flow: LiveFlow<T>): void {
    flow.version++;
    if (flow.dueSeconds < Infinity) this.queue.push({ atSeconds: flow.dueSeconds, flow, version: flow.version });
  }

  /** Changes made at one instant are settled together, and before time moves on. */
  private touch(nowSeconds: number): void {
    if (nowSeconds <= this.nowSeconds) return;
    this.rates.settle(this.nowSeconds);
    this.nowSeconds = nowSeconds;
  }
}
