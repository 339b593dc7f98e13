/** Bad days of whole fleets on real daemons; each ends with what the user is told, and with what virsh finds. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { FleetRefusedError, type Progress } from "../../provider/engine";
import { inventory, lab, LAB_NAME, labInputs, labStatus, virsh, type LabHost } from "../hypervisors/libvirt/labFleet";
import { failureOf as failure, LabRun } from "./labRun";

const run = promisify(execFile);
const MIB = 1 << 20;

describe("a fleet on real hosts, on a bad day", function () {
  this.timeout(180_000);
  let hosts: LabHost[];
  let fleet: LabRun;
  /** Others that a test makes beside it. */
  const more: LabRun[] = [];

  before(async () => { hosts = (await labStatus()).hosts; });
  beforeEach(async () => {
    // Stopped guests: these days are about disks. Copies of 48 MiB, long enough to be disturbed.
    fleet = new LabRun(await labInputs({ dataBytes: 48 * MIB, virtualBytes: 128 * MIB, inputs: { powerOn: false, policy: "rounds", connectTimeout: 3, stallTimeout: 2, retries: 2 } }));
  });
  afterEach(async () => {
    for (const each of [fleet, ...more.splice(0)]) await each.remove();
    for (const host of hosts) {
      const { domains, volumes } = await inventory(host);
      assert.deepEqual([...domains, ...volumes].filter((name) => name.includes(fleet.fleetId) || name.startsWith(String(fleet.inputs.namePrefix))), []);
    }
  });

  /** Runs `disturb` once, when this share of the bytes has moved. */
  const at = (share: number, disturb: () => Promise<unknown>): { onProgress: (p: Progress) => void; done: () => Promise<unknown> } => {
    let begun: Promise<unknown> | undefined;
    return {
      onProgress: (p) => { if (p.phase === "clone" && p.bytesTotal > 0 && p.bytesDone / p.bytesTotal > share) begun ??= disturb(); },
      done: () => {
        assert.ok(begun, "it was never disturbed");
        return begun;
      },
    };
  };

  it("lets a second run of the same fleet wait, and then find it done", async () => {
    const waits: string[] = [];
    const second = new LabRun(fleet.inputs, fleet.fleetId);
    const [one, other] = await Promise.all([
      fleet.up({ count: 4 }, { holder: "the first" }),
      second.up({ count: 4 }, { holder: "the second", onProgress: (p) => { if (p.note) waits.push(p.note); } }),
    ]);
    assert.deepEqual([one.summary.created, other.summary.created].sort(), [0, 4]);
    assert.deepEqual(one.state.members.map((m) => m.uuid).sort(), other.state.members.map((m) => m.uuid).sort());
  });

  it("makes two fleets on the same hosts at once, neither touching the other", async () => {
    const other = new LabRun({ ...fleet.inputs, namePrefix: `o${randomBytes(3).toString("hex")}` });
    more.push(other);
    const [mine, theirs] = await Promise.all([fleet.up({ count: 4 }), other.up({ count: 4 })]);
    assert.equal(mine.state.members.length + theirs.state.members.length, 8);
    for (const { state: made } of [mine, theirs]) {
      for (const member of made.members) assert.equal((await virsh(hosts.find((h) => h.name === member.host)!, "domstate", member.name)).trim(), "shut off");
    }
  });

  it("refuses to begin while a host's libvirtd is down, saying what to do", async () => {
    await lab.killDaemon({ name: LAB_NAME, host: hosts[3]!.name });
    try {
      const error = await failure(fleet.up({ count: 4 }));
      assert.ok(error instanceof FleetRefusedError);
      assert.match(error.message, new RegExp(`hosts\\[3\\]: .*${hosts[3]!.name} does not answer.*abandonHosts`));
      assert.deepEqual((await inventory(hosts[0]!)).volumes.filter((v) => v.includes(fleet.fleetId)), []);
    } finally {
      await lab.startDaemon({ name: LAB_NAME, host: hosts[3]!.name });
    }
  });

  for (const [how, vanish, bringBack] of [
    ["is killed", (host: string) => lab.killHost({ name: LAB_NAME, host }), (host: string) => lab.startDaemon({ name: LAB_NAME, host })],
    ["loses its link", (host: string) => lab.setLink({ name: LAB_NAME, host, up: false }), (host: string) => lab.setLink({ name: LAB_NAME, host, up: true })],
  ] as const) {
    it(`re-sources the clones of a host that ${how} in mid-transfer, reports its members, and completes them later`, async () => {
      const victim = hosts[2]!.name;
      const disturbed = at(0.4, () => vanish(victim));
      let error: Error;
      try {
        error = await failure(fleet.up({ countPerHost: 2 }, disturbed));
      } finally {
        await disturbed.done();
        await bringBack(victim);
      }
      assert.match(error.message, new RegExp(victim));
      assert.match(error.message, /next `pulumi up`/);
      const elsewhere = fleet.state!.members.filter((m) => m.host !== victim);
      assert.equal(elsewhere.length, 6, "every other host has its members");
      const { state: complete } = await fleet.up({ countPerHost: 2 });
      assert.equal(complete.members.length, 8);
    });
  }

  it("fills the other hosts when one pool is full, and says which", async () => {
    const host = hosts[1]!;
    const pool = `small-${randomBytes(3).toString("hex")}`;
    const mount = join(host.dataDir, pool);
    const inside = (script: string) => run("nsenter", ["-t", String(host.pid), "-m", "sh", "-ec", script]);
    // Big enough for the plan, not for what somebody else puts there meanwhile.
    await inside(`mkdir -p '${mount}'; truncate -s 140M '${mount}.img'; mkfs.ext4 -q '${mount}.img'; mount -o loop '${mount}.img' '${mount}'`);
    await virsh(host, "pool-create-as", pool, "dir", "--target", mount);
    try {
      fleet.inputs = { ...fleet.inputs, hosts: (fleet.inputs.hosts as Record<string, unknown>[]).map((h) => (h.name === host.name ? { ...h, pool } : h)) };
      const disturbed = at(0.02, () => inside(`fallocate -l 95M '${mount}/somebody-else'`));
      const error = await failure(fleet.up({ countPerHost: 1 }, disturbed));
      await disturbed.done();
      assert.match(error.message, new RegExp(`${host.name}.*${pool}.* is full`));
      assert.equal(fleet.state!.members.length, 3);
      await inside(`rm '${mount}/somebody-else'`);
      assert.equal((await fleet.up({ countPerHost: 1 })).state.members.length, 4);
      await fleet.remove();
    } finally {
      await virsh(host, "pool-destroy", pool);
      await inside(`umount '${mount}'; rm -r '${mount}' '${mount}.img'`);
      fleet.inputs = { ...fleet.inputs, hosts: (fleet.inputs.hosts as Record<string, unknown>[]).map((h) => ({ ...h, pool: "default" })) };
    }
  });

  it("ends with what is whole when the template is deleted under it", async () => {
    const volume = `doomed-${randomBytes(3).toString("hex")}.qcow2`;
    await lab.installTemplate({ name: LAB_NAME, host: hosts[0]!.name, volume, dataBytes: 48 * MIB, virtualBytes: 128 * MIB });
    fleet.inputs = { ...fleet.inputs, template: { host: hosts[0]!.name, pool: "default", volume } };
    const disturbed = at(0.3, () => rm(join(hosts[0]!.poolDir, volume)));
    const error = await failure(fleet.up({ count: 8, policy: "singleSource" }, disturbed));
    await disturbed.done();
    assert.match(error.message, /template/);
    assert.ok(fleet.state!.members.length < 8);
    const found = (await Promise.all(hosts.map(async (h) => (await inventory(h)).domains))).flat().filter((d) => d.startsWith(`${String(fleet.inputs.namePrefix)}-`));
    assert.deepEqual(found.sort(), fleet.state!.members.map((m) => m.name).sort());
    await lab.installTemplate({ name: LAB_NAME, host: hosts[0]!.name, volume, dataBytes: 48 * MIB, virtualBytes: 128 * MIB });
    await virsh(hosts[0]!, "vol-delete", volume, "default");
  });

  it("refuses a name that a machine without our tag has, before anything is touched", async () => {
    const xml = `/tmp/vmfleet-taken-${process.pid}.xml`;
    const name = `${String(fleet.inputs.namePrefix)}-002`;
    await writeFile(xml, `<domain type='qemu'><name>${name}</name><memory unit='MiB'>8</memory><os><type arch='x86_64'>hvm</type></os></domain>`);
    await virsh(hosts[2]!, "define", xml);
    try {
      const error = await failure(fleet.up({ count: 4 }));
      assert.ok(error instanceof FleetRefusedError);
      assert.match(error.message, new RegExp(name));
    } finally {
      await virsh(hosts[2]!, "undefine", name);
      await rm(xml);
    }
  });

  it("takes pools, networks and volumes whose names hold XML and shell metacharacters", async () => {
    const odd = `a'b"<c>&$(touch pwned);\`d\``;
    const host = hosts[0]!;
    const dir = join(host.dataDir, "odd");
    await run("nsenter", ["-t", String(host.pid), "-m", "mkdir", "-p", dir]);
    // By XML of our own: virsh escapes nothing.
    const escaped = odd.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
    const poolXml = `/tmp/vmfleet-pool-${process.pid}.xml`;
    await writeFile(poolXml, `<pool type='dir'><name>${escaped}</name><target><path>${dir}</path></target></pool>`);
    await virsh(host, "pool-create", poolXml);
    await rm(poolXml);
    await run("cp", [join(host.poolDir, (fleet.inputs.template as { volume: string }).volume), join(host.poolDir, odd)]);
    await virsh(host, "pool-refresh", "default");
    const net = `/tmp/vmfleet-net-${process.pid}.xml`;
    await writeFile(net, `<network><name>${escaped}</name></network>`);
    await virsh(host, "net-create", net);
    try {
      fleet.inputs = {
        ...fleet.inputs, template: { host: host.name, pool: "default", volume: odd }, vm: { ...(fleet.inputs.vm as object), networks: [{ network: odd }] },
        hosts: [{ ...(fleet.inputs.hosts as Record<string, unknown>[])[0], pool: odd }], racks: [(fleet.inputs.racks as unknown[])[0]],
      };
      const { state: made } = await fleet.up({ count: 2 });
      assert.equal(made.members.length, 2);
      await fleet.remove();
      assert.equal((await virsh(host, "vol-list", odd)).trim(), "");
    } finally {
      await virsh(host, "net-destroy", odd);
      await virsh(host, "vol-delete", odd, "default");
      await virsh(host, "pool-destroy", odd);
      await rm(net);
      fleet.inputs = await labInputs();
    }
  });
});
