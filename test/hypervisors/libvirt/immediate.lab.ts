/** Guests that run before their disk is there, on real daemons. */
import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { imageOf, slotName } from "../../../provider/fleet";
import type { FleetSpec, Image, ObservedMember } from "../../../provider/fleet/model";
import type { CallContext, CloneTarget, EarlyOrder, FleetIdentity, HintedCloneOrder, HintedCloneResult, ImageRef } from "../../../provider/hypervisors/hypervisor";
import { createLibvirt, type Libvirt } from "../../../provider/hypervisors/libvirt";
import { compareWithTemplate, freshFleetId, inventory, lab, LAB_NAME, labInputs, labStatus, lines, specOf, virsh, type LabHost } from "./labFleet";

const MIB = 1 << 20;
const DATA_MIB = 96;
/** At which the image takes most of a minute: time for an emulated guest to boot. */
const SLOW_BITS_PER_SECOND = 20e6;

describe("members that start immediately", function () {
  this.timeout(600_000);
  let hosts: LabHost[];
  let spec: FleetSpec;
  let hv: Libvirt;
  let fleet: FleetIdentity;
  let image: Image;
  let contentId: string;
  let templatePath: string;

  before(async () => {
    hosts = (await labStatus()).hosts;
    const inputs = await labInputs({ dataBytes: DATA_MIB * MIB, virtualBytes: 256 * MIB });
    const vm = inputs.vm as { cmdline: string };
    // Of the image's end, so that the guest is there before the copy.
    vm.cmdline += " vmfleet.read=86,2 vmfleet.walk=91,4";
    spec = specOf({ ...inputs, count: 1, stallTimeout: 10, start: "immediately", policy: "relay" });
    templatePath = join(hosts[0]!.poolDir, (inputs.template as { volume: string }).volume);
  });
  beforeEach(async () => {
    fleet = { fleetId: freshFleetId(), incarnation: "one", namePrefix: "early" };
    hv = await open();
    await setSpeed(SLOW_BITS_PER_SECOND);
  });
  afterEach(async () => {
    await fullSpeed();
    for (const host of await look()) {
      for (const m of host.members) await hv.destroy({ kind: "member", fleet, host: host.name, slot: m.slot, name: m.name, generation: m.generation, shutdownMs: 0 });
    }
    await hv.close();
    await lab.until(async () => (await Promise.all(hosts.map(inventory))).every((i) => !i.domains.some((d) => d.includes(fleet.fleetId))), { what: "helpers to go" });
    for (const host of hosts) {
      for (const volume of (await inventory(host)).volumes) if (volume.includes(fleet.fleetId)) await virsh(host, "vol-delete", volume, "default");
      await rm(serialLog(host), { force: true });
    }
  });

  const open = async (): Promise<Libvirt> => {
    const opened = createLibvirt({ spec });
    const seen = await opened.observe({ fleetId: fleet.fleetId, namePrefix: "early", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight: false });
    image = imageOf(seen.template!);
    ({ contentId } = image);
    return opened;
  };
  const look = async () => (await hv.observe({ fleetId: fleet.fleetId, namePrefix: "early", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight: false }))
    .hosts.filter((h) => h.status === "reachable");
  const name = (i: number) => slotName(`early-${fleet.fleetId}`, i);
  const serialLog = (host: LabHost) => join(host.poolDir, "..", "log", "qemu", `${name(hosts.indexOf(host))}.serial.log`);
  const serial = async (i: number) => readFile(serialLog(hosts[i]!), "utf8").catch(() => "");
  const template = (): ImageRef => ({ kind: "template", host: hosts[0]!.name });
  const base = (i: number) => ({ kind: "base", host: hosts[i]!.name, slot: i, generation: 0, name: name(i) }) as const;
  const replica = (i: number) => ({ kind: "replica", purpose: "replica", host: hosts[i]!.name, contentId }) as const;
  const early = (i: number, image: EarlyOrder["base"] = base(i)): EarlyOrder => ({
    fleet, host: hosts[i]!.name, slot: i, name: name(i), 
    kind: image.kind === "base" ? "full" : "linked", generation: 0, contentId, vm: spec.vm, autostart: false, base: image,
  });
  const copy = (i: number, source = template(), context: CallContext = {}, target: CloneTarget = base(i), hints: Pick<HintedCloneOrder, "readFirst" | "recordReads"> = {}) => (
    hv.abilities.startsEarly.clone({ fleet, image, source, target, ...hints }, context)
  );
  const member = async (i: number): Promise<ObservedMember> => {
    const found = (await look()).find((h) => h.name === hosts[i]!.name)?.members.find((m) => m.slot === i);
    assert.ok(found);
    return found;
  };
  /** Slow enough for an emulated guest to boot first; then the rest may hurry. */
  const setSpeed = (bitsPerSecond?: number) => Promise.all([0, 1].map((i) => lab.setRate({ name: LAB_NAME, host: hosts[i]!.name, bitsPerSecond })));
  const fullSpeed = () => setSpeed();
  const helperPid = async (i: number): Promise<number> => {
    const helper = (await inventory(hosts[i]!)).domains.find((d) => d.startsWith(`vmfleet-helper-${fleet.fleetId}.`));
    assert.ok(helper, `a helper on ${hosts[i]!.name}`);
    return Number(await readFile(join(hosts[i]!.runDir, "run", "qemu", `${helper}.pid`), "utf8"));
  };
  const says = (i: number, line: string) => lab.until(async () => (await serial(i)).includes(line), { what: `${line} of guest ${i}`, timeoutMs: 240_000 });
  const standsStill = (i: number) => lab.until(
    async () => (await virsh(hosts[i]!, "domstate", "--reason", name(i))).includes("I/O error"), { what: `guest ${i} to stand still`, timeoutMs: 240_000 },
  );
  /** What qemu-io says of the guest's second disk where it is not as expected: through QEMU, as the guest sees it. */
  const dataDisk = async (i: number, command: string) => {
    const answer = await virsh(hosts[i]!, "qemu-monitor-command", name(i), "--hmp", `qemu-io -d /machine/peripheral/virtio-disk1/virtio-backend "${command}"`);
    return lines(answer).filter((line) => !/^(read|wrote) \d+\/\d+ bytes|ops;/.test(line)).join();
  };
  const disksOf = (xml: string) => xml.match(/<source file=[^>]*>/g);
  /** Its maps remain, as after any run that died: the next one removes them. */
  const startAndDie = async (i: number, before = async (): Promise<void> => undefined) => {
    const cut = copy(i).catch(() => undefined);
    await hv.abilities.startsEarly.startEarly(early(i));
    await before();
    await hv.close();
    await cut;
  };
  const ofDeadRuns = (volume: string) => volume.includes(".map.");
  const assertHealthy = async (i: number) => {
    const log = await serial(i);
    assert.equal(log.split("VMFLEET BOOTED").length, 2, `booted once: ${log}`);
    assert.doesNotMatch(log, /FAILED|I\/O error/i);
  };
  /** No export, no helper, and the member's chain as any other's. */
  const assertSettled = async (i: number, kind: "base" | "replica" = "base") => {
    const found = await member(i);
    assert.equal(found.base, kind === "base" ? "frozen" : "replica");
    assert.equal(found.power, "running");
    assert.deepEqual(found.chain.map((d) => d.name.replace(/^.*?\.(s|replica)/, "$1").replace(/replica\..*/, "replica")), [`s${i}.g0.delta.qcow2`, kind === "base" ? `s${i}.g0.base.qcow2` : "replica"]);
    for (const flag of [[], ["--inactive"]]) {
      const xml = await virsh(hosts[i]!, "dumpxml", name(i), ...flag);
      assert.doesNotMatch(xml, /protocol='nbd'|\.early\.qcow2/);
    }
    assert.doesNotMatch(await virsh(hosts[i]!, "dumpxml", name(i), "--inactive"), /error_policy/);
    const { domains, volumes } = await inventory(hosts[i]!);
    assert.deepEqual(domains.filter((d) => d.includes("helper")), []);
    assert.deepEqual(volumes.filter((v) => v.includes(`${fleet.fleetId}.`) && v.includes("early")), []);
  };

  /** The rest of the copy, and what comes after it. The guest was there all the time. */
  const completed = async (i: number, copying: Promise<unknown>, image: EarlyOrder["base"] = base(i)) => {
    await fullSpeed();
    await copying;
    await hv.abilities.startsEarly.settle(early(i, image));
    await says(i, "VMFLEET WALKED");
    await assertSettled(i, image.kind === "base" ? "base" : "replica");
    await assertHealthy(i);
    await compareWithTemplate(hosts[i]!, templatePath, fleet.fleetId);
  };

  it("boots a guest before its copy is there and settles it without a restart", async () => {
    let copied = false;
    const copying = copy(1).then(() => { copied = true; });
    await hv.abilities.startsEarly.startEarly(early(1));
    assert.equal((await member(1)).base, "arriving");
    await says(1, "VMFLEET BOOTED");
    assert.equal(copied, false, "the guest was first");
    await completed(1, copying);
    await hv.abilities.startsEarly.settle(early(1));
  });

  const covers = ({ readProfile = [] }: HintedCloneResult, fromMib: number, toMib: number) => (
    readProfile.some(({ offsetBytes, lengthBytes }) => offsetBytes <= fromMib * MIB && offsetBytes + lengthBytes >= toMib * MIB)
  );
  const backingNodes = async (i: number) => JSON.parse(await virsh(hosts[i]!, "qemu-monitor-command", name(i), JSON.stringify({ execute: "query-named-block-nodes" }))) as { return: { "node-name": string }[] };

  it("records what a booting guest reads, and a copy that is told so boots another without its source", async () => {
    const copying = copy(1, template(), {}, base(1), { recordReads: true });
    await hv.abilities.startsEarly.startEarly(early(1));
    await says(1, "VMFLEET WALKED");
    // At rest it stands over an export that records nothing.
    await lab.until(async () => (await backingNodes(1)).return.some((node) => node["node-name"].startsWith("vmfleet-early-")), { what: "the record to end", timeoutMs: 60_000 });
    await completed(1, copying);
    const recorded = await copying;
    const profile = recorded.readProfile!;
    assert.ok(covers(recorded, 86, 88), JSON.stringify(profile));
    assert.ok(profile.reduce((sum, range) => sum + range.lengthBytes, 0) < 12 * MIB, JSON.stringify(profile));

    await setSpeed(SLOW_BITS_PER_SECOND);
    let answer = (_: ImageRef): void => undefined;
    const another = new Promise<ImageRef>((resolve) => { answer = resolve; });
    const next = copy(2, template(), { onSourceLost: () => another }, base(2), { readFirst: profile });
    await hv.abilities.startsEarly.startEarly(early(2));
    const copiesTheRest = async (): Promise<boolean> => {
      const helper = (await inventory(hosts[2]!)).domains.find((d) => d.startsWith(`vmfleet-helper-${fleet.fleetId}.`))!;
      const ask = async (execute: string) => (JSON.parse(await virsh(hosts[2]!, "qemu-monitor-command", helper, JSON.stringify({ execute }))) as { return: { "node-name"?: string }[] }).return;
      return (await ask("query-block-jobs")).length > 0 && (await ask("query-named-block-nodes")).every((node) => node["node-name"] !== "vmfleet-first");
    };
    await lab.until(copiesTheRest, { what: "the rest to be copied", timeoutMs: 120_000 });
    process.kill(await helperPid(0), "SIGKILL");
    await says(2, "VMFLEET BOOTED");
    answer(template());
    await completed(2, next);
  });

  it("says what a guest read until then when the copy ends before the guest rests", async () => {
    const copying = copy(1, template(), {}, base(1), { recordReads: true });
    await hv.abilities.startsEarly.startEarly(early(1));
    await says(1, "VMFLEET BOOTED");
    await completed(1, copying);
    assert.ok(covers(await copying, 86, 88), JSON.stringify(await copying));
  });

  it("starts linked clones over a replica that arrives", async () => {
    const copying = copy(1, template(), {}, replica(1));
    await hv.abilities.startsEarly.startEarly(early(1, replica(1)));
    assert.deepEqual((await look()).flatMap((h) => h.replicas), [], "the replica is not whole yet");
    await says(1, "VMFLEET BOOTED");
    await completed(1, copying, replica(1));
  });

  it("makes the guest wait, and go on, when the source's QEMU is killed while it boots", async () => {
    let lost = 0;
    const copying = copy(1, template(), { onSourceLost: () => { lost++; return Promise.resolve(template()); } });
    await hv.abilities.startsEarly.startEarly(early(1));
    process.kill(await helperPid(0), "SIGKILL");
    await says(1, "VMFLEET BOOTED");
    assert.ok(lost > 0);
    await completed(1, copying);
  });

  it("makes the guest wait while nothing sends, and go on from another source", async () => {
    let answer = (_: ImageRef): void => undefined;
    const another = new Promise<ImageRef>((resolve) => { answer = resolve; });
    const copying = copy(1, template(), { onSourceLost: () => another });
    await hv.abilities.startsEarly.startEarly(early(1));
    const silent = await helperPid(0);
    process.kill(silent, "SIGSTOP");
    try {
      await standsStill(1);
    } finally {
      process.kill(silent, "SIGKILL");
    }
    answer(template());
    await completed(1, copying);
  });

  it("gives the guest another export when the helper on its own host is killed", async () => {
    const copying = copy(1);
    await hv.abilities.startsEarly.startEarly(early(1));
    process.kill(await helperPid(1), "SIGKILL");
    await says(1, "VMFLEET BOOTED");
    await completed(1, copying);
  });

  it("completes, in a later run, what a killed provider left: the guest waited and goes on", async () => {
    await startAndDie(1);
    await standsStill(1);
    hv = await open();
    assert.equal((await member(1)).base, "arriving");
    assert.deepEqual((await look()).flatMap((h) => h.leftovers.map((p) => p.name)).filter((n) => !ofDeadRuns(n)), []);
    const copying = copy(1);
    await hv.abilities.startsEarly.startEarly(early(1));
    await says(1, "VMFLEET BOOTED");
    await completed(1, copying);
  });

  it("feeds the right disk of a member that has data disks, in a later run too", async () => {
    const whole = spec;
    spec = { ...spec, vm: { ...spec.vm, disks: [{ label: "data", sizeBytes: 64 * MIB, onDelete: "delete" }] } };
    try {
      await startAndDie(1, async () => assert.equal(await dataDisk(1, "write -P 0xab 0 1M"), ""));
      await standsStill(1);
      hv = await open();
      const copying = copy(1);
      await hv.abilities.startsEarly.startEarly(early(1));
      await says(1, "VMFLEET BOOTED");
      const untouched = async () => {
        assert.equal(await dataDisk(1, "read -P 0xab 0 1M"), "");
        assert.equal(await dataDisk(1, "read -P 0 1M 63M"), "");
      };
      await untouched();
      process.kill(await helperPid(1), "SIGKILL"); // fed once more, by the run that goes on
      await completed(1, copying);
      await untouched();
    } finally {
      spec = whole;
    }
  });

  it("leaves one alone that was saved, until its state is started or dropped", async () => {
    const copying = copy(1);
    await hv.abilities.startsEarly.startEarly(early(1));
    await says(1, "VMFLEET BOOTED");
    await virsh(hosts[1]!, "managedsave", name(1));
    const before = await virsh(hosts[1]!, "dumpxml", name(1), "--inactive");
    await assert.rejects(hv.abilities.startsEarly.startEarly(early(1)), /saved state.*virsh start.*managedsave-remove/);
    await fullSpeed();
    await copying;
    await assert.rejects(hv.abilities.startsEarly.settle(early(1)), /saved state.*virsh start.*managedsave-remove/);
    assert.deepEqual(disksOf(await virsh(hosts[1]!, "dumpxml", name(1), "--inactive")), disksOf(before));
    assert.deepEqual((await inventory(hosts[1]!)).volumes.filter((v) => v.includes(fleet.fleetId) && /early|delta/.test(v)).map((v) => v.replace(/^.*\.g0/, "g0")), ["g0.early.qcow2"]);
    await virsh(hosts[1]!, "managedsave-remove", name(1));
    await hv.abilities.startsEarly.settle(early(1));
    assert.equal((await member(1)).base, "frozen");
    const path = (await member(1)).chain[0]!.path;
    assert.match((await lab.run(["qemu-io", "-U", "-f", "qcow2", "-r", "-c", "read -v 0 32", path])), /VMFLEET.MAC/);
  });

  it("settles one whose image was whole when the provider was killed, also in the middle of the move", async () => {
    const copying = copy(1);
    await hv.abilities.startsEarly.startEarly(early(1));
    await fullSpeed();
    await copying;
    await Promise.all([hv.abilities.startsEarly.settle(early(1)).catch(() => undefined), lab.delay(150).then(() => hv.close())]);
    hv = await open();
    await hv.abilities.startsEarly.settle(early(1));
    await says(1, "VMFLEET WALKED");
    await assertSettled(1);
    await assertHealthy(1);
    await compareWithTemplate(hosts[1]!, templatePath, fleet.fleetId);
  });

  it("cannot be started by anybody while its disk is not there; a later run starts it", async () => {
    await startAndDie(1);
    await virsh(hosts[1]!, "destroy", name(1));
    await assert.rejects(virsh(hosts[1]!, "start", name(1)));
    hv = await open();
    const copying = copy(1);
    await hv.abilities.startsEarly.startEarly(early(1));
    await says(1, "VMFLEET BOOTED");
    await completed(1, copying);
  });

  it("settles one that does not run, and keeps what its guest wrote", async () => {
    const copying = copy(1);
    await hv.abilities.startsEarly.startEarly(early(1));
    await says(1, "VMFLEET BOOTED");
    await virsh(hosts[1]!, "destroy", name(1));
    await fullSpeed();
    await copying;
    await hv.abilities.startsEarly.settle(early(1));
    const path = (await member(1)).chain[0]!.path;
    assert.match((await lab.run(["qemu-io", "-U", "-f", "qcow2", "-r", "-c", "read -v 0 32", path])), /VMFLEET.MAC/);
    await hv.power({ ...early(1), to: "running", shutdownMs: 0 });
    await assertSettled(1);
  });

  it("removes one that still arrives, with all that is its own", async () => {
    await startAndDie(1);
    hv = await open();
    await hv.destroy({ ...early(1), kind: "member", shutdownMs: 0 });
    const { domains, volumes } = await inventory(hosts[1]!);
    assert.deepEqual([...domains, ...volumes].filter((n) => n.includes(fleet.fleetId) && !ofDeadRuns(n)), []);
  });
});
