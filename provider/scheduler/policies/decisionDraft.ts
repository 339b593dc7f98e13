/**
 * What a batch of decisions makes of the book: one instant of it, counted once so that a decision does not look at everything again. Policies decide on
 * this and record each decision with `decide`, which keeps every cap and target.
 *
 * A copy that lags is not waited for: it still fills its target (two bases must not be made where one is wanted),
 * but it counts as nothing that will arrive, and its source is passed over while any other can serve.
 */
import type { Topology } from "../types";
import type { Decision, BookView } from "../policy";

export class DecisionDraft {
  readonly topology: Topology;
  /** Bases still to be started, by host. 0 on excluded hosts. */
  readonly remaining: Int32Array;
  /** Copies that read from or write to the host. */
  readonly load: Int32Array;
  /** Copies on their way to the host that do not lag. */
  readonly arriving: Int32Array;
  /** Sources on the host that may serve. */
  readonly sourceCount: Int32Array;
  /** Hosts by rack, in declared order. */
  readonly rackHosts: number[][];
  /** Any source that feeds no straggler, or anything on its way that is none. If not, stragglers' sources serve too. */
  readonly sound: boolean;
  readonly decisions: Decision[] = [];
  /** By host: a copy on its way to it that others may read from; -1: none. Position in view.arriving. */
  private readonly relays: Int32Array;
  /** By host: the first decision that brings it a copy; -1: none. */
  private readonly decided: Int32Array;

  private freeSlots: number;
  /** Sources as linked lists by host: position in view.sources, -1 ends. */
  private readonly first: Int32Array;
  private readonly next: Int32Array;
  private readonly extraServing = new Map<number, number>();
  private readonly lagging: Map<number, number>;

  constructor(private readonly view: BookView) {
    const { hosts, racks } = view.topology;
    this.topology = view.topology;
    this.freeSlots = view.freeSlots;
    this.remaining = new Int32Array(hosts.length);
    this.load = new Int32Array(hosts.length);
    this.arriving = new Int32Array(hosts.length);
    this.sourceCount = new Int32Array(hosts.length);
    this.rackHosts = racks.map(() => []);
    for (const host of hosts) {
      const h = host.index;
      this.rackHosts[host.rack]!.push(h);
      if (!view.excluded[h]) {
        this.remaining[h] = Math.max(0, (view.targets[h] ?? 0) - (view.made[h] ?? 0) - (view.making[h] ?? 0));
      }
    }

    this.lagging = new Map();
    let arrivals = 0;
    for (const transfer of view.transfers) {
      if (transfer.sourceHost >= 0) this.load[transfer.sourceHost]!++;
      if (transfer.targetHost !== transfer.sourceHost) this.load[transfer.targetHost]!++;
      if (transfer.straggling) {
        this.lagging.set(transfer.source, (this.lagging.get(transfer.source) ?? 0) + 1);
      } else {
        this.arriving[transfer.targetHost]!++;
        arrivals++;
      }
    }

    this.decided = new Int32Array(hosts.length).fill(-1);
    this.relays = new Int32Array(hosts.length).fill(-1);
    const straggling = new Set(view.transfers.filter((t) => t.straggling).map((t) => t.targetHost));
    // From the back: the first in the view counts.
    for (let i = (view.arriving?.length ?? 0) - 1; i >= 0; i--) {
      const { id, host } = view.arriving![i]!;
      if (view.excluded[host] || straggling.has(host) || this.lagging.has(id)) continue;
      this.relays[host] = this.relays[host]! < 0 || id < view.arriving![this.relays[host]!]!.id ? i : this.relays[host]!;
    }

    this.sound = arrivals > 0 || view.sources.some(({ host, id }) => !view.excluded[host] && !this.lagging.has(id));
    const passesOver = this.sound && this.lagging.size > 0;
    this.first = new Int32Array(hosts.length).fill(-1);
    this.next = new Int32Array(view.sources.length).fill(-1);
    // From the back, so that a list runs in the order of the view.
    for (let i = view.sources.length - 1; i >= 0; i--) {
      const source = view.sources[i]!;
      if (view.excluded[source.host] || (passesOver && this.lagging.has(source.id))) continue;
      this.sourceCount[source.host]!++;
      this.next[i] = this.first[source.host]!;
      this.first[source.host] = i;
    }
  }

  get slotsLeft(): number {
    return this.freeSlots - this.decisions.length;
  }

  get full(): boolean {
    return this.slotsLeft <= 0;
  }

  /** One more copy may read from or write to this host. */
  hasRoom(host: number): boolean {
    return this.load[host]! < this.topology.hosts[host]!.maxConcurrent;
  }

  isRemaining(host: number): boolean {
    return this.remaining[host]! > 0 && this.hasRoom(host);
  }

  /** Holds the content, or will soon. */
  isSeeded(host: number): boolean {
    return this.sourceCount[host]! > 0 || this.arriving[host]! > 0;
  }

  /** The source on this host that feeds the fewest copies (stragglers not counted); -1: none. */
  leastServing(host: number): { position: number; serving: number } {
    let position = -1;
    let serving = Infinity;
    for (let i = this.first[host]!; i >= 0 && serving > 0; i = this.next[i]!) {
      const now = this.servingOf(i);
      if (now < serving) {
        position = i;
        serving = now;
      }
    }
    return { position, serving };
  }

  hasIdleSource(host: number): boolean {
    return this.leastServing(host).serving === 0;
  }

  /** Start a copy from this host's least busy source. The caller saw to caps and targets by isRemaining and hasRoom. */
  decide(sourceHost: number, targetHost: number): void {
    const { position } = this.leastServing(sourceHost);
    this.extraServing.set(position, (this.extraServing.get(position) ?? 0) + 1);
    this.book(this.view.sources[position]!.id, sourceHost, targetHost);
  }

  /** Others may read from this host: it holds the content, or is getting it and relays. */
  canFeed(host: number): boolean {
    return this.sourceCount[host]! > 0 || this.relays[host]! >= 0 || this.decided[host]! >= 0;
  }

  /** A copy on its way to this host, decided on now or earlier, that serves as it arrives. */
  isRelaying(host: number): boolean {
    return this.relays[host]! >= 0 || this.decided[host]! >= 0;
  }

  /** As decide(), from whatever the host has: a whole source first, else what arrives there. The caller asked canFeed(). */
  decideRelay(sourceHost: number, targetHost: number, bytesPerSecond?: number): void {
    const first = this.decided[targetHost]! < 0;
    if (this.sourceCount[sourceHost]! > 0) this.decide(sourceHost, targetHost);
    else {
      const relay = this.relays[sourceHost]!;
      this.book(relay >= 0 ? this.view.arriving![relay]!.id : { decision: this.decided[sourceHost]! }, sourceHost, targetHost);
    }
    if (bytesPerSecond !== undefined) this.decisions[this.decisions.length - 1]!.bytesPerSecond = bytesPerSecond;
    if (first && sourceHost !== targetHost) this.decided[targetHost] = this.decisions.length - 1;
  }

  private book(source: Decision["source"], sourceHost: number, targetHost: number): void {
    this.decisions.push({ source, targetHost });
    this.remaining[targetHost]!--;
    this.arriving[targetHost]!++;
    this.load[sourceHost]!++;
    if (targetHost !== sourceHost) this.load[targetHost]!++;
  }

  private servingOf(position: number): number {
    const source = this.view.sources[position]!;
    return source.serving + (this.extraServing.get(position) ?? 0) - (this.lagging.get(source.id) ?? 0);
  }
}
