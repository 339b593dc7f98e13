/** Data disks in a plan: kept ones come back to their slot, sizes only grow, and other stores have room of their own. */
import assert from "node:assert/strict";
import { describePlan, describePlanAtLength, formatProblem, parseFleetSpec, preflight, type FleetInputs, type KeptDisk, type ObservedMember } from "../../provider/fleet";
import { differenceOf, quietChanges } from "../../provider/fleet/members/changes";
import { disk, FLEET, host, inputs, member, observation, plan, reachable, record, spec, withHost } from "./build";

const GB = 1e9;
const AT = { fleetId: FLEET, host: "a1", rack: "rack-a" };
type Disk = NonNullable<NonNullable<FleetInputs["vm"]>["disks"]>[number];
const data = (changes: Partial<Disk> = {}): Disk => ({ label: "data", sizeBytes: 10 * GB, onDelete: "keep", ...changes });
const declared = (disks: Disk[], changes: Partial<FleetInputs> = {}) => spec({ hosts: [host("a1"), host("b1")], count: 4, vm: { networks: [{ network: "default" }], disks }, ...changes });
const having = (slot: number, changes: Partial<ObservedMember> = {}, sizeBytes = 10 * GB) => member(slot, { disks: [{ ...disk(`d${slot}`), capacityBytes: sizeBytes, label: "data", onDelete: "keep" }], ...changes });
const kept = (slot: number, generation = 0, changes: Partial<NonNullable<KeptDisk["disk"]>> = {}): KeptDisk =>
  ({ slot, generation, label: "data", name: `s${slot}.g${generation}.disk-keep.data`, disk: { capacityBytes: 10 * GB, ...changes } });
/** Two members on each host but for what is kept of slots that are gone. */
const found = (onA: KeptDisk[], onB: KeptDisk[] = []) => observation([reachable("a1", [having(0)], { kept: onA }), reachable("b1", [having(1)], { kept: onB })]);

describe("a kept data disk", () => {
  it("is given to the slot's next member on its host, which the preview names", () => {
    const result = plan(declared([data()]), found([kept(2)], [kept(3)]));
    assert.deepEqual(result.create.map(({ slot, host: at, generation, reattach }) => [slot, at, generation, reattach]), [
      [2, "a1", 1, [{ label: "data", disk: "s2.g0.disk-keep.data" }]], [3, "b1", 1, [{ label: "data", disk: "s3.g0.disk-keep.data" }]],
    ]);
    assert.match(describePlan(result), /attach 2 kept disks again/);
    assert.match(describePlanAtLength(result), /workers-002 on a1 \(full\): a1 is below its target; its kept disk data \(s2\.g0\.disk-keep\.data\) is attached again/);
    assert.deepEqual([result.problems, result.warnings], [[], []]);
  });

  it("draws its slot to its host, where that host gets a member at all", () => {
    const crossed = plan(declared([data()]), found([kept(3)], [kept(2)]));
    assert.deepEqual(crossed.create.map(({ slot, host: at, reattach }) => [slot, at, reattach?.length]), [[2, "b1", 1], [3, "a1", 1]]);
    const full = plan(declared([data()], { hosts: [host("a1", { count: 1 }), host("b1", { count: 2 })], count: undefined }), found([kept(2)]));
    assert.deepEqual(full.create.map(({ slot, host: at, reattach }) => [slot, at, reattach]), [[2, "b1", undefined]]);
    assert.deepEqual(full.warnings, ["workers-002 on b1 gets a new disk data, and not s2.g0.disk-keep.data, which was kept of its slot: it is on a1"]);
  });

  it("is the one that was in use last, of those that were kept of a slot", () => {
    assert.deepEqual(plan(declared([data()]), found([kept(2), kept(2, 4), kept(2, 1)])).create[0]!.reattach, [{ label: "data", disk: "s2.g4.disk-keep.data" }]);
  });

  it("stays with the slot where its member is made anew", () => {
    const replaced = plan(declared([data()], { count: 2, onTemplateChange: "replace" }), observation([reachable("a1", [having(0, { contentId: "old" })], { kept: [kept(0, 0)] }), reachable("b1", [having(1)])]));
    assert.deepEqual(replaced.create.map(({ slot, reattach }) => [slot, reattach]), [[0, [{ label: "data", disk: "d0" }]]]);
    const removedByHand = plan(declared([data()], { count: 2 }), observation([reachable("a1", [], { kept: [kept(0)] }), reachable("b1", [having(1)])]));
    assert.deepEqual(removedByHand.create[0]!.reattach, [{ label: "data", disk: "s0.g0.disk-keep.data" }]);
  });

  it("is left alone where somebody uses it, it is nobody's, it lies elsewhere, or a new one is wanted", () => {
    const given = (disks: Disk[], ...all: KeptDisk[]) => {
      const result = plan(declared(disks), found(all));
      return [result.create.filter(({ slot }) => slot === 2).flatMap(({ reattach }) => reattach ?? []).length, ...result.warnings.filter((one) => one.startsWith("workers-002"))];
    };
    const beside = (why: string) => [0, `workers-002 on a1 gets a new disk data, and not s2.g0.disk-keep.data, which was kept of its slot: ${why}`];
    assert.deepEqual(given([data()], kept(2, 0, { users: ["the domain mine has it as a disk"] })), beside("the domain mine has it as a disk"));
    assert.deepEqual(given([data()], kept(2, 0, { store: "fast" })), beside('it is in "fast", and vm.disks wants the disk elsewhere'));
    assert.deepEqual(given([data({ pool: "fast" })], kept(2)), beside("it is in the store that clones are made in, and vm.disks wants the disk elsewhere"));
    assert.deepEqual(given([data({ pool: "fast" })], kept(2, 0, { store: "fast" })), [1]);
    assert.deepEqual(given([data({ pool: "default" })], kept(2)), [1], "the host's own pool by its name");
    const { disk: _none, ...somebodys } = kept(2);
    for (const [disks, one] of [[[data()], somebodys], [[data({ reattach: false })], kept(2)], [[data({ onDelete: "delete" })], kept(2)], [[data({ label: "log" })], kept(2)]] as const) assert.deepEqual(given([...disks], one), [0]);
  });

  it("is never given where a newer one of its slot is elsewhere, is not as it was left, or its machine may run unseen", () => {
    const only = (onA: KeptDisk[], onB: KeptDisk[] = [], changes: Partial<FleetInputs> = {}) => {
      const result = plan(declared([data()], { count: 3, hosts: [host("a1", { count: 2 }), host("b1", { count: 1 })], ...changes }), found(onA, onB));
      return [result.create[0]!.host, result.create[0]!.reattach?.map(({ disk: name }) => name), ...result.warnings.filter((one) => one.includes("workers-002"))];
    };
    const either = { count: undefined };
    assert.deepEqual(only([kept(2)], [kept(2, 3)], either), ["a1", undefined,
      "workers-002 on a1 gets a new disk data, and not s2.g0.disk-keep.data, which was kept of its slot: s2.g3.disk-keep.data on b1 is newer",
      "workers-002 on a1 gets a new disk data, and not s2.g3.disk-keep.data, which was kept of its slot: it is on b1"]);
    const { disk: _as, ...changed } = kept(2, 5);
    assert.deepEqual(only([kept(2), { ...changed, unfit: "over /other" }], [], either), ["a1", undefined,
      "workers-002 on a1 gets a new disk data, and not s2.g5.disk-keep.data, which was kept of its slot: it is not as it was left (over /other)"]);
    assert.deepEqual(only([kept(2), kept(2, 0, { store: "backup" })], [], either).slice(0, 2), ["a1", ["s2.g0.disk-keep.data"]], "and a copy of it elsewhere hides nothing");
    const program = declared([data()], { count: 2 });
    const before = record(program, observation([reachable("a1", [having(0)]), reachable("b1", [having(1)])]));
    const gone = (store?: string) => plan(program, observation([
      reachable("a1", [], { kept: [kept(0)], leftovers: [{ kind: "volume", name: "base-0", bytes: 1, slot: 0, generation: 0 }], ...(store !== undefined && { store }) }), reachable("b1", [having(1)]),
    ]), before);
    assert.deepEqual([gone().create[0]!.reattach?.length, gone("nfs").create[0]!.reattach], [1, undefined]);
    assert.ok(gone("nfs").warnings.includes("workers-000 on a1 gets a new disk data, and not s0.g0.disk-keep.data, which was kept of its slot: workers-000 is seen nowhere, and may run with it where other machines reach the pool"), gone("nfs").warnings.join());
  });

  it("makes a new one beside it in fleets of before, unless they say otherwise", () => {
    const before = (defaultsVersion: 1 | 2, changes: Partial<Disk>) => parseFleetSpec(inputs({ vm: { disks: [data(changes)] } }), { defaultsVersion }).spec!.vm.disks[0]!.reattach;
    for (const version of [1, 2] as const) assert.deepEqual([before(version, {}), before(version, { reattach: true })], [undefined, true]);
  });

  it("that is larger than declared is refused by name", () => {
    const problems = (disks: Disk[]) => plan(declared(disks), found([kept(2, 0, { capacityBytes: 20 * GB })])).problems.map(formatProblem);
    assert.deepEqual(problems([data()]), ["vm.disks[0].sizeBytes: expected at least the 20000000000 bytes that the disk s2.g0.disk-keep.data has, which was kept for workers-002, got 10000000000; disks never shrink: raise it, or set reattach to false for a new disk beside it"]);
    assert.deepEqual([problems([data({ reattach: false })]), problems([data({ sizeBytes: 30 * GB })])], [[], []]);
  });
});

describe("a declared size of a data disk", () => {
  const shaped = (sizeBytes: number) => declared([data({ sizeBytes })]);
  it("makes members grow theirs that have less, and leaves those that have it, or have no such disk", () => {
    const difference = differenceOf(shaped(20 * GB), having(0), AT);
    assert.deepEqual([difference?.changes, difference?.reason], [[{ kind: "grow", label: "data", sizeBytes: 20 * GB }], "disk data 10 GB → 20 GB"]);
    assert.equal(differenceOf(shaped(10 * GB), having(0), AT), null);
    assert.equal(differenceOf(shaped(20 * GB), member(0), AT), null);
  });

  it("is refused below what a member has that stays, but for fleets of before, which are told", () => {
    const large = withHost(found([]), "a1", (one) => ({ ...one, members: [having(0, {}, 20 * GB)] }));
    const refused = (changes: Partial<FleetInputs>) => plan(declared([data()], changes), large).problems.map(formatProblem);
    assert.deepEqual(refused({ count: 2 }), ["vm.disks[0].sizeBytes: expected at least the 20000000000 bytes that the disk data of workers-000 has, got 10000000000; disks never shrink: raise it"]);
    assert.deepEqual(refused({ count: 0 }), [], "one that goes shrinks nothing");
    const before = plan({ ...declared([data()], { count: 2 }), defaultsVersion: 1 }, large);
    assert.deepEqual([before.problems, before.warnings], [[], ["vm.disks: the disk data of workers-000 is larger than the 10 GB that are declared, and stays so: disks never shrink"]]);
  });

  it("is kept by disks that hosts made larger by a part of a KiB", () => {
    const odd = 10 * GB + 1;
    const rounded = withHost(found([]), "a1", (one) => ({ ...one, members: [having(0, {}, Math.ceil(odd / 1024) * 1024)] }));
    assert.deepEqual(plan(declared([data({ sizeBytes: odd })], { count: 1 }), rounded).problems, []);
  });
});

describe("a pool of data disks' own", () => {
  it("has room of its own, which hosts that share it share", () => {
    const fast = declared([data({ pool: "fast" })]);
    const problems = (freeBytes: number, store?: string) => {
      const seen = observation(["a1", "b1"].map((name) => reachable(name, [], { dataStores: [{ name: "fast", room: { freeBytes }, ...(store !== undefined && { store }) }] })));
      return preflight(fast, seen, plan(fast, seen)).map(formatProblem);
    };
    assert.deepEqual([problems(600_000), problems(2_000_000, "nfs")], [[], []]);
    assert.match(problems(300_000).join("\n"), /^vm\.disks\[0\]\.pool: expected a store with 524 kB free for the new disks of 2 new members, got "fast" on a1 with 300 kB free; make room there\n.* on b1 /);
    assert.match(problems(600_000, "nfs").join(), /1 MB free for the new disks of 4 new members, got "fast" on a1, b1 with 600 kB free/);
  });

  it("takes nothing of the clones' room, nor gives any", () => {
    const away = declared([data({ pool: "fast", onDelete: "delete" })], { count: 1 });
    const leaving = (store?: string) => observation([reachable("a1", [having(0), member(5, { disks: [{ ...disk("d5", 5e9), label: "data", onDelete: "delete", ...(store !== undefined && { store }) }] })], { room: { freeBytes: 0 } }), reachable("b1")]);
    for (const store of ["fast", undefined]) {
      const seen = leaving(store);
      assert.deepEqual(preflight(away, seen, plan(away, seen)).length, 0);
    }
  });

  it("and the bus concern new members, which is told where they change", () => {
    const said = (...disks: Disk[][]) => quietChanges(...disks.map((each) => declared(each)) as [ReturnType<typeof declared>, ReturnType<typeof declared>]);
    assert.deepEqual(said([data()], [data({ sizeBytes: 20 * GB, reattach: false })]), []);
    assert.deepEqual(said([data()], [data({ bus: "virtio" }), data({ label: "log", bus: "scsi" })]), []);
    assert.match(said([data()], [data({ bus: "scsi" })]).join(), /^vm\.disks\[\]\.bus: the change concerns new members/);
    assert.match(said([data({ pool: "a" })], [data({ pool: "b" })]).join(), /^vm\.disks\[\]\.pool: the change concerns new members/);
  });
});

describe("data disks that are declared wrongly", () => {
  const problems = (...disks: object[]) => (parseFleetSpec({ ...inputs(), vm: { disks } }).problems ?? []).map(formatProblem);
  const CASES: [object, string][] = [
    [data({ onDelete: "delete", reattach: true }), 'vm.disks[0].reattach: expected onDelete "keep" beside reattach, got a disk that goes with its member; set onDelete, or remove reattach'],
    [{ ...data(), reattach: "yes" }, 'vm.disks[0].reattach: expected true or false, got "yes"'],
    [{ ...data(), bus: "scsii" }, 'vm.disks[0].bus: expected virtio, scsi or sata, got "scsii"; did you mean scsi?'],
    [{ ...data(), bus: "ide" }, 'vm.disks[0].bus: expected virtio, scsi or sata, got "ide"'],
    [{ ...data(), pool: "" }, "vm.disks[0].pool: expected the name of a storage pool on the hosts, got an empty string"],
    [{ ...data(), pool: 3 }, "vm.disks[0].pool: expected the name of a storage pool on the hosts, got 3"],
    [{ ...data(), size: 3 }, 'vm.disks[0].size: expected one of the properties label, sizeBytes, onDelete, reattach, pool or bus, got "size"; remove it'],
  ];
  for (const [one, problem] of CASES) it(problem, () => assert.deepEqual(problems(one), [problem]));
});
