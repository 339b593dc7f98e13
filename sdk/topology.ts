import type { InputOf } from "./args";
import type { FleetInputs } from "../provider/fleet";

type HostInputs = FleetInputs["hosts"][number];
type HostArgs = { [Key in keyof HostInputs]: InputOf<HostInputs[Key]> };
type RackArgs = NonNullable<FleetInputs["racks"]>[number];

export interface RackOfHosts {
  /** Bits per second, each way. @default 4e10 */
  uplinkBitsPerSecond?: number;
  /** Limit to what all copies use of the uplink, bits per second, each way. @default none */
  transferRateBitsPerSecond?: number;
  hosts: Omit<HostArgs, "rack">[];
}

/**
 * `racks` and `hosts` of a fleet from hosts listed rack by rack, in the order they are written.
 *
 * @param racks by name of the rack
 * @param common what all hosts share; a host's own values win
 * @example
 * new ClonedVmFleet("workers", {
 *   ...hostsInRacks({ "rack-a": { hosts: [{ name: "a1", uri: "qemu+ssh://root@a1/system" }] } }, { pool: "images" }),
 *   namePrefix: "workers", template: { host: "a1", pool: "images", volume: "golden.qcow2" }, countPerHost: 3,
 * });
 */
export function hostsInRacks(
  racks: Record<string, RackOfHosts>, common: Partial<Omit<HostArgs, "name" | "uri" | "rack">> = {},
): { racks: RackArgs[]; hosts: HostArgs[] } {
  return {
    racks: Object.entries(racks).map(([name, { uplinkBitsPerSecond, transferRateBitsPerSecond }]) => ({
      name,
      ...(uplinkBitsPerSecond !== undefined && { uplinkBitsPerSecond }),
      ...(transferRateBitsPerSecond !== undefined && { transferRateBitsPerSecond }),
    })),
    hosts: Object.entries(racks).flatMap(([rack, { hosts }]) => hosts.map((host) => ({ ...common, ...host, rack }))),
  };
}
