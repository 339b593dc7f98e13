/** Fleets of a template machine on real hosts: what of it members have, and what is their own, is said by virsh. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, rm, stat, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { inventory, lab, LAB_NAME, labInputs, labStatus, lines, virsh, type LabHost } from "../hypervisors/libvirt/labFleet";
import { failureOf, LabRun } from "./labRun";

const MIB = 1 << 20;
const qemuImg = async (...args: string[]): Promise<string> => (await promisify(execFile)("qemu-img", args)).stdout;
const NAME = "hw-golden";

describe("a fleet of a template machine on real hosts", function () {
  this.timeout(300_000);
  let hosts: LabHost[];
  let run: LabRun;
  let file: string;

  before(async () => { hosts = (await labStatus()).hosts; });
  afterEach(async () => {
    for (const { name } of hosts) await lab.setRate({ name: LAB_NAME, host: name });
    await run.remove();
    await virsh(hosts[0]!, "undefine", NAME).catch(() => undefined);
    await rm(file, { force: true });
    for (const host of hosts) {
      const { domains, volumes } = await inventory(host);
      assert.deepEqual([...domains, ...volumes].filter((name) => name.includes(run.fleetId) || name.startsWith("hw-")), []);
    }
  });

  /** A machine unlike what documented defaults make: q35, its disk on SCSI, a watchdog, a card at a place of its own. */
  async function templateMachine(inputs: Record<string, unknown>, devices = ""): Promise<void> {
    const { volume } = inputs["template"] as { volume: string };
    const { kernel, initrd, cmdline } = inputs["vm"] as Record<string, string>;
    file = `/tmp/vmfleet-${NAME}-${process.pid}.xml`;
    await writeFile(file, `<domain type='qemu'><name>${NAME}</name><title>golden</title><memory unit='MiB'>100</memory><vcpu>2</vcpu>
      <os><type arch='x86_64' machine='q35'>hvm</type><kernel>${kernel}</kernel><initrd>${initrd}</initrd><cmdline>${cmdline}</cmdline></os>
      <features><acpi/><apic/></features><cpu mode='maximum'><topology sockets='1' cores='2' threads='1'/></cpu><genid/>
      <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' discard='unmap'/><source file='${hosts[0]!.poolDir}/${volume}'/><target dev='sda' bus='scsi'/></disk>
      <disk type='file' device='cdrom'><target dev='sdb' bus='sata'/><readonly/></disk><controller type='scsi' model='virtio-scsi'/>
      <interface type='network'><mac address='52:54:00:11:22:33'/><source network='default'/><model type='e1000e'/></interface>
      <serial type='pty'/><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel><graphics type='vnc' autoport='yes'/>
      <watchdog model='i6300esb' action='reset'/><memballoon model='none'/>${devices}</devices></domain>`);
    await virsh(hosts[0]!, "define", file);
  }
  async function fleetOf(changes: Record<string, unknown>, options: Parameters<typeof labInputs>[0] = {}, devices = ""): Promise<void> {
    const inputs = await labInputs(options);
    await templateMachine(inputs, devices);
    run = new LabRun({ ...inputs, namePrefix: "hw", template: { host: hosts[0]!.name, domain: NAME }, countPerHost: 1, vm: { domainType: "qemu" }, ...changes });
  }
  const definition = async (host: LabHost, name: string): Promise<string[]> => lines(await virsh(host, "dumpxml", "--inactive", name));

  it("has its hardware in every member, full and linked, but for what must differ", async () => {
    await fleetOf({ clone: { mixed: { linkedShare: 0.5 } }, guest: "none" });
    const { state } = await run.up({});
    const golden = await definition(hosts[0]!, NAME);
    for (const member of state.members) {
      const own = await definition(hosts.find(({ name }) => name === member.host)!, member.name);
      const missing = golden.filter((line) => !own.includes(line)).map((line) => line.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, "UUID").replace(/'\/.*'/, "'FILE'"));
      assert.deepEqual(missing, [
        `<name>${NAME}</name>`, "<uuid>UUID</uuid>", "<genid>UUID</genid>", "<title>golden</title>", "<source file='FILE'/>", "<mac address='52:54:00:11:22:33'/>",
      ], "all else of the template's definition stands in the member's");
      const added = own.filter((line) => !golden.includes(line) && line !== "<backingStore/>").map((line) => line.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, "UUID").replace(/'\/.*'/, "'FILE'").replace(/<vmfleet:fleet .*\/>/, "<vmfleet:fleet/>"));
      // And that a merged disk stands on nothing, which libvirt notes there.
      assert.deepEqual(added, [
        `<name>${member.name}</name>`, "<uuid>UUID</uuid>", "<genid>UUID</genid>", "<metadata>", "<vmfleet:fleet/>", "</metadata>", "<source file='FILE'/>", `<mac address='${member.macs[0]!}'/>`,
      ]);
      assert.equal(member.base, member.kind === "full" ? "consolidated" : "replica", "its disk was merged, whatever libvirt calls it");
      assert.equal((await virsh(hosts.find(({ name }) => name === member.host)!, "domstate", member.name)).trim(), "running");
    }
    assert.deepEqual((await run.up({})).plan.reconfigure, [], "a fleet that is as declared has nothing to change");
  });

  it("grows by members like the others after its template's machine is gone, while a seed is left", async () => {
    await fleetOf({ clone: "linked", countPerHost: undefined, count: 1 }, { hosts: [hosts[0]!.name] });
    await run.up({});
    await virsh(hosts[0]!, "undefine", NAME);
    const { state } = await run.up({ count: 2, vm: { domainType: "qemu", memory: 80 } });
    const [first, second] = await Promise.all(state.members.map(({ name }) => definition(hosts[0]!, name)));
    for (const own of [first!, second!]) assert.ok(own.some((line) => line.includes("i6300esb")) && own.some((line) => line.includes("dev='sda' bus='scsi'")));
    assert.ok(first!.includes("<memory unit='KiB'>81920</memory>"), "and what is declared reaches those that are there");
  });

  it("stays what it is when the template is a bare disk by then, also where something else changes", async () => {
    await fleetOf({ countPerHost: undefined, count: 1 }, { hosts: [hosts[0]!.name] });
    await run.up({});
    const { template } = await labInputs({ hosts: [hosts[0]!.name] });
    assert.deepEqual((await run.up({ template })).plan.reconfigure, []);
    const { state } = await run.up({ template, vm: { domainType: "qemu", memory: 80 } });
    const own = await definition(hosts[0]!, state.members[0]!.name);
    for (const line of ["<memory unit='KiB'>81920</memory>", "<vcpu placement='static'>2</vcpu>", "<watchdog model='i6300esb' action='reset'>"]) assert.ok(own.includes(line), line);
    assert.ok(own.some((line) => line.includes("dev='sda' bus='scsi'")) && own.some((line) => line.includes("model type='e1000e'")));
  });

  it("starts before its disks are there, on whatever bus they are", async () => {
    await fleetOf({ start: "immediately", policy: "relay", vm: { domainType: "qemu", rootDisk: { sizeBytes: 300 * MIB } } }, { dataBytes: 96 * MIB, virtualBytes: 256 * MIB });
    for (const { name } of hosts) await lab.setRate({ name: LAB_NAME, host: name, bitsPerSecond: 100e6 });
    const { state } = await run.up({});
    for (const member of state.members) {
      assert.equal(member.base, "consolidated");
      const own = await definition(hosts.find(({ name }) => name === member.host)!, member.name);
      const file = /source file='([^']*)'/.exec(own.join())![1]!;
      assert.equal(Number(/"virtual-size": (\d+)/.exec(await qemuImg("info", "-U", "--output=json", file))![1]), 300 * MIB);
      assert.equal(own.some((line) => /nbd|error_policy|\.early\./.test(line)), false);
    }
  });

  it("has a disk as large as is declared, full and linked, and grows it later, running and stopped", async () => {
    await fleetOf({ clone: { mixed: { linkedShare: 0.5 } }, vm: { domainType: "qemu", rootDisk: { sizeBytes: 100 * MIB } } });
    const sizes = async (): Promise<number[]> => Promise.all(run.state!.members.map(async ({ name, host }) => {
      const on = hosts.find((one) => one.name === host)!;
      await virsh(on, "pool-refresh", "default");
      const file = /source file='([^']*)'/.exec(await virsh(on, "dumpxml", name))![1]!;
      return Number(/"virtual-size": (\d+)/.exec(await qemuImg("info", "-U", "--output=json", file))![1]);
    }));
    const { state } = await run.up({});
    assert.deepEqual(await sizes(), [100 * MIB, 100 * MIB, 100 * MIB, 100 * MIB], "64 MiB of the template, and more");
    assert.deepEqual((await run.up({})).plan.reconfigure, []);
    const larger = { vm: { domainType: "qemu", rootDisk: { sizeBytes: 200 * MIB } } };
    await virsh(hosts[0]!, "destroy", state.members[0]!.name);
    const { plan } = await run.up({ ...larger });
    assert.match(plan.reconfigure[0]!.reason, /^disk 105 MB → 210 MB/);
    assert.deepEqual(await sizes(), [200 * MIB, 200 * MIB, 200 * MIB, 200 * MIB]);
    assert.deepEqual((await run.up(larger)).plan.reconfigure, []);
    assert.match((await failureOf(run.up({}))).message, /vm\.rootDisk\.sizeBytes: expected at least the 209715200 bytes that hw-00\d has, got 104857600; disks never shrink/);
  });

  it("has data disks beside its own, on whatever bus that is, under names that are free, and keeps them in a change", async () => {
    const disks = [{ label: "data", sizeBytes: MIB, bus: "scsi" }, { label: "log", sizeBytes: MIB, bus: "sata" }, { label: "tmp", sizeBytes: MIB }];
    await fleetOf({ countPerHost: undefined, count: 1, vm: { domainType: "qemu", disks, maxCpus: 4 } }, { hosts: [hosts[0]!.name] });
    const { state } = await run.up({});
    const targets = async (): Promise<string[]> => (await definition(hosts[0]!, state.members[0]!.name)).filter((line) => line.startsWith("<target dev='") && line.includes("bus=")).sort();
    const made = ["<target dev='sda' bus='scsi'/>", "<target dev='sdb' bus='sata'/>", "<target dev='sdc' bus='scsi'/>", "<target dev='sdd' bus='sata'/>", "<target dev='vdd' bus='virtio'/>"];
    assert.deepEqual((await targets()).filter((line) => !line.includes("vde")), made);
    const { plan } = await run.up({ vm: { domainType: "qemu", disks, maxCpus: 4, numCpus: 3, networks: [{ network: "default" }, { network: "default" }] } });
    assert.match(plan.reconfigure[0]!.reason, /^CPUs 2 → 3, networks default → default\+default, at once/);
    assert.deepEqual((await targets()).filter((line) => !line.includes("vde")), made);
    assert.deepEqual((await run.up({ vm: { domainType: "qemu", disks, maxCpus: 4, numCpus: 3, networks: [{ network: "default" }, { network: "default" }] } })).plan.reconfigure, []);
  });

  it("has firmware with secure boot and a TPM of its own in each member, kept over stop, start, growth and shrink", async () => {
    await fleetOf({ countPerHost: undefined, count: 2, vm: { domainType: "qemu" } }, { hosts: hosts.slice(0, 2).map(({ name }) => name) });
    // Nobody signed the lab's kernel: these guests stay with their firmware.
    const efi = (await definition(hosts[0]!, NAME)).join("\n").replace(/<(kernel|initrd|cmdline)>.*<\/\1>/g, "").replace("<os>", "<os firmware='efi'>").replace("</os>", "<firmware><feature enabled='yes' name='enrolled-keys'/><feature enabled='yes' name='secure-boot'/></firmware></os>")
      .replace("</devices>", "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm></devices>");
    await writeFile(file, efi);
    await virsh(hosts[0]!, "undefine", NAME);
    await virsh(hosts[0]!, "define", file);
    const vm = { domainType: "qemu" };
    /** Files of a member's own, as its daemon sees them. */
    const kept = async (name: string, at: string, uuid: string): Promise<{ variables: string; tpm: string }> => {
      const on = hosts.find((one) => one.name === at)!;
      const variables = /<nvram[^>]*>([^<]*)</.exec(await virsh(on, "dumpxml", name))![1]!;
      return { variables: `/proc/${on.pid}/root${variables}`, tpm: `/proc/${on.pid}/root/var/lib/libvirt/swtpm/${uuid}` };
    };
    const { state } = await run.up({ vm });
    const files = await Promise.all(state.members.map(({ name, host, uuid }) => kept(name, host, uuid)));
    assert.equal(new Set(files.map(({ variables }) => variables)).size, 2);
    for (const { name, host } of state.members) {
      const xml = lines(await virsh(hosts.find((one) => one.name === host)!, "dumpxml", name)).join();
      assert.match(xml, /secure='yes' type='pflash'>[^<]*\.ms\.fd<.*<tpm model='tpm-crb'>/);
    }
    const marks = async () => Promise.all(files.map(async ({ variables, tpm }) => [(await stat(variables)).ino, (await stat(tpm)).ino]));
    const made = await marks();
    await run.up({ vm, powerOn: false });
    await run.up({ vm, powerOn: true });
    await run.up({ vm: { ...vm, memory: 128 }, count: 3 });
    await run.up({ vm: { ...vm, memory: 128 }, count: 2 });
    assert.deepEqual(await marks(), made, "nobody made them anew");
    await run.up({ vm: { ...vm, memory: 128 }, count: 0 });
    for (const { variables, tpm } of files) for (const path of [variables, tpm]) await assert.rejects(stat(path), /ENOENT/, "they go with their member");
    await virsh(hosts[0]!, "undefine", NAME, "--nvram");
  });

  it("has what the template's firmware keeps, as its own, from its first start on", async () => {
    await fleetOf({ countPerHost: undefined, count: 2, powerOn: false, vm: { domainType: "qemu" } }, { hosts: hosts.slice(0, 2).map(({ name }) => name) });
    const efi = (await definition(hosts[0]!, NAME)).join("\n").replace(/<(kernel|initrd|cmdline)>.*<\/\1>/g, "").replace("<os>", "<os firmware='efi'>");
    await writeFile(file, efi);
    await virsh(hosts[0]!, "undefine", NAME);
    await virsh(hosts[0]!, "define", file);
    const at = async (host: LabHost, name: string): Promise<string> => `/proc/${host.pid}/root${/<nvram[^>]*>([^<]*)</.exec(await virsh(host, "dumpxml", name))![1]!}`;
    await virsh(hosts[0]!, "start", "--paused", NAME); // libvirt makes the variables then
    const golden = await at(hosts[0]!, NAME);
    await virsh(hosts[0]!, "destroy", NAME);
    const kept = await readFile(golden);
    kept.write("a boot entry", kept.length - 4096);
    await writeFile(golden, kept);
    try {
      const { state } = await run.up({});
      for (const member of state.members) {
        const host = hosts.find(({ name }) => name === member.host)!;
        const own = await at(host, member.name);
        assert.match(own, new RegExp(`\\.s${member.slot}\\.g0\\.firmware\\.fd$`));
        assert.ok((await readFile(own)).equals(kept), member.name);
      }
      await run.up({ powerOn: true });
      for (const { name, host } of state.members) assert.equal((await virsh(hosts.find((one) => one.name === host)!, "domstate", name)).trim(), "running");
      assert.deepEqual((await run.up({ powerOn: true })).plan.reconfigure, []);
      await run.up({ count: 0 });
      for (const host of hosts.slice(0, 2)) assert.deepEqual((await inventory(host)).volumes.filter((name) => name.includes(run.fleetId)), []);
    } finally {
      await virsh(hosts[0]!, "undefine", NAME, "--nvram");
    }
  });

  it("is refused on all hosts at once, and before anything is touched, where they cannot run it", async () => {
    await fleetOf({ vm: { domainType: "qemu", xml: { "./os/type/@machine": "pc-q35-99.0" } } });
    const before = await Promise.all(hosts.map(inventory));
    const failure = await failureOf(run.up({}));
    for (const { name } of hosts) assert.match(failure.message, new RegExp(`host ${name} cannot run .*pc-q35-99\\.0`));
    assert.deepEqual(await Promise.all(hosts.map(inventory)), before);
  });

  it("is refused where the template has what only one machine can have", async () => {
    await fleetOf({}, {}, "<shmem name='ring'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>");
    assert.match((await failureOf(run.up({}))).message, /template\.domain: expected a machine that can be had many times: the machine has the shared memory ring.*vm\.xml/);
    const { state } = await run.up({ countPerHost: undefined, count: 1, vm: { domainType: "qemu", xml: { "./devices/shmem": false } } });
    assert.equal(state.members.length, 1);
  });
});
