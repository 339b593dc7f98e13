/** Fleets of a template machine with several disks on real hosts: that all of them are whole in every member is said by qemu-img. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { inventory, lab, LAB_NAME, labInputs, labStatus, lines, virsh, type LabHost } from "../hypervisors/libvirt/labFleet";
import { failureOf, LabRun } from "./labRun";

const MIB = 1 << 20;
const run = promisify(execFile);
const NAME = "many-golden";
/** Of the template on SCSI, beside the one on virtio that it boots from and writes to; the last is only read by its guest. */
const OTHERS = [{ device: "sda", bytes: 40 * MIB }, { device: "sdb", bytes: 12 * MIB }, { device: "sdc", bytes: MIB }];
const VM = { domainType: "qemu", disks: [{ label: "own", sizeBytes: 16 * MIB, onDelete: "delete" }] };

describe("a fleet of a template machine with several disks on real hosts", function () {
  this.timeout(300_000);
  let hosts: LabHost[];
  let fleet: LabRun;
  let definition: string;
  const fileOf = (device: string): string => join(hosts[0]!.poolDir, `many-${device}.qcow2`);

  before(async () => { hosts = (await labStatus()).hosts; });
  afterEach(async () => {
    for (const { name } of hosts) await lab.setRate({ name: LAB_NAME, host: name });
    await fleet.remove();
    await virsh(hosts[0]!, "undefine", NAME).catch(() => undefined);
    await rm(definition, { force: true });
    for (const { device } of OTHERS) await rm(fileOf(device), { force: true });
    await virsh(hosts[0]!, "pool-refresh", "default");
    for (const host of hosts) {
      const { domains, volumes } = await inventory(host);
      assert.deepEqual([...domains, ...volumes].filter((name) => name.includes(fleet.fleetId) || name.startsWith("many-")), []);
    }
  });

  async function fleetOf(changes: Record<string, unknown>, options: Parameters<typeof labInputs>[0] = {}): Promise<void> {
    const inputs = await labInputs(options);
    const { volume } = inputs["template"] as { volume: string };
    const { kernel, initrd, cmdline } = inputs["vm"] as Record<string, string>;
    for (const [at, { device, bytes }] of OTHERS.entries()) {
      await run("qemu-img", ["create", "-q", "-f", "qcow2", fileOf(device), String(bytes)]);
      await run("qemu-io", ["-f", "qcow2", "-c", `write -P ${at + 1} 0 ${bytes - 65536}`, "-c", `write -P ${at + 77} ${bytes - 65536} 65536`, fileOf(device)]);
    }
    await virsh(hosts[0]!, "pool-refresh", "default");
    const disk = (file: string, device: string, bus: string, more = ""): string =>
      `<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' discard='unmap'/><source file='${file}'/><target dev='${device}' bus='${bus}'/>${more}</disk>`;
    definition = `/tmp/vmfleet-${NAME}-${process.pid}.xml`;
    await writeFile(definition, `<domain type='qemu'><name>${NAME}</name><memory unit='MiB'>100</memory><vcpu>1</vcpu>
      <os><type arch='x86_64' machine='q35'>hvm</type><kernel>${kernel}</kernel><initrd>${initrd}</initrd><cmdline>${cmdline}</cmdline></os><features><acpi/><apic/></features>
      <devices>${disk(`${hosts[0]!.poolDir}/${volume}`, "vda", "virtio")}${OTHERS.map(({ device }) => disk(fileOf(device), device, "scsi", device === "sdc" ? "<readonly/>" : `<serial>of-${device}</serial>`)).join("")}
      <controller type='scsi' model='virtio-scsi'/><serial type='pty'/><memballoon model='none'/></devices></domain>`);
    await virsh(hosts[0]!, "define", definition);
    fleet = new LabRun({ ...inputs, namePrefix: "many", template: { host: hosts[0]!.name, domain: NAME }, countPerHost: 1, vm: VM, ...changes });
  }
  const hostOf = ({ host }: { host: string }): LabHost => hosts.find(({ name }) => name === host)!;
  /** Of a member, as it runs: what libvirt calls each disk, and its file. */
  async function disksOf(member: { name: string; host: string }): Promise<Map<string, string>> {
    const listed = lines(await virsh(hostOf(member), "domblklist", member.name)).map((line) => line.split(/\s+/));
    return new Map(listed.flatMap(([device, file]) => (file?.startsWith("/") ? [[device!, file] as const] : [])));
  }
  /** That its disks are the template's, byte by byte, by their place and bus. */
  async function assertWhole(member: { name: string; host: string }): Promise<void> {
    const disks = await disksOf(member);
    const xml = await virsh(hostOf(member), "dumpxml", member.name);
    assert.match(xml, /<target dev='vda' bus='virtio'\/>/);
    for (const { device } of OTHERS.slice(0, 2)) {
      const said = await run("qemu-img", ["compare", "-U", "-f", "qcow2", "-F", "qcow2", fileOf(device), disks.get(device)!]).catch((error: { stdout: string; stderr: string }) => error);
      assert.match(said.stdout, /identical/, `${device} of ${member.name}: ${said.stderr}`);
      assert.match(xml, new RegExp(`<target dev='${device}' bus='scsi'/>\\s*<serial>of-${device}</serial>`));
    }
    assert.equal([...disks.values()].some((file) => file.includes("many-")), false, "none of the template's own");
    assert.ok([...disks.values()].some((file) => file.includes("disk-delete.own")), "and its data disk beside them");
  }

  it("has all that its guest can write to in every member, full and linked, and merges them all", async () => {
    await fleetOf({ clone: { mixed: { linkedShare: 0.5 } }, guest: "none", policy: "relay" });
    const { state } = await fleet.up({});
    assert.equal(state.members.length, hosts.length);
    for (const member of state.members) {
      await assertWhole(member);
      assert.equal(member.base, member.kind === "full" ? "consolidated" : "replica");
      const files = [...(await disksOf(member)).values()].filter((file) => /\.(base|delta)/.test(file)).map((file) => /\.(base|delta)(-\d)?\.qcow2$/.exec(file)![0]);
      assert.deepEqual(files.sort(), (member.kind === "full" ? ["base-1", "base-2", "base"] : ["delta-1", "delta-2", "delta"]).map((name) => `.${name}.qcow2`).sort());
    }
    const again = await fleet.up({});
    assert.deepEqual([again.plan.reconfigure, again.plan.create, again.plan.cleanup], [[], [], []]);
  });

  it("grows from its members after the template is gone, and changes and shrinks", async () => {
    await fleetOf({ countPerHost: undefined, count: 2, keepSeeds: "host" });
    await fleet.up({});
    const kept = OTHERS.slice(0, 2).map(({ device }) => [device, `${fileOf(device)}.kept`] as const);
    for (const [device, copy] of kept) await run("cp", [fileOf(device), copy]);
    try {
      await virsh(hosts[0]!, "undefine", NAME);
      for (const { device } of OTHERS) await rm(fileOf(device));
      const { state } = await fleet.up({ count: 4, vm: { ...VM, memory: 80 } });
      for (const [device, copy] of kept) await run("cp", [copy, fileOf(device)]);
      for (const member of state.members) await assertWhole(member);
      for (const member of state.members) assert.match(await virsh(hostOf(member), "dumpxml", "--inactive", member.name), /<memory unit='KiB'>81920</);
      assert.equal((await fleet.up({ count: 1, vm: { ...VM, memory: 80 } })).state.members.length, 1);
    } finally {
      for (const [, copy] of kept) await rm(copy, { force: true });
    }
  });

  it("starts before its disks are there, and has all of them in the end", async () => {
    await fleetOf({ start: "immediately", policy: "relay" }, { dataBytes: 48 * MIB });
    for (const { name } of hosts) await lab.setRate({ name: LAB_NAME, host: name, bitsPerSecond: 150e6 });
    const { state, summary } = await fleet.up({});
    assert.ok(summary);
    for (const member of state.members) {
      await assertWhole(member);
      assert.equal(member.base, "consolidated");
      assert.equal(/nbd|error_policy|\.early/.test(await virsh(hostOf(member), "dumpxml", "--inactive", member.name)), false);
    }
  });

  for (const start of ["whenCopied", "immediately"] as const) {
    it(`is whole in the end however often its provider is killed (start: ${start})`, async () => {
      await fleetOf({ start, policy: "relay" }, { dataBytes: 48 * MIB });
      for (const { name } of hosts) await lab.setRate({ name: LAB_NAME, host: name, bitsPerSecond: 200e6 });
      // Each time it comes further: into the copies, the members, the merges.
      for (const afterMs of [2_000, 3_500, 5_000, 6_500, 9_000]) if (await killed(afterMs)) break;
      const { state } = await fleet.up({});
      for (const member of state.members) {
        await assertWhole(member);
        assert.equal(member.base, "consolidated");
      }
      const { plan } = await fleet.up({});
      assert.deepEqual([plan.create, plan.reconfigure, plan.cleanup, plan.destroy], [[], [], [], []]);
    });
  }

  /** A provider that is killed so long after its start. @returns it was done by then */
  async function killed(afterMs: number): Promise<boolean> {
    const child = spawn(process.execPath, ["--require", "tsx/cjs", join(__dirname, "immediate-child.ts"), JSON.stringify({ inputs: fleet.inputs, fleetId: fleet.fleetId })], { stdio: "inherit" });
    const ended = new Promise<boolean>((resolve) => child.once("exit", (code) => resolve(code === 0)));
    const timer = setTimeout(() => child.kill("SIGKILL"), afterMs);
    return ended.finally(() => clearTimeout(timer));
  }

  it("has the first alone where that is declared, and is refused where one cannot be cloned", async () => {
    await fleetOf({ countPerHost: undefined, count: 1, template: { host: hosts[0]!.name, domain: NAME, disks: "first" } });
    const { state } = await fleet.up({});
    assert.deepEqual([...(await disksOf(state.members[0]!)).keys()].sort(), ["vda", "vdb", "vdc"], "its data disk, and what tells it who it is");
    const text = (await virsh(hosts[0]!, "dumpxml", NAME)).replace(fileOf("sdb"), "/dev/zero");
    await writeFile(definition, text.replace(/<disk type='file' device='disk'>(\s*<driver [^>]*>\s*)<source file='\/dev\/zero'/, "<disk type='block' device='disk'>$1<source dev='/dev/zero'"));
    await virsh(hosts[0]!, "define", definition);
    const failure = await failureOf(fleet.up({ count: 2, template: { host: hosts[0]!.name, domain: NAME, disks: "all" } }));
    assert.match(failure.message, /template\.domain: expected the disk sdb of many-golden to be a volume of an active storage pool, got the block device \/dev\/zero.*template\.disks: "first"/);
  });
});
