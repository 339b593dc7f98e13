/** What operators do to their machines behind our back must never cost a disk. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { imageOf, slotName } from "../../../provider/fleet";
import type { FleetSpec, Image, ReachableHost } from "../../../provider/fleet/model";
import type { FleetIdentity, MemberRef } from "../../../provider/hypervisors/hypervisor";
import { createLibvirt, type Libvirt } from "../../../provider/hypervisors/libvirt";
import { freshFleetId, labSpec, labStatus, virsh, type LabHost } from "./labFleet";

const run = promisify(execFile);

describe("members that somebody else has touched", function () {
  this.timeout(90_000);
  let host: LabHost;
  let spec: FleetSpec;
  let hv: Libvirt;
  let fleet: FleetIdentity;
  let image: Image;
  let contentId: string;
  const name = (slot: number): string => slotName(`safe-${fleet.fleetId}`, slot);
  const ref = (slot: number): MemberRef => ({ fleet, host: host.name, slot, name: name(slot), generation: 0 });

  before(async () => {
    host = (await labStatus()).hosts[0]!;
    spec = await labSpec({ hosts: [host.name], dataBytes: 8 << 20 });
  });
  beforeEach(async () => {
    fleet = { fleetId: freshFleetId(), incarnation: "one", namePrefix: "safe" };
    hv = createLibvirt({ spec });
    image = imageOf((await hv.observe({ fleetId: fleet.fleetId, namePrefix: "safe", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight: false })).template!);
    ({ contentId } = image);
  });
  afterEach(async () => {
    await hv.close();
    for (const domain of (await virsh(host, "list", "--all", "--name")).split("\n").filter((d) => d.includes(fleet.fleetId))) {
      await virsh(host, "destroy", domain).catch(() => undefined);
      await virsh(host, "undefine", domain, "--snapshots-metadata", "--managed-save");
    }
    for (const file of await files()) await rm(join(host.poolDir, file));
    await virsh(host, "pool-refresh", "default");
  });

  const files = async (): Promise<string[]> => (await readdir(host.poolDir)).filter((f) => f.includes(fleet.fleetId)).sort();
  const look = async (): Promise<ReachableHost> =>
    (await hv.observe({ fleetId: fleet.fleetId, namePrefix: "safe", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight: true })).hosts[0] as ReachableHost;
  async function make(slot: number, kind: "full" | "linked", start = true): Promise<void> {
    const target = kind === "full"
      ? ({ kind: "base", host: host.name, slot, generation: 0, name: name(slot) } as const)
      : ({ kind: "replica", purpose: "replica", host: host.name, contentId } as const);
    await hv.clone({ fleet, image, source: { kind: "template", host: host.name }, target });
    const order = { fleet, host: host.name, slot, generation: 0, contentId };
    await (target.kind === "base" ? hv.snapshot(order) : hv.abilities.linksClones.link({ ...order, replica: target }));
    await define(slot, kind);
    if (start) await hv.power({ ...ref(slot), to: "running", shutdownMs: 0 });
  }
  const define = (slot: number, kind: "full" | "linked", vm = spec.vm): Promise<void> => hv.reconfigure({
    fleet, host: host.name, slot, name: name(slot), kind, generation: 0, contentId, vm, autostart: false,
  });
  const untouched = async (action: Promise<unknown>, says: RegExp): Promise<void> => {
    const before = await files();
    await assert.rejects(action, says);
    assert.deepEqual(await files(), before);
  };

  it("keep their disks, and are neither merged nor removed, while a snapshot stands on them", async () => {
    await make(0, "full");
    await make(1, "linked");
    for (const slot of [0, 1]) await virsh(host, "snapshot-create-as", name(slot), "mine", "--disk-only", "--no-metadata");
    const seen = await look();
    assert.deepEqual(seen.leftovers, []);
    assert.deepEqual(seen.members.map((m) => m.base), ["consolidated", "replica"], "the one is no source, the other still uses its replica");
    assert.deepEqual(seen.replicas[0]?.users, [1]);
    await untouched(hv.consolidate(ref(0)), /merge or remove the snapshot first/);
    await untouched(define(0, "full", { ...spec.vm, memory: 128 }), /merge or remove the snapshot first/);
    for (const slot of [0, 1]) await untouched(hv.destroy({ kind: "member", ...ref(slot), shutdownMs: 0 }), /merge or remove the snapshot first/);
    for (const slot of [0, 1]) assert.equal((await virsh(host, "domstate", name(slot))).trim(), "running");
  });

  it("keep their disks when a medium stands first, or an image of somebody's stands on a disk of ours", async () => {
    await make(0, "full", false);
    const xml = (await virsh(host, "dumpxml", name(0), "--inactive")).replace("<devices>", "<devices><disk type='file' device='cdrom'><target dev='sda' bus='scsi'/><readonly/></disk>");
    const file = `/tmp/vmfleet-safe-${process.pid}.xml`;
    await writeFile(file, xml);
    await virsh(host, "define", file);
    await rm(file);
    assert.deepEqual([(await look()).leftovers, (await look()).members[0]!.chain.length], [[], 2]);
    await virsh(host, "undefine", name(0));
    const base = (await files()).find((f) => f.includes(".base."))!;
    const overlay = join(host.poolDir, `rescue-${fleet.fleetId}.img`);
    await run("qemu-img", ["create", "-q", "-f", "qcow2", "-b", join(host.poolDir, base), "-F", "qcow2", overlay]);
    assert.ok((await look()).leftovers.every((p) => p.name !== base), "somebody's rescue image stands on it");
  });

  it("are left alone while another job of their disk runs, or a saved state names it", async () => {
    await make(0, "full");
    const copy = join(host.dataDir, "images", `copy-${fleet.fleetId}.qcow2`);
    await virsh(host, "blockcopy", name(0), "vda", copy, "--transient-job");
    await untouched(hv.consolidate(ref(0)), /another block job/);
    await virsh(host, "blockjob", name(0), "vda", "--abort");
    await virsh(host, "managedsave", name(0));
    await untouched(hv.consolidate(ref(0)), /saved state/);
    await virsh(host, "managedsave-remove", name(0));
    await hv.consolidate(ref(0));
    assert.equal((await look()).members[0]!.base, "consolidated");
  });

  it("are resumed when they were paused, and keep data disks that are no longer declared", async () => {
    await make(0, "full", false);
    await virsh(host, "undefine", name(0));
    await define(0, "full", { ...spec.vm, disks: [{ label: "data", sizeBytes: 1 << 20, onDelete: "keep" }] });
    await hv.power({ ...ref(0), to: "running", shutdownMs: 0 });
    await virsh(host, "suspend", name(0));
    assert.equal((await look()).members[0]!.power, "paused");
    await hv.power({ ...ref(0), to: "running", shutdownMs: 0 });
    assert.equal((await look()).members[0]!.power, "running");
    await define(0, "full", { ...spec.vm, memory: 128 });
    assert.match(await virsh(host, "dumpxml", name(0), "--inactive"), /disk-keep\.data/);
    assert.equal((await look()).members[0]!.memory, 128, "what it will start with is what counts");
  });

  it("are repaired where a crash left the tag behind the disk", async () => {
    await make(0, "full");
    await hv.consolidate(ref(0));
    const tag = `<fleet purpose="member" fleetId="${fleet.fleetId}" incarnation="one" slot="0" generation="0" kind="full" contentId="${contentId}" base="consolidating"/>`;
    await virsh(host, "metadata", name(0), "urn:pulumi-vmfleet:libvirt:1", "--key", "vmfleet", "--set", tag, "--config", "--live");
    assert.equal((await look()).members[0]!.base, "consolidated");
    await define(0, "full", { ...spec.vm, memory: 128 });
  });

  it("are not taken for gone while their pool is", async () => {
    await make(0, "full", false);
    await virsh(host, "pool-destroy", "default");
    try {
      await assert.rejects(look(), /pool default is not active/);
      await untouched(hv.destroy({ kind: "member", ...ref(0), shutdownMs: 0 }), /not active/);
    } finally {
      await virsh(host, "pool-start", "default");
    }
    assert.equal((await look()).members.length, 1);
  });
});
