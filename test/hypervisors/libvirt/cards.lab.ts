/** What network cards are plugged into, on a real host: as libvirt has it, and as it is read back. */
import assert from "node:assert/strict";
import type { FleetIdentity, Hypervisor } from "../../../provider/hypervisors/hypervisor";
import { cardPlace } from "../../../provider/fleet";
import type { FleetSpec, ReachableHost } from "../../../provider/fleet/model";
import { createLibvirt } from "../../../provider/hypervisors/libvirt";
import { all, at, parseXml, text } from "../../../provider/hypervisors/libvirt/xml/xml";
import { freshFleetId, inventory, labInputs, labStatus, specOf, virsh, type LabHost } from "./labFleet";

describe("network cards", function () {
  this.timeout(120_000);
  let host: LabHost;
  let hv: Hypervisor | undefined;
  let fleet: FleetIdentity;

  before(async () => { [host] = (await labStatus()).hosts as [LabHost]; });
  beforeEach(() => { fleet = { fleetId: freshFleetId(), incarnation: "one", namePrefix: "cards" }; });
  afterEach(async () => {
    await hv?.close();
    for (const domain of (await inventory(host)).domains.filter((one) => one.startsWith("cards-"))) {
      await virsh(host, "destroy", domain).catch(() => undefined);
      await virsh(host, "undefine", domain);
    }
    for (const volume of (await inventory(host)).volumes.filter((one) => one.includes(fleet.fleetId))) await virsh(host, "vol-delete", volume, "default");
  });

  async function specWith(networks: unknown[]): Promise<FleetSpec> {
    const inputs = await labInputs({ hosts: [host.name] });
    return specOf({ ...inputs, count: 1, namePrefix: "cards", vm: { ...inputs["vm"] as object, networks } });
  }
  async function look(spec: FleetSpec, preflight = false): Promise<ReachableHost> {
    const seen = await hv!.observe({ fleetId: fleet.fleetId, namePrefix: "cards", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight });
    assert.ok(seen.hosts[0]?.status === "reachable");
    return seen.hosts[0];
  }
  /** A member of these cards, defined. @returns its definition, by virsh */
  async function define(spec: FleetSpec): Promise<unknown> {
    hv = createLibvirt({ spec });
    const { template } = await hv.observe({ fleetId: fleet.fleetId, namePrefix: "cards", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight: false });
    const image = { contentId: template!.contentId, disks: template!.disks };
    const at0 = { slot: 0, generation: 0, name: "cards-000" };
    const base = { kind: "base", host: host.name, ...at0 } as const;
    await hv.clone({ fleet, image, source: { kind: "template", host: host.name }, target: base }, {});
    await hv.snapshot({ fleet, host: host.name, slot: 0, generation: 0, contentId: image.contentId });
    await hv.reconfigure({ fleet, host: host.name, ...at0, kind: "full", contentId: image.contentId, vm: spec.vm, autostart: false }, {});
    return at(parseXml(await virsh(host, "dumpxml", "--inactive", "cards-000")), "domain");
  }

  it("are in a network, on a bridge and on a device of the host, as declared, and no change of themselves", async () => {
    const spec = await specWith([{ network: "default" }, { bridge: "vmbr0", mtu: 1400, adapterType: "e1000" }, { direct: { device: "eth0", mode: "private" } }, { bridge: "ovs0", virtualPort: "openvswitch", vlanTags: [7, 42] }]);
    const domain = await define(spec);
    const cards = all(domain, "devices", "interface").map((card) => [text(card, "@type"), text(card, "source", "@network") ?? text(card, "source", "@bridge") ?? text(card, "source", "@dev"), text(card, "model", "@type")]);
    assert.deepEqual(cards, [["network", "default", "virtio"], ["bridge", "vmbr0", "e1000"], ["direct", "eth0", "virtio"], ["bridge", "ovs0", "virtio"]]);
    assert.deepEqual((await look(spec)).members.map(({ networks }) => networks), [spec.vm.networks!.map(cardPlace)]);
  });

  it("run on a bridge of the host with the packet size that was declared", async () => {
    const spec = await specWith([{ bridge: "vmbr0", mtu: 1400 }]);
    await define(spec);
    await hv!.power({ fleet, host: host.name, slot: 0, name: "cards-000", generation: 0, to: "running", shutdownMs: 0 }, {});
    const rows = (await virsh(host, "domiflist", "cards-000")).split("\n").map((line) => line.trim().split(/\s+/).slice(1, 3));
    assert.ok(rows.some(([type, source]) => type === "bridge" && source === "vmbr0"), JSON.stringify(rows));
    assert.deepEqual((await look(spec)).members.map(({ networks, power }) => [networks, power]), [[["bridge/vmbr0/mtu 1400"], "running"]]);
  });

  it("of what the host has not, or its libvirt cannot do, are told before anything is made", async () => {
    const spec = await specWith([{ bridge: "nobr0" }, { direct: { device: "eth7" } }, { bridge: "vmbr0", vlanTags: [42] }, { direct: { device: "eth0" } }]);
    hv = createLibvirt({ spec });
    assert.deepEqual((await look(spec, true)).problems.map(({ message }) => message), [
      `host ${host.name} has no network device "nobr0" (vm.networks[].bridge)`,
      `host ${host.name} has no network device "eth7" (vm.networks[].direct)`,
      `expected libvirt 11.0 or newer on ${host.name} for vlanTags on a bridge of the kernel, got 9.0: plug the cards into a bridge for that VLAN`,
    ]);
  });
});
