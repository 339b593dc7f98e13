/**
 * How many members each host shall hold. Sticky: what exists stays where it is, and only the difference is placed.
 * Pure, and total in its order: ties go to what is declared first when growing, last when shrinking.
 */
import { Heap } from "../../heap";
import { groupBy } from "../groups";
import type { HostSpec, RackSpec, TargetSpec } from "../model";

type PlacedHost = Pick<HostSpec, "name" | "rack" | "capacity">;
type PlacedRack = Pick<RackSpec, "name">;

/**
 * Members per host after the change. Slots whose member is missing are given up before anything that lives is.
 * @param living members per host now; hosts that are absent hold none, names that are not declared are ignored.
 * Members beyond all capacities are not placed; parseFleetSpec has told of those.
 * @param missing per host, slots that are held by the record alone: their members were removed by hand. @default none
 */
export function place(
  targets: TargetSpec, hosts: readonly PlacedHost[], racks: readonly PlacedRack[],
  living: ReadonlyMap<string, number>, missing: ReadonlyMap<string, number> = new Map(),
): Record<string, number> {
  switch (targets.kind) {
    case "countPerHost":
      return Object.fromEntries(hosts.map((host) => [host.name, targets.countPerHost]));
    case "each":
      return Object.fromEntries(hosts.map((host) => [host.name, targets.counts[host.name] ?? 0]));
    case "count": {
      const { count } = targets;
      const capped = (held: (name: string) => number) => new Map(hosts.map((host) => [host.name, Math.min(held(host.name), host.capacity ?? Infinity)]));
      const alive = capped((name) => living.get(name) ?? 0);
      const all = capped((name) => (living.get(name) ?? 0) + (missing.get(name) ?? 0));
      if (sum(all.values()) <= count) return Object.fromEntries(grow(all, count, hosts, racks));
      const isEnough = sum(alive.values()) >= count;
      return Object.fromEntries(isEnough ? shrink(alive, new Map(), count, hosts, racks) : shrink(all, alive, count, hosts, racks));
    }
  }
}

/** The share each host would have if the fleet were placed afresh. */
export function fairShares(count: number, hosts: readonly PlacedHost[], racks: readonly PlacedRack[]): Record<string, number> {
  return Object.fromEntries(grow(new Map(hosts.map((host) => [host.name, 0])), count, hosts, racks));
}

/**
 * One member at a time to the rack, then the host in it, that is least loaded for its weight. Comparing the load before
 * the addition gives every rack, then every host, its first member before any has its second.
 */
function grow(start: ReadonlyMap<string, number>, count: number, hosts: readonly PlacedHost[], racks: readonly PlacedRack[]): Map<string, number> {
  const now = new Map(start);
  const weights = hostWeights(hosts);
  // Loads per weight, compared without division.
  const isLess = (a: Weighed, b: Weighed) => (a.load * b.weight - b.load * a.weight || a.index - b.index) < 0;
  const roomy = new Heap<Weighed & { hosts: Heap<Weighed & { host: PlacedHost }> }>(isLess);
  const byRack = groupBy(hosts.map((host, index) => ({ host, index, load: now.get(host.name)!, weight: weights.get(host.name)! })), ({ host }) => host.rack);
  const hasRoom = ({ host, load }: { host: PlacedHost; load: number }) => load < (host.capacity ?? Infinity);
  orderedRacks(hosts, racks).forEach((rack, index) => {
    const members = byRack.get(rack) ?? [];
    const withRoom = new Heap<Weighed & { host: PlacedHost }>(isLess, members.filter(hasRoom));
    const total = { load: sum(members.map((one) => one.load)), weight: sum(members.map((one) => one.weight)) };
    if (withRoom.size > 0) roomy.push({ ...total, index, hosts: withRoom });
  });
  for (let left = count - sum(now.values()); left > 0; left--) {
    const rack = roomy.pop();
    if (!rack) return now;
    const chosen = rack.hosts.pop()!;
    chosen.load += 1;
    rack.load += 1;
    now.set(chosen.host.name, chosen.load);
    if (hasRoom(chosen)) rack.hosts.push(chosen);
    if (rack.hosts.size > 0) roomy.push(rack);
  }
  return now;
}

interface Weighed {
  load: number;
  weight: number;
  /** Its place among its like: of equals the first is taken. */
  index: number;
}

/**
 * One member at a time from the host that is furthest over its fair share; of equals from the rack with most members,
 * then from the latest declared.
 * @param floor per host, what it keeps in any case; absent: nothing
 */
function shrink(
  start: ReadonlyMap<string, number>, floor: ReadonlyMap<string, number>, count: number,
  hosts: readonly PlacedHost[], racks: readonly PlacedRack[],
): Map<string, number> {
  const now = new Map(start);
  const fair = fairShares(count, hosts, racks);
  const isSooner = (a: Over, b: Over) => a.over > b.over || (a.over === b.over && a.index > b.index);
  const loads = hosts.map(({ name, rack }, index) => ({ name, rack, index, over: now.get(name)! - fair[name]! }));
  const holding = [...groupBy(loads, ({ rack }) => rack).values()].flatMap((members) => {
    const giving = new Heap<Over>(isSooner, members.filter(({ name }) => now.get(name)! > (floor.get(name) ?? 0)));
    return giving.size > 0 ? [{ giving, held: sum(members.map(({ name }) => now.get(name)!)) }] : [];
  });
  const furthest = new Heap<typeof holding[number]>(({ giving: one, held }, { giving: other, held: most }) => {
    const [a, b] = [one.peek()!, other.peek()!];
    return a.over > b.over || (a.over === b.over && (held > most || (held === most && a.index > b.index)));
  }, holding);
  for (let left = sum(now.values()) - count; left > 0; left--) {
    const rack = furthest.pop()!;
    const host = rack.giving.pop()!;
    now.set(host.name, now.get(host.name)! - 1);
    host.over -= 1;
    rack.held -= 1;
    if (now.get(host.name)! > (floor.get(host.name) ?? 0)) rack.giving.push(host);
    if (rack.giving.size > 0) furthest.push(rack);
  }
  return now;
}

interface Over {
  name: string;
  index: number;
  /** Members beyond its fair share. */
  over: number;
}

/** A host without a cap weighs as much as the largest that has one: it can hold at least that. */
function hostWeights(hosts: readonly PlacedHost[]): Map<string, number> {
  const largest = Math.max(1, ...hosts.map((host) => host.capacity ?? 0));
  return new Map(hosts.map((host) => [host.name, host.capacity ?? largest]));
}

/** Declared racks in their order, then those that only hosts name. */
function orderedRacks(hosts: readonly PlacedHost[], racks: readonly PlacedRack[]): string[] {
  return [...new Set([...racks.map((rack) => rack.name), ...hosts.map((host) => host.rack)])];
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
