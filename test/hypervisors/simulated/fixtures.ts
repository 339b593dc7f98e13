import type { FleetSpec } from "../../../provider/fleet/model";
import { createSimulated, type SimulatedOptions } from "../../../provider/hypervisors/simulated";
import type { CallContext, CloneOrder, CloneResult, FleetIdentity } from "../../../provider/hypervisors/hypervisor";

export const fleet: FleetIdentity = { fleetId: "f1", incarnation: "i1", namePrefix: "w" };

/** Hosts a1, a2 in rack a and b1 in rack b, the template on a1; 1 GB images, 1 GB/s disks, 10 Gbit/s NICs. */
export function spec(): FleetSpec {
  const host = (name: string, rack: string): FleetSpec["hosts"][number] => ({
    name, rack, nicBitsPerSecond: 1e10, diskBytesPerSecond: 1e9, maxConcurrent: 2,
    own: { hypervisor: "libvirt", uri: "", pool: "default", transferPorts: { from: 1024, to: 1030 } },
  });
  return {
    defaultsVersion: 2, guest: { kind: "none" },
    namePrefix: "w",
    template: { hypervisor: "libvirt", kind: "volume", host: "a1", pool: "default", volume: "golden.qcow2" },
    clone: { kind: "full" }, policy: "auto", targets: { kind: "countPerHost", countPerHost: 1 },
    racks: [{ name: "a", uplinkBitsPerSecond: 4e10 }, { name: "b", uplinkBitsPerSecond: 4e10 }],
    hosts: [host("a1", "a"), host("a2", "a"), host("b1", "b")],
    vm: {
      hardware: "defaults", numCpus: 1, memory: 256, networks: [{ adapterType: "virtio", own: { hypervisor: "libvirt", kind: "network", network: "default" } }], disks: [],
      autostart: false, own: { hypervisor: "libvirt", domainType: "qemu", arch: "x86_64" },
    },
    powerOn: true, waitFor: { kind: "started" }, start: "whenCopied", keepSeeds: "none", onTemplateChange: "keep", allowRecreate: false, deletionProtection: false,
    abandonHosts: [], own: { hypervisor: "libvirt", allowUnauthenticatedTcp: false },
    timeouts: { callMs: 1000, connectMs: 1000, shutdownMs: 1000, lockMs: 1000, readyMs: 300_000, stallMs: 1000 },
    limits: { maxConcurrentClones: 100, maxConfiguring: 1_000_000, maxConcurrentOperations: 100, retries: 3, stragglerFactor: 0.3 },
    imageBytes: 1e9, assumed: [],
  };
}

const contentId = "0".repeat(64);
const image = { contentId, disks: [{ bytes: 1e9 }] };

/** A simulated world and short words for what tests do there. */
export function world(options: SimulatedOptions = {}) {
  const simulated = createSimulated({ spec: spec(), options });
  const { hypervisor, clock } = simulated;
  const base = (host: string, slot: number) => ({ kind: "base", host, slot, generation: 0, name: `w-00${slot}` }) as const;
  const template = { kind: "template", host: "a1" } as const;
  return {
    ...simulated, base, template,
    clone: (source: CloneOrder["source"], target: CloneOrder["target"], context?: CallContext): Promise<CloneResult> =>
      hypervisor.clone({ fleet, image, source, target }, context),
    observe: () => hypervisor.observe({
      fleetId: "f1", namePrefix: "w", hosts: spec().hosts, spec: spec(), deadlineMs: 1000, preflight: true,
    }),
    seconds: () => clock.nowMs() / 1000,
    define: (host: string, slot: number) => hypervisor.reconfigure({
      fleet, host, slot, name: `w-00${slot}`, kind: "full", generation: 0, contentId,
      vm: spec().vm, autostart: false,
    }),
    member: (host: string, slot: number) => ({ fleet, host, slot, name: `w-00${slot}`, generation: 0 }),
  };
}
