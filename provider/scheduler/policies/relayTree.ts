/**
 * Who reads from whom when every copy serves as it arrives. Racks are visited one after the other, the best connected
 * first, so that an image crosses each uplink once in and once out, and each NIC carries it once in and once out. A host
 * that would hold up those behind it hangs on the side, where it holds up nobody.
 */
import { costOf, expectedRates, storeRate } from "../time/timeModel";
import type { Topology } from "../types";

/** Where the image is, or will be: whole or arriving. */
export interface RelayRoot {
  host: number;
  /** Copies that read from or write to it now. */
  load: number;
  /** Copies that may be added. */
  room: number;
  /** Base images it wants itself, none of them made or on the way, that it may as well get at the end of a pipeline. */
  wants: number;
}

export interface RelayTarget {
  host: number;
  room: number;
  wants: number;
}

/** In an order in which no host feeds before it is fed. */
export interface RelayEdge {
  from: number;
  to: number;
}

/** What one tree may do otherwise than another. */
export interface RelayShape {
  /** Pipelines that leave each rack that has the image. */
  paths: number;
  /** Racks hang on the first host of the rack before, not on its last: less deep, that host feeds two. */
  backbone: boolean;
  /** In a backbone, pipelines within a rack. */
  chains: number;
  /** Hosts below this part of the rate that racks behind them can take are fed from the side. */
  sideBelow: number;
  /** Slow hosts hang on hosts of their rack that are fast, one each, instead of one behind the other. */
  spread: boolean;
  /** The template's host gets its own first copy at the end of the pipeline instead of from its own store. */
  ring: boolean;
}

const PLAIN: RelayShape = { paths: 1, backbone: false, chains: 1, sideBelow: 1, spread: false, ring: false };
const CHOICES: { [K in keyof RelayShape]: readonly RelayShape[K][] } = {
  ring: [false, true], spread: [false, true], sideBelow: [1, 0.5, 0], backbone: [false, true], paths: [1, 2, 3, 4, 8, 16], chains: [1, 2, 4, 8],
};
/** Another shape must be this much better: the plain one crosses racks least. */
const WORTH_A_CHANGE = 0.99;
/** Makespans that a slow host decides are alike: the others' ends count for this much. */
const MEAN_WEIGHT = 0.02;

/** The tree with the shortest estimated makespan. @param copyBytes what each edge brings */
export function relayTree(topology: Topology, copyBytes: number, roots: readonly RelayRoot[], targets: readonly RelayTarget[]): RelayEdge[] {
  const plain = improved(topology, copyBytes, roots, targets, PLAIN);
  // Where hosts differ, a ring pays only with slow ones out of its way: two changes at once.
  if (plain.edges.length === 0 || !matters("spread", topology, PLAIN, targets) || !roots.some(({ wants }) => wants > 0)) return plain.edges;
  const ring = improved(topology, copyBytes, roots, targets, { ...PLAIN, ring: true, spread: true });
  return ring.edges.length >= plain.edges.length && ring.score < WORTH_A_CHANGE * plain.score ? ring.edges : plain.edges;
}

/** Changes one thing of the shape at a time for as long as that helps. */
function improved(
  topology: Topology, copyBytes: number, roots: readonly RelayRoot[], targets: readonly RelayTarget[], start: RelayShape,
): { edges: RelayEdge[]; score: number } {
  let shape = start;
  let best = buildTree(topology, roots, targets, shape);
  if (targets.length === 0 || best.length === 0) return { edges: best, score: Infinity };
  let bestScore = score(topology, copyBytes, roots, targets, best);
  for (let changed = true; changed;) {
    changed = false;
    for (const key of Object.keys(CHOICES) as (keyof RelayShape)[]) {
      for (const value of CHOICES[key]) {
        if (value === shape[key] || !matters(key, topology, shape, targets)) continue;
        const other = { ...shape, [key]: value };
        const edges = buildTree(topology, roots, targets, other);
        const otherScore = score(topology, copyBytes, roots, targets, edges);
        if (edges.length < best.length || otherScore >= WORTH_A_CHANGE * bestScore) continue;
        [shape, best, bestScore, changed] = [other, edges, otherScore, true];
      }
    }
  }
  return { edges: best, score: bestScore };
}

/** Depth costs nothing where hops do not; alike hosts hold nobody up. */
function matters(key: keyof RelayShape, topology: Topology, shape: RelayShape, targets: readonly RelayTarget[]): boolean {
  const deep = (topology.hopSeconds ?? 0) > 0;
  if (key === "chains") return shape.backbone;
  if (key === "ring" || (deep && key !== "spread" && key !== "sideBelow")) return true;
  const rates = targets.map(({ host }) => rateOf(topology, host));
  return Math.min(...rates) < Math.max(...rates);
}

export const rateOf = (topology: Topology, host: number): number =>
  Math.min(topology.hosts[host]!.nicBytesPerSecond, storeRate(topology, host));

function buildTree(topology: Topology, roots: readonly RelayRoot[], targets: readonly RelayTarget[], shape: RelayShape): RelayEdge[] {
  return new TreeBuilder(topology, roots, targets, shape).build();
}

class TreeBuilder {
  private readonly edges: RelayEdge[] = [];
  private readonly room = new Map<number, number>();
  private readonly relays = new Set<number>();
  /** Hosts fed from the rack itself, by rack, for those that found no room. */
  private readonly inRack: number[][];

  constructor(
    private readonly topology: Topology, private readonly roots: readonly RelayRoot[],
    private readonly targets: readonly RelayTarget[], private readonly shape: RelayShape,
  ) {
    this.inRack = topology.racks.map(() => []);
    for (const { host, room } of [...roots, ...targets]) this.room.set(host, room);
    for (const { host, room } of targets) if (room > 1) this.relays.add(host);
  }

  build(): RelayEdge[] {
    const { topology, targets } = this;
    const byRack = topology.racks.map((): number[] => []);
    for (const { host } of targets) byRack[this.rackOf(host)]!.push(host);
    for (const hosts of byRack) hosts.sort((a, b) => this.compareTargets(a, b));
    const rootsOf = topology.racks.map((_, rack) => this.rootsIn(rack));
    const seeded = topology.racks.map((r) => r.index).filter((rack) => rootsOf[rack]!.length > 0);
    if (seeded.length === 0) return [];
    const empty = topology.racks.map((r) => r.index).filter((rack) => !this.hasImage(rack) && byRack[rack]!.length > 0)
      .map((rack) => ({ rack, rate: this.rateInto(rack, byRack[rack]!), hosts: byRack[rack]! }))
      .sort((a, b) => b.rate - a.rate || b.hosts.length - a.hosts.length || a.rack - b.rack);
    const paths = this.pathsOf(seeded, rootsOf, byRack);
    const best = Math.max(...paths.map((path) => path.rateOut));
    const outward = paths.filter((path) => path.rateOut >= best / 2);
    empty.forEach((rack, i) => outward[i % outward.length]!.racks.push(rack));
    for (const path of paths) this.lay(path);
    return this.edges;
  }

  /** Each rack that has the image: its hosts over its roots, and as many ways out as the shape says. */
  private pathsOf(seeded: number[], rootsOf: RelayRoot[][], byRack: number[][]): Path[] {
    return seeded.flatMap((rack) => {
      const roots = rootsOf[rack]!;
      const count = Math.max(this.shape.paths, Math.min(roots.length, Math.max(1, byRack[rack]!.length)));
      const paths = Array.from({ length: count }, (_, i): Path => {
        const root = roots[i % roots.length]!;
        const rateOut = Math.min(this.topology.racks[rack]!.uplinkBytesPerSecond, rateOf(this.topology, root.host));
        return { root: root.host, ring: i < roots.length && this.shape.ring && root.wants > 0, own: [], racks: [], rateOut };
      });
      byRack[rack]!.forEach((host, i) => paths[i % count]!.own.push(host));
      return paths;
    });
  }

  private lay({ root, ring, own, racks }: Path): void {
    const ringRate = ring ? rateOf(this.topology, root) : 0;
    const needFrom = (i: number): number => Math.max(racks[i]?.rate ?? 0, ringRate);
    let exit = this.chain(root, own, needFrom(0), false);
    let ringOpen = ring;
    const close = (): void => {
      if (ringOpen && exit !== root) this.attach(exit, root);
      ringOpen = false;
    };
    racks.forEach((rack, i) => {
      if (rack.rate < ringRate) close();
      const need = Math.max(racks[i + 1]?.rate ?? 0, ringOpen ? ringRate : 0);
      exit = this.chain(exit, rack.hosts, need, true);
    });
    close();
  }

  /** Hosts of one rack behind `exit`; returns who feeds what comes next. */
  private chain(exit: number, hosts: number[], need: number, entering: boolean): number {
    const { sideBelow, backbone } = this.shape;
    const capable = hosts.filter((host) => this.relays.has(host));
    if (backbone && entering && capable.length > 0) {
      const [entry, ...rest] = capable as [number, ...number[]];
      if (!this.attach(exit, entry)) return exit;
      const chains = Math.min(this.shape.chains, rest.length);
      for (let c = 0; c < chains; c++) this.string(entry, rest.filter((_, i) => i % chains === c));
      this.leaves(hosts);
      return entry;
    }
    if (this.shape.spread && capable.length > 0) return this.spreadOut(exit, hosts, capable);
    const main = capable.filter((host, i) => (entering && i === 0) || rateOf(this.topology, host) >= sideBelow * need * 0.999);
    const end = this.string(exit, main);
    this.string(end, capable.filter((host) => !main.includes(host)));
    if (entering && capable.length === 0 && hosts.length > 0) this.attach(exit, hosts[0]!);
    this.leaves(hosts);
    return end;
  }

  /** The fast ones in a string, each of the others on one of these, the last first. */
  private spreadOut(exit: number, hosts: number[], capable: number[]): number {
    const top = rateOf(this.topology, capable[0]!);
    const isFast = (host: number): boolean => rateOf(this.topology, host) >= 0.999 * top;
    const end = this.string(exit, capable.filter(isFast));
    const fed = capable.filter((host) => isFast(host) && this.inRack[this.rackOf(host)]!.includes(host));
    capable.filter((host) => !isFast(host)).forEach((host, i) => {
      const on = fed[fed.length - 1 - (i % fed.length)];
      if (on === undefined || !this.attach(on, host)) this.string(end, [host]);
    });
    this.leaves(hosts);
    return end;
  }

  private string(from: number, hosts: number[]): number {
    let at = from;
    for (const host of hosts) {
      if (!this.attach(at, host)) {
        const other = this.anyoneWithRoom(this.rackOf(host));
        if (other < 0 || !this.attach(other, host)) continue;
      }
      at = host;
    }
    return at;
  }

  /** Hosts that can only be fed: from whoever in their rack has room, the last first. */
  private leaves(hosts: number[]): void {
    for (const host of hosts) {
      if (this.relays.has(host)) continue;
      const from = this.anyoneWithRoom(this.rackOf(host));
      if (from >= 0) this.attach(from, host);
    }
  }

  private anyoneWithRoom(rack: number): number {
    const fed = this.inRack[rack]!;
    for (let i = fed.length - 1; i >= 0; i--) if (this.relays.has(fed[i]!) && this.room.get(fed[i]!)! > 0) return fed[i]!;
    return this.roots.find(({ host }) => this.rackOf(host) === rack && this.room.get(host)! > 0)?.host ?? -1;
  }

  private attach(from: number, to: number): boolean {
    const fromRoom = this.room.get(from) ?? 0;
    const toRoom = this.room.get(to) ?? 0;
    if (fromRoom < 1 || toRoom < 1) return false;
    this.room.set(from, fromRoom - 1);
    this.room.set(to, toRoom - 1);
    this.edges.push({ from, to });
    this.inRack[this.rackOf(to)]!.push(to);
    return true;
  }

  /** Idle ones, best first; where all are busy, the least busy one. */
  private rootsIn(rack: number): RelayRoot[] {
    const able = this.roots.filter(({ host, room }) => this.rackOf(host) === rack && room > 0).sort((a, b) =>
      a.load - b.load || rateOf(this.topology, b.host) - rateOf(this.topology, a.host) || a.host - b.host);
    const idle = able.filter(({ load }) => load === 0);
    return idle.length > 0 ? idle : able.slice(0, 1);
  }

  private hasImage(rack: number): boolean {
    return this.roots.some(({ host }) => this.rackOf(host) === rack);
  }

  private rateInto(rack: number, hosts: number[]): number {
    const entry = hosts.find((host) => this.relays.has(host)) ?? hosts[0]!;
    return Math.min(this.topology.racks[rack]!.uplinkBytesPerSecond, rateOf(this.topology, entry));
  }

  /** Fast ones first; among equals who has most to do. */
  private compareTargets(a: number, b: number): number {
    return rateOf(this.topology, b) - rateOf(this.topology, a) || a - b;
  }

  private rackOf(host: number): number {
    return this.topology.hosts[host]!.rack;
  }
}

interface Path {
  root: number;
  ring: boolean;
  own: number[];
  racks: { rack: number; rate: number; hosts: number[] }[];
  rateOut: number;
}

/** Bytes per second at which each edge of a tree runs while all of them do. */
export function treeRates(topology: Topology, edges: readonly RelayEdge[]): number[] {
  const bringing = new Map(edges.map(({ to }, i) => [to, i]));
  const fedBy = edges.map(({ from }, i) => {
    const upstream = bringing.get(from);
    // A ring's last edge leads to the root, which is whole.
    return upstream !== undefined && upstream < i ? upstream : undefined;
  });
  return expectedRates(topology, edges.map(({ from, to }) => ({ sourceHost: from, targetHost: to })), fedBy);
}

/** Rough seconds to the last base of all hosts: arrival, then what the host makes of it in its own store. */
function score(
  topology: Topology, copyBytes: number, roots: readonly RelayRoot[], targets: readonly RelayTarget[], edges: readonly RelayEdge[],
): number {
  const { hopSeconds = 0, freeLocalCopies } = topology;
  const rates = treeRates(topology, edges);
  const wants = new Map(targets.map((t) => [t.host, t.wants]));
  const rootOf = new Map(roots.map((root) => [root.host, root]));
  const depth = new Map<number, number>();
  const feeding = new Map<number, { untilSeconds: number; bytesPerSecond: number }>();
  const arrivals = edges.map(({ from, to }, i) => {
    const deep = (depth.get(from) ?? 0) + 1;
    if (!rootOf.has(to)) depth.set(to, deep);
    const arrival = topology.startupSeconds + (deep - 1) * hopSeconds + copyBytes / rates[i]!;
    const fed = feeding.get(from) ?? { untilSeconds: 0, bytesPerSecond: 0 };
    feeding.set(from, { untilSeconds: Math.max(fed.untilSeconds, arrival), bytesPerSecond: fed.bytesPerSecond + rates[i]! });
    return arrival;
  });
  let last = 0;
  let sum = 0;
  /** `copies` in the host's own store from then on, while others read from it too. */
  const finish = (host: number, fromSeconds: number, copies: number): void => {
    const rate = storeRate(topology, host);
    const { untilSeconds, bytesPerSecond } = feeding.get(host) ?? { untilSeconds: 0, bytesPerSecond: 0 };
    let seconds = fromSeconds;
    let bytes = freeLocalCopies ? 0 : copies * (copyBytes + costOf(topology, copyBytes, host, host).startupSeconds * rate);
    if (bytes > 0 && untilSeconds > seconds) {
      const shared = bytesPerSecond > rate / 2 ? 0 : rate - bytesPerSecond;
      const meanwhile = Math.min(bytes, shared * (untilSeconds - seconds));
      seconds = meanwhile === bytes ? seconds + bytes / shared : untilSeconds;
      bytes -= meanwhile;
    }
    seconds += bytes / rate;
    last = Math.max(last, seconds);
    sum += seconds;
  };
  edges.forEach(({ to }, i) => {
    const root = rootOf.get(to);
    const more = (root ?? { wants: wants.get(to) ?? 1 }).wants - 1;
    const alongside = root || freeLocalCopies ? 0 : Math.min(more, alongsideArrival(topology, to, rates[i]!));
    finish(to, arrivals[i]!, more - alongside);
  });
  const ringed = new Set(edges.map(({ to }) => to));
  for (const { host, wants: own } of roots) if (own > 0 && !ringed.has(host)) finish(host, 0, own);
  return last + (MEAN_WEIGHT * sum) / Math.max(1, edges.length);
}

/** Local copies that may read what arrives without slowing it or the host's own reader: what is left of its store's rate. */
export function alongsideArrival(topology: Topology, host: number, bytesPerSecond: number): number {
  const { maxConcurrent } = topology.hosts[host]!;
  return Math.max(0, Math.min(Math.floor((storeRate(topology, host) / bytesPerSecond) * 1.001) - 1, maxConcurrent - 2));
}
