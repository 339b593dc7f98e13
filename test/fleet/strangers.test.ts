import assert from "node:assert/strict";
import fc from "fast-check";
import { memberUuid } from "../../provider/fleet";
import type { Observation, ObservedMember, ReachableHost } from "../../provider/fleet/model";
import { planRemoval } from "../../provider/fleet/plan/removal";
import { FLEET, INCARNATION, made, member, observation, plan, reachable, record, slots, spec, unreachable, withHost } from "./build";

describe("twins and strangers", () => {
  it("a twin with another host's disks is named, with what to do, and neither counted nor destroyed", () => {
    const { declared, found, state } = made({ count: 4 });
    const twin = { ...member(1), displaced: true };
    const doubled = withHost(found, "a1", (one) => ({ ...one, members: [...one.members, twin] }));
    const result = plan(declared, doubled, state);
    assert.deepEqual([result.destroy, result.create, result.problems], [[], [], []]);
    assert.deepEqual(result.placement, plan(declared, found, state).placement);
    assert.match(result.warnings.join(), /workers-001 on a1 is left alone: it is a twin \(the member stands on a2.*virsh undefine workers-001 on a1/);
    assert.deepEqual(record(declared, doubled, state).members, record(declared, found, state).members);
    const removal = planRemoval({ spec: declared, fleetId: FLEET, incarnation: INCARNATION, observation: doubled, previous: state });
    assert.deepEqual(removal.destroy.map(({ slot, host }) => [slot, host]), [[0, "a1"], [1, "a2"], [2, "b1"], [3, "b2"]]);
    assert.match(removal.warnings.join(), /is a twin/);
  });

  describe("a member that virsh migrate moved, and whose definition stayed behind", () => {
    const powers = ["running", "stopped", "paused"] as const;
    /** workers-001 is defined on a2 as `first`, and with the same disks on a1 as `second`. */
    const migrated = (first: ObservedMember["power"], second: ObservedMember["power"]) => {
      const { declared, found, state } = made({ count: 4 });
      const left = withHost(found, "a2", (one) => ({ ...one, members: [member(1, { power: first })] }));
      return { declared, state, observed: withHost(left, "a1", (one) => ({ ...one, members: [...one.members, { ...member(1, { power: second }), displaced: true }] })) };
    };

    it("is not started a second time, and the message says what to do", () => {
      const { declared, state, observed } = migrated("stopped", "running");
      const [problem, ...more] = plan(declared, observed, state).problems;
      assert.deepEqual(more, []);
      assert.deepEqual(problem, { path: "hosts[0]", message: "expected one definition of workers-001, which is to be started, changed or removed, got two that may have the same disk: " +
        "shut off on a2, and running on a1; its guest runs on a1: bring it back with virsh migrate, or, for it to count where it runs, take away the definition that is shut off: virsh undefine workers-001 on a2. Never start both" });
    });

    it("is refused exactly when the plan does something to it, and no running one is to be undefined", () => {
      const changes = fc.record({ count: fc.integer({ min: 1, max: 5 }), powerOn: fc.boolean(), memory: fc.constantFrom(1024, 2048) });
      fc.assert(fc.property(fc.constantFrom(...powers), fc.constantFrom(...powers), changes, fc.boolean(), (first, second, { count, powerOn, memory }, unmerged) => {
        const { state, observed } = migrated(first, second);
        const declared = spec({ count, powerOn, vm: { memory, networks: [{ network: "default" }] } });
        const found = !unmerged ? observed : withHost(observed, "a2", (one) => ({ ...one, members: one.members.map((each) => ({ ...each, base: "frozen" as const })) }));
        const result = plan(declared, found, state);
        const acted = [result.create, result.destroy, result.reconfigure, result.consolidate, result.complete].flat().some(({ slot }) => slot === 1);
        const named = result.problems.filter(({ message }) => message.includes("expected one definition of workers-001"));
        assert.equal(named.length, acted ? 1 : 0);
        const removal = planRemoval({ spec: declared, fleetId: FLEET, incarnation: INCARNATION, observation: found, previous: state });
        assert.equal(removal.problems.filter(({ message }) => message.includes("expected one definition of workers-001")).length, 1);
        for (const text of [...result.warnings, ...removal.problems.map(({ message }) => message)].filter((each) => each.includes("workers-001"))) {
          for (const [power, host] of [[first, "a2"], [second, "a1"]]) {
            if (power !== "stopped" && !text.includes("both run: shut down")) assert.ok(!text.includes(`undefine workers-001 on ${host}`), text);
          }
        }
      }), { numRuns: 200 });
    });
  });

  it("a twin of a member whose host is out of sight does not take its slot", () => {
    const { declared, found, state } = made({ count: 4 });
    const twin = { ...member(1), displaced: true };
    const dark = withHost(withHost(found, "a1", (one) => ({ ...one, members: [...one.members, twin] })), "a2", () => unreachable("a2"));
    assert.deepEqual(plan(declared, dark, state, { mode: "preview" }).destroy, []);
    assert.equal(record(declared, dark, state).members.find((one) => one.slot === 1)?.host, "a2");
  });

  it("a member that was moved by hand, and stands nowhere else, is the member", () => {
    const { declared, found, state } = made({ count: 4 });
    const without = withHost(found, "a2", (one) => ({ ...one, members: [] }));
    const moved = withHost(without, "a1", (one) => ({ ...one, members: [...one.members, { ...member(1), displaced: true }] }));
    const result = plan(declared, moved, state);
    assert.deepEqual([result.destroy, result.create], [[], []]);
    assert.equal(record(declared, moved, state).members.find((one) => one.slot === 1)?.host, "a1");
  });

  it("a member of equal generation elsewhere is never an outdated copy", () => {
    const { declared, found, state } = made({ count: 4 });
    const doubled = withHost(found, "a1", (one) => ({ ...one, members: [...one.members, member(1)] }));
    assert.deepEqual(plan(declared, doubled, state).destroy, []);
  });

  it("a domain that has a new member's UUID or name is named before anything is made", () => {
    const declared = spec({ count: 2 });
    const uuid = memberUuid(FLEET, 0);
    const hosts = (changes: Partial<ReachableHost>): Observation => observation(declared.hosts.map((one) => reachable(one.name, [], one.name === "a1" ? changes : {})));
    const [problem] = plan(declared, hosts({ takenUuids: [{ uuid, name: "renamed" }] })).problems;
    assert.equal(problem?.path, "hosts[0]");
    assert.match(problem?.message ?? "", /UUID of workers-000 to be free on a1, got "renamed".*virsh domrename renamed workers-000/);
    const [named] = plan(declared, hosts({ strangers: [{ name: "workers-000", reason: "a copy" }] })).problems;
    assert.equal(named?.path, "namePrefix");
  });

  it("a replica that somebody's machine stands on stays, and is named", () => {
    const { declared, found, state } = made({ count: 4 });
    const replica = { contentId: "old", purpose: "replica" as const, disk: member(0).chain[0]!, users: [] };
    const with_ = (strangers?: string[]) => plan(declared, withHost(found, "a1", (one) => ({ ...one, replicas: [{ ...replica, ...(strangers && { strangers }) }] })), state);
    assert.equal(with_().removeReplicas.length, 1);
    const kept = with_(["the domain mine uses it"]);
    assert.deepEqual(kept.removeReplicas, []);
    assert.match(kept.warnings.join(), /base-0 on a1 stays: the domain mine uses it/);
  });

  it("a replica stays while a linked member that was moved by hand to another host may stand on it", () => {
    const { declared, found, state } = made({ count: 4 });
    const replica = { contentId: "c1", purpose: "replica" as const, disk: member(0).chain[0]!, users: [] };
    const delta = { kind: "volume" as const, name: "delta-1", slot: 1, generation: 0, bytes: 1 };
    const moved = (kind: "full" | "linked", leftovers: ReachableHost["leftovers"]) => withHost(
      withHost(found, "a2", (one) => ({ ...one, members: [], replicas: [replica], leftovers })),
      "a1", (one) => ({ ...one, members: [...one.members, { ...member(1), kind, displaced: true }] }),
    );
    const removed = (observed: Observation) => [
      plan(declared, observed, state).removeReplicas,
      planRemoval({ spec: declared, fleetId: FLEET, incarnation: INCARNATION, observation: observed, previous: state }).removeReplicas,
    ].map((each) => each.map(({ host }) => host));
    assert.deepEqual(removed(moved("linked", [])), [[], []]);
    assert.deepEqual(removed(moved("full", [delta])), [[], []], "nor while a disk stays that may stand on it");
    assert.deepEqual(removed(moved("full", [])), [["a2"], ["a2"]]);
  });

  const copies = fc.array(fc.record({
    slot: fc.nat({ max: 5 }), generation: fc.nat({ max: 2 }), displaced: fc.boolean(), host: fc.nat({ max: 3 }), adopted: fc.boolean(),
  }), { maxLength: 12 });
  const hostsWith = (found: readonly { slot: number; generation: number; displaced: boolean; host: number; adopted: boolean }[], dark: number, strangers: readonly string[]): Observation => (
    observation(["a1", "a2", "b1", "b2"].map((name, index) => {
      if (index === dark) return unreachable(name);
      const members = found.filter((one) => one.host === index).map(({ slot, generation, displaced, adopted }): ObservedMember => (
        { ...member(slot, { generation, incarnation: adopted ? "other" : INCARNATION }), ...(displaced && { displaced }) }));
      // A host has one domain of a name.
      const single = members.filter((one, at) => members.findIndex((other) => other.slot === one.slot) === at);
      return reachable(name, single, { strangers: strangers.map((each) => ({ name: each, reason: "somebody's" })) });
    })));

  it("whatever is found beside the members, none that has its slot's facts goes while the target is met without", () => {
    const { state } = made({ count: 4 });
    fc.assert(fc.property(copies, fc.nat({ max: 8 }), fc.boolean(), (found, dark, recorded) => {
      const observed = hostsWith(found, dark, ["workers-002-clone"]);
      const declared = spec({ count: 12 });
      const result = plan(declared, observed, recorded ? state : undefined, { mode: "preview" });
      const all = observed.hosts.flatMap((one) => (one.status === "reachable" ? one.members.map((each) => ({ ...each, host: one.name })) : []));
      for (const gone of result.destroy) {
        const one = all.find(({ slot, host, generation }) => slot === gone.slot && host === gone.host && generation === gone.generation)!;
        const later = [...all.filter((each) => !each.displaced && each.slot === gone.slot), ...(recorded ? state.members.filter((each) => each.slot === gone.slot) : [])];
        assert.ok(!one.displaced, "what stands on another host's disks is never destroyed");
        assert.ok(later.some(({ generation }) => generation > one.generation), "only what a later generation has taken the place of");
      }
      const held = [...result.keep, ...result.create, ...result.adopt.filter((one) => !result.keep.some(({ slot }) => slot === one.slot))];
      assert.equal(new Set(slots(held)).size, held.length, "every slot once");
    }), { numRuns: 500 });
  });

  it("deleting the fleet takes no twin along", () => {
    const { declared, state } = made({ count: 4 });
    fc.assert(fc.property(copies, (found) => {
      const observed = hostsWith(found, -1, []);
      const removal = planRemoval({ spec: declared, fleetId: FLEET, incarnation: INCARNATION, observation: observed, previous: state });
      const seen = observed.hosts.flatMap((one) => (one.status === "reachable" ? one.members.map((each) => ({ ...each, host: one.name })) : []));
      for (const slot of new Set(slots(seen))) {
        const inPlace = seen.filter((one) => one.slot === slot && !one.displaced);
        const candidates = inPlace.length > 0 ? inPlace : seen.filter((one) => one.slot === slot);
        const latest = Math.max(...candidates.map(({ generation }) => generation));
        const gone = removal.destroy.filter((one) => one.slot === slot);
        assert.ok(gone.filter(({ generation }) => generation === latest).length <= 1, "of the latest generation of a slot one at most");
        assert.ok(gone.every(({ host }) => candidates.some((one) => one.host === host)), "beside one in its place none that is not");
      }
    }));
  });

  it("strangers change nothing of a plan but its warnings", () => {
    const { declared, state } = made({ count: 4 });
    fc.assert(fc.property(copies, fc.nat({ max: 8 }), (found, dark) => {
      const { warnings, ...without } = plan(declared, hostsWith(found, dark, []), state, { mode: "preview" });
      const { warnings: more, ...rest } = plan(declared, hostsWith(found, dark, ["mine-clone"]), state, { mode: "preview" });
      assert.deepEqual(rest, without);
      assert.ok(warnings.every((one) => more.includes(one)) && more.length > warnings.length);
    }));
  });
});
