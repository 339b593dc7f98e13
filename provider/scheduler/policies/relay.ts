/**
 * Cut-through: copies serve as they arrive, so that N hosts get the image in about the time of one. All hops are
 * decided on at once; a hop waits for its source to have something. What a host wants beyond its first base it makes
 * in its own store, from what has arrived where its store is faster than the arrival.
 */
import { imageBytes } from "../../fleet/images";
import { earliestCompletion } from "./earliestCompletion";
import { DecisionDraft } from "./decisionDraft";
import { alongsideArrival, relayTree, treeRates, type RelayRoot, type RelayTarget } from "./relayTree";
import { costOf, soloRate, storeRate } from "../time/timeModel";
import { remainingAt, type Source, type Topology, type Transfer } from "../types";
import type { Decision, Policy, BookView } from "../policy";

/** A store lends itself to local copies while others read at most this part of its rate. */
const LENDS_BELOW = 0.5;

/** What passes one host now. */
interface Traffic {
  /** Bytes per second. */
  arriving: number;
  leaving: number;
  /** Copies to other hosts. */
  readers: number;
  /** Copies within the host. */
  local: number;
}

const NO_TRAFFIC = (): Traffic => ({ arriving: 0, leaving: 0, readers: 0, local: 0 });

function send(traffic: Traffic, bytesPerSecond: number): void {
  traffic.leaving += bytesPerSecond;
  traffic.readers++;
}

/** What is all there and only serves takes no room of its own. */
function count(traffic: Traffic, host: number, transfer: Transfer, topology: Topology): void {
  const { sourceHost, targetHost, straggling, done } = transfer;
  if (straggling || done >= 1) return;
  const rate = transfer.bytesPerSecond ?? soloRate(topology, sourceHost, targetHost);
  if (sourceHost === targetHost) traffic.local++;
  else if (host === targetHost) traffic.arriving += rate;
  else send(traffic, rate);
}

/** Local copies that may start on a host with this traffic. */
function localCopies({ topology, image }: BookView, host: number, traffic: Traffic, whole: boolean): number {
  const { arriving, leaving, readers, local } = traffic;
  if (topology.freeLocalCopies) return whole ? Infinity : 0;
  const rate = storeRate(topology, host);
  if (arriving > 0) return alongsideArrival(topology, host, Math.max(arriving, leaving)) - local;
  if (leaving > LENDS_BELOW * rate) return 0;
  // Each more takes an equal share of the store: not so many that the readers get less than they can take.
  const harmless = leaving > 0 ? Math.floor(readers * (rate / leaving - 1) * 1.001) : Infinity;
  return Math.min(overlapping(topology, imageBytes(image), host), harmless) - local;
}

/** More than one copy at once in an idle store only to overlap start-ups. */
function overlapping(topology: Topology, copyBytes: number, host: number): number {
  const { startupSeconds, bytes } = costOf(topology, copyBytes, host, host);
  return 1 + Math.ceil(bytes === 0 ? 0 : startupSeconds / (bytes / soloRate(topology, host, host)));
}

/** A look at everything. */
class Relay {
  private readonly draft: DecisionDraft;
  private readonly topology: Topology;
  private readonly traffic = new Map<number, Traffic>();

  constructor(private readonly view: BookView) {
    this.draft = new DecisionDraft(view);
    this.topology = view.topology;
    for (const transfer of view.transfers) {
      const { sourceHost, targetHost } = transfer;
      if (sourceHost >= 0) count(this.at(sourceHost), sourceHost, transfer, this.topology);
      if (sourceHost !== targetHost) count(this.at(targetHost), targetHost, transfer, this.topology);
    }
  }

  run(): Decision[] {
    this.spread();
    const open = this.topology.hosts.map(({ index }) => index)
      .filter((host) => this.draft.isRemaining(host) && this.draft.canFeed(host));
    // With slots for all of them the order does not matter; else nobody may be left with most of its work at the end.
    if (this.draft.slotsLeft < open.length) open.sort((a, b) => this.workOf(b) - this.workOf(a) || a - b);
    for (const host of open) this.fill(host);
    return this.draft.decisions;
  }

  /** A first base for every host that has none on the way. */
  private spread(): void {
    const { draft, topology } = this;
    const targets: RelayTarget[] = [];
    const roots: RelayRoot[] = [];
    for (const { index: host, maxConcurrent } of topology.hosts) {
      const load = draft.load[host]!;
      const room = maxConcurrent - load;
      const wants = draft.remaining[host]!;
      if (draft.isRemaining(host) && !draft.isSeeded(host)) targets.push({ host, room, wants });
      else if (draft.canFeed(host)) roots.push({ host, load, room, wants: this.isBare(host) ? wants : 0 });
    }
    if (targets.length === 0) return;
    const edges = relayTree(topology, imageBytes(this.view.image), roots, targets);
    const rates = treeRates(topology, edges);
    edges.forEach(({ from, to }, i) => {
      if (draft.full || !draft.hasRoom(from) || !draft.isRemaining(to) || !draft.canFeed(from)) return;
      draft.decideRelay(from, to, rates[i]!);
      send(this.at(from), rates[i]!);
      this.at(to).arriving += rates[i]!;
    });
  }

  /** Holds the template and nothing that was made of it. */
  private isBare(host: number): boolean {
    return this.view.made[host] === 0 && this.view.making[host] === 0;
  }

  private fill(host: number): void {
    const { draft } = this;
    let allowed = localCopies(this.view, host, this.at(host), draft.sourceCount[host]! > 0);
    for (; allowed > 0 && draft.isRemaining(host) && !draft.full; allowed--) draft.decideRelay(host, host);
  }

  private workOf(host: number): number {
    return this.draft.remaining[host]! / storeRate(this.topology, host);
  }

  private at(host: number): Traffic {
    let traffic = this.traffic.get(host);
    if (!traffic) this.traffic.set(host, traffic = NO_TRAFFIC());
    return traffic;
  }
}

/**
 * A look at the hosts alone at which something happened: once every host has a first base on the way, each one's local
 * copies are its own affair. undefined: everything must be looked at.
 */
function fillChanged(view: BookView, index: NonNullable<BookView["index"]>): Decision[] | undefined {
  const { topology } = view;
  if (view.transfers.length === 0 || view.freeSlots < roomOf(topology) || index.countBare(view) > 0) return undefined;
  const decisions: Decision[] = [];
  for (const host of [...index.changed].sort((a, b) => a - b)) {
    const remaining = remainingAt(view, host);
    const transfers = index.transfersAt(host);
    const room = topology.hosts[host]!.maxConcurrent - transfers.size;
    if (remaining === 0 || room <= 0) continue;
    const traffic = NO_TRAFFIC();
    for (const transfer of transfers) {
      if (transfer.straggling) return undefined;
      count(traffic, host, transfer, topology);
    }
    const source = bestOf(index.sourcesAt(host));
    if (!source) continue;
    const copies = Math.min(remaining, room, localCopies(view, host, traffic, !source.arriving));
    for (let i = 0; i < copies; i++) decisions.push({ source: source.id, targetHost: host });
  }
  return decisions;
}

/** A whole one before any that still arrives, then one that serves few. */
function bestOf(sources: Iterable<Source>): Source | undefined {
  let best: Source | undefined;
  for (const source of sources) if (!best || isBetter(source, best)) best = source;
  return best;
}

function isBetter(a: Source, b: Source): boolean {
  if (Boolean(a.arriving) !== Boolean(b.arriving)) return !a.arriving;
  return a.serving !== b.serving ? a.serving < b.serving : a.id < b.id;
}

const rooms = new WeakMap<Topology, number>();

/** Copies that all hosts together may take part in: with more slots than that, the fleet's limit never binds. */
function roomOf(topology: Topology): number {
  let room = rooms.get(topology);
  if (room === undefined) rooms.set(topology, room = topology.hosts.reduce((sum, host) => sum + host.maxConcurrent, 0));
  return room;
}

/**
 * Where the hypervisor cannot relay, and in unit time, in which no copy has parts that could be passed on, it goes as
 * store-and-forward does.
 */
export const relay: Policy = {
  name: "relay",
  next(view) {
    if (!view.arriving || view.topology.time !== "network") return earliestCompletion.next(view);
    return (view.index && fillChanged(view, view.index)) ?? new Relay(view).run();
  },
};
