/**
 * The main job on real daemons: 12 full clones, 20, 5, a linked fleet beside them, none. What is so is said by virsh,
 * qemu-img and the guests' own logs, not by our client.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { applyFleet, realClock, removeFleet } from "../../provider/engine";
import type { FleetState } from "../../provider/fleet/model";
import { createLibvirt } from "../../provider/hypervisors/libvirt";
import { freshFleetId, inventory, lab, labInputs, labStatus, lines, specOf, virsh, type LabHost } from "../hypervisors/libvirt/labFleet";

const run = promisify(execFile);
const qemuImg = async (...args: string[]): Promise<string> => (await run("qemu-img", args)).stdout;

describe("a fleet on real libvirt hosts", function () {
  this.timeout(300_000);
  let hosts: LabHost[];
  let inputs: Record<string, unknown>;
  let linkedInputs: Record<string, unknown>;
  let before_: Awaited<ReturnType<typeof inventory>>[];
  let templatePath: string;
  const full = freshFleetId();
  const linked = freshFleetId();
  let state: FleetState | undefined;
  let linkedState: FleetState | undefined;

  async function apply(fleetId: string, from: Record<string, unknown>, previous?: FleetState): Promise<FleetState> {
    const spec = specOf(from);
    const hypervisor = createLibvirt({ spec });
    try {
      return (await applyFleet({ spec, fleetId, incarnation: "one", previous, hypervisor, clock: realClock, holder: "test" })).state;
    } finally {
      await hypervisor.close();
    }
  }
  const hostOf = (name: string): LabHost => hosts.find((h) => h.name === name)!;

  /** Waits until each member's guest has said its own MAC on its serial line, and checks it against virsh. */
  async function guestsAreUp(members: FleetState["members"]): Promise<void> {
    for (const member of members) {
      const host = hostOf(member.host);
      const [mac] = lines(await virsh(host, "domiflist", member.name)).map((l) => l.split(/\s+/).at(-1)!);
      assert.deepEqual(member.macs, [mac]);
      const log = join(host.poolDir, "..", "log", "qemu", `${member.name}.serial.log`);
      for (const deadline = Date.now() + 120_000; ;) {
        if ((await readFile(log, "utf8").catch(() => "")).includes(`mac=${mac}`)) break;
        assert.ok(Date.now() < deadline, `${member.name} never booted`);
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }
  }
  /** Bytes at which a disk differs from the template, by qemu-img. */
  async function firstDifference(path: string): Promise<number | null> {
    try {
      await qemuImg("compare", "-U", path, templatePath);
      return null;
    } catch (error) {
      const said = String((error as { stdout?: string }).stdout);
      return Number(/offset (\d+)/.exec(said)?.[1]);
    }
  }

  before(async () => {
    hosts = (await labStatus()).hosts;
    for (const host of hosts) {
      const xml = `/tmp/vmfleet-bystander-${process.pid}.xml`;
      await writeFile(xml, "<domain type='qemu'><name>bystander</name><memory unit='MiB'>8</memory><os><type arch='x86_64'>hvm</type></os></domain>");
      await virsh(host, "define", xml);
      await virsh(host, "vol-create-as", "default", "bystander.raw", "1M").catch(() => undefined);
    }
    inputs = await labInputs();
    linkedInputs = { ...(await labInputs()), clone: "linked", count: 12 };
    const template = inputs.template as { host: string; volume: string };
    templatePath = join(hostOf(template.host).poolDir, template.volume);
    before_ = await Promise.all(hosts.map(inventory));
  });
  after(async () => {
    for (const host of hosts) {
      await virsh(host, "undefine", "bystander");
      await virsh(host, "vol-delete", "bystander.raw", "default");
    }
  });

  it("makes 12 full members, three a host, all of them running flat disks of their own", async () => {
    state = await apply(full, { ...inputs, count: 12 });
    assert.equal(state.members.length, 12);
    assert.deepEqual(Object.values(state.placement), [3, 3, 3, 3]);
    await guestsAreUp(state.members);
    for (const member of state.members) {
      assert.equal(member.base, "consolidated");
      const [disk] = lines(await virsh(hostOf(member.host), "domblklist", member.name)).map((l) => l.split(/\s+/).at(-1)!);
      assert.equal((JSON.parse(await qemuImg("info", "-U", "--output=json", disk!)) as Record<string, unknown>)["backing-filename"], undefined);
      assert.ok(((await firstDifference(disk!)) ?? 0) < 4096, "only what the guest wrote differs");
    }
  });

  it("does nothing when run again", async () => {
    const again = await apply(full, { ...inputs, count: 12 }, state);
    assert.deepEqual(again.members, state!.members);
    assert.deepEqual(again.lastRun, state!.lastRun, "a run that did nothing is none");
  });

  it("keeps a frozen base per host identical to the template when told to", async () => {
    state = await apply(full, { ...inputs, count: 20, keepSeeds: "host" }, state);
    assert.equal(state.members.length, 20);
    assert.deepEqual(state.members.map((m) => m.slot), Array.from({ length: 20 }, (_, i) => i));
    await guestsAreUp(state.members);
    assert.ok(state.snapshots.length >= 4);
    for (const { host, volume } of state.snapshots) assert.equal(await firstDifference(join(hostOf(host).poolDir, volume)), null);
  });

  it("shrinks to 5, highest slots of the fullest hosts first", async () => {
    state = await apply(full, { ...inputs, count: 5 }, state);
    assert.equal(state.members.length, 5);
    const names = (await Promise.all(hosts.map(async (h) => (await inventory(h)).domains))).flat().filter((n) => n.startsWith(`${String(inputs.namePrefix)}-`));
    assert.deepEqual(names.sort(), state.members.map((m) => m.name).sort());
  });

  it("runs a linked fleet beside them, each delta over its host's replica", async () => {
    linkedState = await apply(linked, linkedInputs);
    assert.equal(linkedState.members.length, 12);
    await guestsAreUp(linkedState.members);
    assert.equal(linkedState.replicas.length, 4);
    for (const member of linkedState.members) {
      const host = hostOf(member.host);
      const [disk] = lines(await virsh(host, "domblklist", member.name)).map((l) => l.split(/\s+/).at(-1)!);
      const info = JSON.parse(await qemuImg("info", "-U", "--output=json", disk!)) as Record<string, string>;
      const replica: { volume: string } = linkedState.replicas.find((r) => r.host === member.host)!;
      assert.equal(info["backing-filename"], join(host.poolDir, replica.volume));
      assert.equal(await firstDifference(info["backing-filename"]), null);
    }
  });

  it("makes a fleet by relay: every copy the template's, the image once over each uplink", async () => {
    const relayed = freshFleetId();
    const from = { ...(await labInputs()), policy: "relay", countPerHost: 2, powerOn: false, keepSeeds: "host" };
    const racks = (await labStatus()).racks;
    const uplinks = () => Promise.all(racks.map((rack) => lab.uplinkBytes(rack)));
    const before = await uplinks();
    const made = await apply(relayed, from);
    const after = await uplinks();
    assert.equal(made.members.length, 8);
    assert.equal(made.lastRun.policy, "relay");
    for (const [i, { tx }] of after.entries()) assert.ok(tx - before[i]!.tx < 24 * 1.15 * (1 << 20), `${racks[i]!.name} sent ${tx - before[i]!.tx} bytes`);
    const hostDirs = new Map(hosts.map((h) => [h.name, h.poolDir]));
    for (const member of made.members) {
      assert.equal(await firstDifference(join(hostDirs.get(member.host)!, member.chain.at(-1)!)), null);
    }
    const spec = specOf(from);
    const hypervisor = createLibvirt({ spec });
    await removeFleet({ spec, fleetId: relayed, incarnation: "one", previous: made, hypervisor, clock: realClock, holder: "test" });
    await hypervisor.close();
  });

  it("leaves nothing of ours when both are removed, and all that was there before", async () => {
    for (const [fleetId, from, previous] of [[full, inputs, state], [linked, linkedInputs, linkedState]] as const) {
      const spec = specOf({ ...from, count: 5 });
      const hypervisor = createLibvirt({ spec });
      await removeFleet({ spec, fleetId, incarnation: "one", previous, hypervisor, clock: realClock, holder: "test" });
      await hypervisor.close();
    }
    assert.deepEqual(await Promise.all(hosts.map(inventory)), before_);
  });
});
