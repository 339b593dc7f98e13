import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { previewFleet } from "../../provider/engine";
import { parseFleetSpec, parseState, reconcile } from "../../provider/fleet";
import type { FleetState, Observation, ObservedMember } from "../../provider/fleet/model";
import type { FrontDependencies } from "../../provider/front";
import { specOf } from "../../provider/front/declared";
import { compareWithRecorded } from "../../provider/front/previewWords";
import { realClock } from "../../provider/async/clock";
import type { Hypervisor } from "../../provider/hypervisors/hypervisor";
import { disk, reachable } from "../fleet/build";

/** As commit ba6fa80 left it, of a template machine with 2 CPUs and 200 MiB: what it recorded, and what it had been given. */
const { declared, state } = JSON.parse(readFileSync(join(__dirname, "recorded/before-hardware.json"), "utf8")) as { declared: Record<string, unknown>; state: FleetState };
const recorded = parseState(state)!;

/** What the hosts showed then. */
const found: Observation = {
  template: { contentId: recorded.contentId, host: "a1", disks: [{ bytes: 101_056_512, capacityBytes: 268_435_456, format: "qcow2" }], hardware: { cards: 1, memory: 200, words: "hardware as the template's" } },
  hosts: recorded.hosts.map(({ name, uuid }) => reachable(name, recorded.members.filter(({ host }) => host === name).map(({ host: _host, hostUuid: _uuid, rack: _rack, macs, state: power, chain, ...member }): ObservedMember => ({
    ...member, incarnation: recorded.incarnation, cardAddresses: macs, power: power as "running", chain: chain.map((volume) => disk(volume)), disks: [], numCpus: 1, memory: 1024, networks: [],
  })), { uuid: uuid! })),
};

const dependencies = {
  isUnknown: () => false, begun: { hostsOf: () => [], note: () => undefined, forget: () => undefined }, fleetDoors: { previewFleet }, clock: realClock,
  previewDeadlineMs: 5000, holder: () => "test",
  createHypervisor: () => ({ name: "libvirt", abilities: {}, costs: {}, observe: () => Promise.resolve(found), close: () => Promise.resolve() }) as unknown as Hypervisor,
} as unknown as FrontDependencies;

const compare = (changes: Record<string, unknown>) => compareWithRecorded({ declared: { ...declared, ...changes }, declaredBefore: declared, recorded }, dependencies);

describe("a fleet that the version before recorded", () => {
  it("shows no change: what its program leaves out means what it meant", async () => {
    assert.deepEqual(await compare({}), { isOtherFleet: false, hasChanges: false, words: { warnings: [] } });
  });

  it("makes its new members as it made those that it has", async () => {
    const { words } = await compare({ count: 6 });
    assert.match(words.line!, /^\+2 VMs/);
    assert.deepEqual(words.warnings, []);
    const spec = specOf({ ...declared, count: 6 }, recorded);
    assert.deepEqual([spec.vm.hardware, spec.vm.memory, spec.guest], ["defaults", 1024, { kind: "none" }]);
  });

  it("moves over when its program says so, and changes no member that is there by itself", async () => {
    const { hasChanges, words } = await compare({ vm: { domainType: "qemu", hardware: "template" } });
    assert.equal(hasChanges, true);
    assert.equal(words.line, undefined, "there is nothing to do");
    assert.match(words.warnings.join(), /^vm\.hardware.*: the change concerns new members/);
  });

  it("would not keep its meaning if it were taken for a new one", () => {
    const { spec } = parseFleetSpec(declared);
    const plan = reconcile({ spec: spec!, fleetId: recorded.fleetId, incarnation: recorded.incarnation, observation: found, previous: recorded });
    assert.equal(plan.reconfigure.length, 4, "a control: guests would be told who they are");
  });
});
