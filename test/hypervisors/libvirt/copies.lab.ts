/** Copies on bad days and odd images: what travels, what is left, who is blamed. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, open, readdir, rm, truncate } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { imageOf, slotName } from "../../../provider/fleet";
import type { FleetSpec, Observation, ReachableHost } from "../../../provider/fleet/model";
import {
  NoSpaceError, SourceLostError, TemplateChangedError, type CloneTarget, type FleetIdentity, type Hypervisor, type ImageRef,
} from "../../../provider/hypervisors/hypervisor";
import { createLibvirt } from "../../../provider/hypervisors/libvirt";
import { freshFleetId, inventory, lab, LAB_NAME, labInputs, labSpec, labStatus, specOf, virsh, type LabHost } from "./labFleet";

const run = promisify(execFile);
const MIB = 1 << 20;

describe("copies between real hosts", function () {
  this.timeout(120_000);
  let hosts: LabHost[];
  let dir: string;
  let fleet: FleetIdentity;
  const opened: Hypervisor[] = [];

  before(async () => {
    hosts = (await labStatus()).hosts;
    dir = await mkdtemp(join(tmpdir(), "vmfleet-copies-"));
  });
  after(() => rm(dir, { recursive: true }));
  beforeEach(() => { fleet = { fleetId: freshFleetId(), incarnation: "one", namePrefix: "copies" }; });
  afterEach(async () => {
    for (const hv of opened.splice(0)) await hv.close();
    for (const host of hosts) {
      for (const volume of (await inventory(host)).volumes) {
        if (volume.includes(fleet.fleetId)) await virsh(host, "vol-delete", volume, "default");
      }
    }
  });

  const connect = (spec: FleetSpec): Hypervisor => {
    const hv = createLibvirt({ spec });
    opened.push(hv);
    return hv;
  };
  const look = (hv: Hypervisor, spec: FleetSpec): Promise<Observation> =>
    hv.observe({ fleetId: fleet.fleetId, namePrefix: "copies", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight: false });
  const base = (host: LabHost, slot = 0) => ({ kind: "base", host: host.name, slot, generation: 0, name: slotName("copies", slot) }) as const;
  const clone = (hv: Hypervisor, observation: Observation, source: ImageRef, target: CloneTarget, onProgress?: (done: number) => void) =>
    hv.clone({ fleet, image: imageOf(observation.template!), source, target }, { onProgress });
  const ownOf = async (host: LabHost) => (await inventory(host)).volumes.filter((v) => v.includes(fleet.fleetId));
  /** Without the marks of copies that are no member's yet. */
  const volumesOf = async (host: LabHost) => (await ownOf(host)).filter((v) => !v.includes(".arriving."));
  const helpersOf = async (host: LabHost) => (await inventory(host)).domains.filter((d) => d.includes(fleet.fleetId));

  it("moves only what is allocated of a sparse 10 GiB image, raw or qcow2", async () => {
    for (const format of ["qcow2", "raw"]) {
      const [from, to] = [hosts[0]!, hosts[1]!];
      const file = join(dir, "sparse.raw");
      const handle = await open(file, "w");
      for (let i = 0; i < 12; i++) await handle.write(randomBytes(MIB), 0, MIB, i * 800 * MIB);
      await handle.close();
      await truncate(file, 10 * 1024 * MIB);
      const volume = `sparse-${randomBytes(3).toString("hex")}.${format}`;
      await run("qemu-img", ["convert", "-O", format, file, join(from.poolDir, volume)]);
      await virsh(from, "pool-refresh", "default");
      try {
        const spec = await labSpec({ inputs: { template: { host: from.name, pool: "default", volume } } });
        const hv = connect(spec);
        const seen = await look(hv, spec);
        const before = await lab.nicBytes(to);
        const { bytesMoved } = await clone(hv, seen, { kind: "template", host: from.name }, base(to));
        const arrived = (await lab.nicBytes(to)).rx - before.rx;
        assert.ok(bytesMoved < 14 * MIB, `${format}: reports ${bytesMoved}`);
        assert.ok(arrived < 16 * MIB, `${format}: ${arrived} bytes arrived of 12 MiB`);
        const [made] = await volumesOf(to);
        await run("qemu-img", ["compare", "-U", join(to.poolDir, made!), join(from.poolDir, volume)]);
        await hv.destroy({ kind: "leftover", fleet, host: to.name, leftover: { kind: "volume", name: made!, bytes: 0 } });
      } finally {
        await virsh(from, "vol-delete", volume, "default");
      }
    }
  });

  it("uploads a local file once, qcow2 or raw, and copies on from there", async () => {
    for (const format of ["qcow2", "raw"]) {
      const raw = join(dir, "local.raw");
      const file = join(dir, `local.${format}.img`);
      const handle = await open(raw, "w");
      await handle.write(randomBytes(3 * MIB), 0, 3 * MIB, MIB);
      await handle.close();
      await truncate(raw, 64 * MIB);
      await run("qemu-img", ["convert", "-O", format, raw, file]);
      const spec = await labSpec({ inputs: { template: { file } } });
      const hv = connect(spec);
      const seen = await look(hv, spec);
      assert.equal(seen.template?.host, undefined);
      const upload = { kind: "replica", purpose: "template", host: hosts[0]!.name, contentId: seen.template!.contentId } as const;
      await clone(hv, seen, { kind: "template", host: null }, upload);
      const again = await look(hv, spec);
      assert.equal(again.template?.host, hosts[0]!.name);
      await clone(hv, seen, upload, base(hosts[1]!));
      const made = (await volumesOf(hosts[1]!))[0]!;
      await run("qemu-img", ["compare", "-U", join(hosts[1]!.poolDir, made), raw]);
      await hv.destroy({ kind: "replica", fleet, host: hosts[0]!.name, contentId: upload.contentId, purpose: "template" });
      await hv.destroy({ kind: "leftover", fleet, host: hosts[1]!.name, leftover: { kind: "volume", name: made, bytes: 0 } });
      assert.deepEqual(await volumesOf(hosts[0]!), []);
    }
  });

  for (const [how, vanish, restore] of [
    ["is killed", (host: LabHost) => lab.killHost({ name: LAB_NAME, host: host.name }), (host: LabHost) => lab.startDaemon({ name: LAB_NAME, host: host.name })],
    ["loses its link without a word", (host: LabHost) => lab.setLink({ name: LAB_NAME, host: host.name, up: false }), (host: LabHost) => lab.setLink({ name: LAB_NAME, host: host.name, up: true })],
  ] as const) {
    it(`blames the source when it ${how} in mid-copy, and keeps what arrived for the next attempt`, async () => {
      const [from, to] = [hosts[2]!, hosts[0]!];
      const inputs = await labInputs({ dataBytes: 96 * MIB, virtualBytes: 256 * MIB, hosts: [from.name, to.name] });
      const spec = specOf({ ...inputs, count: 1, stallTimeout: 2, template: { host: from.name, pool: "default", volume: (await lab.installTemplate({ name: LAB_NAME, host: from.name, volume: "big.qcow2" })).volume } });
      const hv = connect(spec);
      const seen = await look(hv, spec);
      let vanished: Promise<void> | undefined;
      try {
        await assert.rejects(
          clone(hv, seen, { kind: "template", host: from.name }, base(to), (done) => { if (done > 8 * MIB) vanished ??= vanish(from); }),
          (e) => e instanceof SourceLostError && e.sourceHost === from.name && e.host === to.name,
        );
        assert.ok(vanished, "it was under way");
        assert.deepEqual((await ownOf(to)).map((v) => v.split(".")[4]), ["arriving", "base"]);
        assert.deepEqual(await helpersOf(to), []);
      } finally {
        await vanished;
        await restore(from);
        await virsh(from, "vol-delete", "big.qcow2", "default");
      }
    });
  }

  it("tells a full pool from a lost source", async () => {
    const [from, to] = [hosts[0]!, hosts[1]!];
    const small = `small-${randomBytes(3).toString("hex")}`;
    const mount = join(to.dataDir, small);
    await run("nsenter", ["-t", String(to.pid), "-m", "sh", "-ec", `mkdir -p '${mount}'; dd if=/dev/zero of='${mount}.img' bs=1M count=0 seek=24 2>/dev/null; mkfs.ext4 -q '${mount}.img'; mount -o loop '${mount}.img' '${mount}'`]);
    await virsh(to, "pool-create-as", small, "dir", "--target", mount);
    try {
      const inputs = await labInputs({ dataBytes: 48 * MIB, virtualBytes: 128 * MIB, hosts: [from.name, to.name] });
      const declared = (inputs.hosts as Record<string, unknown>[]).map((h) => (h.name === to.name ? { ...h, pool: small } : h));
      const spec = specOf({ ...inputs, count: 1, hosts: declared });
      const hv = connect(spec);
      await assert.rejects(clone(hv, await look(hv, spec), { kind: "template", host: from.name }, base(to)), NoSpaceError);
      assert.deepEqual((await readdir(mount)).filter((f) => f.startsWith("vmfleet")), []);
    } finally {
      await virsh(to, "pool-destroy", small);
      await run("nsenter", ["-t", String(to.pid), "-m", "sh", "-ec", `umount '${mount}'; rm -r '${mount}' '${mount}.img'`]);
    }
  });

  it("throws a copy of a template away that was written meanwhile", async () => {
    const [from, to] = [hosts[0]!, hosts[1]!];
    const volume = "touched.qcow2";
    await lab.installTemplate({ name: LAB_NAME, host: from.name, volume, dataBytes: 48 * MIB, virtualBytes: 128 * MIB });
    try {
      const spec = await labSpec({ inputs: { template: { host: from.name, pool: "default", volume } } });
      const hv = connect(spec);
      const seen = await look(hv, spec);
      let touched: Promise<unknown> | undefined;
      await assert.rejects(
        clone(hv, seen, { kind: "template", host: from.name }, base(to), (done) => { if (done > MIB) touched ??= run("touch", [join(from.poolDir, volume)]); }),
        TemplateChangedError,
      );
      assert.deepEqual(await volumesOf(to), []);
    } finally {
      await virsh(from, "vol-delete", volume, "default");
    }
  });

  it("opens one port per copy on the transfer address, within the range, and closes it", async () => {
    const [from, to] = [hosts[0]!, hosts[3]!];
    const inputs = await labInputs({ dataBytes: 48 * MIB, virtualBytes: 128 * MIB });
    const spec = specOf({ ...inputs, count: 1, hosts: (inputs.hosts as Record<string, unknown>[]).map((h) => ({ ...h, transferPorts: "20000-20001" })) });
    const hv = connect(spec);
    const listening = async () => (await lab.execIn(from, ["ss", "-Hltn"])).split("\n").map((l) => l.trim().split(/\s+/)[3]).filter((a) => a !== undefined && a !== `${from.address}:16509`);
    const quiet = await listening();
    let open_: Promise<string[]> | undefined;
    await clone(hv, await look(hv, spec), { kind: "template", host: from.name }, base(to), (done) => { if (done > MIB) open_ ??= listening() as Promise<string[]>; });
    const during = (await open_)!.filter((a) => !quiet.includes(a));
    assert.equal(during.length, 1);
    assert.match(during[0]!, new RegExp(`^${from.address}:2000[01]$`));
    assert.deepEqual(await listening(), quiet);
  });

  it("keeps a disk that asked to be kept, whatever happens to its member, and removes one that was never used", async () => {
    const spec = await labSpec({ dataBytes: 8 * MIB, inputs: { vm: { ...(await labInputs()).vm as object, disks: [{ label: "data", sizeBytes: MIB, onDelete: "keep" }, { label: "scratch", sizeBytes: MIB, onDelete: "delete" }] } } });
    const hv = connect(spec);
    const host = hosts[1]!;
    const seen = await look(hv, spec);
    await clone(hv, seen, { kind: "template", host: hosts[0]!.name }, base(host));
    await hv.snapshot({ fleet, host: host.name, slot: 0, generation: 0, contentId: seen.template!.contentId });
    const name = slotName("copies", 0);
    await hv.reconfigure({ fleet, host: host.name, slot: 0, name, kind: "full", generation: 0, contentId: seen.template!.contentId, vm: spec.vm, autostart: false });
    const on = async () => (await look(hv, spec)).hosts.find((h) => h.name === host.name) as ReachableHost;
    assert.deepEqual((await on()).members[0]!.disks.map((d) => d.label).sort(), ["data", "scratch"]);
    await virsh(host, "undefine", name);
    let now = await on();
    assert.deepEqual(now.kept.map((k) => k.label).sort(), ["data", "scratch"], "without its definition nobody can say whose a disk is");
    assert.ok(now.leftovers.every((p) => !p.name.includes("disk-")), "a member undefined by hand takes no disk with it");
    for (const leftover of now.leftovers) await hv.destroy({ kind: "leftover", fleet, host: host.name, leftover });
    now = await on();
    assert.deepEqual([now.leftovers, now.kept.length], [[], 2]);
  });
});
