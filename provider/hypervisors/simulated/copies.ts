/** The copies under way in the simulated datacenter: time model, caps, faults and progress. */
import type { CallContext } from "../hypervisor";
import { HostUnreachableError, HypervisorError, NoSpaceError, SourceLostError } from "../hypervisor";
import { FlowNetwork, type Flow } from "../../scheduler/flows";
import { PROVIDER_HOST, soloSeconds } from "../../scheduler/timeModel";
import type { Topology } from "../../scheduler/types";
import type { VirtualClock } from "./clock";
import type { Fault } from "./options";

export interface CopyOrder {
  sourceHost: string | null;
  targetHost: string;
  slot: number | undefined;
  /** Names what is being read, so that its removal breaks the copy. */
  sourceKey: string;
  context: CallContext;
  /** Called with the bytes that are there, when they are asked for and at the end. */
  onBytes: (bytes: number) => void;
}

interface Copy {
  order: CopyOrder;
  flow: Flow<Copy>;
  /** Part of the image after which it fails. */
  part: number;
  failure: Error | undefined;
  settle: (error: Error | undefined) => void;
}

export class Copies {
  private readonly network: FlowNetwork<Copy>;
  private readonly active = new Set<Copy>();
  private readonly index: Map<string, number>;
  private readonly load: Int32Array;
  private readonly failures: { fault: Extract<Fault, { kind: "cloneFails" }>; left: number }[];
  private readonly progressMs: number;
  private ticking = false;

  constructor(
    private readonly topology: Topology,
    private readonly clock: VirtualClock,
    faults: readonly Fault[],
    progressSeconds: number | undefined,
  ) {
    this.network = new FlowNetwork(topology);
    this.index = new Map(topology.hosts.map((host) => [host.name, host.index]));
    this.load = new Int32Array(topology.hosts.length);
    this.failures = faults.filter((fault) => fault.kind === "cloneFails")
      .map((fault) => ({ fault, left: fault.times ?? 1 }));
    const quickest = Math.min(...topology.hosts.map((host) => soloSeconds(topology, PROVIDER_HOST, host.index)));
    // The engine judges copies by their progress: a copy that reports too seldom would look like one that lags.
    const seldom = Math.max(0.5, quickest / 10);
    this.progressMs = 1000 * Math.min(progressSeconds ?? seldom, seldom);
    clock.addSource({
      nextMs: () => this.network.nextSeconds() * 1000,
      advanceTo: (nowMs) => this.advanceTo(nowMs),
    });
  }

  /** Resolves when the copy is whole. @throws the typed errors of the port */
  run(order: CopyOrder): Promise<void> {
    const { signal } = order.context;
    return new Promise((resolve, reject) => {
      const nowSeconds = this.clock.nowMs() / 1000;
      const source = order.sourceHost === null ? PROVIDER_HOST : this.index.get(order.sourceHost) ?? PROVIDER_HOST;
      const target = this.index.get(order.targetHost);
      if (target === undefined) throw new HypervisorError(order.targetHost, "clone", "not a host of the topology");
      const hosts = source === target || source === PROVIDER_HOST ? [target] : [source, target];
      for (const host of hosts) this.checkRoom(host);
      for (const host of hosts) this.load[host]!++;
      const fault = this.failures.find(({ fault: f, left }) =>
        left > 0 && f.targetHost === order.targetHost && (f.slot === undefined || f.slot === order.slot));
      if (fault) fault.left--;
      const copy: Copy = {
        order,
        part: fault?.fault.atFraction ?? 1,
        failure: fault && failureOf(fault.fault, order),
        flow: undefined as unknown as Flow<Copy>,
        settle: (error) => {
          if (!this.active.delete(copy)) return;
          signal?.removeEventListener("abort", onAbort);
          for (const host of hosts) this.load[host]!--;
          this.report(copy);
          if (error) reject(error);
          else resolve();
        },
      };
      const onAbort = (): void => this.break(copy, signal!.reason as Error);
      copy.flow = this.network.start(source, target, copy, nowSeconds, copy.part);
      this.active.add(copy);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.clock.kick();
      this.tick();
    });
  }

  /** What was sent or received by this host is broken off. */
  breakHost(host: string): void {
    for (const copy of [...this.active]) {
      if (copy.order.targetHost === host) {
        this.break(copy, new HostUnreachableError(host, "clone", "the host stopped answering"));
      } else if (copy.order.sourceHost === host) {
        this.break(copy, new SourceLostError(host, copy.order.targetHost, `the source on ${host} stopped sending`));
      }
    }
  }

  breakSource(sourceKey: string): void {
    for (const copy of [...this.active]) {
      if (copy.order.sourceKey !== sourceKey) continue;
      this.break(copy, new SourceLostError(copy.order.sourceHost ?? "", copy.order.targetHost, "the source was removed"));
    }
  }

  isRead(sourceKey: string): boolean {
    for (const copy of this.active) if (copy.order.sourceKey === sourceKey) return true;
    return false;
  }

  slow(host: string, factor: number, direction: "out" | "both"): void {
    const index = this.index.get(host);
    if (index === undefined) return;
    this.network.setHostFactor(index, factor, this.clock.nowMs() / 1000, direction);
    this.clock.kick();
  }

  private checkRoom(host: number): void {
    const { name, maxConcurrent } = this.topology.hosts[host]!;
    if (this.load[host]! >= maxConcurrent) {
      throw new HypervisorError(name, "clone", `more than ${maxConcurrent} copies at once (maxConcurrent)`);
    }
  }

  private break(copy: Copy, error: Error): void {
    if (!this.active.has(copy)) return;
    this.network.stop(copy.flow, this.clock.nowMs() / 1000);
    this.clock.kick();
    copy.settle(error);
  }

  private advanceTo(nowMs: number): void {
    for (const { tag: copy } of this.network.advanceTo(nowMs / 1000)) copy.settle(copy.failure);
  }

  private report(copy: Copy): void {
    const part = this.network.fraction(copy.flow, this.clock.nowMs() / 1000) * copy.part;
    const bytes = Math.round(part * this.topology.imageBytes);
    copy.order.onBytes(bytes);
    copy.order.context.onProgress?.(bytes, this.topology.imageBytes);
  }

  private tick(): void {
    if (this.ticking || this.active.size === 0) return;
    this.ticking = true;
    this.clock.at(this.clock.nowMs() + this.progressMs, () => {
      this.ticking = false;
      for (const copy of [...this.active]) if (copy.order.context.onProgress) this.report(copy);
      this.tick();
    }, { daemon: true });
  }
}

function failureOf(fault: Extract<Fault, { kind: "cloneFails" }>, order: CopyOrder): Error {
  switch (fault.error) {
    case "sourceLost":
      return new SourceLostError(order.sourceHost ?? "", order.targetHost, `the source on ${order.sourceHost} stopped sending`);
    case "noSpace":
      return new NoSpaceError(order.targetHost, "clone", "the pool is full");
    case "hostUnreachable":
      return new HostUnreachableError(order.targetHost, "clone", "the host stopped answering");
  }
}
