import assert from "node:assert/strict";
import type { FleetInputs, ObservedMember } from "../../provider/fleet";
import { isCompletable, isUnarrived } from "../../provider/fleet/members/arrival";
import { differenceOf, diskWarning, namesOf, quietChanges } from "../../provider/fleet/members/changes";
import { disk, FLEET, member, spec } from "./build";

const AT = { fleetId: FLEET, host: "a1", rack: "rack-a" };

const networks = [{ network: "default" }];
const declared = (vm: Partial<FleetInputs["vm"]> = {}, more: Partial<FleetInputs> = {}) => spec({ vm: { networks, ...vm }, ...more });

describe("what differs between a member and what is declared", () => {
  it("is nothing where it is as declared", () => {
    assert.equal(differenceOf(declared(), member(0), AT), null);
    assert.equal(differenceOf(declared({ networks: [{ network: "a" }, { network: "b" }] }), member(0, { networks: ["a", "b"] }), AT), null);
    assert.equal(differenceOf(declared({}, { powerOn: false }), member(0, { power: "stopped" }), AT), null);
  });

  it("is each part of its hardware, in effect at once only where it is stopped, and its power", () => {
    const hardware = (changes: object = {}) => ({ kind: "hardware", numCpus: 1, memory: 1024, networks: ["default"], ...changes });
    const later = ", in effect from its next start";
    const found = (changes: Partial<ObservedMember>, ...given: Parameters<typeof declared>) => differenceOf(declared(...given), member(0, changes), AT);
    assert.deepEqual(found({ numCpus: 2 }), { changes: [hardware()], reason: `CPUs 2 → 1${later}` });
    assert.deepEqual(found({ power: "stopped" }, { memory: 2048 }, { powerOn: false }), { changes: [hardware({ memory: 2048 })], reason: "memory 1024 → 2048 MiB" });
    assert.deepEqual(found({ networks: ["default", "b"] }), { changes: [hardware()], reason: `networks default+b → default${later}` });
    assert.deepEqual(found({ networks: [] }), { changes: [hardware()], reason: `networks none → default${later}` });
    assert.deepEqual(found({}, { networks: [] }), { changes: [hardware({ networks: [] })], reason: `networks default → none${later}` });
    assert.deepEqual(found({ power: "paused" }), { changes: [{ kind: "power", to: "running" }], reason: "found paused, powerOn is true" });
    assert.deepEqual(found({ memory: 512, numCpus: 4, networks: ["b"] }, {}, { powerOn: false }), {
      changes: [hardware(), { kind: "power", to: "stopped" }], reason: `CPUs 4 → 1, memory 512 → 1024 MiB, networks b → default${later}; found running, powerOn is false`,
    });
  });
});

describe("a running member's hardware", () => {
  const running = { numCpus: 2, maxCpus: 4, maxMemory: 2048, hasBalloon: true };
  const of = (vm: Partial<FleetInputs["vm"]>, changes: Partial<ObservedMember> = {}) => {
    const found = differenceOf(declared({ numCpus: 2, memory: 1024, ...vm }), member(0, { numCpus: 2, memory: 1024, running, ...changes }), AT);
    return [found?.changes.flatMap((change) => (change.kind === "hardware" ? change.live ?? [] : [])), found?.reason];
  };
  const later = "in effect from its next start";

  it("changes at once as far as it was started for it, and says of each part when", () => {
    assert.deepEqual(of({ numCpus: 4 }), [["cpus"], "CPUs 2 → 4, at once"]);
    assert.deepEqual(of({ numCpus: 5 }), [[], `CPUs 2 → 5, ${later}`]);
    assert.deepEqual(of({ numCpus: 1 }), [[], `CPUs 2 → 1, ${later}`], "nobody can make a guest let go of its first ones");
    assert.deepEqual([of({ memory: 512 }), of({ memory: 2048 })], [[["memory"], "memory 1024 → 512 MiB, at once"], [["memory"], "memory 1024 → 2048 MiB, at once"]]);
    assert.deepEqual(of({ memory: 2049 }), [[], `memory 1024 → 2049 MiB, ${later}`]);
    assert.deepEqual(of({ memory: 512 }, { running: { ...running, hasBalloon: false } }), [[], `memory 1024 → 512 MiB, ${later}`]);
    assert.deepEqual(of({ numCpus: 8, memory: 512, networks: [{ network: "b" }] }), [["memory", "networks"], `memory 1024 → 512 MiB, networks default → b, at once; CPUs 2 → 8, ${later}`]);
  });

  it("takes cards in networks and on bridges at once, and no others", () => {
    const cards = (networks: NonNullable<NonNullable<FleetInputs["vm"]>["networks"]>, changes = {}) => of({ networks }, changes)[0];
    assert.deepEqual(cards([{ network: "default" }, { network: "b" }]), ["networks"]);
    assert.deepEqual(cards([{ bridge: "br0" }]), ["networks"]);
    assert.deepEqual(cards([]), ["networks"]);
    for (const card of [{ bridge: "br0", virtualPort: "openvswitch" }, { bridge: "br0", vlanTags: [4] }, { network: "b", mtu: 9000 }, { direct: { device: "eth0" } }] as const) assert.deepEqual(cards([{ network: "default" }, card as { network: string }]), [], JSON.stringify(card));
    assert.deepEqual(cards([{ network: "default" }], { networks: ["default", "direct/eth0/bridge"] }), [], "nor is one taken away");
    assert.deepEqual(cards([{ direct: { device: "eth0", mode: "bridge" } }, { network: "b" }], { networks: ["direct/eth0/bridge"] }), ["networks"], "one that stays as it is is in nobody's way");
  });

  it("has ceilings where they are declared, which change at its next start, and of which it may have less", () => {
    const most = { maxCpus: 4, maxMemory: 2048 };
    assert.deepEqual(of(most), [[], `CPUs at most 2 → 4, memory at most 1024 → 2048 MiB, ${later}`]);
    const made = { numCpus: 4, memory: 2048, atFirst: { numCpus: 2, memory: 1024 } };
    assert.deepEqual(of(most, made), [undefined, undefined]);
    assert.deepEqual(of({ ...most, numCpus: 3 }, made), [["cpus"], "CPUs 2 → 3, at once"]);
    assert.deepEqual(of({}, made), [["cpus", "memory"], "CPUs 4 → 2, memory 2048 → 1024 MiB, at once"], "without them, what it may have is what it has");
  });

  it("waits for its next start where nobody saw how it runs", () => {
    const { running: _none, ...unseen } = member(0, { numCpus: 2, memory: 1024, running });
    assert.equal(differenceOf(declared({ numCpus: 2, memory: 512 }), unseen, AT)?.reason, `memory 1024 → 512 MiB, ${later}`);
  });
});

describe("extra disks that members do not have as declared", () => {
  const program = declared({ disks: [{ label: "logs", sizeBytes: 1e9 }, { label: "data", sizeBytes: 1e9, onDelete: "keep" }] });
  const having = (slot: number, disks: Record<string, "delete" | "keep">) => member(slot, { disks: Object.entries(disks).map(([label, onDelete]) => ({ ...disk(label), label, onDelete })) });

  it("are told by the members that lack or exceed them, and by those whose disks have another end, whatever the order", () => {
    const asDeclared = [having(0, { data: "keep", logs: "delete" }), having(1, { logs: "delete", data: "keep" })];
    const differ = (names: string, keep: string) => `vm.disks: ${names} ${keep} disks as they are; the change concerns new members only`;
    const otherEnd = (names: string, keep: string) => `vm.disks: ${names} ${keep} disks as they were made, also in what onDelete does with them`;
    assert.deepEqual(diskWarning(program, asDeclared), []);
    assert.deepEqual(diskWarning(program, [...asDeclared, having(2, { logs: "delete" })]), [differ("workers-002", "keeps its")]);
    assert.deepEqual(diskWarning(program, [having(2, { data: "keep", logs: "delete", more: "keep" }), having(3, {}), ...asDeclared]), [differ("workers-002, workers-003", "keep their")]);
    assert.deepEqual(diskWarning(program, [...asDeclared, having(4, { logs: "keep", data: "keep" })]), [otherEnd("workers-004", "keeps its")]);
    assert.deepEqual(diskWarning(program, [having(2, { other: "keep" }), having(4, { logs: "keep", data: "delete" }), having(5, { logs: "keep" })]), [
      differ("workers-002, workers-005", "keep their"), otherEnd("workers-004, workers-005", "keep their"),
    ]);
  });
});

describe("changes that members do not follow by themselves", () => {
  const said = (paths: string) => [`${paths}: the change concerns new members; those that exist keep what they were made with until something else redefines them`];

  it("are each told with its property path, and those that members follow are not", () => {
    const before = declared();
    assert.deepEqual(quietChanges(undefined, before), []);
    assert.deepEqual(quietChanges(before, declared({ memory: 4096, numCpus: 7, autostart: false }, { count: 3, powerOn: false })), []);
    const all = declared({
      domainType: "qemu", arch: "aarch64", machine: "virt", kernel: "/k", initrd: "/i", cmdline: "quiet", serialLog: "/log/{name}", autostart: true, networks: [{ network: "default", adapterType: "e1000" }],
    }, { namePrefix: "others" });
    assert.deepEqual(quietChanges(before, all), said("namePrefix, vm.domainType, vm.arch, vm.machine, vm.kernel, vm.initrd, vm.cmdline, vm.serialLog, vm.autostart, vm.networks[].adapterType"));
    assert.deepEqual(quietChanges(all, all), []);
    const { autostart: _off, ...vm } = before.vm;
    assert.deepEqual([quietChanges({ ...before, vm }, before), quietChanges(before, { ...before, vm })], [[], []], "left out is false");
    assert.deepEqual(quietChanges(before, declared({ kernel: "/k" })), said("vm.kernel"));
    assert.deepEqual(quietChanges(declared({ autostart: true }), before), said("vm.autostart"));
  });

  it("are none of network cards where their number changes, which members follow", () => {
    const cards = (...types: ("virtio" | "e1000")[]) => declared({ networks: types.map((adapterType, index) => ({ network: `n${index}`, adapterType })) });
    assert.deepEqual(quietChanges(cards("virtio"), cards("e1000", "e1000")), []);
    assert.deepEqual(quietChanges(cards("virtio", "e1000"), cards("e1000", "virtio")), said("vm.networks[].adapterType"));
    assert.deepEqual(quietChanges(cards("virtio", "e1000"), cards("virtio", "e1000")), []);
  });
});

describe("members by name", () => {
  it("are all told up to five, and five and how many more beyond that", () => {
    const names = (count: number) => namesOf(Array.from({ length: count }, (_, slot) => member(slot)));
    const five = "workers-000, workers-001, workers-002, workers-003, workers-004";
    assert.deepEqual([0, 1, 5, 6, 8].map(names), ["", "workers-000", five, `${five} and 1 more`, `${five} and 3 more`]);
    assert.equal(namesOf([member(0), member(1)], 1), "workers-000 and 1 more");
  });
});

describe("a member that was started before its disk was there", () => {
  it("is one until its disk is put in its place, and is completed from the same content, or from none where all has arrived", () => {
    const bases = ["frozen", "consolidating", "consolidated", "replica", "arriving", "arrived"] as const;
    assert.deepEqual(bases.filter((base) => isUnarrived(member(0, { base }))), ["arriving", "arrived"]);
    const completable = (["arriving", "arrived"] as const).map((base) => ["c1", "c2"].map((contentId) => isCompletable(member(0, { base, contentId }), "c1")));
    assert.deepEqual(completable, [[true, false], [true, true]]);
  });
});
