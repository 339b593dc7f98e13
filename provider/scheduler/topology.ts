import type { FleetSpec } from "../fleet/model";
import type { LinkLimit, Topology } from "./types";

export interface TopologyOptions {
  /** Seconds each copy costs before its first byte. @default 0 */
  startupSeconds?: number;
  /** Seconds a relay's reader begins after the relay itself. @default 0 */
  hopSeconds?: number;
  /** @default "network" */
  time?: "network" | "unit";
  /** @default false */
  freeLocalCopies?: boolean;
}

/**
 * The racks, hosts and stores of a spec as the scheduler sees them; host i is `spec.hosts[i]`, and store i its own.
 * A rack that hosts name and the spec does not declare has an uplink that never limits.
 */
export function topologyOf(
  spec: Pick<FleetSpec, "hosts" | "racks">,
  options: TopologyOptions = {},
): Topology {
  const racks = spec.racks.map((rack, index) => ({
    index,
    name: rack.name,
    uplinkBytesPerSecond: Math.min(rack.uplinkBitsPerSecond, rack.transferRateBitsPerSecond ?? Infinity) / 8,
    ...(rack.transferRateBitsPerSecond !== undefined && { uplinkLimit: limit(rack.uplinkBitsPerSecond, rack.transferRateBitsPerSecond) }),
  }));
  const rackIndex = new Map(racks.map((rack) => [rack.name, rack.index]));
  const hosts = spec.hosts.map((host, index) => {
    let rack = rackIndex.get(host.rack);
    if (rack === undefined) {
      rack = racks.length;
      rackIndex.set(host.rack, rack);
      racks.push({ index: rack, name: host.rack, uplinkBytesPerSecond: Infinity });
    }
    return {
      index,
      name: host.name,
      rack,
      nicBytesPerSecond: Math.min(host.nicBitsPerSecond, host.transferRateBitsPerSecond ?? Infinity) / 8,
      ...(host.transferRateBitsPerSecond !== undefined && { nicLimit: limit(host.nicBitsPerSecond, host.transferRateBitsPerSecond) }),
      store: index,
      maxConcurrent: host.maxConcurrent,
    };
  });
  return {
    racks,
    hosts,
    stores: spec.hosts.map(({ name, diskBytesPerSecond }, index) => ({ index, name, bytesPerSecond: diskBytesPerSecond })),
    startupSeconds: options.startupSeconds ?? 0,
    time: options.time ?? "network",
    freeLocalCopies: options.freeLocalCopies ?? false,
    hopSeconds: options.hopSeconds ?? 0,
  };
}

const limit = (ofBits: number, bits: number): LinkLimit => ({ ofBytesPerSecond: ofBits / 8, bytesPerSecond: bits / 8 });
