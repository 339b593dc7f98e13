/**
 * How many members each host shall hold. Sticky: what exists stays where it is, and only the difference is placed.
 * Pure, and total in its order: ties go to what is declared first when growing, last when shrinking.
 */
import type { HostSpec, RackSpec, TargetSpec } from "./model";

type PlacedHost = Pick<HostSpec, "name" | "rack" | "capacity">;
type PlacedRack = Pick<RackSpec, "name">;

/**
 * Members per host after the change.
 * @param existing members per host now; hosts that are absent hold none, names that are not declared are ignored.
 * Members beyond all capacities are not placed; parseFleetSpec has told of those.
 */
export function place(
  targets: TargetSpec, hosts: readonly PlacedHost[], racks: readonly PlacedRack[], existing: ReadonlyMap<string, number>,
): Record<string, number> {
  switch (targets.kind) {
    case "countPerHost":
      return Object.fromEntries(hosts.map((host) => [host.name, targets.countPerHost]));
    case "each":
      return Object.fromEntries(hosts.map((host) => [host.name, targets.counts[host.name] ?? 0]));
    case "count": {
      const now = new Map(hosts.map((host) => [host.name, Math.min(existing.get(host.name) ?? 0, host.capacity ?? Infinity)]));
      const total = sum(now.values());
      return Object.fromEntries(
        total <= targets.count ? grow(now, targets.count, hosts, racks) : shrink(now, targets.count, hosts, racks),
      );
    }
  }
}

/**
 * The order in which a shrinking fleet gives up members: repeatedly the host furthest over its target; ties: the rack
 * with most members, then the latest declared. One host name a removal.
 */
export function removalOrder(
  existing: ReadonlyMap<string, number>, targets: Readonly<Record<string, number>>, hosts: readonly PlacedHost[],
): string[] {
  const now = new Map(hosts.map((host) => [host.name, existing.get(host.name) ?? 0]));
  const order: string[] = [];
  for (;;) {
    const next = furthestOver(now, (name) => targets[name] ?? 0, hosts);
    if (next === undefined || next.over <= 0) return order;
    now.set(next.name, now.get(next.name)! - 1);
    order.push(next.name);
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
  const groups = orderedRacks(hosts, racks).map((rack) => {
    const members = hosts.filter((host) => host.rack === rack).map((host) => ({ host, load: now.get(host.name)!, weight: weights.get(host.name)! }));
    return { members, load: sum(members.map((one) => one.load)), weight: sum(members.map((one) => one.weight)) };
  });
  const hasRoom = ({ host, load }: { host: PlacedHost; load: number }) => load < (host.capacity ?? Infinity);
  for (let left = count - sum(now.values()); left > 0; left--) {
    const rack = least(groups.filter((group) => group.members.some(hasRoom)));
    if (!rack) return now;
    const chosen = least(rack.members.filter(hasRoom))!;
    chosen.load += 1;
    rack.load += 1;
    now.set(chosen.host.name, chosen.load);
  }
  return now;
}

function shrink(start: ReadonlyMap<string, number>, count: number, hosts: readonly PlacedHost[], racks: readonly PlacedRack[]): Map<string, number> {
  const now = new Map(start);
  const fair = fairShares(count, hosts, racks);
  for (let left = sum(now.values()) - count; left > 0; left--) {
    const { name } = furthestOver(now, (host) => fair[host]!, hosts)!;
    now.set(name, now.get(name)! - 1);
  }
  return now;
}

function furthestOver(
  now: ReadonlyMap<string, number>, target: (host: string) => number, hosts: readonly PlacedHost[],
): { name: string; over: number } | undefined {
  const perRack = new Map<string, number>();
  for (const host of hosts) perRack.set(host.rack, (perRack.get(host.rack) ?? 0) + now.get(host.name)!);
  return hosts
    .map((host, index) => ({ name: host.name, index, over: now.get(host.name)! - target(host.name), rack: perRack.get(host.rack)!, held: now.get(host.name)! }))
    .filter((host) => host.held > 0)
    .sort((a, b) => b.over - a.over || b.rack - a.rack || b.index - a.index)[0];
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

/** The first with the least load / weight, compared without division. */
function least<T extends { load: number; weight: number }>(candidates: readonly T[]): T | undefined {
  return candidates.reduce<T | undefined>(
    (best, one) => (best === undefined || one.load * best.weight < best.load * one.weight ? one : best), undefined,
  );
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
