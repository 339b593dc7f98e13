/** The bench's fleet as a user would write it: one member on each host but the template's. */
import { randomBytes } from "node:crypto";
import type { FleetSpec } from "../../provider/fleet/model";
import { specOf } from "../hypervisors/libvirt/labFleet";
import type { BenchGround } from "./ground";
import type { BenchPolicy } from "./options";

/** Disks take no part in it: each file is written at its NIC's rate. */
const DISK_BYTES_PER_SECOND = 1e9;

/**
 * @param nicShare what a plain copy reaches, as a part of what the topology file says: headers take a twentieth
 * @param vm more of the inputs' `vm`
 */
export function benchSpec(
  { lab, template }: Pick<BenchGround, "lab" | "template">, policy: BenchPolicy, nicShare: number, vm: Record<string, unknown> = {},
): FleetSpec {
  return specOf({
    namePrefix: `bench-${randomBytes(3).toString("hex")}`,
    template: { host: lab.hosts[0]!.name, pool: "default", volume: template.volume },
    policy,
    powerOn: false,
    racks: lab.racks.map(({ name, uplinkBitsPerSecond }) => ({ name, uplinkBitsPerSecond: Math.round(uplinkBitsPerSecond * nicShare) })),
    hosts: lab.hosts.map(({ name, uri, rack, address, nicBitsPerSecond }, i) => ({
      name, uri, rack, pool: "default", transferAddress: address, count: i === 0 ? 0 : 1,
      nicBitsPerSecond: Math.round(nicBitsPerSecond * nicShare), diskBytesPerSecond: DISK_BYTES_PER_SECOND,
    })),
    vm: { numCpus: 1, memory: 96, networks: [{ network: "default" }], domainType: "qemu", ...vm },
    allowUnauthenticatedTcp: true,
    shutdownTimeout: 1,
  });
}
