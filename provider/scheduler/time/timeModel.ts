/**
 * What a copy costs (DESIGN.md section 6). Each copy uses disk read, NIC out, [uplink out, uplink in,] NIC in and
 * disk write; each of these is a resource of its own, shared max-min fairly by the copies that use it.
 *
 * Resources are numbered: four a host (disk read, disk write, NIC out, NIC in), then two a rack (uplink out, in).
 */
import { maxMinRates } from "../../maxmin";
import type { Topology } from "../types";

/** The machine that runs the provider, as the source of an upload: only the target's side limits it. */
export const PROVIDER_HOST = -1;

const PER_HOST = 4;
export const diskRead = (host: number): number => PER_HOST * host;
export const diskWrite = (host: number): number => PER_HOST * host + 1;
export const nicOut = (host: number): number => PER_HOST * host + 2;
export const nicIn = (host: number): number => PER_HOST * host + 3;
export const uplinkOut = (topology: Topology, rack: number): number => PER_HOST * topology.hosts.length + 2 * rack;
export const uplinkIn = (topology: Topology, rack: number): number => PER_HOST * topology.hosts.length + 2 * rack + 1;

/** Bytes per second of every resource, by its number. */
export function capacitiesOf(topology: Topology): Float64Array {
  const capacities = new Float64Array(PER_HOST * topology.hosts.length + 2 * topology.racks.length);
  for (const host of topology.hosts) {
    capacities[diskRead(host.index)] = host.diskBytesPerSecond;
    capacities[diskWrite(host.index)] = host.diskBytesPerSecond;
    capacities[nicOut(host.index)] = host.nicBytesPerSecond;
    capacities[nicIn(host.index)] = host.nicBytesPerSecond;
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
  if (sourceHost === PROVIDER_HOST) return [nicIn(targetHost), diskWrite(targetHost)];
  if (sourceHost === targetHost) {
    return topology.freeLocalCopies ? [] : [diskRead(sourceHost), diskWrite(targetHost)];
  }
  const path = [diskRead(sourceHost), nicOut(sourceHost), nicIn(targetHost), diskWrite(targetHost)];
  const from = topology.hosts[sourceHost]!.rack;
  const to = topology.hosts[targetHost]!.rack;
  if (from !== to) path.push(uplinkOut(topology, from), uplinkIn(topology, to));
  return path;
}

export interface CopyCost {
  /** Seconds before the first byte. */
  startupSeconds: number;
  /** Bytes that pass the path. 0: done with the start-up. */
  bytes: number;
  path: number[];
}

/** What one copy asks for. In unit time one second, whatever it copies. */
export function costOf(topology: Topology, sourceHost: number, targetHost: number): CopyCost {
  if (topology.time === "unit") return { startupSeconds: 1, bytes: 0, path: [] };
  const path = pathOf(topology, sourceHost, targetHost);
  if (path.length === 0) return { startupSeconds: 0, bytes: 0, path };
  return { startupSeconds: topology.startupSeconds, bytes: topology.imageBytes, path };
}

/** Bytes per second of a copy that has everything to itself; Infinity where nothing limits it. */
export function soloRate(topology: Topology, sourceHost: number, targetHost: number): number {
  if (topology.time === "unit") return topology.imageBytes;
  const target = topology.hosts[targetHost]!;
  if (sourceHost === PROVIDER_HOST) return Math.min(target.nicBytesPerSecond, target.diskBytesPerSecond);
  if (sourceHost === targetHost) return topology.freeLocalCopies ? Infinity : target.diskBytesPerSecond;
  const source = topology.hosts[sourceHost]!;
  const rate = Math.min(
    source.diskBytesPerSecond, source.nicBytesPerSecond, target.nicBytesPerSecond, target.diskBytesPerSecond,
  );
  if (source.rack === target.rack) return rate;
  return Math.min(
    rate, topology.racks[source.rack]!.uplinkBytesPerSecond, topology.racks[target.rack]!.uplinkBytesPerSecond,
  );
}

/** Seconds of a copy that has everything to itself, start-up included. */
export function soloSeconds(topology: Topology, sourceHost: number, targetHost: number): number {
  const cost = costOf(topology, sourceHost, targetHost);
  return cost.startupSeconds + (cost.bytes === 0 ? 0 : cost.bytes / soloRate(topology, sourceHost, targetHost));
}

/**
 * Bytes per second each of these concurrent copies should run at: what a straggler is measured against.
 * @param upstreams by copy, the index of the copy it reads from while that one is still arriving. @default none
 */
export function expectedRates(
  topology: Topology,
  copies: readonly { sourceHost: number; targetHost: number }[],
  upstreams?: readonly (number | undefined)[],
): number[] {
  if (topology.time === "unit") return copies.map(() => topology.imageBytes);
  const followers: number[][] = [];
  upstreams?.forEach((upstream, copy) => { if (upstream !== undefined) (followers[upstream] ??= []).push(copy); });
  return maxMinRates(copies.map((c) => pathOf(topology, c.sourceHost, c.targetHost)), capacitiesOf(topology), followers);
}
