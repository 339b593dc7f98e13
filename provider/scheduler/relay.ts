/**
 * Cut-through: copies serve as they arrive, so that N hosts get the image in about the time of one. All hops are
 * decided on at once; a hop waits for its source to have something. What a host wants beyond its first base it makes
 * on its own disk, from what has arrived where its disk is faster than the arrival.
 */
import { earliestCompletion } from "./earliestCompletion";
import { PoolIndex } from "./poolIndex";
import { alongsideArrival, relayTree, treeRates, type RelayRoot, type RelayTarget } from "./relayTree";
import { costOf, expectedRates, soloRate } from "./timeModel";
import type { Decision, Policy, PoolView, Topology, Transfer } from "./types";

/** A disk lends itself to local copies while others read at most this part of its rate. */
const LENDS_BELOW = 0.5;

/** What passes one host now. */
interface Traffic {
  /** Bytes per second. */
  arriving: number;
  leaving: number;
  /** Copies within the host. */
  local: number;
}

class Relay {
  private readonly pool: PoolIndex;
  private readonly topology: Topology;
  private readonly traffic = new Map<number, Traffic>();

  constructor(private readonly view: PoolView) {
    this.pool = new PoolIndex(view);
    this.topology = view.topology;
    // What is all there and only serves takes no room of its own.
    const moving = view.transfers.filter(({ straggling, done }) => !straggling && done < 1);
    const rates = this.ratesOf(moving);
    moving.forEach(({ sourceHost, targetHost }, i) => {
      if (sourceHost === targetHost) this.at(targetHost).local++;
      else this.passes(sourceHost, targetHost, rates[i]!);
    });
  }

  run(): Decision[] {
    this.spread();
    const open = this.topology.hosts.map(({ index }) => index)
      .filter((host) => this.pool.isRemaining(host) && this.pool.canFeed(host));
    // With slots for all of them the order does not matter; else nobody may be left with most of its work at the end.
    if (this.pool.slotsLeft < open.length) open.sort((a, b) => this.workOf(b) - this.workOf(a) || a - b);
    for (const host of open) this.fill(host);
    return this.pool.decisions;
  }

  /** A first base for every host that has none on the way. */
  private spread(): void {
    const { pool, topology } = this;
    const targets: RelayTarget[] = [];
    const roots: RelayRoot[] = [];
    for (const { index: host, maxConcurrent } of topology.hosts) {
      const load = pool.load[host]!;
      const room = maxConcurrent - load;
      const wants = pool.remaining[host]!;
      if (pool.isRemaining(host) && !pool.isSeeded(host)) targets.push({ host, room, wants });
      else if (pool.canFeed(host)) roots.push({ host, load, room, wants: this.isBare(host) ? wants : 0 });
    }
    if (targets.length === 0) return;
    const edges = relayTree(topology, roots, targets);
    const rates = treeRates(topology, edges);
    edges.forEach(({ from, to }, i) => {
      if (pool.full || !pool.hasRoom(from) || !pool.isRemaining(to) || !pool.canFeed(from)) return;
      pool.decideRelay(from, to);
      this.passes(from, to, rates[i]!);
    });
  }

  /** Holds the template and nothing that was made of it. */
  private isBare(host: number): boolean {
    return this.view.made[host] === 0 && this.view.making[host] === 0;
  }

  /** Local copies. */
  private fill(host: number): void {
    const { pool, topology } = this;
    const { diskBytesPerSecond } = topology.hosts[host]!;
    const { arriving, leaving, local } = this.at(host);
    let allowed: number;
    if (pool.sourceCount[host] === 0 && topology.freeLocalCopies) allowed = 0;
    else if (topology.freeLocalCopies) allowed = Infinity;
    else if (arriving > 0) allowed = alongsideArrival(topology, host, Math.max(arriving, leaving)) - local;
    else allowed = leaving > LENDS_BELOW * diskBytesPerSecond ? 0 : this.overlapping(host) - local;
    for (; allowed > 0 && pool.isRemaining(host) && !pool.full; allowed--) pool.decideRelay(host, host);
  }

  /** More than one copy at once on an idle disk only to overlap start-ups. */
  private overlapping(host: number): number {
    const { startupSeconds, bytes } = costOf(this.topology, host, host);
    return 1 + Math.ceil(bytes === 0 ? 0 : startupSeconds / (bytes / soloRate(this.topology, host, host)));
  }

  private workOf(host: number): number {
    return this.pool.remaining[host]! / this.topology.hosts[host]!.diskBytesPerSecond;
  }

  private ratesOf(transfers: readonly Transfer[]): number[] {
    if (transfers.length === 0) return [];
    const position = new Map(transfers.map(({ madeId }, i) => [madeId, i]));
    return expectedRates(this.topology, transfers, transfers.map(({ source }) => position.get(source)));
  }

  private passes(from: number, to: number, bytesPerSecond: number): void {
    if (from >= 0) this.at(from).leaving += bytesPerSecond;
    this.at(to).arriving += bytesPerSecond;
  }

  private at(host: number): Traffic {
    let traffic = this.traffic.get(host);
    if (!traffic) this.traffic.set(host, traffic = { arriving: 0, leaving: 0, local: 0 });
    return traffic;
  }
}

/**
 * Where the hypervisor cannot relay, and in unit time, in which no copy has parts that could be passed on, it goes as
 * store-and-forward does.
 */
export const relay: Policy = {
  name: "relay",
  next: (view) => (view.arriving && view.topology.time === "network" ? new Relay(view).run() : earliestCompletion.next(view)),
};
