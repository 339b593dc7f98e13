/** The copies under way in the simulated datacenter: time model, relays, caps, faults and progress. */
import type { CallContext, CloneResult, ImageRef } from "../hypervisor";
import { HostUnreachableError, HypervisorError, SourceLostError } from "../hypervisor";
import { imageBytes } from "../../fleet/images";
import type { Image } from "../../fleet/model";
import { FlowNetwork, type Flow } from "../../scheduler/time/flows";
import { PROVIDER_HOST, soloSeconds } from "../../scheduler/time/timeModel";
import type { Topology } from "../../scheduler/types";
import { onAbort } from "../../async/abort";
import type { VirtualClock } from "./clock";
import { CopyFaults, failureOf } from "./faults";
import type { Fault } from "./options";

/** What is on its way when a source dies is sent again. */
const IN_FLIGHT_BYTES = 2 * 1024 * 1024;

export interface CopySource {
  /** null: the provider's own machine. */
  host: string | null;
  /** Names what is being read, so that its removal breaks the copy and a copy under way is found. */
  key: string;
}

export interface CopyOrder {
  source: CopySource;
  /** Looks whether this may be read. @throws SourceLostError and others of the port */
  sourceOf: (ref: ImageRef) => CopySource;
  targetHost: string;
  targetKey: string;
  slot: number | undefined;
  /** There already, of an earlier attempt. @default 0 */
  arrivedBytes?: number;
  context: CallContext;
  /** What arrives: its bytes are written there when somebody asks for them, and at the end. */
  image: { bytes: number };
}

interface Copy {
  order: CopyOrder;
  source: CopySource;
  flow: Flow<Copy>;
  upstream: Copy | undefined;
  /** It is being given this source, and goes to it at once if it loses its own. */
  turning: { ref: ImageRef; over: (error?: Error) => void } | undefined;
  /** Made when there is one. */
  readers: Set<Copy> | undefined;
  /** Hosts on which it counts. */
  loads: number[];
  /** Part of the image at which it fails. */
  part: number;
  failure: Error | undefined;
  bytesMoved: number;
  bytesResent: number;
  /** Of the image, when its present source took over. */
  bytesBefore: number;
  resolve(result: CloneResult): void;
  reject(error: Error): void;
  /** It hears of the run's abort no more. */
  unlisten: (() => void) | undefined;
}

export class Copies {
  private readonly network: FlowNetwork<Copy>;
  private readonly active = new Set<Copy>();
  private readonly underWay = new Map<string, Copy>();
  /** Copies that read, by what they read. */
  private readonly readersOf = new Map<string, number>();
  private readonly index: Map<string, number>;
  private readonly imageBytes: number;
  private readonly load: Int32Array;
  private readonly faults: CopyFaults;
  private readonly progressMs: number;
  private ticking = false;

  /**
   * @param image what each copy is of
   * @param relays whether a copy may read from one under way, and go on from another source
   */
  constructor(
    private readonly topology: Topology,
    image: Pick<Image, "disks">,
    private readonly clock: VirtualClock,
    private readonly relays: boolean,
    faults: readonly Fault[],
    progressSeconds: number | undefined,
  ) {
    this.network = new FlowNetwork(topology, image);
    this.imageBytes = imageBytes(image);
    this.index = new Map(topology.hosts.map((host) => [host.name, host.index]));
    this.load = new Int32Array(topology.hosts.length);
    this.faults = new CopyFaults(faults);
    const quickest = Math.min(...topology.hosts.flatMap(({ index }) => (
      [PROVIDER_HOST, ...(topology.freeLocalCopies ? [] : [index])].map((source) => soloSeconds(topology, this.imageBytes, source, index)))));
    // The engine judges copies by their progress: a copy that reports too seldom would look like one that lags.
    const seldom = Math.max(0.5, quickest / 10);
    this.progressMs = 1000 * (progressSeconds === Infinity ? Infinity : Math.min(progressSeconds ?? seldom, seldom));
    clock.addSource({
      nextMs: () => this.network.nextSeconds() * 1000,
      advanceTo: (nowMs) => this.advanceTo(nowMs),
    });
  }

  /** Resolves when the copy is whole and nobody reads from it any more. @throws the typed errors of the port */
  run(order: CopyOrder): Promise<CloneResult> {
    const { signal } = order.context;
    return new Promise((resolve, reject) => {
      if (!this.index.has(order.targetHost)) throw new HypervisorError(order.targetHost, "clone", "not a host of the topology");
      const copy: Copy = {
        // feed() gives it its flow.
        flow: undefined as unknown as Flow<Copy>,
        order, source: { host: order.targetHost, key: "" }, upstream: undefined, turning: undefined, readers: undefined, loads: [],
        part: 1, failure: undefined, bytesMoved: 0, bytesResent: 0, bytesBefore: order.arrivedBytes ?? 0, resolve, reject, unlisten: undefined,
      };
      this.occupy(copy, this.hostsOf(order.source, order.targetHost));
      this.feed(copy, order.source);
      this.active.add(copy);
      this.underWay.set(order.targetKey, copy);
      if (signal) copy.unlisten = onAbort(signal, (reason) => this.break(copy, reason as Error));
      this.clock.kick();
      this.tick();
    });
  }

  /** @param error absent: it is whole */
  private settle(copy: Copy, error: Error | undefined): void {
    const { order } = copy;
    if (!this.active.delete(copy)) return;
    this.underWay.delete(order.targetKey);
    copy.turning?.over(new HypervisorError(order.targetHost, "change source", "the copy ended"));
    copy.turning = undefined;
    copy.unlisten?.();
    this.occupy(copy, []);
    this.account(copy);
    this.reads(copy, { host: order.targetHost, key: "" });
    copy.upstream?.readers?.delete(copy);
    if (error) {
      order.context.onBroken?.({ bytesMoved: copy.bytesMoved, bytesResent: copy.bytesResent });
      copy.reject(error);
    } else copy.resolve({ bytesMoved: copy.bytesMoved, ...(copy.bytesResent > 0 && { bytesResent: copy.bytesResent }), ...((order.arrivedBytes ?? 0) > 0 && { resumed: true }) });
    const { host } = order.source;
    if (copy.readers) for (const reader of [...copy.readers]) this.lose(reader, lost(host ?? "", reader, `the copy on ${order.targetHost} broke off`));
  }

  /** Feeds a copy under way from elsewhere; what has arrived stays. @throws HypervisorError when there is no such copy */
  async refeed(targetKey: string, targetHost: string, ref: ImageRef, seconds: number): Promise<void> {
    const copy = this.underWay.get(targetKey);
    if (!copy) throw new HypervisorError(targetHost, "change source", "no copy under way to this image");
    if (!this.network.needsSource(copy.flow)) return;
    if (seconds === 0) return this.switchTo(copy, copy.order.sourceOf(ref));
    copy.turning?.over(new HypervisorError(targetHost, "change source", "another source was chosen meanwhile"));
    await new Promise<void>((resolve, reject) => {
      const turning = copy.turning = { ref, over: (error?: Error) => (error ? reject(error) : resolve()) };
      this.clock.at(this.clock.nowMs() + 1000 * seconds, () => {
        if (copy.turning !== turning) return;
        copy.turning = undefined;
        try {
          if (this.network.needsSource(copy.flow)) this.switchTo(copy, copy.order.sourceOf(ref));
          resolve();
        } catch (error) {
          reject(error as Error);
        }
      });
    });
  }

  isUnderWay(key: string): boolean {
    return this.underWay.has(key);
  }

  /** What was sent or received by this host is broken off. */
  breakHost(host: string): void {
    for (const copy of [...this.active]) {
      if (copy.order.targetHost === host) {
        this.break(copy, new HostUnreachableError(host, "clone", "the host stopped answering"));
      } else if (copy.source.host === host) {
        this.lose(copy, lost(host, copy, `the source on ${host} stopped sending`));
      }
    }
  }

  breakSource(key: string): void {
    for (const copy of [...this.active]) {
      if (copy.source.key === key) this.lose(copy, lost(copy.source.host ?? "", copy, "the source was removed"));
    }
  }

  isRead(key: string): boolean {
    return (this.readersOf.get(key) ?? 0) > 0;
  }

  slow(host: string, factor: number, direction: "out" | "both"): void {
    const index = this.index.get(host);
    if (index === undefined) return;
    this.network.setHostFactor(index, factor, this.clock.nowMs() / 1000, direction);
    this.clock.kick();
  }

  private hostsOf(source: CopySource, targetHost: string): number[] {
    const target = this.index.get(targetHost)!;
    const from = this.hostIndex(source);
    return from === target || from === PROVIDER_HOST ? [target] : [from, target];
  }

  private hostIndex({ host }: CopySource): number {
    return host === null ? PROVIDER_HOST : this.index.get(host) ?? PROVIDER_HOST;
  }

  /** @throws HypervisorError where a host has no room; nothing has changed then */
  private occupy(copy: Copy, hosts: number[]): void {
    for (const host of hosts) {
      const { name, maxConcurrent } = this.topology.hosts[host]!;
      if (!copy.loads.includes(host) && this.load[host]! >= maxConcurrent) {
        throw new HypervisorError(name, "clone", `more than ${maxConcurrent} copies at once (maxConcurrent)`);
      }
    }
    for (const host of copy.loads) this.load[host]!--;
    for (const host of hosts) this.load[host]!++;
    copy.loads = hosts;
  }

  private switchTo(copy: Copy, source: CopySource): void {
    for (let up = this.underWay.get(source.key); up; up = up.upstream) {
      if (up === copy) throw new HypervisorError(copy.order.targetHost, "change source", "the source reads from this very copy");
    }
    this.occupy(copy, this.hostsOf(source, copy.order.targetHost));
    this.account(copy);
    this.feed(copy, source);
    this.clock.kick();
  }

  private reads(copy: Copy, source: CopySource): void {
    this.countReader(copy.source.key, -1);
    this.countReader(source.key, 1);
    copy.source = source;
  }

  private countReader(key: string, by: 1 | -1): void {
    if (key === "") return;
    const readers = (this.readersOf.get(key) ?? 0) + by;
    if (readers === 0) this.readersOf.delete(key);
    else this.readersOf.set(key, readers);
  }

  /** A flow from this source on, of what is missing. Its readers stay with it. */
  private feed(copy: Copy, source: CopySource): void {
    const nowSeconds = this.clock.nowMs() / 1000;
    const { targetHost, slot } = copy.order;
    const before = copy.flow as Flow<Copy> | undefined;
    const arrived = before ? this.partOf(copy) : Math.min(1, (copy.order.arrivedBytes ?? 0) / this.imageBytes);
    const fault = this.faults.take(targetHost, slot);
    copy.upstream?.readers?.delete(copy);
    this.reads(copy, source);
    copy.upstream = this.underWay.get(source.key);
    if (copy.upstream) (copy.upstream.readers ??= new Set()).add(copy);
    copy.part = Math.max(arrived, fault?.atFraction ?? 1);
    copy.failure = fault && failureOf(fault, source.host);
    copy.flow = this.network.start(this.hostIndex(source), this.index.get(targetHost)!, copy, nowSeconds, {
      part: copy.part, arrived, upstream: copy.upstream?.flow,
      startupSeconds: before && this.topology.time === "network" ? this.topology.hopSeconds ?? 0 : undefined,
    });
    for (const reader of copy.readers ?? []) this.network.resource(reader.flow, this.hostIndex(reader.source), copy.flow, nowSeconds);
    if (before) this.network.stop(before, nowSeconds);
  }

  /** The source it is being given, or another, if the caller has one; else the copy is over. */
  private lose(copy: Copy, error: SourceLostError): void {
    const { onSourceLost } = copy.order.context;
    if (!this.active.has(copy)) return;
    // What is all there needs nobody.
    if (copy.failure === undefined && !this.network.needsSource(copy.flow)) return;
    if (!this.relays || !onSourceLost) return this.break(copy, error);
    this.network.pause(copy.flow, this.clock.nowMs() / 1000);
    this.account(copy);
    const again = Math.min(IN_FLIGHT_BYTES, copy.bytesBefore);
    copy.bytesResent += again;
    if (copy.source.host !== copy.order.targetHost) copy.bytesMoved += again;
    copy.upstream?.readers?.delete(copy);
    copy.upstream = undefined;
    this.reads(copy, { host: copy.order.targetHost, key: "" });
    this.occupy(copy, [this.index.get(copy.order.targetHost)!]);
    this.clock.kick();
    const { turning } = copy;
    copy.turning = undefined;
    (turning ? Promise.resolve(turning.ref) : onSourceLost(error)).then((ref) => {
      if (!this.active.has(copy) || copy.source.key !== "") return;
      if (ref === null) return this.break(copy, error);
      this.switchTo(copy, copy.order.sourceOf(ref));
    }).then(() => turning?.over(), (reason: unknown) => {
      turning?.over(reason as Error);
      if (reason instanceof SourceLostError) this.lose(copy, reason);
      else this.break(copy, reason as Error);
    });
  }

  private break(copy: Copy, error: Error): void {
    if (!this.active.has(copy)) return;
    this.network.stop(copy.flow, this.clock.nowMs() / 1000);
    this.report(copy);
    this.clock.kick();
    this.settle(copy, error);
  }

  private advanceTo(nowMs: number): void {
    for (const { tag: copy } of this.network.advanceTo(nowMs / 1000)) {
      if (!this.active.has(copy)) continue;
      this.report(copy);
      if (copy.failure instanceof SourceLostError) this.lose(copy, copy.failure);
      else this.settle(copy, copy.failure);
    }
    for (const { tag: copy } of this.network.takeServing()) if (this.active.has(copy)) this.report(copy);
  }

  private partOf(copy: Copy): number {
    return Math.min(1, this.network.fraction(copy.flow, this.clock.nowMs() / 1000) * copy.part);
  }

  /** Bytes of the present source up to now. */
  private account(copy: Copy): void {
    const bytes = Math.round(this.partOf(copy) * this.imageBytes);
    if (copy.source.host !== copy.order.targetHost) copy.bytesMoved += bytes - copy.bytesBefore;
    copy.bytesBefore = bytes;
  }

  private report(copy: Copy): void {
    const bytes = Math.round(this.partOf(copy) * this.imageBytes);
    copy.order.image.bytes = bytes;
    copy.order.context.onProgress?.(bytes, this.imageBytes);
  }

  private tick(): void {
    if (this.ticking || this.active.size === 0 || this.progressMs === Infinity) return;
    this.ticking = true;
    this.clock.at(this.clock.nowMs() + this.progressMs, () => {
      this.ticking = false;
      for (const copy of [...this.active]) if (copy.order.context.onProgress) this.report(copy);
      this.tick();
    }, { daemon: true });
  }
}

const lost = (host: string, copy: Copy, message: string): SourceLostError =>
  new SourceLostError(host, copy.order.targetHost, message);
