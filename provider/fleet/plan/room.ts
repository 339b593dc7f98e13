/** Stores and what is free in them: what several hosts reach as one counts once. */
import type { ReachableHost } from "../model";

/** A host's figures could not be believed: it is taken to have room, and who writes there finds out. */
export const UNKNOWN_ROOM_BYTES = Number.MAX_SAFE_INTEGER;

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

/** What is free in the store of these hosts, as the least sanguine of them says. */
export const freeBytesOf = (store: readonly ReachableHost[]): number => Math.min(...store.map((host) => host.poolFreeBytes));

/** Hosts whose pools may be one by their size and by what is free there; of the others that is known, or cannot be. */
export function alike(hosts: readonly ReachableHost[]): ReachableHost[][] {
  const groups: ReachableHost[][] = [];
  for (const host of hosts) {
    const { store, poolCapacityBytes, poolFreeBytes } = host;
    if (store !== undefined || poolCapacityBytes === undefined) continue;
    const group = groups.find(([first]) => first!.poolCapacityBytes === poolCapacityBytes &&
      Math.abs(first!.poolFreeBytes - poolFreeBytes) <= ASKED_APART_SHARE * poolCapacityBytes);
    if (group) group.push(host);
    else groups.push([host]);
  }
  return groups.filter((group) => group.length > 1);
}
