/** Stores and what is free in them: what several hosts reach as one counts once. */
import type { ReachableHost } from "../model";

/** Figures of one store, asked of two hosts one after the other while somebody writes to it, differ at most by this part of it. */
const ASKED_APART_SHARE = 0.05;

/** The hosts that share a store, together; each in order, stores in the order of their first. */
export function byStore(hosts: readonly ReachableHost[]): ReachableHost[][] {
  const stores = new Map<string, ReachableHost[]>();
  for (const host of hosts) {
    const key = host.store === undefined ? `of ${host.name}` : `store ${host.store}`;
    const group = stores.get(key);
    if (group) group.push(host);
    else stores.set(key, [host]);
  }
  return [...stores.values()];
}

/** What is free in the store of these hosts, as the least sanguine of them says. Infinity: none of them knows. */
export const freeBytesOf = (store: readonly ReachableHost[]): number => Math.min(...store.map(({ room }) => ("unknown" in room ? Infinity : room.freeBytes)));

/** Hosts whose stores may be one by their size and by what is free there; of the others that is known, or cannot be. */
export function alike(hosts: readonly ReachableHost[]): ReachableHost[][] {
  const groups: { freeBytes: number; capacityBytes: number; hosts: ReachableHost[] }[] = [];
  for (const host of hosts) {
    if (host.store !== undefined || "unknown" in host.room) continue;
    const { freeBytes, capacityBytes } = host.room;
    if (capacityBytes === undefined) continue;
    const group = groups.find((one) => one.capacityBytes === capacityBytes && Math.abs(one.freeBytes - freeBytes) <= ASKED_APART_SHARE * capacityBytes);
    if (group) group.hosts.push(host);
    else groups.push({ freeBytes, capacityBytes, hosts: [host] });
  }
  return groups.map((group) => group.hosts).filter((group) => group.length > 1);
}
