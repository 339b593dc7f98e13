import assert from "node:assert/strict";
import { planRemoval } from "../../provider/fleet";
import { disk, FLEET, INCARNATION, made, member, slots, spec, unreachable, withHost } from "./build";

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
