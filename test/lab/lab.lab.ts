/** The lab itself: what it is, what its bad days are, and that it leaves nothing behind and touches nothing else. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import {
  delay, down, execIn, installTemplate, killDaemon, type Lab, type LabHost, nicBytes, run, setLink, startDaemon, status, until,
  up, uplinkBytes, virsh,
} from "../lab";

const NAME = process.env.VMFLEET_LAB ?? "test";
/** A second, smaller lab, for what would disturb others. */
const OTHER = `${NAME}x`;
const SMALL = { nicBitsPerSecond: 4e8, uplinkBitsPerSecond: 8e8, racks: [{ name: "rack-a", hosts: [{ name: "a1" }] }] };
const DOMAIN = "labtest";

const namespaces = async () => (await run(["ip", "netns", "list"])).split("\n").map((line) => line.split(" ")[0]);
const hostOf = (lab: Lab, name: string): LabHost => {
  const host = lab.hosts.find((each) => each.name === name);
  if (!host) throw new Error(`no host ${name}`);
  return host;
};

/** A guest over a copy of the template; without `boot` it stays paused and needs no image. */
function domainXml(host: LabHost, boot?: { kernel: string; initrd: string; cmdline: string; disk: string; log: string }): string {
  const os = boot && `<kernel>${boot.kernel}</kernel><initrd>${boot.initrd}</initrd><cmdline>${boot.cmdline}</cmdline>`;
  const devices = boot && `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${boot.disk}'/>
    <target dev='vda' bus='virtio'/></disk>
    <interface type='network'><mac address='52:54:00:01:02:03'/><source network='default'/><model type='virtio'/></interface>
    <serial type='file'><source path='${boot.log}'/><target port='0'/></serial>`;
  return `<domain type='qemu'><name>${DOMAIN}</name><memory unit='MiB'>96</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='pc'>hvm</type>${os ?? ""}</os><features><acpi/></features>
    <devices><controller type='usb' model='none'/><memballoon model='none'/>${devices ?? ""}</devices></domain>`;
}

async function createDomain(host: LabHost, xml: string, ...flags: string[]): Promise<void> {
  const file = join(host.dataDir, `${DOMAIN}.xml`);
  writeFileSync(file, xml);
  await virsh(host, "create", file, ...flags);
}

const domains = async (host: LabHost) => (await virsh(host, "list", "--all", "--name")).split("\n").filter(Boolean);
/** Pids of a program in the host's network namespace. */
async function pids(host: LabHost, program: RegExp): Promise<number[]> {
  const all = (await run(["ip", "netns", "pids", host.netns])).trim().split("\n").filter(Boolean).map(Number);
  return all.filter((pid) => existsSync(`/proc/${pid}/comm`) && program.test(readFileSync(`/proc/${pid}/comm`, "utf8")));
}

/** bits per second that arrive when `from` sends `bytes` to `to`. */
async function measure(from: LabHost, to: LabHost, port: number, bytes: number): Promise<number> {
  const received = execIn(to, ["sh", "-c", 'nc -l -p "$1" | wc -c', "sh", String(port)]);
  const seconds = await until(async () => {
    const started = process.hrtime.bigint();
    await execIn(from, ["sh", "-c", 'head -c "$1" /dev/zero | nc -N "$2" "$3"', "sh", String(bytes), to.address, String(port)]);
    return Number(process.hrtime.bigint() - started) / 1e9;
  }, { what: "the listener" });
  assert.equal(Number(await received), bytes);
  return (bytes * 8) / seconds;
}

describe("the lab", () => {
  let lab: Lab;
  before(async () => { lab = await up({ name: NAME }); });

  it("gives every host a daemon with its own identity, reached over TCP and over its unix socket", async () => {
    for (const host of lab.hosts) {
      for (const uri of [host.uri, host.unixUri]) {
        assert.match(await run(["virsh", "-c", uri, "capabilities"]), new RegExp(`<uuid>${host.uuid}</uuid>`));
      }
      assert.equal((await virsh(host, "hostname")).trim(), host.name);
      assert.match(await virsh(host, "pool-info", "default"), /State:\s+running/);
      assert.match(await virsh(host, "net-info", "default"), /Active:\s+yes/);
    }
  });

  it("does not change the machine's host name", () => {
    assert.ok(!lab.hosts.some((host) => host.name === hostname()));
  });

  it("is the same lab when brought up again", async () => {
    assert.deepEqual(await up({ name: NAME }), lab);
  });

  it("is given its template by the documented command, and keeps the one it has", async function () {
    this.timeout(120_000);
    const OWN = `${NAME}t`;
    const topology = join(mkdtempSync(join(tmpdir(), "vmfleet-lab-")), "topology.json");
    writeFileSync(topology, JSON.stringify(SMALL));
    const command = [process.execPath, "scripts/lab.mjs", "up", "--name", OWN, "--topology", topology, "--template"];
    try {
      assert.match(await run(command, { timeoutMs: 60_000 }), /a1 {2}rack-a/);
      const { hosts: [host], bootDir } = (await status({ name: OWN }))!;
      assert.match(await virsh(host!, "vol-list", "default"), /golden\.qcow2/);
      for (const file of ["vmlinuz", "initrd"]) assert.ok(existsSync(join(bootDir, file)), file);
      const identity = () => { const { ino, mtimeMs } = statSync(join(host!.poolDir, "golden.qcow2")); return [ino, mtimeMs]; };
      const before = identity();
      await run(command, { timeoutMs: 60_000 });
      assert.deepEqual(identity(), before);
    } finally {
      await down({ name: OWN });
      rmSync(dirname(topology), { recursive: true });
    }
  });

  it("refuses another topology while it runs", async () => {
    await assert.rejects(up({ name: NAME, topology: SMALL }), /runs with another topology/);
  });

  it("limits a NIC to its rate, within a rack and across racks, and counts the bytes", async function () {
    this.timeout(60_000);
    const bytes = 25e6;
    const a1 = hostOf(lab, "a1"), a2 = hostOf(lab, "a2"), b1 = hostOf(lab, "b1");
    const rack = lab.racks[0];
    assert.ok(rack);
    for (const [to, crosses] of [[a2, false], [b1, true]] as const) {
      const nicBefore: number = (await nicBytes(a1)).tx, uplinkBefore: number = (await uplinkBytes(rack)).tx;
      const rate = await measure(a1, to, 5001, bytes);
      // The token bucket's burst lets a short transfer be a little faster; a busy machine makes it slower.
      assert.ok(rate < a1.nicBitsPerSecond * 1.05 && rate > a1.nicBitsPerSecond * 0.4, `${rate / 1e6} Mbit/s`);
      assert.ok((await nicBytes(a1)).tx - nicBefore > bytes);
      assert.equal((await uplinkBytes(rack)).tx - uplinkBefore > bytes, crosses);
    }
  });

  it("a host whose link is down vanishes, and is back when it is up", async () => {
    const host = hostOf(lab, "b2");
    const tcp = () => run(["virsh", "-c", host.uri, "hostname"], { timeoutMs: 1500 });
    await setLink({ name: NAME, host: host.name, up: false });
    try {
      await assert.rejects(tcp(), /took longer|No route|timed out/);
      assert.equal((await virsh(host, "hostname")).trim(), host.name);
    } finally {
      await setLink({ name: NAME, host: host.name, up: true });
    }
    await until(tcp, { what: "the host to be back" });
  });

  it("a guest boots, writes its MAC to its disk, ticks, outlives its libvirtd and obeys the power button", async function () {
    this.timeout(120_000);
    const host = hostOf(lab, "a2");
    const volume = `${DOMAIN}.qcow2`;
    const template = await installTemplate({ name: NAME, host: host.name, volume });
    const log = join(host.dataDir, "log", `${DOMAIN}.log`);
    const said = (text: RegExp) => until(() => existsSync(log) && text.test(readFileSync(log, "utf8")), { timeoutMs: 60_000, what: String(text) });
    try {
      await createDomain(host, domainXml(host, { ...template, disk: template.path, log }));
      await said(/VMFLEET BOOTED mac=52:54:00:01:02:03/);
      await said(/tick 1\b/);
      const [qemu] = await pids(host, /^qemu/);
      assert.ok(qemu);
      assert.notEqual(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${qemu}/status`, "utf8"))?.[1], "0", "QEMU must not run as root");
      await killDaemon({ name: NAME, host: host.name });
      await startDaemon({ name: NAME, host: host.name });
      assert.ok((await domains(host)).includes(DOMAIN));
      await virsh(host, "shutdown", DOMAIN);
      await until(async () => !(await domains(host)).includes(DOMAIN), { timeoutMs: 30_000, what: "the guest to power off" });
      await said(/VMFLEET POWEROFF/);
      const raw = join(host.dataDir, `${DOMAIN}.raw`);
      await run(["qemu-img", "dd", "-f", "qcow2", "-O", "raw", `if=${template.path}`, `of=${raw}`, "bs=4096", "count=1"]);
      assert.match(readFileSync(raw, "latin1"), /^VMFLEET MAC=52:54:00:01:02:03\n/);
    } finally {
      await virsh(host, "destroy", DOMAIN).catch(() => {});
      for (const file of [template.path, log, join(host.dataDir, `${DOMAIN}.raw`), join(host.dataDir, `${DOMAIN}.xml`)]) rmSync(file, { force: true });
      await virsh(host, "pool-refresh", "default");
    }
  });
});

describe("a lab's end", () => {
  const foreign = `foreign-${process.pid}`;
  before(() => down({ name: OTHER }));
  afterEach(() => down({ name: OTHER }));

  it("leaves no process, namespace, interface or file, and does not touch others'", async function () {
    this.timeout(60_000);
    const neighbour = await status({ name: NAME });
    await run(["ip", "netns", "add", foreign]);
    try {
      const lab = await up({ name: OTHER, topology: SMALL });
      const host = hostOf(lab, "a1");
      await createDomain(host, domainXml(host), "--paused");
      const ours = [...await pids(host, /./)];
      assert.ok(ours.length >= 2);
      await down({ name: OTHER });
      for (const pid of ours) {
        const gone = () => !existsSync(`/proc/${pid}`) || /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
        await until(gone, { what: `process ${pid} to end` });
      }
      const left = await namespaces();
      assert.ok(!left.some((name) => name?.startsWith(`${OTHER}-`)));
      assert.ok(left.includes(foreign));
      for (const path of [`/run/vmfleet-lab/${OTHER}`, `/run/vmfleet-lab/${OTHER}.lock`, `/var/lib/vmfleet-lab/${OTHER}`, `/sys/class/net/vfm-${OTHER}`]) {
        assert.ok(!existsSync(path), path);
      }
      assert.deepEqual(await status({ name: NAME }), neighbour);
    } finally {
      await run(["ip", "netns", "del", foreign]);
    }
  });

  it("is not needed after a crash: the next up cleans", async function () {
    this.timeout(60_000);
    const first = await up({ name: OTHER, topology: SMALL });
    const host = hostOf(first, "a1");
    await createDomain(host, domainXml(host), "--paused");
    writeFileSync(join(host.poolDir, "left-over"), "");
    await killDaemon({ name: OTHER, host: host.name });
    const [qemu] = await pids(host, /^qemu/);
    assert.ok(qemu);
    const second = await up({ name: OTHER, topology: SMALL });
    assert.deepEqual(await pids(hostOf(second, "a1"), /^qemu/), []);
    assert.deepEqual(readdirSync(host.poolDir), []);
    assert.deepEqual(await domains(hostOf(second, "a1")), []);
    assert.equal(hostOf(second, "a1").uuid, host.uuid);
  });

  it("cleans a lab of which only the record is left", async function () {
    this.timeout(60_000);
    await up({ name: OTHER, topology: SMALL });
    const host = hostOf((await status({ name: OTHER }))!, "a1");
    await killDaemon({ name: OTHER, host: "a1" });
    await run(["ip", "netns", "del", host.netns]);
    rmSync(host.dataDir, { recursive: true });
    assert.notEqual(hostOf(await up({ name: OTHER, topology: SMALL }), "a1").pid, null);
  });

  it("refuses a name under which something of others exists, and leaves that alone", async () => {
    await run(["ip", "netns", "add", `${OTHER}-core`]);
    try {
      await assert.rejects(up({ name: OTHER, topology: SMALL }), /network namespace .*-core exists and is not ours/);
      assert.ok((await namespaces()).includes(`${OTHER}-core`));
      assert.equal(await status({ name: OTHER }), null);
    } finally {
      await run(["ip", "netns", "del", `${OTHER}-core`]);
    }
  });

  it("two commands on one lab wait for each other", async function () {
    this.timeout(60_000);
    const [one, two] = await Promise.all([up({ name: OTHER, topology: SMALL }), up({ name: OTHER, topology: SMALL })]);
    assert.deepEqual(one, two);
    await Promise.all([down({ name: OTHER }), delay(1).then(() => down({ name: OTHER }))]);
    assert.equal(await status({ name: OTHER }), null);
  });
});
