/** Data disks on real daemons: pools and buses of their own, growth that the guest's QEMU sees, and kept ones that come back with what is on them. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { previewFleet } from "../../../provider/engine";
import type { FleetState } from "../../../provider/fleet/model";
import { hostsToObserve } from "../../../provider/fleet";
import { createLibvirt } from "../../../provider/hypervisors/libvirt";
import { failureOf, LabRun } from "../../engine/labRun";
import { labInputs, labStatus, lines, specOf, virsh, type LabHost } from "./labFleet";
import { smallPool, type SmallPool } from "./smallPool";

const MIB = 2 ** 20;
const qemuImg = async (...args: string[]): Promise<string> => (await promisify(execFile)("qemu-img", args)).stdout;

describe("data disks on real hosts", function () {
  this.timeout(120_000);
  let host: LabHost;
  let fleet: LabRun;
  let pool: SmallPool;
  let inputs: Record<string, unknown>;

  before(async () => {
    host = (await labStatus()).hosts[0]!;
    inputs = await labInputs({ dataBytes: 8 * MIB, hosts: [host.name], inputs: { count: 1, namePrefix: "data", guest: "none" } });
  });
  beforeEach(async () => {
    fleet = new LabRun(inputs);
    pool = await smallPool([host], { sizeMiB: 64 });
  });
  afterEach(async () => {
    try {
      if (fleet.state) await fleet.remove();
      assert.deepEqual((await volumes("default")).filter((one) => !one.includes("disk-keep")), [], "nothing but what is to be kept stays");
    } finally {
      for (const at of ["default", pool.name]) for (const one of await volumes(at)) await virsh(host, "vol-delete", one, "--pool", at);
      await pool.remove();
    }
  });

  const volumes = async (at: string): Promise<string[]> => {
    await virsh(host, "pool-refresh", at);
    return lines(await virsh(host, "vol-list", at)).map((line) => line.split(/\s+/)[0]!).filter((one) => one.includes(fleet.fleetId)).sort();
  };
  const vm = (disks: object[], more: object = {}) => ({ vm: { ...fleet.inputs.vm as object, disks, ...more } });
  const blocks = async (name = "data-000"): Promise<string[]> => lines(await virsh(host, "domblklist", name, "--details")).map((line) => line.split(/\s+/).slice(2).join(" "));
  const inPool = (file: string): string => `${pool.path}/${file}`;

  it("are on the buses and in the pools that are declared, keep both in a change, and go with their member", async () => {
    const disks = [{ label: "a", sizeBytes: 2 * MIB }, { label: "b", sizeBytes: 2 * MIB, bus: "scsi", pool: pool.name }, { label: "c", sizeBytes: 2 * MIB, bus: "sata", pool: pool.name, onDelete: "keep" }];
    await fleet.up(vm(disks));
    const names = (await blocks()).map((line) => line.replace(/\S*\/(vmfleet-[^.]*\.[^.]*\.)?/, ""));
    assert.deepEqual(names.sort(), ["sdc s0.g0.disk-delete.b.qcow2", "sdd s0.g0.disk-keep.c.qcow2", "vda s0.g0.base.qcow2", "vdb s0.g0.disk-delete.a.qcow2"]);
    assert.match(await virsh(host, "dumpxml", "data-000"), /<controller type='scsi' index='0' model='virtio-scsi'>/);
    assert.equal((await volumes(pool.name)).length, 2);
    assert.equal((await virsh(host, "domstate", "data-000")).trim(), "running");
    const before = await blocks();
    await fleet.up({ ...vm(disks, { memory: 112 }), powerOn: false });
    assert.deepEqual(await blocks(), before);
    await fleet.up({ ...vm(disks, { memory: 112 }), count: 0 });
    assert.deepEqual((await volumes(pool.name)).map((one) => one.replace(/^vmfleet-[^.]*\.[^.]*\./, "")), ["s0.g0.disk-keep.c.qcow2"]);
    assert.deepEqual(await volumes("default"), []);
  });

  it("grow while their guest runs, which QEMU knows at once, and stopped, in whatever pool", async () => {
    const disks = (mebibytes: number) => vm([{ label: "a", sizeBytes: mebibytes * MIB }, { label: "b", sizeBytes: mebibytes * MIB, pool: pool.name, bus: "scsi" }]);
    await fleet.up(disks(2));
    const pid = await virsh(host, "domid", "data-000");
    const { plan } = await fleet.up(disks(8));
    assert.match(plan.reconfigure[0]!.reason, /^disk a 2\.1 MB → 8\.4 MB; disk b 2\.1 MB → 8\.4 MB$/);
    const sizes = async () => Promise.all(["vdb", "sdc"].map(async (name) => Number(/Capacity:\s+(\d+)/.exec(await virsh(host, "domblkinfo", "data-000", name))![1]) / MIB));
    assert.deepEqual(await sizes(), [8, 8], "as QEMU says of its guest's disks");
    assert.equal(await virsh(host, "domid", "data-000"), pid, "it ran all the time");
    await fleet.up({ ...disks(8), powerOn: false });
    await fleet.up({ ...disks(12), powerOn: false });
    assert.deepEqual(await sizes(), [12, 12]);
    assert.deepEqual((await fleet.up({ ...disks(12), powerOn: false })).plan.reconfigure, []);
    assert.match((await failureOf(fleet.up({ ...disks(8), powerOn: false }))).message, /vm\.disks\[0\]\.sizeBytes: expected at least the 12582912 bytes that the disk a of data-000 has, got 8388608; disks never shrink: raise it/);
  });

  it("come back to their slot with what is on them, as the preview says, and another stays beside them where that is declared", async () => {
    const disks = (more: object = {}) => vm([{ label: "a", sizeBytes: 2 * MIB, onDelete: "keep", ...more }, { label: "b", sizeBytes: 2 * MIB, onDelete: "keep", pool: pool.name, ...more }]);
    await fleet.up({ ...disks(), powerOn: false });
    const file = async (label: string): Promise<string> => (await blocks()).map((line) => line.split(" ")[1]!).find((path) => path.includes(`.${label}.qcow2`))!;
    const [a, b] = [await file("a"), await file("b")];
    assert.ok(b.startsWith(pool.path));
    const write = async (path: string, pattern: number): Promise<string> => pool.inside(`qemu-io -f qcow2 -c 'write -P ${pattern} 64k 64k' '${path}' >/dev/null`);
    const holds = async (path: string, pattern: number): Promise<boolean> => !(await pool.inside(`qemu-io -r -f qcow2 -c 'read -P ${pattern} 64k 64k' '${path}'`)).includes("verification failed");
    await write(a, 7);
    await write(b, 9);
    await fleet.up({ ...disks(), count: 0 });
    const text = await preview({ ...disks({ sizeBytes: 4 * MIB }), powerOn: false });
    for (const path of [a, b]) assert.ok(text.includes(path.split("/").at(-1)!), text);
    assert.match(text, /attach 2 kept disks again/);
    await fleet.up({ ...disks({ sizeBytes: 4 * MIB }), powerOn: false });
    assert.deepEqual([await file("a"), await file("b")], [a, b]);
    assert.deepEqual([await holds(a, 7), await holds(b, 9)], [true, true]);
    assert.equal(Number(/"virtual-size": (\d+)/.exec(await qemuImg("info", "--output=json", a))![1]), 4 * MIB);
    // The member goes by hand, and its kept disks come back to the next one.
    await virsh(host, "undefine", "data-000");
    await fleet.up({ ...disks({ sizeBytes: 4 * MIB }), powerOn: false });
    assert.deepEqual([await file("a"), await holds(b, 9)], [a, true]);
    await fleet.up({ ...disks({ sizeBytes: 4 * MIB }), count: 0 });
    await fleet.up({ ...disks({ sizeBytes: 4 * MIB, reattach: false }), powerOn: false });
    assert.notEqual(await file("a"), a);
    assert.deepEqual([await holds(a, 7), await holds(b, 9), (await volumes("default")).filter((one) => one.includes("disk-keep.a")).length], [true, true, 2]);
  });

  it("that somebody has got meanwhile stay his, and a pool that is not there is told before anything is made", async () => {
    const disks = vm([{ label: "a", sizeBytes: 2 * MIB, onDelete: "keep" }]);
    await fleet.up({ ...disks, powerOn: false });
    const kept = (await blocks()).find((line) => line.includes("disk-keep"))!.split(" ")[1]!;
    await fleet.up({ ...disks, count: 0 });
    await pool.inside(`cat > '${pool.path}/mine.xml' <<X
<domain type='qemu'><name>mine-${fleet.fleetId}</name><memory unit='MiB'>8</memory><os><type arch='x86_64'>hvm</type></os><devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${kept}'/><target dev='vda' bus='virtio'/></disk></devices></domain>
X`);
    const mine = `mine-${fleet.fleetId}`;
    await virsh(host, "define", `/proc/${host.pid}/root${inPool("mine.xml")}`);
    try {
      const { plan } = await fleet.up({ ...disks, powerOn: false });
      assert.match(plan.warnings.join(), new RegExp(`data-000 on ${host.name} gets a new disk a, and not .*, which was kept of its slot: the domain ${mine} has it as a disk`));
      assert.ok(!(await blocks()).some((line) => line.endsWith(kept)));
    } finally {
      await virsh(host, "undefine", mine);
    }
    const elsewhere = vm([{ label: "a", sizeBytes: 2 * MIB, onDelete: "keep" }, { label: "b", sizeBytes: 2 * MIB, pool: "nowhere" }]);
    assert.match((await failureOf(fleet.up({ ...elsewhere, count: 2 }))).message, new RegExp(`hosts\\[0\\]: expected a storage pool of host ${host.name} for vm\\.disks\\[1\\]\\.pool, got "nowhere", which it does not have`));
  });

  async function preview(changes: Record<string, unknown>): Promise<string> {
    const spec = specOf({ ...fleet.inputs, ...changes });
    const hypervisor = createLibvirt({ spec });
    const previous: FleetState | undefined = fleet.state;
    try {
      const observation = await hypervisor.observe({ fleetId: fleet.fleetId, namePrefix: spec.namePrefix, hosts: hostsToObserve(spec, previous), spec, deadlineMs: 30_000, preflight: true });
      const { plan, text } = await previewFleet({ spec, fleetId: fleet.fleetId, incarnation: "one", previous, observation });
      return [text, ...plan.create.map(({ reason }) => reason)].join("\n");
    } finally {
      await hypervisor.close();
    }
  }
});
