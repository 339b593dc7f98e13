/**
 * Store-and-forward, each decision for the earliest estimated end. Seeds reach each rack first, then each host; what
 * a host wants beyond its first base it copies from itself, since its own store has to write every one of them anyway.
 *
 * A copy is not started where it would have to share its bottleneck: two copies at half the rate both end late, one
 * after the other the first ends early and helps with the rest. In unit time a source makes one copy at a time.
 */
import { imageBytes } from "../../fleet/images";
import { Heap } from "../../heap";
import { DecisionDraft } from "./decisionDraft";
import { capacitiesOf, costOf, nicOut, pathOf, PROVIDER_HOST, soloRate, soloSeconds, storeRate, storeRead } from "../time/timeModel";
import type { Topology } from "../types";
import type { Decision, Policy, BookView } from "../policy";

/** A copy may start when it will run at this part of the rate it would have alone, or more. */
const ACCEPTABLE_SHARE = 0.75;

/** A slow source is passed over when a busy one of the rack would take less than this part of its time. */
const WORTH_WAITING = 0.5;

interface Server {
  host: number;
  bytesPerSecond: number;
  /** What the host still has to write itself; those with least are lent first. */
  ownWork: number;
}

const betterServer = (a: Server, b: Server): boolean => {
  if (a.bytesPerSecond !== b.bytesPerSecond) return a.bytesPerSecond > b.bytesPerSecond;
  return a.ownWork !== b.ownWork ? a.ownWork < b.ownWork : a.host < b.host;
};

/** Estimated use of every resource. */
class Usage {
  private readonly capacities: Float64Array;
  private readonly users: Int32Array;
  private readonly demand: Float64Array;

  constructor(private readonly topology: Topology) {
    this.capacities = capacitiesOf(topology);
    this.users = new Int32Array(this.capacities.length);
    this.demand = new Float64Array(this.capacities.length);
  }

  add(sourceHost: number, targetHost: number): void {
    const rate = soloRate(this.topology, sourceHost, targetHost);
    for (const resource of pathOf(this.topology, sourceHost, targetHost)) {
      this.users[resource]!++;
      this.demand[resource]! += rate;
    }
  }

  /** Part of its solo rate that one more copy would get: of what is left, or of an equal share. */
  shareOf(sourceHost: number, targetHost: number): number {
    const solo = soloRate(this.topology, sourceHost, targetHost);
    let rate = solo;
    for (const resource of pathOf(this.topology, sourceHost, targetHost)) {
      const capacity = this.capacities[resource]!;
      if (capacity === Infinity) continue;
      rate = Math.min(rate, Math.max(capacity - this.demand[resource]!, capacity / (this.users[resource]! + 1)));
    }
    return solo === Infinity ? 1 : rate / solo;
  }

  /** The same for a copy to a host that limits nothing. */
  outgoingShare(host: number): number {
    const [read, out] = [storeRead(this.topology.hosts[host]!.store), nicOut(this.topology, host)];
    const solo = Math.min(this.capacities[read]!, this.capacities[out]!);
    return Math.min(...[read, out].map((resource) => {
      const capacity = this.capacities[resource]!;
      return Math.max(capacity - this.demand[resource]!, capacity / (this.users[resource]! + 1));
    })) / solo;
  }
}

class EarliestCompletion {
  private readonly draft: DecisionDraft;
  private readonly topology: Topology;
  private readonly copyBytes: number;
  private readonly usage: Usage;
  private readonly unit: boolean;
  /** By rack: the hosts that can serve others, best first. Entries that can no longer are dropped when met. */
  private readonly servers: Heap<Server>[];
  /** By rack: the rate of its fastest host that is serving now and so will be free. */
  private readonly busyRate: Float64Array;

  constructor(view: BookView) {
    this.draft = new DecisionDraft(view);
    this.topology = view.topology;
    this.copyBytes = imageBytes(view.image);
    this.unit = view.topology.time === "unit";
    this.usage = new Usage(view.topology);
    this.busyRate = new Float64Array(view.topology.racks.length);
    for (const { sourceHost, targetHost, straggling } of view.transfers) {
      if (straggling) continue;
      this.usage.add(sourceHost, targetHost);
      if (sourceHost === PROVIDER_HOST || sourceHost === targetHost || view.excluded[sourceHost]) continue;
      const rack = this.topology.hosts[sourceHost]!.rack;
      this.busyRate[rack] = Math.max(this.busyRate[rack]!, this.serveRate(sourceHost));
    }
    const { draft } = this;
    this.servers = draft.rackHosts.map((hosts) => new Heap(betterServer, hosts
      .filter((host) => draft.sourceCount[host]! > 0)
      .map((host) => ({ host, bytesPerSecond: this.serveRate(host), ownWork: draft.remaining[host]! }))));
  }

  run(): Decision[] {
    this.seedRacks();
    const waiting = this.seedHosts();
    this.helpRacks(waiting);
    this.fill();
    if (this.unit) this.fillFromOthers();
    return this.draft.decisions;
  }

  /** One base for each rack that has none, the rack with most to do first, to its host with most to do. */
  private seedRacks(): void {
    const { draft } = this;
    const empty = draft.rackHosts
      .map((hosts, rack) => ({ rack, hosts }))
      .filter(({ hosts }) => !hosts.some((host) => draft.isSeeded(host)))
      .map(({ rack, hosts }) => ({ rack, open: this.mostWorkFirst(hosts.filter((host) => draft.isRemaining(host))) }))
      .filter(({ open }) => open.length > 0)
      .map((entry) => ({ ...entry, seconds: this.secondsOnceSeeded(entry.open) }))
      .sort((a, b) => b.seconds - a.seconds || a.rack - b.rack);
    for (const { open } of empty) {
      if (draft.full) return;
      const source = this.bestRemoteServer(open[0]!);
      if (source < 0) return;
      this.start(source, open[0]!);
    }
  }

  /** One base for each host that has none, from its own rack. Returns those that found no source free. */
  private seedHosts(): { rack: number; hosts: number[] }[] {
    const { draft } = this;
    const waiting: { rack: number; hosts: number[] }[] = [];
    draft.rackHosts.forEach((hosts, rack) => {
      const open = this.mostWorkFirst(hosts.filter((host) => !draft.isSeeded(host) && draft.isRemaining(host)));
      const left = open.filter((host) => {
        if (draft.full) return true;
        const source = this.serverFor(rack, host);
        if (source < 0) return true;
        this.start(source, host);
        return false;
      });
      if (left.length > 0) waiting.push({ rack, hosts: left });
    });
    return waiting;
  }

  /**
   * Racks whose hosts are all seeded help one that is two doublings or more behind, if with their help it will need
   * one doubling less: crossings that save a whole copy's time. Others save nothing.
   */
  private helpRacks(waiting: { rack: number; hosts: number[] }[]): void {
    const { draft } = this;
    const late = waiting
      .map(({ rack, hosts }) => {
        const seeded = draft.rackHosts[rack]!.filter((host) => draft.isSeeded(host)).length;
        return { rack, hosts, seeded, doublings: Math.ceil(Math.log2((seeded + hosts.length) / Math.max(1, seeded))) };
      })
      .filter(({ doublings }) => doublings >= 2)
      .sort((a, b) => b.doublings - a.doublings || a.rack - b.rack);
    if (late.length === 0) return;
    const busyRacks = new Set(waiting.map(({ rack }) => rack));
    let helpers = this.topology.hosts.filter(({ index, rack }) =>
      !busyRacks.has(rack) && draft.sourceCount[index]! > 0 && !this.isBusy(index)).length;
    for (const { hosts, seeded, doublings } of late) {
      const factor = 2 ** (doublings - 1);
      // Seeded after one doubling less, with this much help now and again at each doubling.
      const reached = factor * (seeded + helpers) + helpers * (factor - 1);
      if (reached < seeded + hosts.length) continue;
      for (const host of hosts) {
        const source = draft.full ? -1 : this.bestRemoteServer(host);
        if (source < 0) break;
        this.start(source, host);
        helpers--;
      }
    }
  }

  /** What hosts want beyond their first base, from themselves. More than one at once only to overlap start-ups. */
  private fill(): void {
    const { draft } = this;
    const open = this.topology.hosts.map(({ index }) => index)
      .filter((host) => draft.sourceCount[host]! > 0 && draft.isRemaining(host));
    // With slots for all of them the order does not matter; else nobody may be left with most of its work at the end.
    for (const host of draft.slotsLeft < open.length ? this.mostWorkFirst(open) : open) {
      const allowance = 1 + Math.ceil(this.startupShare(host, host));
      while (draft.isRemaining(host) && !draft.full && this.mayServe(host, host, allowance)) {
        this.start(host, host);
      }
    }
  }

  /** Unit time only, where a host's own store is no limit: idle sources help whoever has most left, near ones first. */
  private fillFromOthers(): void {
    const { draft } = this;
    const open = new Heap<{ host: number; left: number }>(
      (a, b) => (a.left !== b.left ? a.left > b.left : a.host < b.host),
      this.topology.hosts.filter(({ index }) => draft.isRemaining(index))
        .map(({ index }) => ({ host: index, left: draft.remaining[index]! })),
    );
    for (let top = open.pop(); top && !draft.full; top = open.pop()) {
      const near = this.serverFor(this.topology.hosts[top.host]!.rack, top.host);
      const source = near >= 0 ? near : this.bestRemoteServer(top.host);
      if (source < 0) continue;
      this.start(source, top.host);
      if (draft.isRemaining(top.host)) open.push({ host: top.host, left: draft.remaining[top.host]! });
    }
  }

  private start(source: number, target: number): void {
    this.draft.decide(source, target);
    this.usage.add(source, target);
    const rack = this.topology.hosts[source]!.rack;
    if (source !== target) this.busyRate[rack] = Math.max(this.busyRate[rack]!, this.serveRate(source));
  }

  /** Best host of the rack that can serve the target now; -1: none, or one worth waiting for is busy. */
  private serverFor(rack: number, target: number): number {
    const heap = this.servers[rack]!;
    let self: Server | undefined;
    let found = -1;
    for (let top = heap.peek(); top; top = heap.peek()) {
      if (top.host === target) {
        self = heap.pop();
      } else if (!this.mayServe(top.host, target)) {
        // A source that is busy now stays busy during this call; a crowded uplink or target is no fault of its own.
        if (!this.isBusy(top.host)) break;
        heap.pop();
      } else {
        const rate = soloRate(this.topology, top.host, target);
        const awaited = Math.min(this.busyRate[rack]!, this.topology.hosts[target]!.nicBytesPerSecond, storeRate(this.topology, target));
        if (this.unit || rate >= WORTH_WAITING * awaited) found = top.host;
        break;
      }
    }
    if (self) heap.push(self);
    return found;
  }

  /** Across racks: the source that would end first; ties in the order of racks. */
  private bestRemoteServer(target: number): number {
    let best = -1;
    let bestSeconds = Infinity;
    for (const { index: rack } of this.topology.racks) {
      if (rack === this.topology.hosts[target]!.rack) continue;
      const source = this.serverFor(rack, target);
      if (source < 0) continue;
      const seconds = soloSeconds(this.topology, this.copyBytes, source, target) / this.usage.shareOf(source, target);
      if (seconds < bestSeconds) {
        best = source;
        bestSeconds = seconds;
      }
    }
    return best;
  }

  private mayServe(source: number, target: number, allowance = 1 + Math.floor(this.startupShare(source, target))): boolean {
    if (!this.draft.hasRoom(source)) return false;
    if (this.unit) return this.draft.hasIdleSource(source);
    return this.usage.shareOf(source, target) * allowance >= ACCEPTABLE_SHARE;
  }

  /** No room, or its store or NIC is taken, whatever the target. */
  private isBusy(host: number): boolean {
    if (!this.draft.hasRoom(host)) return true;
    if (this.unit) return !this.draft.hasIdleSource(host);
    return this.usage.outgoingShare(host) < ACCEPTABLE_SHARE;
  }

  /** Start-up against transfer time: how many copies may overlap for the start-ups' sake. */
  private startupShare(source: number, target: number): number {
    const { startupSeconds, bytes } = costOf(this.topology, this.copyBytes, source, target);
    return this.unit || bytes === 0 ? 0 : startupSeconds / (bytes / soloRate(this.topology, source, target));
  }

  private serveRate(host: number): number {
    return Math.min(this.topology.hosts[host]!.nicBytesPerSecond, storeRate(this.topology, host));
  }

  private mostWorkFirst(hosts: number[]): number[] {
    return hosts
      .map((host) => ({ host, seconds: this.ownSeconds(host), left: this.draft.remaining[host]!, rate: this.serveRate(host) }))
      .sort((a, b) => b.seconds - a.seconds || b.left - a.left || b.rate - a.rate || a.host - b.host)
      .map(({ host }) => host);
  }

  /** To write what the host wants. */
  private ownSeconds(host: number): number {
    return this.draft.remaining[host]! * soloSeconds(this.topology, this.copyBytes, host, host);
  }

  /** A rough end of a rack once it has its first base: the doublings over its hosts, then the busiest host. */
  private secondsOnceSeeded(open: number[]): number {
    const first = open[0]!;
    return Math.log2(open.length) * soloSeconds(this.topology, this.copyBytes, PROVIDER_HOST, first) + this.ownSeconds(first);
  }
}

export const earliestCompletion: Policy = {
  name: "earliestCompletion",
  next: (view) => new EarliestCompletion(view).run(),
};
