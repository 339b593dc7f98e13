import assert from "node:assert/strict";
import fc from "fast-check";
import { describePlan, planRemoval, type FleetPlan, type FleetSpec, type FleetState, type Observation } from "../../provider/fleet";
import { carryOut, disk, empty, FLEET, host, made, member, observation, perHost, plan, reachable, record, slots, spec, template, unreachable, withHost } from "./build";

const changes = (one: FleetPlan) => [...one.create, ...one.destroy, ...one.reconfigure, ...one.adopt, ...one.lost, ...one.cleanup, ...one.removeReplicas];
const paths = (one: FleetPlan) => one.problems.map(({ path }) => path);

describe("reconcile: growing and shrinking", () => {
  it("makes a new fleet from the lowest slots, spread over the hosts", () => {
    const declared = spec();
    const first = plan(declared, empty(declared));
    assert.deepEqual(slots(first.create), Array.from({ length: 12 }, (_, slot) => slot));
    assert.deepEqual(perHost(first.create), { a1: 3, a2: 3, b1: 3, b2: 3 });
    assert.deepEqual(first.placement, { a1: 3, a2: 3, b1: 3, b2: 3 });
    assert.deepEqual(first.problems, []);
    assert.ok(first.create.every((one) => one.reason !== "" && one.generation === 0 && one.rack === `rack-${one.host[0]}`));
  });

  it("does nothing when nothing changed", () => {
    const { declared, found, state } = made();
    const again = plan(declared, found, state);
    assert.deepEqual(changes(again), []);
    assert.equal(again.keep.length, 12);
    assert.deepEqual([again.problems, again.warnings], [[], []]);
  });

  it("goes 12, 20, 5 by the difference, removing each host's highest slots", () => {
    let { found, state } = made();
    const grown = spec({ count: 20 });
    const up = plan(grown, found, state);
    assert.deepEqual(slots(up.create), [12, 13, 14, 15, 16, 17, 18, 19]);
    assert.deepEqual([up.destroy, up.move, up.problems], [[], [], []]);
    found = carryOut(grown, found, up);
    state = record(grown, found, state);
    const down = plan(spec({ count: 5 }), found, state);
    assert.equal(down.destroy.length, 15);
    assert.deepEqual([down.create, down.move, down.problems], [[], [], []]);
    assert.deepEqual(down.placement, { a1: 2, a2: 1, b1: 1, b2: 1 });
    assert.deepEqual(slots(down.keep), [0, 1, 2, 3, 4]);
  });

  it("fills the lowest free slots when it grows after shrinking unevenly", () => {
    const hosts = (a1: number, a2: number) => [host("a1", { count: a1 }), host("a2", { count: a2 })];
    const { found, state } = made({ hosts: hosts(3, 3) });
    const shrunk = spec({ hosts: hosts(1, 3) });
    const after = carryOut(shrunk, found, plan(shrunk, found, state));
    const grown = plan(spec({ hosts: hosts(1, 5) }), after, record(shrunk, after, state));
    assert.deepEqual(slots(grown.create), [2, 4]);
    assert.deepEqual(grown.create.map((one) => one.generation), [0, 0]);
  });

  it("never uses a slot's generation twice, whoever held it", () => {
    const declared = spec({ hosts: [host("a1")], count: 3 });
    const found = observation([reachable("a1", [], {
      kept: [{ slot: 0, generation: 4, label: "data", name: "x" }],
      leftovers: [{ kind: "volume", name: "y", slot: 1, generation: 1, bytes: 5 }],
    })]);
    assert.deepEqual(plan(declared, found).create.map((one) => one.generation), [5, 2, 0]);
  });

  it("removes leftovers first and says why", () => {
    const declared = spec({ count: 0 });
    const found = withHost(empty(declared), "a2", (one) => ({ ...one, leftovers: [{ kind: "volume", name: "z", bytes: 1 }, { kind: "domain", name: "b", bytes: 0 }] }));
    assert.deepEqual(plan(declared, found).cleanup.map((one) => [one.host, one.leftover.name]), [["a2", "b"], ["a2", "z"]]);
  });

  it("leaves a volume alone that may be a disk of a member seen elsewhere, or recorded on a host out of sight", () => {
    const { declared, found, state } = made({ count: 4 });
    const leftover = (slot: number, generation?: number) => ({ kind: "volume" as const, name: `v${slot}`, slot, ...(generation !== undefined && { generation }), bytes: 1 });
    const littered = withHost(found, "b1", (one) => ({ ...one, leftovers: [leftover(0, 0), leftover(1), leftover(3, 1), leftover(9, 0)] }));
    const seen = plan(declared, littered, state);
    assert.deepEqual(seen.cleanup.map((one) => one.leftover.name), ["v3", "v9"]);
    assert.equal(seen.warnings[0], "v0 on b1 looks left over and stays: it may be a disk of workers-000 on a1");
    const dark = plan(declared, withHost(littered, "a1", () => unreachable("a1")), state);
    assert.deepEqual(dark.cleanup.map((one) => one.leftover.name), ["v3", "v9"]);
  });

  it("removes what its own host lists beside a member, such as the delta of a merge whose last step was lost", () => {
    const { declared, found, state } = made({ count: 4 });
    const delta = { kind: "volume" as const, name: "s0.g0.delta", slot: 0, generation: 0, bytes: 1 };
    const littered = withHost(found, "a1", (one) => ({ ...one, leftovers: [delta] }));
    assert.deepEqual(plan(declared, littered, state).cleanup.map((one) => one.leftover), [delta]);
  });

  it("refuses a name that something without our tag has", () => {
    const declared = spec();
    const found = withHost(empty(declared), "a1", (one) => ({ ...one, foreignNames: ["workers-000", "workers-999"] }));
    assert.deepEqual(plan(declared, found).problems, [{
      path: "namePrefix",
      message: 'expected names that are free, got "workers-000", which a domain on a1 has that is not of this fleet; rename that domain, or choose another namePrefix; if another fleet made it that shall be this one, give its fleetId',
    }]);
  });
});

describe("reconcile: moves and protection", () => {
  const hosts = (a1: number, a2: number) => [host("a1", { count: a1 }), host("a2", { count: a2 })];

  it("calls growth of one host and shrinking of another a move, and refuses it", () => {
    const { found, state } = made({ hosts: hosts(3, 1) });
    const moved = plan(spec({ hosts: hosts(2, 2) }), found, state);
    assert.deepEqual(moved.move.map(({ name, from, to }) => [name, from, to]), [["workers-003", "a1", "a2"]]);
    assert.match(moved.move[0]!.reason, /data is lost/);
    assert.deepEqual(moved.problems, [{
      path: "allowRecreate",
      message: "expected true for a change that moves 1 member (workers-003 from a1 to a2), got false; move: data is lost, set it to true to accept that, or leave the targets as they were",
    }]);
    assert.equal(describePlan(moved), "move 1 VM: data is lost, refused: 1 problem");
  });

  it("moves with allowRecreate: destroys, clones anew in the same slot with the next generation", () => {
    const { found, state } = made({ hosts: hosts(3, 1) });
    const moved = plan(spec({ hosts: hosts(2, 2), allowRecreate: true }), found, state);
    assert.deepEqual(moved.problems, []);
    assert.deepEqual(moved.destroy.map(({ slot, host: at, generation }) => [slot, at, generation]), [[3, "a1", 0]]);
    assert.deepEqual(moved.create.map(({ slot, host: at, generation }) => [slot, at, generation]), [[3, "a2", 1]]);
  });

  it("empties a host that was taken out, and moves its members only when the count asks for it", () => {
    const { found, state } = made({ count: 4 });
    const three = ["a1", "a2", "b1"].map((name) => host(name));
    assert.deepEqual(paths(plan(spec({ hosts: three, count: 4 }), found, state)), ["allowRecreate"]);
    const fewer = plan(spec({ hosts: three, count: 3 }), found, state);
    assert.deepEqual([fewer.problems, fewer.move, fewer.create], [[], [], []]);
    assert.deepEqual(fewer.destroy.map((one) => one.host), ["b2"]);
    assert.match(fewer.destroy[0]!.reason, /no longer declared/);
  });

  it("refuses shrinking, moving and replacing under deletionProtection", () => {
    const { found, state } = made({ count: 4 });
    const shrunk = plan(spec({ count: 3, deletionProtection: true }), found, state);
    assert.deepEqual(shrunk.problems, [{
      path: "deletionProtection",
      message: "expected false for a change that removes 1 member (workers-003), got true; set it to false first, or undo the change",
    }]);
    const changed = { ...found, template: { ...template, contentId: "c2" } };
    assert.deepEqual(paths(plan(spec({ count: 4, deletionProtection: true, onTemplateChange: "replace" }), changed, state)), ["deletionProtection"]);
    assert.deepEqual(plan(spec({ count: 5, deletionProtection: true }), found, state).problems, []);
  });
});

describe("reconcile: hosts that come, go and are renamed", () => {
  it("moves nothing when a host is added or the list is reordered", () => {
    const { found, state } = made();
    const more = spec({ hosts: ["c1", "b2", "b1", "a2", "a1"].map((name) => host(name)) });
    const wider = { ...found, hosts: [...found.hosts, reachable("c1")] };
    assert.deepEqual(changes(plan(more, wider, state)), []);
  });

  it("takes a renamed host for the same one", () => {
    const { found, state } = made();
    const renamed = spec({ hosts: [host("a1"), host("x9", { uri: "qemu+ssh://root@a2/system", rack: "rack-a" }), host("b1"), host("b2")] });
    const seenAs = { ...found, hosts: found.hosts.map((one) => (one.name === "a2" ? { ...one, name: "x9" } : one)) };
    const result = plan(renamed, seenAs, state);
    assert.deepEqual([changes(result), result.problems], [[], []]);
    assert.deepEqual(result.placement, { a1: 3, x9: 3, b1: 3, b2: 3 });
  });

  it("takes a host whose name and URI both changed for the same one by its own id", () => {
    const { found, state } = made();
    const renamed = spec({ hosts: [host("a1"), host("x9", { rack: "rack-a" }), host("b1"), host("b2")] });
    const a2 = found.hosts.find((one) => one.name === "a2")!;
    const seenTwice = { ...found, hosts: [...found.hosts.filter((one) => one !== a2), { ...a2, name: "x9" }, unreachable("a2")] };
    const result = plan(renamed, seenTwice, state);
    assert.deepEqual([changes(result), result.problems], [[], []]);
  });

  it("refuses two hosts that are one machine", () => {
    const { declared, found } = made();
    const doubled = withHost(found, "a2", (one) => ({ ...one, uuid: "uuid-a1" }));
    assert.ok(paths(plan(declared, doubled)).includes("hosts[1].uri"));
  });

  it("fails on a declared host that does not answer, naming its members and the way out", () => {
    const { declared, found, state } = made({ count: 4 });
    const dark = plan(declared, withHost(found, "a2", () => unreachable("a2")), state);
    assert.deepEqual(dark.problems, [{
      path: "hosts[1]",
      message: 'expected a host that answers, got none: a2 does not answer (connection refused) and holds 1 member (workers-001); bring it back, or give it up with abandonHosts: ["a2"], which forgets its members',
    }]);
    assert.deepEqual(changes(dark), []);
    assert.deepEqual(slots(dark.keep), [0, 1, 2, 3]);
  });

  it("loses members on a removed host that does not answer, and makes no second ones until it is abandoned", () => {
    const { found, state } = made({ count: 4 });
    const without = { hosts: [host("a1"), host("b1"), host("b2")], count: 4 };
    const dark = withHost(found, "a2", () => unreachable("a2"));
    const lost = plan(spec(without), dark, state);
    assert.deepEqual(slots(lost.lost), [1]);
    assert.deepEqual(paths(lost), ["abandonHosts"]);
    assert.match(lost.problems[0]!.message, /abandonHosts: \["a2"\]/);
    assert.deepEqual(lost.create, []);
    const abandoned = plan(spec({ ...without, abandonHosts: ["a2"] }), dark, state);
    assert.deepEqual([abandoned.lost, abandoned.problems, abandoned.move], [[], [], []]);
    assert.deepEqual(abandoned.create.map(({ slot, generation }) => [slot, generation]), [[1, 1]]);
    assert.match(abandoned.create[0]!.reason, /abandoned host a2/);
  });

  it("makes the members of an abandoned declared host anew on the others, and uses it again when it is back", () => {
    const { found, state } = made({ count: 4 });
    const declared = spec({ count: 4, abandonHosts: ["a2"] });
    const dark = withHost(found, "a2", () => unreachable("a2"));
    const without = plan(declared, dark, state);
    assert.deepEqual([without.problems, without.placement], [[], { a1: 2, a2: 0, b1: 1, b2: 1 }]);
    const after = carryOut(declared, dark, without);
    const back = { ...after, hosts: after.hosts.map((one) => (one.name === "a2" ? found.hosts[1]! : one)) };
    const refused = plan(declared, back, record(declared, after, state));
    assert.deepEqual(refused.problems, [{
      path: "abandonHosts[0]",
      message: 'expected a host that does not answer, got "a2"; remove it from abandonHosts: it answers; then its older copy (workers-001), made anew elsewhere meanwhile, will be destroyed',
    }]);
    const returned = plan(spec({ count: 4 }), back, record(declared, after, state));
    assert.deepEqual(returned.destroy.map(({ slot, host: at, generation }) => [slot, at, generation]), [[1, "a2", 0]]);
    assert.match(returned.destroy[0]!.reason, /outdated copy/);
    assert.deepEqual([returned.create, returned.problems], [[], []]);
  });

  it("takes abandonHosts for no standing consent: a host that answers, declared or not, must be taken off the list", () => {
    const { declared, found, state } = made({ count: 4 });
    for (const given of ["a2", "qemu+ssh://root@a2/system", "uuid-a2"]) {
      const result = plan({ ...declared, abandonHosts: ["gone", given] }, found, state);
      assert.deepEqual(result.problems.map(({ path, message }) => [path, /used again/.test(message)]), [["abandonHosts[1]", true]]);
    }
    const without = spec({ hosts: [host("a1"), host("b1"), host("b2")], count: 3, abandonHosts: ["a2"] });
    assert.match(plan(without, found, state).problems[0]!.message, /then it is emptied/);
  });

  it("lets no older copy take the slot of a later one on a host out of sight", () => {
    const { declared, found, state } = made({ count: 4 });
    const abandoning = { ...declared, abandonHosts: ["a2"] };
    const dark = withHost(found, "a2", () => unreachable("a2"));
    const after = carryOut(abandoning, dark, plan(abandoning, dark, state));
    const later = record(abandoning, after, state);
    const holder = later.members.find((one) => one.slot === 1)!;
    assert.equal(holder.generation, 1);
    const returned = withHost({ ...after, hosts: after.hosts.map((one) => (one.name === "a2" ? found.hosts[1]! : one)) }, holder.host, () => unreachable(holder.host));
    const refreshed = record(declared, returned, later);
    assert.deepEqual(refreshed.members.filter((one) => one.slot === 1).map((one) => [one.host, one.generation]), [["a2", 0], [holder.host, 1]]);
    assert.deepEqual(record(declared, returned, refreshed).members, refreshed.members);
    assert.deepEqual(slots(plan(declared, returned, refreshed, { mode: "preview" }).keep), [0, 1, 2, 3]);
    assert.deepEqual(plan(declared, { ...after, hosts: returned.hosts.map((one) => (one.name === holder.host ? after.hosts.find((h) => h.name === one.name)! : one)) }, refreshed)
      .destroy.map((one) => [one.slot, one.host]), [[1, "a2"]]);
  });

  it("keeps members of another machine that a host's URI used to reach", () => {
    const { declared, found, state } = made({ count: 4 });
    const swapped = withHost(found, "a2", (one) => ({ ...one, uuid: "uuid-other", members: [] }));
    const result = plan(declared, swapped, state);
    assert.deepEqual(slots(result.lost), [1]);
    assert.deepEqual(paths(result), ["abandonHosts"]);
  });
});

describe("reconcile: members that were touched by hand", () => {
  it("makes a deleted one anew where it was, in its slot", () => {
    const { declared, found, state } = made();
    const result = plan(declared, withHost(found, "b1", (one) => ({ ...one, members: one.members.slice(1) })), state);
    assert.deepEqual(result.create.map(({ slot, host: at, generation }) => [slot, at, generation]), [[2, "b1", 1]]);
    assert.match(result.create[0]!.reason, /removed outside Pulumi/);
  });

  it("starts a stopped one, and stops a running one when powerOn is false", () => {
    const { declared, found, state } = made({ count: 4 });
    const stopped = withHost(found, "a1", (one) => ({ ...one, members: one.members.map((m) => ({ ...m, power: "stopped" as const })) }));
    const result = plan(declared, stopped, state);
    assert.deepEqual(result.reconfigure, [{ slot: 0, name: "workers-000", host: "a1", wave: 0, changes: [{ kind: "power", to: "running" }], reason: "found stopped, powerOn is true" }]);
    assert.equal(result.keep.length, 3);
    assert.deepEqual(slots(plan(spec({ count: 4, powerOn: false }), stopped, state).reconfigure), [1, 2, 3]);
  });

  it("changes hardware and says when it takes effect", () => {
    const { found, state } = made({ count: 4 });
    const bigger = plan(spec({ count: 4, vm: { numCpus: 2, memory: 2048, networks: [{ network: "blue" }] } }), found, state);
    assert.deepEqual(bigger.reconfigure[0]!.changes, [{ kind: "hardware", numCpus: 2, memory: 2048, networks: ["blue"] }]);
    assert.equal(bigger.reconfigure[0]!.reason, "CPUs 1 → 2, memory 1024 → 2048 MiB, networks default → blue, in effect from its next start");
  });

  it("adopts what another incarnation made", () => {
    const { declared, found } = made({ count: 4 });
    const result = plan(declared, found, undefined, { incarnation: "two" });
    assert.deepEqual(slots(result.adopt), [0, 1, 2, 3]);
    assert.deepEqual([result.create, result.destroy, result.keep], [[], [], []]);
  });
});

describe("reconcile: members of another run or resource", () => {
  const { declared, found, state } = made({ count: 8 });
  const theirs = { incarnation: "two" };
  const refused = (one: FleetPlan) => one.problems.map(({ path, message }) => [path, /another run or resource/.test(message)]);

  it("are adopted, and the fleet grows, unasked", () => {
    assert.deepEqual(plan(declared, found, undefined, theirs).problems, []);
    const grown = plan(spec({ count: 12 }), found, undefined, theirs);
    assert.deepEqual([grown.adopt.length, grown.create.length, grown.problems], [8, 4, []]);
  });

  it("are destroyed only with allowRecreate", () => {
    assert.deepEqual(refused(plan(spec({ count: 3 }), found, undefined, theirs)), [["allowRecreate", true]]);
    assert.deepEqual(plan(spec({ count: 3, allowRecreate: true }), found, undefined, theirs).problems, []);
    const changed = { ...found, template: { ...template, contentId: "c2" } };
    assert.deepEqual(refused(plan(spec({ count: 8, onTemplateChange: "replace" }), changed, undefined, theirs)), [["allowRecreate", true]]);
    assert.deepEqual(refused(plan(spec({ hosts: [host("a1")], count: 0 }), found, undefined, theirs)), [["allowRecreate", true]]);
  });

  it("are not destroyed by a fleet on record either, from which they were taken", () => {
    assert.deepEqual(refused(plan(spec({ count: 3 }), found, { ...state, incarnation: "two" }, theirs)), [["allowRecreate", true]]);
    assert.deepEqual(plan(spec({ count: 3 }), found, state).problems, []);
  });
});

describe("reconcile: disks that are to be kept", () => {
  const disks = (onDelete: "delete" | "keep") => ({ networks: [{ network: "default" }], disks: [{ label: "data", sizeBytes: 10e9, onDelete }] });
  const found = observation([reachable("a1", [0, 1].map((slot) => member(slot, { disks: [{ ...disk("d"), label: "data", onDelete: "delete" as const }] })))]);
  const of = (count: number, onDelete: "delete" | "keep", more = {}) => spec({ hosts: [host("a1")], count, vm: disks(onDelete), ...more });

  it("stay as they were made, which is told", () => {
    const result = plan(of(2, "keep"), found);
    assert.deepEqual([result.problems, result.warnings, result.keep.length], [[], ["vm.disks: workers-000, workers-001 keep their disks as they were made, also in what onDelete does with them"], 2]);
    assert.deepEqual(plan(of(2, "delete"), found).warnings, []);
  });

  it("are not destroyed with their member unless allowRecreate", () => {
    assert.deepEqual(plan(of(1, "keep"), found).problems.map(({ path }) => path), ["vm.disks[0].onDelete"]);
    assert.deepEqual(plan(of(1, "keep", { allowRecreate: true }), found).problems, []);
    assert.deepEqual(plan(of(1, "delete"), found).problems, []);
    const removal = (declared: FleetSpec) => planRemoval({ spec: declared, fleetId: FLEET, incarnation: "one", observation: found }).problems.map(({ path }) => path);
    assert.deepEqual([removal(of(2, "keep")), removal(of(2, "delete"))], [["vm.disks[0].onDelete"], []]);
  });
});

describe("reconcile: templates and kinds", () => {
  const { found, state } = made({ count: 4 });
  const changed: Observation = { ...found, template: { ...template, contentId: "c2" } };

  it("leaves members alone when the template changes, and says what new ones are made from", () => {
    const result = plan(spec({ count: 5 }), changed, state);
    assert.deepEqual([slots(result.create), result.seedContentId, result.destroy], [[4], "c2", []]);
    assert.deepEqual(result.warnings, ["the template has changed: workers-000, workers-001, workers-002, workers-003 stay on the earlier content (onTemplateChange is keep); the 1 new member will have the present one"]);
  });

  it("replaces members in place with onTemplateChange replace", () => {
    const result = plan(spec({ count: 4, onTemplateChange: "replace" }), changed, state);
    assert.deepEqual(result.create.map(({ slot, host: at, generation }) => [slot, at, generation]), [[0, "a1", 1], [1, "a2", 1], [2, "b1", 1], [3, "b2", 1]]);
    assert.equal(result.destroy.length, 4);
    assert.deepEqual([result.move, result.problems], [[], []]);
    assert.equal(describePlan(result), "replace 4 VMs: data is lost");
  });

  it("needs the template only when something is cloned", () => {
    const gone: Observation = { hosts: found.hosts, templateProblem: { property: "volume", message: "expected a volume, got none" } };
    assert.deepEqual(plan(spec({ count: 4 }), gone, state).problems, []);
    assert.deepEqual(plan(spec({ count: 3 }), gone, state).problems, []);
    assert.deepEqual(plan(spec({ count: 5 }), gone, state).problems, [{ path: "template.volume", message: "expected a volume, got none" }]);
  });

  it("grows from a kept seed when the template is gone", () => {
    const seeded = withHost({ hosts: found.hosts }, "a1", (one) => ({ ...one, members: one.members.map((m) => ({ ...m, base: "frozen" as const })) }));
    const result = plan(spec({ count: 5 }), seeded, state);
    assert.deepEqual([result.problems, result.seedContentId], [[], "c1"]);
    assert.match(result.warnings.join(), /template cannot be seen/);
  });

  it("applies a changed clone kind to new members only", () => {
    const result = plan(spec({ count: 5, clone: "linked" }), found, state);
    assert.deepEqual(result.create.map((one) => one.kind), ["linked"]);
    assert.deepEqual(result.warnings, ["clone: workers-000, workers-001, workers-002, workers-003 stay as made; the change concerns new members only"]);
  });

  it("removes a replica with its last linked clone, and not before", () => {
    const replica = { contentId: "c1", purpose: "replica" as const, disk: { name: "r", path: "/r", format: "qcow2", capacityBytes: 1, allocationBytes: 1 }, users: [0, 1] };
    const linked = observation([reachable("a1", [member(0, { kind: "linked", base: "replica" }), member(1, { kind: "linked", base: "replica" })], { replicas: [replica] })]);
    const fleet = (count: number) => spec({ hosts: [host("a1")], count, clone: "linked" });
    assert.deepEqual(plan(fleet(1), linked).removeReplicas, []);
    assert.deepEqual(plan(fleet(0), linked).removeReplicas, [{ host: "a1", contentId: "c1", purpose: "replica", reason: "its last linked clone is gone" }]);
  });

  it("keeps an uploaded template while it is current and the fleet has members", () => {
    const upload = { contentId: "c1", purpose: "template" as const, disk: { name: "t", path: "/t", format: "qcow2", capacityBytes: 1, allocationBytes: 1 }, users: [] };
    const fleet = (count: number) => spec({ hosts: [host("a1")], count, template: { file: "./golden.qcow2" } });
    const uploaded = observation([reachable("a1", [member(0)], { replicas: [upload] })]);
    assert.deepEqual(plan(fleet(1), uploaded).removeReplicas, []);
    assert.equal(plan(fleet(0), uploaded).removeReplicas.length, 1);
    assert.equal(plan(fleet(1), { ...uploaded, template: { ...template, contentId: "c2" } }).removeReplicas.length, 1);
  });
});

describe("reconcile: preview without hosts", () => {
  it("plans a new fleet from the inputs alone", () => {
    const result = plan(spec(), undefined, undefined, { mode: "preview" });
    assert.deepEqual([result.create.length, result.problems], [12, []]);
    assert.match(result.warnings.join(), /no host was asked/);
  });

  it("plans the difference to the recorded state", () => {
    const { state } = made();
    assert.deepEqual(changes(plan(spec(), undefined, state, { mode: "preview" })), []);
    assert.deepEqual(slots(plan(spec({ count: 14 }), undefined, state, { mode: "preview" }).create), [12, 13]);
    const emptied = plan(spec({ count: 9, hosts: ["a1", "a2", "b1"].map((name) => host(name)) }), undefined, state, { mode: "preview" });
    assert.deepEqual([slots(emptied.destroy), emptied.problems], [[3, 7, 11], []]);
  });

  it("warns of a host that does not answer where up would fail", () => {
    const { declared, found, state } = made();
    const result = plan(declared, withHost(found, "b2", () => unreachable("b2")), state, { mode: "preview" });
    assert.deepEqual([result.problems, changes(result)], [[], []]);
    assert.deepEqual(result.warnings, ["b2 does not answer (connection refused): planned as recorded; up fails unless it answers"]);
  });
});

describe("reconcile: properties", () => {
  const names = ["a1", "a2", "b1", "b2", "c1"];
  const targets = fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 5, maxLength: 5 });
  const step = fc.oneof(
    fc.record({ hosts: fc.subarray(names, { minLength: 1 }), counts: targets, count: fc.constant(undefined) }),
    fc.record({ hosts: fc.subarray(names, { minLength: 1 }), counts: targets, count: fc.integer({ min: 0, max: 20 }) }),
  );
  const specOf = (one: { hosts: string[]; counts: number[]; count?: number }): FleetSpec => spec({
    template: { file: "./golden.qcow2" }, allowRecreate: true,
    hosts: one.hosts.map((name) => host(name, one.count === undefined ? { count: one.counts[names.indexOf(name)]! } : {})),
    ...(one.count !== undefined && { count: one.count }),
  });

  it("reaches every target in one run, each slot once, and then has nothing left to do", () => {
    fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 5 }), (steps) => {
      let found = observation(names.map((name) => reachable(name)));
      let state: FleetState | undefined;
      for (const one of steps) {
        const declared = specOf(one);
        const result = plan(declared, found, state);
        assert.deepEqual(result.problems, []);
        assert.deepEqual(plan(declared, structuredClone(found), state), result, "same input, same plan");
        const touched = [...result.keep, ...result.adopt, ...result.reconfigure, ...result.create];
        assert.equal(new Set(slots(touched)).size, touched.length, "every slot exactly once");
        const after = carryOut(declared, found, result);
        const held = Object.fromEntries(after.hosts.map((at) => [at.name, at.status === "reachable" ? at.members.length : 0]));
        for (const name of names) assert.equal(held[name], result.placement[name] ?? 0);
        if (one.count !== undefined) assert.equal(Object.values(held).reduce((sum, n) => sum + n, 0), one.count);
        else for (const name of one.hosts) assert.equal(held[name], one.counts[names.indexOf(name)]);
        state = record(declared, after, state);
        assert.deepEqual(changes(plan(declared, after, state)), [], "a no-op is a no-op");
        found = after;
      }
    }), { numRuns: 150 });
  });

  it("gives the same plan whatever order hosts and members were observed in", () => {
    const { declared, found, state } = made();
    fc.assert(fc.property(fc.shuffledSubarray(found.hosts, { minLength: 4 }), fc.integer({ min: 0, max: 30 }), (hosts, count) => {
      const shuffled = { ...found, hosts: hosts.map((one) => (one.status === "reachable" ? { ...one, members: [...one.members].reverse() } : one)) };
      const wanted = { ...declared, targets: { kind: "count" as const, count } };
      assert.deepEqual(plan(wanted, shuffled, state), plan(wanted, found, state));
    }));
  });

  it("plans ten thousand members on five hundred hosts in a few seconds", function () {
    this.timeout(20_000);
    const hosts = Array.from({ length: 500 }, (_, i) => host(`h${i}`, { rack: `r${i % 20}` }));
    const declared = spec({ hosts, count: 10_000, template: { file: "./golden.qcow2" } });
    const first = plan(declared, empty(declared));
    assert.equal(first.create.length, 10_000);
    assert.equal(plan({ ...declared, targets: { kind: "count", count: 4_000 } }, carryOut(declared, empty(declared), first)).destroy.length, 6_000);
    assert.equal(first.fleetId, FLEET);
  });
});

describe("reconcile, of disks an earlier run did not merge", () => {
  const base = (state: "frozen" | "consolidating") => made({ count: 4 }).found.hosts.map((h) => (
    h.status === "reachable" ? { ...h, members: h.members.map((m) => ({ ...m, base: state })) } : h
  ));

  it("names every one, so that a preview shows there is work", () => {
    const { declared, found, state } = made({ count: 4 });
    const merged = plan(declared, { ...found, hosts: base("frozen") }, state);
    assert.deepEqual(slots(merged.consolidate).sort(), [0, 1, 2, 3]);
    assert.equal(plan(declared, found, state).consolidate.length, 0);
  });

  it("leaves the seeds that keepSeeds asks for, but never one half merged", () => {
    const { declared, found, state } = made({ count: 4 });
    const racks = new Set(declared.hosts.map((h) => h.rack)).size;
    assert.equal(plan({ ...declared, keepSeeds: "rack" }, { ...found, hosts: base("frozen") }, state).consolidate.length, 4 - racks);
    assert.equal(plan({ ...declared, keepSeeds: "host" }, { ...found, hosts: base("consolidating") }, state).consolidate.length, 4);
  });
});
