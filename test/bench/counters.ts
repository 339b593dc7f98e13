/** Bytes that passed NICs and uplinks, from the interfaces' own counters. */
import { nicBytes, uplinkBytes } from "../lab";
import type { ByteCounts, Lab } from "../lab/lab.mjs";

export interface TrafficCounts {
  /** By host. */
  nics: Record<string, ByteCounts>;
  /** By rack; tx: out of it. */
  uplinks: Record<string, ByteCounts>;
}

export async function readCounters(lab: Lab): Promise<TrafficCounts> {
  const [nics, uplinks] = await Promise.all([
    Promise.all(lab.hosts.map(async (host) => [host.name, await nicBytes(host)] as const)),
    Promise.all(lab.racks.map(async (rack) => [rack.name, await uplinkBytes(rack)] as const)),
  ]);
  return { nics: Object.fromEntries(nics), uplinks: Object.fromEntries(uplinks) };
}

export function trafficBetween(before: TrafficCounts, after: TrafficCounts): TrafficCounts {
  const difference = (from: Record<string, ByteCounts>, to: Record<string, ByteCounts>): Record<string, ByteCounts> =>
    Object.fromEntries(Object.entries(to).map(([name, { rx, tx }]) => [name, { rx: rx - from[name]!.rx, tx: tx - from[name]!.tx }]));
  return { nics: difference(before.nics, after.nics), uplinks: difference(before.uplinks, after.uplinks) };
}

/** What left a NIC or a rack: each byte that crosses counts once. */
export const sent = (counts: Record<string, ByteCounts>): number =>
  Object.values(counts).reduce((sum, { tx }) => sum + tx, 0);
