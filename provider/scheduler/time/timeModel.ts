/**
 * What a copy costs (DESIGN.md section 6). Each copy uses store read, NIC out, [uplink out, uplink in,] NIC in and
 * store write; each of these is a resource of its own, shared max-min fairly by the copies that use it.
 *
 * Resources are numbered: two a store (read, write), then two a host (NIC out, NIC in), then two a rack (uplink out, in).
 */
import { maxMinRates } from "../../maxmin";
import type { Topology } from "../types";

/** The machine that runs the provider, as the source of an upload: only the target's side limits it. */
export const PROVIDER_HOST = -1;

/** The number of a resource, by its store's, host's or rack's index. */
export const storeRead = (store: number): number => 2 * store;
export const storeWrite = (store: number): number => 2 * store + 1;
export const nicOut = ({ stores }: Topology, host: number): number => 2 * (stores.length + host);
export const nicIn = ({ stores }: Topology, host: number): number => 2 * (stores.length + host) + 1;
export const uplinkOut = ({ stores, hosts }: Topology, rack: number): number => 2 * (stores.length + hosts.length + rack);
export const uplinkIn = ({ stores, hosts }: Topology, rack: number): number => 2 * (stores.length + hosts.length + rack) + 1;

/** Bytes per second at which the store of a host, by the host's index, is read, and written besides. */
export const storeRate = ({ hosts, stores }: Topology, host: number): number => stores[hosts[host]!.store]!.bytesPerSecond;

/** Bytes per second of every resource, by its number. */
export function capacitiesOf(topology: Topology): Float64Array {
  const capacities = new Float64Array(2 * (topology.stores.length + topology.hosts.length + topology.racks.length));
  for (const store of topology.stores) {
    capacities[storeRead(store.index)] = store.bytesPerSecond;
    capacities[storeWrite(store.index)] = store.bytesPerSecond;
  }
  for (const host of topology.hosts) {
    capacities[nicOut(topology, host.index)] = host.nicBytesPerSecond;
    capacities[nicIn(topology, host.index)] = host.nicBytesPerSecond;
  }
  for (const rack of topology.racks) {
    capacities[uplinkOut(topology, rack.index)] = rack.uplinkBytesPerSecond;
    capacities[uplinkIn(topology, rack.index)] = rack.uplinkBytesPerSecond;
  }
  return capacities;
}

/** The resources one copy uses. Empty where nothing limits it: unit time, or a free copy on one host. */
export function pathOf(topology: Topology, sourceHost: number, targetHost: number): number[] {
  if (topology.time === "unit") return [];
  const target = topology.hosts[targetHost]!;
  const write = storeWrite(target.store);
  if (sourceHost === PROVIDER_HOST) return [nicIn(topology, targetHost), write];
  const source = topology.hosts[sourceHost]!;
  const read = storeRead(source.store);
  if (sourceHost === targetHost) return topology.freeLocalCopies ? [] : [read, write];
  const path = [read, nicOut(topology, sourceHost), nicIn(topology, targetHost), write];
  if (source.rack !== target.rack) path.push(uplinkOut(topology, source.rack), uplinkIn(topology, target.rack));
  return path;
}

export interface CopyCost {
  /** Seconds before the first byte. */
  startupSeconds: number;
  /** Bytes that pass the path. 0: done with the start-up. */
  bytes: number;
  path: number[];
}

/** What one copy of so many bytes asks for. In unit time one second, whatever it copies. */
export function costOf(topology: Topology, bytes: number, sourceHost: number, targetHost: number): CopyCost {
  if (topology.time === "unit") return { startupSeconds: 1, bytes: 0, path: [] };
  const path = pathOf(topology, sourceHost, targetHost);
  if (path.length === 0) return { startupSeconds: 0, bytes: 0, path };
  return { startupSeconds: topology.startupSeconds, bytes, path };
}

/** Bytes per second of a copy that has everything to itself; Infinity where nothing limits it, as in unit time. */
export function soloRate(topology: Topology, sourceHost: number, targetHost: number): number {
  if (topology.time === "unit") return Infinity;
  const target = topology.hosts[targetHost]!;
  const written = storeRate(topology, targetHost);
  if (sourceHost === PROVIDER_HOST) return Math.min(target.nicBytesPerSecond, written);
  if (sourceHost === targetHost) return topology.freeLocalCopies ? Infinity : written;
  const source = topology.hosts[sourceHost]!;
  const rate = Math.min(
    storeRate(topology, sourceHost), source.nicBytesPerSecond, target.nicBytesPerSecond, written,
  );
  if (source.rack === target.rack) return rate;
  return Math.min(
    rate, topology.racks[source.rack]!.uplinkBytesPerSecond, topology.racks[target.rack]!.uplinkBytesPerSecond,
  );
}

/** Seconds of a copy that has everything to itself, start-up included. */
export function soloSeconds(topology: Topology, bytes: number, sourceHost: number, targetHost: number): number {
  const cost = costOf(topology, bytes, sourceHost, targetHost);
  return cost.startupSeconds + (cost.bytes === 0 ? 0 : cost.bytes / soloRate(topology, sourceHost, targetHost));
}

/**
 * Bytes per second each of these concurrent copies should run at: what a straggler is measured against. In unit time
 * nothing limits them.
 * @param upstreams by copy, the index of the copy it reads from while that one is still arriving. @default none
 */
export function expectedRates(
  topology: Topology,
  copies: readonly { sourceHost: number; targetHost: number }[],
  upstreams?: readonly (number | undefined)[],
): number[] {
  if (topology.time === "unit") return copies.map(() => Infinity);
  const followers: number[][] = [];
  upstreams?.forEach((upstream, copy) => { if (upstream !== undefined) (followers[upstream] ??= []).push(copy); });
  return maxMinRates(copies.map((c) => pathOf(topology, c.sourceHost, c.targetHost)), capacitiesOf(topology), followers);
}
