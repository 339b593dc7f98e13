import assert from "node:assert/strict";
import { planRemoval } from "../../provider/fleet";
import { decisions, disk, FLEET, host, INCARNATION, made, member, slots, spec, unreachable, withHost } from "./build";

const replica = { contentId: "c1", purpose: "template" as const, disk: disk("t"), users: [] };
const leftover = { kind: "volume" as const, name: "p", bytes: 1 };

describe("removal", () => {
  const { declared, found, state } = made({ count: 4 });
  const request = { spec: declared, fleetId: FLEET, incarnation: INCARNATION, previous: state };
  const littered = withHost(found, "a1", (one) => ({ ...one, replicas: [replica], leftovers: [leftover] }));

  it("destroys all members, leftovers, replicas and uploads", () => {
    const plan = planRemoval({ ...request, observation: littered });
    assert.deepEqual(slots(plan.destroy), [0, 1, 2, 3]);
    assert.deepEqual(plan.cleanup.map((one) => one.leftover.name), ["p"]);
    assert.deepEqual(plan.removeReplicas.map((one) => one.purpose), ["template"]);
    assert.deepEqual([plan.problems, plan.warnings, plan.placement], [[], [], { a1: 0, a2: 0, b1: 0, b2: 0 }]);
  });

  it("leaves another incarnation's members alone, and what they may need", () => {
    const taken = withHost(littered, "b1", (one) => ({ ...one, members: one.members.map((member) => ({ ...member, incarnation: "two" })) }));
    const plan = planRemoval({ ...request, observation: taken });
    assert.deepEqual([slots(plan.destroy), slots(plan.keep)], [[0, 1, 3], [2]]);
    assert.deepEqual([plan.cleanup, plan.removeReplicas], [[], []]);
  });

  it("leaves what may be the disk of a member that runs on another host, and names it", () => {
    const chain = ["base-1", "delta-1"].map((name) => ({ kind: "volume" as const, name, slot: 1, generation: 0, bytes: 1 }));
    const left = withHost(found, "a2", (one) => ({ ...one, members: [], leftovers: [...chain, leftover] }));
    const moved = withHost(left, "a1", (one) => ({ ...one, members: [...one.members, { ...member(1), displaced: true }] }));
    const plan = planRemoval({ ...request, observation: moved });
    assert.deepEqual(plan.cleanup.map((one) => one.leftover.name), ["p"]);
    assert.match(plan.warnings.join("\n"), /base-1 on a2 looks left over and stays: it may be a disk of workers-001 on a1\ndelta-1 on a2/);
  });

  it("removes nothing when the whole fleet was taken over", () => {
    const plan = planRemoval({ ...request, incarnation: "old", observation: littered });
    assert.deepEqual([plan.destroy, plan.cleanup, plan.removeReplicas, plan.keep.length], [[], [], [], 4]);
  });

  it("is refused under deletionProtection, except for a fleet that is empty", () => {
    const guarded = { ...request, spec: spec({ count: 4, deletionProtection: true }) };
    assert.deepEqual(planRemoval({ ...guarded, observation: found }).problems.map(({ path }) => path), ["deletionProtection"]);
    const none = { ...found, hosts: found.hosts.map((one) => (one.status === "reachable" ? { ...one, members: [] } : one)) };
    assert.deepEqual(planRemoval({ ...guarded, observation: none }).problems, []);
  });

  it("fails on a host with members that does not answer, unless it is abandoned", () => {
    const dark = withHost(found, "a2", () => unreachable("a2"));
    const refused = planRemoval({ ...request, observation: dark });
    assert.deepEqual(refused.problems.map(({ path }) => path), ["abandonHosts"]);
    assert.deepEqual(slots(refused.lost), [1]);
    const abandoned = planRemoval({ ...request, spec: spec({ count: 4, abandonHosts: ["a2"] }), observation: dark });
    assert.deepEqual([abandoned.problems, slots(abandoned.destroy)], [[], [0, 2, 3]]);
  });

  it("goes on without a host that holds nothing on record", () => {
    const { found: small, state: smallState } = made({ count: 2 });
    const plan = planRemoval({ ...request, previous: smallState, observation: withHost(small, "b2", () => unreachable("b2")) });
    assert.deepEqual(plan.problems, []);
    assert.match(plan.warnings.join(), /b2 does not answer/);
  });
});

describe("removal of a fleet that is in no good order", () => {
  const volume = (name: string, slot?: number) => ({ kind: "volume" as const, name, bytes: 1, ...(slot !== undefined && { slot, generation: 0 }) });
  const image = (contentId: string, purpose: "replica" | "template") => ({ contentId, purpose, disk: disk(contentId), users: [] });
  const { found, state } = made({ count: 8 });
  const declared = spec({ hosts: ["a1", "a2", "b1"].map((name) => host(name)), count: 8 });
  const unrecorded = { spec: declared, fleetId: FLEET, incarnation: INCARNATION };
  const request = { ...unrecorded, previous: state };
  /** Slot 4 stands on a2 in an older copy; what a1 holds of slot 2 may be a disk of b1's. */
  let scene = withHost(found, "a1", (one) => ({
    ...one, members: [member(4, { generation: 1 }), member(0)], leftovers: [volume("z"), volume("base-2", 2)], replicas: [image("c1", "replica"), image("c1", "template")],
  }));
  scene = withHost(scene, "a2", (one) => ({ ...one, members: [member(5), member(4), member(1)], replicas: [image("c0", "replica")] }));
  const silent = ["b1", "b2"].reduce((seen, name) => withHost(seen, name, () => unreachable(name)), scene);

  const nothingElse = { fleetId: FLEET, create: [], adopt: [], reconfigure: [], consolidate: [], complete: [], awaiting: [], move: [] };
  const gone = (slot: number, on: string, generation = 0) => ({ slot, name: `workers-00${slot}`, host: on, generation, wave: 0, reason: "the fleet is deleted" });
  const unasked = (slot: number, on: string) => ({ slot, name: `workers-00${slot}`, host: on, reason: "its host does not answer: connection refused" });
  const silence = (on: string, names: string) => ({
    path: "abandonHosts",
    message: `expected every host with members to answer, got none from ${on} (connection refused), which holds 2 members (${names}); ` +
      `bring it back, or give it up with abandonHosts: ["${on}"], run \`pulumi up\`, then destroy`,
  });

  it("names what it would destroy in the order of slots, older copies first, and every host that must answer before, declared or not", () => {
    assert.deepEqual(decisions(planRemoval({ ...request, observation: silent })), {
      ...nothingElse,
      keep: [],
      destroy: [gone(0, "a1"), gone(1, "a2"), gone(4, "a2", 0), gone(4, "a1", 1), gone(5, "a2")],
      lost: [unasked(2, "b1"), unasked(3, "b2"), unasked(6, "b1"), unasked(7, "b2")],
      cleanup: [{ host: "a1", leftover: volume("z"), reason: "the fleet is deleted" }],
      removeReplicas: [
        { host: "a1", contentId: "c1", purpose: "template", reason: "the fleet is deleted" },
        { host: "a2", contentId: "c0", purpose: "replica", reason: "the fleet is deleted" },
      ],
      placement: { a1: 0, a2: 0, b1: 0 },
      problems: [silence("b1", "workers-002, workers-006"), silence("b2", "workers-003, workers-007")],
      warnings: ["base-2 on a1 looks left over and stays: it may be a disk of workers-002, recorded on b1"],
    });
  });

  it("keeps all of another incarnation's, in the order of slots, and counts it where it is", () => {
    const taken = { ...scene, hosts: scene.hosts.map((one) => (one.status !== "reachable" ? one : {
      ...one, members: one.members.map((each) => ({ ...each, incarnation: one.name === "b1" ? INCARNATION : "two" })).reverse(),
    })) };
    const theirs = (slot: number, on: string) => ({ slot, name: `workers-00${slot}`, host: on, reason: "belongs to another run or resource of this fleet" });
    assert.deepEqual(decisions(planRemoval({ ...request, spec: spec(), observation: taken })), {
      ...nothingElse,
      keep: [theirs(0, "a1"), theirs(1, "a2"), theirs(3, "b2"), theirs(4, "a2"), theirs(4, "a1"), theirs(5, "a2"), theirs(7, "b2")],
      destroy: [gone(2, "b1"), gone(6, "b1")],
      lost: [], cleanup: [], removeReplicas: [],
      placement: { a1: 2, a2: 3, b1: 0, b2: 2 },
      problems: [],
      warnings: ["base-2 on a1 looks left over and stays: it may be a disk of workers-002 on b1"],
    });
  });

  it("is refused under deletionProtection for members out of sight as for those that are seen", () => {
    const guarded = spec({ count: 4, deletionProtection: true });
    const four = made({ count: 4 });
    const dark = ["b1", "b2"].reduce((seen, name) => withHost(seen, name, () => unreachable(name)), four.found);
    const { problems } = planRemoval({ ...request, spec: guarded, previous: four.state, observation: dark });
    assert.equal(problems.find(({ path }) => path === "deletionProtection")?.message,
      "expected false for deleting a fleet of 4 members, got true; set it to false, run `pulumi up`, then delete");
  });

  it("asks of a host where work was left that it answers, though no member is on record there, unless it does or is given up", () => {
    const { found: two, state: before } = made({ count: 2 });
    const unsettled = { ...before, hosts: before.hosts.map((one) => (one.name === "b2" ? { ...one, unsettled: true } : one)) };
    const dark = withHost(two, "b2", () => unreachable("b2"));
    const of = (abandonHosts: string[]) => ({ ...request, spec: spec({ count: 2, abandonHosts }), previous: unsettled });
    assert.deepEqual(planRemoval({ ...of([]), observation: dark }).problems, [{
      path: "abandonHosts",
      message: "expected every host with members to answer, got none from b2 (connection refused), which was worked on when it went silent or was left with leftovers " +
        'or members that are not on record; bring it back, or give it up with abandonHosts: ["b2"], run `pulumi up`, then destroy',
    }]);
    assert.deepEqual(planRemoval({ ...of(["b2"]), observation: dark }).problems, []);
    assert.deepEqual(planRemoval({ ...of([]), observation: two }).problems, []);
  });

  it("goes on without a record, and without a host that nothing says holds anything", () => {
    const { found: two } = made({ count: 2 });
    const plan = planRemoval({ ...unrecorded, observation: withHost(two, "b2", () => unreachable("b2")) });
    assert.deepEqual([slots(plan.destroy), plan.lost, plan.problems], [[0, 1], [], []]);
    assert.deepEqual(plan.warnings, ["b2 does not answer (connection refused): nothing is recorded there; leftovers, if any, stay"]);
  });

  it("is of the recorded content, else of the template's, else of none that is known", () => {
    const changed = { ...found, template: { ...found.template!, contentId: "c2" } };
    assert.equal(planRemoval({ ...request, observation: changed }).seedContentId, "c1");
    assert.equal(planRemoval({ ...unrecorded, observation: changed }).seedContentId, "c2");
    assert.equal(planRemoval({ ...unrecorded, observation: { hosts: found.hosts } }).seedContentId, "");
  });
});
