/** The bench's fleet as a user would write it. */
import { randomBytes } from "node:crypto";
import type { FleetSpec } from "../../provider/fleet/model";
import { specOf } from "../hypervisors/libvirt/labFleet";
import type { InstalledTemplate } from "../lab/image.mjs";
import type { Lab } from "../lab/lab.mjs";
import type { BenchPolicy } from "./options";

export interface BenchFleet {
  policy: BenchPolicy;
  powerOn: boolean;
  /** Over all hosts, or on this one alone. */
  count: number;
  onlyOn?: string;
}

/** What every fleet of a run has in common. */
export interface BenchGround {
  lab: Lab;
  /** On the lab's first host. */
  template: InstalledTemplate;
  rates: MeasuredRates;
}

/** What the hosts are declared to do, so that a prediction's error is the model's and not that of a guess. */
export interface MeasuredRates {
  /** Of each host, when all write. */
  diskBytesPerSecond: number;
  /** What one plain copy reaches, as a part of what the topology file says: headers take a twentieth. */
  nicShare: number;
}

export function benchSpec({ lab, template, rates }: BenchGround, fleet: BenchFleet): FleetSpec {
  const { policy, powerOn, count, onlyOn } = fleet;
  return specOf({
    namePrefix: `bench-${randomBytes(3).toString("hex")}`,
    template: { host: lab.hosts[0]!.name, pool: "default", volume: template.volume },
    policy,
    powerOn,
    ...(onlyOn === undefined && { count }),
    racks: lab.racks.map(({ name, uplinkBitsPerSecond }) => ({ name, uplinkBitsPerSecond: Math.round(uplinkBitsPerSecond * rates.nicShare) })),
    hosts: lab.hosts.map(({ name, uri, rack, address, nicBitsPerSecond }) => ({
      name, uri, rack, pool: "default", transferAddress: address,
      nicBitsPerSecond: Math.round(nicBitsPerSecond * rates.nicShare), diskBytesPerSecond: Math.round(rates.diskBytesPerSecond),
      ...(onlyOn !== undefined && { count: name === onlyOn ? count : 0 }),
    })),
    vm: {
      numCpus: 1, memory: 96, networks: [{ network: "default" }], domainType: "qemu",
      kernel: template.kernel, initrd: template.initrd, cmdline: template.cmdline, serialLog: "/var/log/libvirt/qemu/{name}.serial.log",
    },
    allowUnauthenticatedTcp: true,
    shutdownTimeout: 1,
  });
}
