import * as pulumi from "@pulumi/pulumi";
import { ClonedVmFleet, hostsInRacks } from "pulumi-vmfleet";

/**
 * A small Hadoop cluster from one golden image: a fleet of name nodes, one of data nodes with a disk each, and one of
 * compute nodes that come and go, as linked clones. Hosts differ, and so do their targets.
 */
export function hadoop() {
  const config = new pulumi.Config();
  const computePerHost = config.getNumber("computePerHost") ?? 2;
  const network = config.get("network") ?? "10.77";
  const boot = config.get("boot") ?? "/var/lib/vmfleet-lab/lab/boot";

  const common = {
    template: { host: "a1", pool: "default", volume: "golden.qcow2" },
    allowUnauthenticatedTcp: true, // the lab's network is this machine's own; elsewhere: qemu+ssh
    shutdownTimeout: 10,
  };
  const vm = {
    networks: [{ network: "default" }],
    domainType: "qemu" as const, // emulated: a lab may run where there is no KVM
    kernel: `${boot}/vmlinuz`, initrd: `${boot}/initrd`, cmdline: "console=ttyS0 quiet",
  };
  /** The same four hosts; each fleet says how many it wants on which. */
  const cluster = (targets: Record<string, number>) => hostsInRacks({
    "rack-a": { uplinkBitsPerSecond: 8e8, hosts: [
      { name: "a1", uri: `qemu+tcp://${network}.1.1/system`, count: targets.a1 },
      { name: "a2", uri: `qemu+tcp://${network}.1.2/system`, count: targets.a2 },
    ] },
    "rack-b": { uplinkBitsPerSecond: 8e8, hosts: [
      { name: "b1", uri: `qemu+tcp://${network}.2.1/system`, count: targets.b1 },
      { name: "b2", uri: `qemu+tcp://${network}.2.2/system`, count: targets.b2 },
    ] },
  }, { nicBitsPerSecond: 4e8 });

  // One name node a rack, so that a rack may fail.
  const name = new ClonedVmFleet("name", {
    ...common, ...cluster({ a1: 1, b1: 1 }), namePrefix: "hadoop-name", vm: { ...vm, memory: 128 },
  });
  // Data nodes where the disks are. Deleting one keeps its data disk.
  const data = new ClonedVmFleet("data", {
    ...common, ...cluster({ a2: 2, b1: 1, b2: 2 }), namePrefix: "hadoop-data",
    vm: { ...vm, memory: 96, disks: [{ label: "hdfs", sizeBytes: 64 * 2 ** 20, onDelete: "keep" }] },
  }, { dependsOn: name });
  // Compute nodes are many and short-lived: delta disks over one replica a host.
  const compute = new ClonedVmFleet("compute", {
    ...common, ...cluster({ a1: computePerHost, a2: computePerHost, b1: computePerHost, b2: computePerHost }),
    namePrefix: "hadoop-compute", clone: "linked", vm: { ...vm, memory: 64 },
  }, { dependsOn: data });

  const placed = (fleet: ClonedVmFleet) => fleet.members.apply((members) => members.map((member) => `${member.name} on ${member.host}`));
  return { name: placed(name), data: placed(data), compute: placed(compute) };
}
