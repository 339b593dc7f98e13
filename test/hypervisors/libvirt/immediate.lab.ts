/** Guests that run before their disk is there, on real daemons. */
import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { memberMacs, memberUuid } from "../../../provider/fleet/identity";
import type { FleetSpec, ObservedMember } from "../../../provider/fleet/model";
import type { CallContext, EarlyOrder, FleetIdentity, Hypervisor, ImageRef } from "../../../provider/hypervisors/hypervisor";
import { createLibvirt } from "../../../provider/hypervisors/libvirt";
import { compareWithTemplate, freshFleetId, inventory, lab, labInputs, labStatus, specOf, virsh, type LabHost } from "./labFleet";

const MIB = 1 << 20;
/** Ten seconds of a lab host's network card: time for an emulated guest to boot. */
const DATA_MIB = 480;

describe("members that start immediately", function () {
  this.timeout(180_000);
  let hosts: LabHost[];
  let spec: FleetSpec;
  let hv: Hypervisor;
  let fleet: FleetIdentity;
  let contentId: string;
  let templatePath: string;

  before(async () => {
    hosts = (await labStatus()).hosts;
    const inputs = await labInputs({ dataBytes: DATA_MIB * MIB, virtualBytes: 512 * MIB });
    const vm = inputs.vm as { cmdline: string };
    // Of the image's end, so that the guest is there before the copy.
    vm.cmdline += " vmfleet.read=440,8 vmfleet.walk=450,6";
    spec = specOf({ ...inputs, count: 1, stallTimeout: 2, start: "immediately", policy: "relay" });
    templatePath = join(hosts[0]!.poolDir, (inputs.template as { volume: string }).volume);
  });
  beforeEach(async () => {
    fleet = { fleetId: freshFleetId(), incarnation: "one", namePrefix: "early" };
    hv = await open();
  });
  afterEach(async () => {
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

  const open = async (): Promise<Hypervisor> => {
    const opened = createLibvirt({ spec });
    const seen = await opened.observe({ fleetId: fleet.fleetId, namePrefix: "early", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight: false });
    contentId = seen.template!.contentId;
    return opened;
  };
  const look = async () => (await hv.observe({ fleetId: fleet.fleetId, namePrefix: "early", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight: false }))
    .hosts.filter((h) => h.status === "reachable");
  const name = (i: number) => `early-${fleet.fleetId}-${i}`;
  const serialLog = (host: LabHost) => join(host.poolDir, "..", "log", "qemu", `${name(hosts.indexOf(host))}.serial.log`);
  const serial = async (i: number) => readFile(serialLog(hosts[i]!), "utf8").catch(() => "");
  const template = (): ImageRef => ({ kind: "template", host: hosts[0]!.name });
  const base = (i: number) => ({ kind: "base", host: hosts[i]!.name, slot: i, generation: 0 }) as const;
  const replica = (i: number) => ({ kind: "replica", purpose: "replica", host: hosts[i]!.name, contentId }) as const;
  const early = (i: number, image: EarlyOrder["base"] = base(i)): EarlyOrder => ({
    fleet, host: hosts[i]!.name, slot: i, name: name(i), uuid: memberUuid(fleet.fleetId, i), macs: memberMacs(fleet.fleetId, i, 1),
    kind: image.kind === "base" ? "full" : "linked", generation: 0, contentId, vm: spec.vm, autostart: false, base: image,
  });
  const copy = (i: number, source = template(), context: CallContext = {}, target: EarlyOrder["base"] = base(i)) => (
    hv.clone({ fleet, contentId, source, target }, context)
  );
  const member = async (i: number): Promise<ObservedMember> => {
    const found = (await look()).find((h) => h.name === hosts[i]!.name)?.members.find((m) => m.slot === i);
    assert.ok(found);
    return found;
  };
  const says = (i: number, line: string) => lab.until(async () => (await serial(i)).includes(line), { what: `${line} of guest ${i}`, timeoutMs: 120_000 });
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
    assert.deepEqual(found.chain.map((d) => d.volume.replace(/^.*?\.(s|replica)/, "$1").replace(/replica\..*/, "replica")), [`s${i}.g0.delta.qcow2`, kind === "base" ? `s${i}.g0.base.qcow2` : "replica"]);
    for (const flag of [[], ["--inactive"]]) {
      const xml = await virsh(hosts[i]!, "dumpxml", name(i), ...flag);
      assert.doesNotMatch(xml, /protocol='nbd'|\.early\.qcow2/);
    }
    assert.doesNotMatch(await virsh(hosts[i]!, "dumpxml", name(i), "--inactive"), /error_policy/);
    const { domains, volumes } = await inventory(hosts[i]!);
    assert.deepEqual(domains.filter((d) => d.includes("helper")), []);
    assert.deepEqual(volumes.filter((v) => v.includes(`${fleet.fleetId}.`) && v.includes("early")), []);
  };

  it("boots a guest before its copy is there and settles it without a restart", async () => {
    let copied = false;
    const copying = copy(1).then(() => { copied = true; });
    await hv.startEarly!(early(1));
    assert.equal((await member(1)).base, "arriving");
    const started = Date.now();
    await says(1, "VMFLEET BOOTED");
    console.log("booted after", Date.now() - started);
    assert.equal(copied, false, "the guest was first");
    await copying;
    await hv.settle!(early(1));
    await says(1, "VMFLEET WALKED");
    await assertSettled(1);
    await assertHealthy(1);
    await compareWithTemplate(hosts[1]!, templatePath, fleet.fleetId);
  });
});
