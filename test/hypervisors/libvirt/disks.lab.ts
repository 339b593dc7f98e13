/** As many data disks as check allows, on real QEMU: what goes out comes back, and goes with its member. */
import assert from "node:assert/strict";
import { imageOf } from "../../../provider/fleet";
import type { FleetSpec, ReachableHost } from "../../../provider/fleet/model";
import type { Hypervisor } from "../../../provider/hypervisors/hypervisor";
import { createLibvirt } from "../../../provider/hypervisors/libvirt";
import { freshFleetId, inventory, labSpec, labStatus, lines, virsh, type LabHost } from "./labFleet";

describe("a member with as many data disks as check allows", function () {
  this.timeout(120_000);
  let host: LabHost;
  let spec: FleetSpec;
  let hv: Hypervisor;

  before(async () => {
    host = (await labStatus()).hosts[0]!;
    spec = await labSpec({ hosts: [host.name], dataBytes: 8 << 20 });
    spec = { ...spec, vm: { ...spec.vm, disks: Array.from({ length: 55 }, (_, index) => ({ label: `disk-${index}`, sizeBytes: 1 << 20, onDelete: "delete" })) } };
    hv = createLibvirt({ spec });
  });
  after(() => hv.close());

  it("starts, shows every disk under a target of its own, keeps all in a new shape, and leaves none behind", async () => {
    const fleet = { fleetId: freshFleetId(), incarnation: "one", namePrefix: "many" };
    const look = (): ReturnType<Hypervisor["observe"]> => hv.observe({ fleetId: fleet.fleetId, namePrefix: "many", hosts: spec.hosts, spec, deadlineMs: 60_000, preflight: false });
    const image = imageOf((await look()).template!);
    const { contentId } = image;
    const ref = { fleet, host: host.name, slot: 0, name: "many-000", generation: 0 };
    const base = { kind: "base", host: host.name, slot: 0, generation: 0, name: ref.name } as const;
    const define = (vm: FleetSpec["vm"]): Promise<void> => hv.reconfigure({
      ...ref, kind: "full", contentId, vm, autostart: false,
    });
    try {
      await hv.clone({ fleet, image, source: { kind: "template", host: host.name }, target: base });
      await hv.snapshot({ ...ref, contentId });
      await define(spec.vm);
      await define({ ...spec.vm, memory: spec.vm.memory! + 16 });
      await hv.power({ ...ref, to: "running", shutdownMs: 0 });
      const targets = lines(await virsh(host, "domblklist", ref.name)).map((line) => line.split(/\s+/)[0]!);
      assert.equal(new Set(targets).size, 56);
      assert.deepEqual(targets.filter((one) => one.length > 3).slice(0, 2), ["vdaa", "vdab"]);
      const [seen] = ((await look()).hosts[0] as ReachableHost).members;
      assert.deepEqual(seen!.disks.map(({ label }) => label).sort(), spec.vm.disks.map(({ label }) => label).sort());
    } finally {
      await hv.destroy({ kind: "member", ...ref, shutdownMs: 0 });
    }
    const left = await inventory(host);
    assert.deepEqual([...left.domains, ...left.volumes].filter((one) => one.includes(fleet.fleetId) || one === ref.name), []);
  });
});
