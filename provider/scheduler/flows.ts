/**
 * Copies under way over time: the one clockwork behind simulatePolicy and the simulated hypervisor.
 * Rates are max-min fair and are computed anew when a copy starts or ends, for those copies only that share a
 * resource with it, directly or through others.
 */
import { Heap } from "./heap";
import { capacitiesOf, costOf, diskRead, diskWrite, maxMinRates, nicIn, nicOut, type CopyCost } from "./timeModel";
import type { Topology } from "./types";

/** Ends closer than this are one instant: rates and times are floating point. */
const sameInstantSeconds = (nowSeconds: number): number => Math.max(1e-9, nowSeconds * 1e-12);

export interface Flow<T> {
  readonly tag: T;
  readonly sourceHost: number;
  readonly targetHost: number;
  readonly startSeconds: number;
  readonly cost: CopyCost;
  /** Total order of flows that end together. */
  readonly order: number;
}

interface LiveFlow<T> extends Flow<T> {
  phase: "starting" | "moving" | "over";
  bytesLeft: number;
  /** `bytesLeft` is as of then. */
  asOfSeconds: number;
  bytesPerSecond: number;
  endSeconds: number;
  /** Outdates entries of the queue. */
  version: number;
  mark: number;
  /** The part that was there when it was ended early. */
  stoppedAt?: number;
}

interface QueueEntry<T> {
  atSeconds: number;
  flow: LiveFlow<T>;
  version: number;
}

export class FlowNetwork<T> {
  private readonly capacities: Float64Array;
  private readonly users: (Set<LiveFlow<T>> | undefined)[] = [];
  private readonly queue = new Heap<QueueEntry<T>>((a, b) =>
    a.atSeconds !== b.atSeconds ? a.atSeconds < b.atSeconds : a.flow.order < b.flow.order);
  private readonly outFactors = new Map<number, number>();
  private dirty: number[] = [];
  private started = 0;
  private marks = 0;
  private nowSeconds = 0;

  constructor(private readonly topology: Topology) {
    this.capacities = capacitiesOf(topology);
  }

  /** A copy of one image from now on, or of the first part of it. */
  start(sourceHost: number, targetHost: number, tag: T, nowSeconds: number, part = 1): Flow<T> {
    const cost = costOf(this.topology, sourceHost, targetHost);
    cost.bytes *= part;
    if (this.topology.time === "unit") cost.startupSeconds *= part / (this.outFactors.get(sourceHost) ?? 1);
    const flow: LiveFlow<T> = {
      tag, sourceHost, targetHost, cost,
      startSeconds: nowSeconds,
      order: this.started++,
      phase: "starting",
      bytesLeft: cost.bytes,
      asOfSeconds: nowSeconds,
      bytesPerSecond: 0,
      endSeconds: nowSeconds + cost.startupSeconds,
      version: 0,
      mark: 0,
    };
    if (cost.startupSeconds === 0 && cost.bytes > 0) this.move(flow, nowSeconds);
    else this.enqueue(flow);
    return flow;
  }

  /** Ends a copy early. */
  stop(flow: Flow<T>, nowSeconds: number): void {
    const live = flow as LiveFlow<T>;
    if (live.phase === "over") return;
    live.stoppedAt = this.fraction(live, nowSeconds);
    this.advance(live, nowSeconds);
    this.leave(live);
  }

  /**
   * Makes a host's disk and NIC this much of what they were declared: 0.1 is ten times slower, 0 stands still.
   * `out`: only what it sends. In unit time copies that start later take longer from this source.
   */
  setHostFactor(host: number, factor: number, nowSeconds: number, direction: "out" | "both" = "both"): void {
    this.touch(nowSeconds);
    this.outFactors.set(host, factor);
    const declared = capacitiesOf(this.topology);
    const out = [diskRead(host), nicOut(host)];
    for (const resource of direction === "out" ? out : [...out, diskWrite(host), nicIn(host)]) {
      this.capacities[resource] = declared[resource]! * factor;
      this.dirty.push(resource);
    }
  }

  /** When the next thing happens if nothing else is started or stopped; Infinity: never. */
  nextSeconds(): number {
    this.settle();
    for (;;) {
      const top = this.queue.peek();
      if (!top) return Infinity;
      if (top.flow.phase !== "over" && top.version === top.flow.version) return top.atSeconds;
      this.queue.pop();
    }
  }

  /** Moves time on to `nowSeconds` (not past nextSeconds()) and returns the copies that end then, oldest first. */
  advanceTo(nowSeconds: number): Flow<T>[] {
    const ended: LiveFlow<T>[] = [];
    const instantEnds = nowSeconds + sameInstantSeconds(nowSeconds);
    this.touch(nowSeconds);
    while (this.nextSeconds() <= instantEnds) {
      const due: LiveFlow<T>[] = [];
      for (let top = this.queue.peek(); top && top.atSeconds <= instantEnds; top = this.queue.peek()) {
        this.queue.pop();
        if (top.flow.phase !== "over" && top.version === top.flow.version) due.push(top.flow);
      }
      for (const flow of due) {
        if (flow.phase === "starting" && flow.cost.bytes > 0) {
          this.move(flow, nowSeconds);
        } else {
          flow.bytesLeft = 0;
          this.leave(flow);
          ended.push(flow);
        }
      }
    }
    return ended.sort((a, b) => a.order - b.order);
  }

  /** Part of the copy that is there, 0 to 1. */
  fraction(flow: Flow<T>, nowSeconds: number): number {
    const live = flow as LiveFlow<T>;
    if (live.stoppedAt !== undefined) return live.stoppedAt;
    if (live.cost.bytes === 0) {
      if (live.phase === "over" || live.cost.startupSeconds === 0) return 1;
      return Math.min(1, (nowSeconds - live.startSeconds) / live.cost.startupSeconds);
    }
    const moved = live.phase === "moving" ? (nowSeconds - live.asOfSeconds) * live.bytesPerSecond : 0;
    return Math.min(1, Math.max(0, 1 - (live.bytesLeft - moved) / live.cost.bytes));
  }

  private move(flow: LiveFlow<T>, nowSeconds: number): void {
    flow.phase = "moving";
    flow.asOfSeconds = nowSeconds;
    flow.endSeconds = Infinity;
    flow.version++;
    this.touch(nowSeconds);
    for (const resource of flow.cost.path) {
      (this.users[resource] ??= new Set()).add(flow);
      this.dirty.push(resource);
    }
  }

  private leave(flow: LiveFlow<T>): void {
    const moving = flow.phase === "moving";
    flow.phase = "over";
    flow.version++;
    if (!moving) return;
    for (const resource of flow.cost.path) {
      this.users[resource]!.delete(flow);
      this.dirty.push(resource);
    }
  }

  private advance(flow: LiveFlow<T>, nowSeconds: number): void {
    this.touch(nowSeconds);
    if (flow.phase !== "moving") return;
    flow.bytesLeft = Math.max(0, flow.bytesLeft - (nowSeconds - flow.asOfSeconds) * flow.bytesPerSecond);
    flow.asOfSeconds = nowSeconds;
  }

  private enqueue(flow: LiveFlow<T>): void {
    flow.version++;
    if (flow.endSeconds < Infinity) this.queue.push({ atSeconds: flow.endSeconds, flow, version: flow.version });
  }

  /** Changes made at one instant are settled together, and before time moves on. */
  private touch(nowSeconds: number): void {
    if (nowSeconds <= this.nowSeconds) return;
    this.settle();
    this.nowSeconds = nowSeconds;
  }

  /** New rates for all that is connected to a resource whose users changed. */
  private settle(): void {
    if (this.dirty.length === 0) return;
    const mark = ++this.marks;
    const seen = new Set<number>();
    const pending = this.dirty;
    this.dirty = [];
    const affected: LiveFlow<T>[] = [];
    for (let resource = pending.pop(); resource !== undefined; resource = pending.pop()) {
      if (seen.has(resource)) continue;
      seen.add(resource);
      const users = this.users[resource];
      if (!users) continue;
      for (const flow of users) {
        if (flow.mark === mark) continue;
        flow.mark = mark;
        affected.push(flow);
        for (const other of flow.cost.path) if (!seen.has(other)) pending.push(other);
      }
    }
    const rates = maxMinRates(affected.map((flow) => flow.cost.path), this.capacities);
    affected.forEach((flow, i) => {
      const rate = rates[i]!;
      // An unchanged rate keeps its end: no drift, no new entry in the queue.
      if (Math.abs(rate - flow.bytesPerSecond) <= 1e-12 * rate && flow.endSeconds < Infinity) return;
      this.advance(flow, this.nowSeconds);
      flow.bytesPerSecond = rate;
      flow.endSeconds = rate > 0 ? this.nowSeconds + flow.bytesLeft / rate : Infinity;
      this.enqueue(flow);
    });
  }
}
