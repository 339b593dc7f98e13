import * as pulumi from "@pulumi/pulumi";
import { ClonedVmFleet, hostsInRacks } from "pulumi-vmfleet";

/** Twelve machines on four hosts in two racks, cloned from one volume. Addresses and paths are the lab's: put yours. */
export function quickstart() {
  const config = new pulumi.Config();
  const count = config.getNumber("count") ?? 12;
  const network = config.get("network") ?? "10.77";
  const boot = config.get("boot") ?? "/var/lib/vmfleet-lab/lab/boot";

  const fleet = new ClonedVmFleet("workers", {
    namePrefix: "workers",
    template: { host: "a1", pool: "default", volume: "golden.qcow2" },
    count,
    policy: "rounds",
    ...hostsInRacks({
      "rack-a": { uplinkBitsPerSecond: 8e8, hosts: [
        { name: "a1", uri: `qemu+tcp://${network}.1.1/system` },
        { name: "a2", uri: `qemu+tcp://${network}.1.2/system` },
      ] },
      "rack-b": { uplinkBitsPerSecond: 8e8, hosts: [
        { name: "b1", uri: `qemu+tcp://${network}.2.1/system` },
        { name: "b2", uri: `qemu+tcp://${network}.2.2/system` },
      ] },
    }, { pool: "default", nicBitsPerSecond: 4e8 }),
    allowUnauthenticatedTcp: true, // the lab's network is this machine's own; elsewhere: qemu+ssh
    shutdownTimeout: 10,
    vm: {
      numCpus: 1,
      memory: 96,
      networks: [{ network: "default" }],
      domainType: "qemu", // emulated: a lab may run where there is no KVM
      kernel: `${boot}/vmlinuz`,
      initrd: `${boot}/initrd`,
      cmdline: "console=ttyS0 quiet",
    },
  });

  return { placement: fleet.placement, lastRun: fleet.lastRun };
}
