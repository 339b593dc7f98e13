/** What guests are told of who they are, read with other tools than ours: mtools, blkid, virsh. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { parse } from "yaml";
import { parseFleetSpec } from "../../../provider/fleet";
import type { MemberState } from "../../../provider/fleet/model";
import { LabRun } from "../../engine/labRun";
import { inventory, labInputs, labStatus, lines, virsh, type LabHost } from "./labFleet";

const run = promisify(execFile);
const MIB = 1 << 20;
/** As a secret would be: to be found in images alone. */
const WORD = "correct-horse-battery";

describe("what guests on real hosts are told of who they are", function () {
  this.timeout(300_000);
  let hosts: LabHost[];
  let fleet: LabRun;

  before(async () => { hosts = (await labStatus()).hosts.slice(0, 2); });
  afterEach(async () => {
    await fleet.remove();
    for (const host of hosts) {
      const { domains, volumes } = await inventory(host);
      assert.deepEqual([...domains, ...volumes].filter((name) => name.includes(fleet.fleetId) || name.startsWith(`${String(fleet.inputs["namePrefix"])}-`)), []);
    }
  });

  const guest = {
    hostname: "node{slot}", domain: "{rack}.lab.example",
    cloudInit: { userData: `#cloud-config\npassword: ${WORD}\nfqdn: {name}\n`, metaData: "role: worker # of {fleet}\n", vendorData: "#!/bin/sh\necho {host} ${HOME} {{name}}\n" },
    addresses: [{ from: "10.0.0.10", to: "10.0.0.20", prefix: 24, gateway: "10.0.0.1" }],
    dnsServers: ["10.0.0.2"], dnsDomains: ["lab.example"], sshAuthorizedKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH me"],
  };
  async function make(inputs: Record<string, unknown>): Promise<void> {
    fleet = new LabRun({ ...await labInputs({ dataBytes: 8 * MIB, hosts: hosts.map(({ name }) => name) }), count: 2, guest, ...inputs });
    await fleet.up({});
  }
  const hostOf = (member: MemberState): LabHost => hosts.find(({ name }) => name === member.host)!;
  /** Of the volume that the running machine has as its last disk, by virsh. */
  async function imageOf(member: MemberState): Promise<string> {
    const [target, path] = lines(await virsh(hostOf(member), "domblklist", member.name)).at(-1)!.split(/\s+/) as [string, string];
    assert.notEqual(target, "vda");
    assert.ok(path.endsWith(`.s${member.slot}.g${member.generation}.identity.raw`), path);
    return join(hostOf(member).poolDir, path.split("/").at(-1)!);
  }
  const read = async (image: string, file: string): Promise<string> => (await run("mtype", ["-i", image, `::${file}`])).stdout;
  const files = async (image: string): Promise<string[]> => lines((await run("mdir", ["-b", "-i", image, "::"])).stdout).map((name) => name.replace("::/", "")).sort();
  async function assertTold(member: MemberState): Promise<string> {
    const image = await imageOf(member);
    const label = (await run("blkid", ["-p", "-o", "export", image])).stdout;
    assert.match(label, /^LABEL=cidata$/m);
    assert.match(label, /^TYPE=vfat$/m);
    assert.deepEqual(await files(image), ["meta-data", "network-config", "user-data", "vendor-data"]);
    const meta = parse(await read(image, "meta-data")) as Record<string, unknown>;
    const { rack } = hostOf(member);
    assert.equal(meta["local-hostname"], `node${member.slot}.${rack}.lab.example`);
    assert.equal(meta["role"], "worker");
    assert.deepEqual(meta["public-keys"], guest.sshAuthorizedKeys);
    assert.equal(await read(image, "vendor-data"), `#!/bin/sh\necho ${member.host} \${HOME} {name}\n`);
    assert.deepEqual(parse(await read(image, "network-config")), {
      version: 2,
      ethernets: {
        card0: {
          match: { macaddress: member.macs[0] }, dhcp4: false, addresses: [`10.0.0.${10 + member.slot}/24`], routes: [{ to: "0.0.0.0/0", via: "10.0.0.1" }],
          nameservers: { addresses: ["10.0.0.2"], search: ["lab.example"] },
        },
      },
    });
    const disk = /<disk [^]*?<\/disk>/g;
    const last = (await virsh(hostOf(member), "dumpxml", member.name)).match(disk)!.at(-1)!;
    for (const part of [/<readonly\/>/, /<serial>cidata<\/serial>/, /bus='virtio'/, /identity\.raw/]) assert.match(last, part);
    assert.doesNotMatch(await virsh(hostOf(member), "dumpxml", member.name), new RegExp(WORD));
    return meta["instance-id"] as string;
  }
  async function assertAllTold(): Promise<string[]> {
    const ids = await Promise.all(fleet.state!.members.map(assertTold));
    assert.equal(new Set(ids).size, ids.length, "each has an id of its own");
    return ids;
  }

  for (const [what, inputs] of [
    ["full", {}], ["linked", { clone: "linked" }], ["mixed", { clone: { mixed: { linkedShare: 0.5 } } }],
    ["early", { start: "immediately", policy: "relay", clone: "full" }], ["early linked", { start: "immediately", clone: "linked" }],
  ] as const) {
    it(`is all there for ${what} members, stays as it is when run again, and goes with them`, async () => {
      await make(inputs);
      const ids = await assertAllTold();
      const { plan } = await fleet.up({});
      assert.deepEqual([plan.reconfigure, plan.create, plan.cleanup, plan.keep.length], [[], [], [], 2]);
      await fleet.up({ count: 3 });
      assert.deepEqual((await assertAllTold()).slice(0, 2), ids, "growth changes nobody");
      await fleet.up({ count: 1 });
      const left = (await Promise.all(hosts.map(inventory))).flatMap(({ volumes }) => volumes).filter((name) => name.includes(fleet.fleetId) && name.includes(".identity."));
      assert.equal(left.length, 1);
      assert.doesNotMatch(JSON.stringify(fleet.state), new RegExp(WORD), "nothing of it is recorded");
    });
  }

  it("is written anew in place when it changes, with another instance id, and in effect from the next start", async () => {
    await make({});
    const before = await assertAllTold();
    const userData = `#!/bin/sh\n# ${"x".repeat(60_000)}\n`;
    const changed = { guest: { ...guest, cloudInit: { ...guest.cloudInit, userData } } };
    const { plan } = await fleet.up(changed);
    assert.deepEqual(plan.reconfigure.map(({ reason }) => reason), ["guest identity, in effect from its next start", "guest identity, in effect from its next start"]);
    const after = await assertAllTold();
    assert.ok(after.every((id) => !before.includes(id)));
    for (const member of fleet.state!.members) {
      assert.equal(await read(await imageOf(member), "user-data"), userData);
      assert.equal(member.state, "running", "nobody was restarted");
    }
    assert.deepEqual((await fleet.up(changed)).plan.reconfigure, []);
    await fleet.up({}); // shorter again: nothing of the longer text stays
    for (const member of fleet.state!.members) {
      const image = await imageOf(member);
      assert.equal(await read(image, "user-data"), `#cloud-config\npassword: ${WORD}\nfqdn: ${member.name}\n`);
      assert.equal((await readFile(image)).includes("xxxx"), false);
    }
  });

  it("goes where the program says none: at once from the definition, from the host once the guest has ended", async () => {
    await make({ count: 1 });
    await fleet.up({ guest: "none" });
    const [member] = fleet.state!.members;
    const host = hostOf(member!);
    assert.doesNotMatch(await virsh(host, "dumpxml", "--inactive", member!.name), /identity/);
    assert.deepEqual((await fleet.up({ guest: "none" })).plan.reconfigure, []);
    await fleet.up({ guest: "none", powerOn: false });
    await fleet.up({ guest: "none", powerOn: true });
    assert.deepEqual((await inventory(host)).volumes.filter((name) => name.includes(fleet.fleetId) && name.includes(".identity.")), []);
    await fleet.up({}); // and comes back
    assert.match(await virsh(host, "dumpxml", "--inactive", member!.name), /identity\.raw/);
  });

  it("is the least where the program says nothing, and nothing to a fleet of a version that told guests nothing", async () => {
    await make({ count: 1, guest: undefined });
    const [member] = fleet.state!.members;
    const image = await imageOf(member!);
    assert.deepEqual(await files(image), ["meta-data", "user-data"]);
    const meta = parse(await read(image, "meta-data")) as Record<string, unknown>;
    assert.deepEqual(Object.keys(meta), ["instance-id", "local-hostname"]);
    assert.equal(meta["local-hostname"], member!.name);
    const { spec } = parseFleetSpec({ ...fleet.inputs, guest: undefined }, { defaultsVersion: 1 });
    assert.deepEqual(spec!.guest, { kind: "none" });
  });

  for (const start of ["whenCopied", "immediately"] as const) {
    it(`reaches Ignition by QEMU's fw_cfg (start: ${start}), written anew when it changes, whatever its length, and gives way to cloud-init`, async () => {
      const ignition = (text: string) => ({ ignition: JSON.stringify({ ignition: { version: "3.4.0" }, storage: { files: [{ path: "/etc/hostname", contents: { source: `data:,{name}${text}` } }] } }) });
      await make({ count: 1, guest: ignition(WORD), start, policy: "relay" });
      const [member] = fleet.state!.members;
      const host = hostOf(member!);
      const volumes = async () => (await inventory(host)).volumes.filter((name) => name.includes(`${fleet.fleetId}.`) && /identity|ignition/.test(name));
      const [name] = await volumes();
      assert.deepEqual(await volumes(), [name]);
      assert.ok(name!.endsWith(`.s0.g0.ignition.json`), name);
      const xml = await virsh(host, "dumpxml", member!.name);
      assert.match(xml, new RegExp(`<sysinfo type='fwcfg'>\\s*<entry name='opt/com.coreos/config' file='[^']*${name!.replaceAll(".", "\\.")}'/>`));
      assert.doesNotMatch(xml, new RegExp(`${WORD}|identity\\.raw`));
      const told = async () => (JSON.parse(await readFile(join(host.poolDir, name!), "utf8")) as { storage: { files: [{ contents: { source: string } }] } }).storage.files[0].contents.source;
      assert.equal(await told(), `data:,${member!.name}${WORD}`);
      for (const text of ["x".repeat(9000), "short"]) {
        const changed = { guest: ignition(text) };
        assert.deepEqual((await fleet.up(changed)).plan.reconfigure.map(({ reason }) => reason), ["guest identity, in effect from its next start"]);
        assert.equal(await told(), `data:,${member!.name}${text}`);
        assert.deepEqual((await fleet.up(changed)).plan.reconfigure, []);
      }
      await fleet.up({ guest, powerOn: false });
      const after = await virsh(host, "dumpxml", member!.name);
      assert.doesNotMatch(after, /fwcfg/);
      assert.match(after, /identity\.raw/);
      await fleet.up({ guest, powerOn: true });
      assert.deepEqual((await volumes()).map((one) => one.split(".").slice(-2).join(".")), ["identity.raw"]);
      await assertAllTold();
    });
  }

  it("is a leftover where a run was killed between writing it and defining its member, and goes with the next run", async () => {
    await make({ count: 1 });
    const [host] = hosts;
    const stale = [...(await inventory(host!)).volumes, ...(await inventory(hosts[1]!)).volumes].find((name) => name.includes(`${fleet.fleetId}.`) && name.endsWith(".identity.raw"))!;
    const where = hosts.find(({ name }) => name === fleet.state!.members[0]!.host)!;
    // As of slot 7, and one of somebody's who copied it.
    const left = stale.replace(".s0.", ".s7.");
    const copy = stale.replace(".identity.raw", ".identity-clone.raw");
    for (const name of [left, copy]) await virsh(where, "vol-create-as", "default", name, "1M", "--format", "raw");
    const { plan } = await fleet.up({});
    assert.deepEqual(plan.cleanup.map(({ leftover }) => leftover.name), [left]);
    const { volumes } = await inventory(where);
    assert.deepEqual([left, copy, stale].map((name) => volumes.includes(name)), [false, true, true]);
    await virsh(where, "vol-delete", copy, "default");
  });

  it("repairs one that somebody removed by hand", async () => {
    await make({ count: 1, powerOn: false });
    const [member] = fleet.state!.members;
    const host = hostOf(member!);
    const name = (await inventory(host)).volumes.find((one) => one.includes(`${fleet.fleetId}.`) && one.endsWith(".identity.raw"))!;
    await virsh(host, "vol-delete", name, "default");
    const { plan } = await fleet.up({ powerOn: false });
    assert.deepEqual(plan.reconfigure.map(({ reason }) => reason), ["guest identity"]);
    await fleet.up({ powerOn: true });
    await assertAllTold();
  });

  it("is not written over where somebody else uses it", async () => {
    await make({ count: 1 });
    const [member] = fleet.state!.members;
    const host = hostOf(member!);
    const name = (await inventory(host)).volumes.find((one) => one.includes(`${fleet.fleetId}.`) && one.endsWith(".identity.raw"))!;
    const path = (await virsh(host, "vol-path", name, "default")).trim();
    const { writeFile, rm } = await import("node:fs/promises");
    const xml = `/tmp/vmfleet-identity-${process.pid}.xml`;
    await writeFile(xml, `<domain type='qemu'><name>reader-${fleet.fleetId}</name><memory unit='MiB'>8</memory><os><type arch='x86_64'>hvm</type></os><devices><disk type='file'><driver name='qemu' type='raw'/><source file='${path}'/><target dev='vda' bus='virtio'/><readonly/></disk></devices></domain>`);
    await virsh(host, "define", xml);
    try {
      await assert.rejects(fleet.up({ guest: { ...guest, hostname: "other{slot}" } }), /is in use, and nothing was done to it: the domain reader-/);
    } finally {
      await virsh(host, "undefine", `reader-${fleet.fleetId}`);
      await rm(xml);
    }
    await fleet.up({ guest: { ...guest, hostname: "other{slot}" } });
  });
});

