/**
 * Copies that somebody makes of members, second definitions of them, machines and images of somebody's that stand on
 * what is ours: told of, never touched, whatever a run has to do. What is so is said by virsh and qemu-img.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { copyFile, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { applyFleet, realClock, refreshFleet, removeFleet } from "../../../provider/engine";
import { imageOf, problemsOfHost, slotName } from "../../../provider/fleet";
import type { FleetSpec, FleetState, Image, ReachableHost } from "../../../provider/fleet/model";
import type { Hypervisor, MemberRef } from "../../../provider/hypervisors/hypervisor";
import { createLibvirt, type Libvirt } from "../../../provider/hypervisors/libvirt";
import { freshFleetId, labInputs, labStatus, lines, specOf, virsh, type LabHost } from "./labFleet";

const run = promisify(execFile);
const TAG = "urn:pulumi-vmfleet:libvirt:1";

/** Defines the XML on the host, whatever is in it. */
async function define(host: LabHost, xml: string): Promise<void> {
  const file = `/tmp/vmfleet-ownership-${process.pid}-${randomUUID()}.xml`;
  await writeFile(file, xml);
  await virsh(host, "define", file);
  await rm(file);
}
const definition = (host: LabHost, name: string): Promise<string> => virsh(host, "dumpxml", name, "--inactive", "--security-info");
const filesOf = (xml: string): string[] => [...xml.matchAll(/<source file='([^']*)'/g)].map(([, file]) => file!);

/** As virt-clone does it: the definition with another name, UUID and MACs, and its metadata; the disks copied, or kept (`--preserve-data`). */
async function virtClone(host: LabHost, name: string, disks: "copied" | "preserved"): Promise<string> {
  const clone = `${name}-clone`;
  let xml = (await definition(host, name))
    .replace(/<backingStore[^]*?<\/backingStore>|<backingStore\/>/g, "")
    .replace(`<name>${name}</name>`, `<name>${clone}</name>`).replace(/<uuid>[^<]*<\/uuid>/, `<uuid>${randomUUID()}</uuid>`)
    .replace(/<mac address='[^']*'\/>/g, "").replaceAll(".serial.log", "-clone.serial.log");
  if (disks === "copied") {
    for (const file of filesOf(xml)) {
      const copy = file.replace(/(\.[^.]*)$/, "-clone$1");
      await run("qemu-img", ["convert", "-U", "-O", "qcow2", file, copy]);
      xml = xml.replaceAll(`'${file}'`, `'${copy}'`);
    }
    await virsh(host, "pool-refresh", "default");
  }
  await define(host, xml);
  return clone;
}

describe("what somebody made of members, or stands on them", function () {
  this.timeout(120_000);
  let hosts: LabHost[];
  let inputs: Record<string, unknown>;
  let prefix: string;
  let fleetId: string;
  let state: FleetState | undefined;

  before(async () => {
    hosts = (await labStatus()).hosts.slice(0, 2);
    inputs = await labInputs({ hosts: hosts.map((h) => h.name), dataBytes: 8 << 20 });
    inputs = { ...inputs, count: 2, vm: { ...inputs.vm as object, disks: [{ label: "data", sizeBytes: 1 << 20, onDelete: "delete" }] } };
    prefix = String(inputs.namePrefix);
    fleetId = freshFleetId();
  });
  after(async () => {
    for (const host of hosts) {
      for (const name of lines(await virsh(host, "list", "--all", "--name")).filter((one) => one.includes(prefix))) {
        await virsh(host, "destroy", name).catch(() => undefined);
        await virsh(host, "undefine", name, "--managed-save", "--snapshots-metadata").catch(() => undefined);
      }
      for (const file of (await readdir(host.poolDir)).filter((one) => one.includes(fleetId) || one.includes(prefix))) await rm(join(host.poolDir, file));
      await virsh(host, "pool-refresh", "default");
    }
  });

  const withHypervisor = async <T>(spec: FleetSpec, body: (hypervisor: Hypervisor) => Promise<T>): Promise<T> => {
    const hypervisor = createLibvirt({ spec });
    try {
      return await body(hypervisor);
    } finally {
      await hypervisor.close();
    }
  };
  const up = async (changes: Record<string, unknown> = {}): Promise<FleetState> => {
    const spec = specOf({ ...inputs, ...changes });
    state = await withHypervisor(spec, async (hypervisor) => (
      await applyFleet({ spec, fleetId, incarnation: "one", previous: state, hypervisor, clock: realClock, holder: "test" })
    ).state);
    return state;
  };
  const look = (host: LabHost): Promise<ReachableHost> => withHypervisor(specOf(inputs), async (hypervisor) => (
    await hypervisor.observe({ fleetId, namePrefix: prefix, hosts: specOf(inputs).hosts, spec: specOf(inputs), deadlineMs: 20_000, preflight: true })
  ).hosts.find(({ name }) => name === host.name) as ReachableHost);
  const power = async (host: LabHost, name: string): Promise<string> => (await virsh(host, "domstate", name)).trim();
  const at = (host: LabHost): string => state!.members.find((member) => member.host === host.name)!.name;

  it("copies with disks of their own: no run changes, counts, attaches or deletes anything of them", async () => {
    await up();
    const [host] = hosts as [LabHost];
    const name = at(host);
    const clone = await virtClone(host, name, "copied");
    await virsh(host, "start", clone);
    const before = await definition(host, clone);
    const disks = filesOf(before);
    assert.ok(disks.some((disk) => disk.includes("disk-delete.data-clone")), "the copy's data disk has a name that looks like ours");
    const members = state!.members;
    assert.deepEqual((await up()).members, members);
    assert.deepEqual((await look(host)).strangers.map((one) => one.name), [clone]);
    await up({ vm: { ...inputs.vm as object, memory: 112 } });
    const own = filesOf(await definition(host, name));
    assert.deepEqual([own.length, own.filter((file) => file.includes("clone"))], [3, []], "its first, its data disk, and the one that tells its guest who it is");
    assert.deepEqual([await power(host, name), await power(host, clone)], ["running", "running"]);
    assert.equal(await definition(host, clone), before);
    inputs = { ...inputs, vm: { ...inputs.vm as object, memory: 112 } };
  });

  it("copies over a member's own disk: it is neither stopped nor loses it, and goes once the copy is gone", async () => {
    const host = hosts[1]!;
    const name = at(host);
    const clone = await virtClone(host, name, "preserved");
    assert.equal((await up()).lastRun.destroyed, 0);
    // Extra disks taken out of the program, and a definition written anew: the copy names them, and so does the member.
    const named = filesOf(await definition(host, name));
    await up({ vm: { ...inputs.vm as object, memory: 120, disks: [] } });
    assert.deepEqual([filesOf(await definition(host, name)), filesOf(await definition(host, clone))], [named, named]);
    for (const file of named) await run("qemu-img", ["info", "-U", file]);
    await assert.rejects(up({ count: 1, hosts: undefined, ...onlyFirst() }), (error: Error & { reasons?: string[] }) => {
      assert.match(error.reasons?.join() ?? error.message, new RegExp(`in use.*${clone}`));
      return true;
    });
    assert.equal(await power(host, name), "running");
    for (const file of filesOf(await definition(host, name))) await run("qemu-img", ["info", "-U", file]);
    await virsh(host, "undefine", clone);
  });

  it("second definitions on another host: the member stays where its disks are, and nothing is done to the twin", async () => {
    const [first, second] = hosts as [LabHost, LabHost];
    const name = at(second);
    await define(first, await definition(second, name));
    const members = (await up()).members;
    assert.deepEqual(members.map((member) => [member.name, member.host]), [[at(first), first.name], [name, second.name]].sort());
    const spec = specOf(inputs);
    const refreshed = await withHypervisor(spec, (hypervisor) => refreshFleet({ spec, fleetId, incarnation: "one", previous: state, hypervisor, clock: realClock, holder: "test" }));
    assert.deepEqual(refreshed!.members, members);
    assert.match((await look(first)).strangers.find((one) => one.name === name)?.reason ?? "", /another host's and is not here.*virsh undefine/s);
  });

  it("all of them outlive the fleet, the copy's disks too when its tag is off", async () => {
    const [first, second] = hosts as [LabHost, LabHost];
    const [name, twin, clone] = [at(first), at(second), `${at(first)}-clone`];
    await virsh(first, "metadata", clone, TAG, "--key", "vmfleet", "--remove", "--config", "--live");
    const disks = filesOf(await definition(first, clone));
    const spec = specOf(inputs);
    await withHypervisor(spec, (hypervisor) => removeFleet({ spec, fleetId, incarnation: "one", previous: state, hypervisor, clock: realClock, holder: "test" }));
    const [left, gone] = [lines(await virsh(first, "list", "--all", "--name")), lines(await virsh(second, "list", "--all", "--name"))];
    assert.deepEqual([left.includes(clone), left.includes(twin), left.includes(name), gone.includes(twin)], [true, true, false, false]);
    assert.equal(await power(first, clone), "running");
    const files = (await Promise.all(hosts.map(({ poolDir }) => readdir(poolDir)))).flat().filter((file) => file.includes(fleetId));
    assert.deepEqual(files.sort(), disks.map((disk) => disk.split("/").at(-1)!).sort(), "nothing but the copy's disks is left");
    await virsh(first, "destroy", clone);
    for (const disk of disks) await run("qemu-img", ["check", "-q", disk]);
  });

  /** The second host gives its member up. */
  const onlyFirst = (): Record<string, unknown> => ({
    hosts: (inputs.hosts as { name: string }[]).map((host, index) => ({ ...host, count: index === 0 ? 1 : 0 })), count: undefined,
  });

  describe("at one host", () => {
    let host: LabHost;
    let spec: FleetSpec;
    let hv: Libvirt;
    let image: Image;
    let contentId: string;
    const fleet = () => ({ fleetId, incarnation: "one", namePrefix: prefix });
    const ref = (slot: number, generation = 0): MemberRef => ({ fleet: fleet(), host: host.name, slot, name: slotName(prefix, slot), generation });
    const base = (slot: number) => ({ kind: "base", host: host.name, slot, generation: 0, name: slotName(prefix, slot) }) as const;
    const replica = () => ({ kind: "replica", purpose: "replica", host: host.name, contentId }) as const;
    const copy = (target: ReturnType<typeof base> | ReturnType<typeof replica>) => hv.clone({ fleet: fleet(), image, source: { kind: "template", host: host.name }, target });
    const file = async (part: string): Promise<string> => join(host.poolDir, (await readdir(host.poolDir)).find((one) => one.includes(fleetId) && one.includes(part))!);
    async function make(slot: number, kind: "full" | "linked" = "full"): Promise<void> {
      const target = kind === "full" ? base(slot) : replica();
      await copy(target);
      const order = { fleet: fleet(), host: host.name, slot, generation: 0, contentId };
      await (target.kind === "base" ? hv.snapshot(order) : hv.abilities.linksClones.link({ ...order, replica: target }));
      await hv.reconfigure({ ...ref(slot), kind, contentId, vm: { ...spec.vm, disks: [] }, autostart: false });
    }
    const somebody = (source: string, type: string): string => `<domain type='qemu'><name>${prefix}-somebody</name><memory unit='MiB'>16</memory><os><type arch='x86_64'>hvm</type></os>
      <devices><disk type='${type}' device='disk'><driver name='qemu' type='qcow2'/>${source}<target dev='vda' bus='virtio'/></disk></devices></domain>`;
    const overlayOn = async (path: string): Promise<string> => {
      const overlay = join(host.poolDir, `${prefix}-rescue.img`);
      await run("qemu-img", ["create", "-q", "-f", "qcow2", "-b", path, "-F", "qcow2", overlay]);
      return overlay;
    };

    before(async () => {
      host = hosts[0]!;
      spec = specOf({ ...inputs, count: 1 });
      hv = createLibvirt({ spec });
      image = imageOf((await hv.observe({ fleetId, namePrefix: prefix, hosts: spec.hosts, spec, deadlineMs: 20_000, preflight: false })).template!);
      ({ contentId } = image);
    });
    beforeEach(() => { fleetId = freshFleetId(); });
    afterEach(async () => {
      for (const name of lines(await virsh(host, "list", "--all", "--name")).filter((one) => one.startsWith(prefix) || one === "renamed")) {
        await virsh(host, "destroy", name).catch(() => undefined);
        await virsh(host, "undefine", name, "--managed-save", "--snapshots-metadata");
      }
      for (const one of (await readdir(host.poolDir)).filter((each) => each.includes(fleetId) || each.includes(prefix))) await rm(join(host.poolDir, one));
      await virsh(host, "pool-refresh", "default");
    });
    after(() => hv.close());

    it("a leftover that somebody's machine has by pool and volume is no leftover", async () => {
      await copy(base(0));
      const path = await file(".base.");
      assert.equal((await look(host)).leftovers.length, 1);
      await define(host, somebody(`<source pool='default' volume='${path.split("/").at(-1)!}'/>`, "volume"));
      const seen = await look(host);
      assert.deepEqual([seen.leftovers.filter((one) => one.name.includes(".base.")), seen.heldGenerations.some((one) => one.slot === 0)], [[], true]);
      await assert.rejects(hv.destroy({ kind: "leftover", fleet: fleet(), host: host.name, leftover: { kind: "volume", name: path.split("/").at(-1)!, bytes: 0 } }), /somebody has it as a disk/);
      await run("qemu-img", ["check", "-q", path]);
    });

    it("images that somebody made a machine of since they were copied get no member", async () => {
      const order = { ...ref(0), kind: "full" as const, contentId, vm: { ...spec.vm, disks: [] }, autostart: false };
      await copy(base(0));
      await hv.snapshot({ fleet: fleet(), host: host.name, slot: 0, generation: 0, contentId });
      for (const part of [".delta.", ".base."]) {
        await define(host, somebody(`<source file='${await file(part)}'/>`, "file"));
        await assert.rejects(hv.reconfigure(order), /in use, and nothing was done to it: the domain .*somebody has it/);
        assert.deepEqual(lines(await virsh(host, "list", "--all", "--name")).filter((one) => one.startsWith(prefix)), [`${prefix}-somebody`]);
        await virsh(host, "undefine", `${prefix}-somebody`);
      }
      await hv.reconfigure(order);
      assert.deepEqual((await look(host)).members.map((member) => [member.slot, member.base]), [[0, "frozen"]]);
    });

    it("a frozen base under somebody's overlay is neither merged into, copied from nor removed; a replica neither", async () => {
      await make(0);
      await make(1, "linked");
      const overlay = await overlayOn(await file(".base."));
      assert.deepEqual((await look(host)).members.map((member) => member.base), ["consolidated", "replica"]);
      await assert.rejects(hv.consolidate(ref(0)), /rescue\.img of the pool default stands on it/);
      await assert.rejects(hv.destroy({ kind: "member", ...ref(0), shutdownMs: 0 }), /rescue\.img of the pool default stands on it/);
      await rm(overlay);
      await overlayOn(await file(".replica."));
      await hv.destroy({ kind: "member", ...ref(1), shutdownMs: 0 });
      assert.match((await look(host)).replicas[0]?.strangers?.join() ?? "", /rescue\.img/);
      await assert.rejects(hv.destroy({ kind: "replica", fleet: fleet(), host: host.name, contentId, purpose: "replica" }), /rescue\.img/);
      await run("qemu-img", ["check", "-q", overlay]);
    });

    it("a replica that somebody's machine runs on is not trusted, and the machine is named", async () => {
      await copy(replica());
      await define(host, somebody(`<source file='${await file(".replica.")}'/>`, "file"));
      await virsh(host, "start", `${prefix}-somebody`);
      assert.match(problemsOfHost(spec, host.name, (await look(host)).problems).map(({ path, message }) => `${path}: ${message}`).join(), /hosts\[0\]\.pool: expected .*replica.* to be written by nobody, got the running domain .*somebody/);
      await assert.rejects(hv.destroy({ kind: "replica", fleet: fleet(), host: host.name, contentId, purpose: "replica" }), /the running domain .*somebody has it as a disk/);
      assert.equal((await look(host)).replicas.length, 1, "with its mark");
    });

    it("a member that lost its name or its tag keeps its disks, and its generation is not used again", async () => {
      await make(0);
      await make(1);
      await virsh(host, "domrename", slotName(prefix, 0), "renamed");
      await virsh(host, "metadata", slotName(prefix, 1), TAG, "--remove", "--config");
      const seen = await look(host);
      assert.deepEqual([seen.members, seen.leftovers, seen.strangers.map((one) => one.name)], [[], [], ["renamed"]]);
      assert.deepEqual([...new Set(seen.heldGenerations.map((one) => one.slot))].sort(), [0, 1]);
      assert.deepEqual(seen.takenUuids?.map((one) => one.name).sort(), ["renamed", slotName(prefix, 1)].sort());
      for (const slot of [0, 1]) await assert.rejects(hv.destroy({ kind: "member", ...ref(slot), shutdownMs: 0 }), /is in use/);
      for (const part of ["s0.g0.base", "s0.g0.delta", "s1.g0.base", "s1.g0.delta"]) await run("qemu-img", ["check", "-q", await file(part)]);
    });

    it("a disk to keep outlives its member, though a killed run left its mark; one to delete goes with it, its copy does not", async () => {
      await make(0);
      await virsh(host, "undefine", slotName(prefix, 0));
      const disks = [{ label: "keep", sizeBytes: 1 << 20, onDelete: "keep" as const }, { label: "scratch", sizeBytes: 1 << 20, onDelete: "delete" as const }];
      await hv.reconfigure({ ...ref(0), kind: "full", contentId, vm: { ...spec.vm, disks }, autostart: false });
      const kept = await file("disk-keep");
      await virsh(host, "vol-create-as", "default", kept.split("/").at(-1)!.replace("disk-keep.keep.qcow2", "pending.keep"), "1b");
      const copied = (await file("disk-delete")).replace(".qcow2", "-clone.qcow2");
      await copyFile(await file("disk-delete"), copied);
      await hv.destroy({ kind: "member", ...ref(0), shutdownMs: 0 });
      assert.deepEqual((await readdir(host.poolDir)).filter((one) => one.includes(fleetId)).sort(), [copied, kept].map((one) => one.split("/").at(-1)!).sort());
    });

    for (const [what, put] of [
      ["an empty file", async (path: string) => writeFile(path, "")],
      ["half a copy", async (path: string, template: string) => { await copyFile(template, path); await truncate(path, 3 << 20); }],
    ] as const) {
      it(`${what} of a base's very name is never copied from, and no member starts on it`, async () => {
        await copy(base(0));
        const path = await file(".base.");
        const template = join(host.poolDir, String((inputs.template as { volume: string }).volume));
        await hv.destroy({ kind: "leftover", fleet: fleet(), host: host.name, leftover: { kind: "volume", name: path.split("/").at(-1)!, bytes: 0 } });
        await put(path, template);
        await virsh(host, "pool-refresh", "default");
        assert.ok((await look(host)).leftovers.every((one) => one.resumable === undefined));
        await make(0);
        await run("qemu-img", ["compare", "-q", template, path]);
      });
    }

    it("a mark of a replica that somebody put there makes nothing whole", async () => {
      await copy(replica());
      const mark = await file(".complete");
      await hv.destroy({ kind: "replica", fleet: fleet(), host: host.name, contentId, purpose: "replica" });
      await writeFile(mark, "");
      await virsh(host, "pool-refresh", "default");
      assert.deepEqual((await look(host)).replicas, []);
      await writeFile(mark, Buffer.alloc(1 << 20));
      await virsh(host, "pool-refresh", "default");
      assert.deepEqual([(await look(host)).replicas, (await look(host)).leftovers], [[], []], "a file of that size is no mark");
      await assert.rejects(copy(replica()), /larger than a mark/);
    });
  });
});
