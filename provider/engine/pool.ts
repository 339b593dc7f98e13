import type { ImageRef } from "../hypervisors/hypervisor";
import type { PoolView, Source, Topology, Transfer } from "../scheduler";

/** A source and what it really is. */
export interface PooledSource extends Source {
  ref: ImageRef;
  /** `template`, a slot name, or `replica@host`, for traces and messages. */
  label: string;
  hostName: string;
  /** Its image is being merged with what a guest wrote: never a source again. */
  retired?: boolean;
}

/** A copy in flight. */
export interface PooledTransfer extends Transfer {
  from: PooledSource;
  /** Monotonic; for the straggler's measure. */
  bytesDone: number;
}

/**
 * The books of one run's distribution: how many base images each host wants, has and is being sent, who can send, and
 * who is sending. It only counts; what to do is the policy's to say and the distributor's to run.
 */
export class SourcePool {
  readonly view: PoolView;
  readonly sources: PooledSource[] = [];
  readonly transfers: PooledTransfer[] = [];
  /** Per host, copies that failed and wait a little before they are tried again: wanted, but not to be started. */
  readonly resting: number[];
  /** How many sources stand in each rack. */
  readonly sourcesInRack: number[];
  /** How many sources are no template. */
  copies = 0;
  private readonly byId = new Map<number, PooledSource>();
  private readonly busy: number[];
  private nextId = 0;

  constructor(readonly topology: Topology, private readonly maxConcurrentClones: number) {
    const zeros = () => topology.hosts.map(() => 0);
    this.busy = zeros();
    this.resting = zeros();
    this.sourcesInRack = topology.racks.map(() => 0);
    this.view = {
      nowSeconds: 0, topology, targets: zeros(), made: zeros(), making: zeros(),
      sources: this.sources, transfers: this.transfers,
      excluded: topology.hosts.map(() => false), freeSlots: maxConcurrentClones,
    };
  }

  /** The state now, for a policy. Shared, not copied: a policy only reads. */
  at(nowSeconds: number): PoolView {
    this.view.nowSeconds = nowSeconds;
    this.view.freeSlots = this.maxConcurrentClones - this.transfers.length;
    return this.view;
  }

  source(id: number): PooledSource | undefined {
    return this.byId.get(id);
  }

  add(source: Omit<PooledSource, "id" | "serving">): PooledSource {
    const pooled: PooledSource = { ...source, id: this.nextId++, serving: 0 };
    this.enter(pooled);
    return pooled;
  }

  /** Takes a source out; copies it feeds now go on. */
  drop(source: PooledSource): void {
    if (!this.byId.delete(source.id)) return;
    this.sources.splice(this.sources.indexOf(source), 1);
    this.count(source, -1);
  }

  /** Takes a dropped source back, unless its image is no more what it was. */
  restore(source: PooledSource): void {
    if (source.retired || this.byId.has(source.id) || this.view.excluded[source.host]) return;
    this.enter(source);
  }

  /** Base images still to be started, over all hosts or those of one rack. */
  open(rack?: number): number {
    const { targets, made, making } = this.view;
    let open = 0;
    for (const host of this.topology.hosts) {
      if (rack !== undefined && host.rack !== rack) continue;
      open += Math.max(0, targets[host.index]! - made[host.index]! - making[host.index]!);
    }
    return open;
  }

  /** A copy may start: limits of the fleet and of both its hosts. A copy within a host counts there once. */
  mayStart(source: PooledSource, targetHost: number): boolean {
    if (this.transfers.length >= this.maxConcurrentClones) return false;
    if (this.view.excluded[targetHost] || this.view.excluded[source.host]) return false;
    const fits = (host: number) => this.busy[host]! < this.topology.hosts[host]!.maxConcurrent;
    return fits(source.host) && (source.host === targetHost || fits(targetHost));
  }

  begin(from: PooledSource, targetHost: number, nowSeconds: number): PooledTransfer {
    const transfer: PooledTransfer = {
      source: from.id, from, sourceHost: from.host, targetHost,
      startedAtSeconds: nowSeconds, done: 0, bytesDone: 0, straggling: false,
    };
    this.transfers.push(transfer);
    this.occupy(transfer, 1);
    return transfer;
  }

  /** @param whole the target host has one base image more */
  end(transfer: PooledTransfer, whole: boolean): void {
    this.transfers.splice(this.transfers.indexOf(transfer), 1);
    this.occupy(transfer, -1);
    if (whole) this.view.made[transfer.targetHost]!++;
  }

  private enter(source: PooledSource): void {
    this.sources.push(source);
    this.byId.set(source.id, source);
    this.count(source, 1);
  }

  private count(source: PooledSource, by: 1 | -1): void {
    this.sourcesInRack[this.topology.hosts[source.host]!.rack]! += by;
    if (source.kind !== "template") this.copies += by;
  }

  private occupy(transfer: PooledTransfer, by: 1 | -1): void {
    transfer.from.serving += by;
    this.view.making[transfer.targetHost]! += by;
    this.busy[transfer.sourceHost]! += by;
    if (transfer.sourceHost !== transfer.targetHost) this.busy[transfer.targetHost]! += by;
  }
}
