import assert from "node:assert/strict";
import fc from "fast-check";
import { planRemoval, type FleetPlan, type FleetState, type MemberState, type Observation } from "../../provider/fleet";
import { FLEET, host, INCARNATION, made, member, observation, plan, reachable, record, slots, spec, unreachable } from "./build";

const NAMES = ["a1", "a2", "b1"];
const recordedAt = (slot: number, name: string, more: Partial<MemberState> = {}): MemberState => ({
  slot, name: `workers-00${slot}`, host: name, hostUuid: `uuid-${name}`, rack: "r", uuid: "", kind: "full", generation: 0, contentId: "c1", macs: [],
  state: "running", base: "consolidated", chain: [], ipAddresses: [], ...more,
});
/** A record that holds just these, on hosts that are known from it. */
const holding = (members: MemberState[]): FleetState => ({ ...made({ hosts: NAMES.map((name) => host(name)), count: 0 }).state, members });

/** Whatever plays a slot's part, it plays it once. */
function assertOncePerSlot(one: FleetPlan): void {
  const leaving = new Set(slots(one.destroy));
  for (const bucket of [one.create, one.keep, one.adopt, one.lost, one.complete]) {
    const all = slots(bucket);
    assert.equal(new Set(all).size, all.length, JSON.stringify(one, undefined, 1));
  }
  const alive = [...slots(one.keep), ...slots(one.adopt), ...slots(one.lost)];
  assert.equal(new Set(alive).size, alive.length, "a slot stays once");
  assert.ok(slots(one.create).every((slot) => !alive.includes(slot) || leaving.has(slot)), "what stays is not made");
}

describe("a record with several copies of one slot", () => {
  it("whose copies are all gone has the slot made once, under a generation that none had", () => {
    const declared = spec({ hosts: NAMES.map((name) => host(name)), count: 1 });
    const state = holding([recordedAt(0, "a1"), recordedAt(0, "a2", { generation: 1 })]);
    const next = plan(declared, observation(NAMES.map((name) => reachable(name))), state);
    assert.deepEqual(next.create.map(({ slot, host: at, generation }) => [slot, at, generation]), [[0, "a2", 2]]);
    assert.deepEqual([next.destroy, next.problems], [[], []]);
  });

  it("counts the latest that may live, and keeps the others on record until their hosts were looked at or given up", () => {
    const hosts = [host("a1"), host("b1")];
    const declared = spec({ hosts, count: 2 });
    const state = holding([recordedAt(0, "a1", { generation: 1 }), recordedAt(0, "a2")]);
    const dark = observation([unreachable("a1"), reachable("b1", [member(1)]), unreachable("a2")]);
    const next = plan(declared, dark, state, { mode: "preview" });
    assert.deepEqual([slots(next.keep), slots(next.create), next.destroy], [[0, 1], [], []]);
    assert.deepEqual(record(declared, dark, state).members.map(({ slot, generation, host: at, state: is }) => [slot, generation, at, is]), [[0, 0, "a2", "lost"], [0, 1, "a1", "running"], [1, 0, "b1", "running"]]);
    const paths = plan(declared, dark, state).problems.map(({ path, message }) => [path, /holds 1 member \(workers-000\)/.test(message)]);
    assert.deepEqual(paths, [["abandonHosts", true], ["hosts[0]", true]]);
    const removal = planRemoval({ spec: declared, fleetId: FLEET, incarnation: INCARNATION, observation: dark, previous: state });
    assert.equal(removal.problems.length, 2, "deleting forgets neither");
    const givenUp = record(spec({ hosts, count: 2, abandonHosts: ["a2"] }), dark, state);
    assert.deepEqual(givenUp.members.map(({ host: at }) => at), ["a1", "b1"]);
  });

  it("keeps an older copy on record that stands out of sight while the later one is seen", () => {
    const declared = spec({ hosts: [host("a1")], count: 1 });
    const state = holding([recordedAt(0, "a2"), recordedAt(0, "a1", { generation: 1 })]);
    const dark = observation([reachable("a1", [member(0, { generation: 1 })]), unreachable("a2")]);
    assert.deepEqual(record(declared, dark, state).members.map(({ generation, host: at }) => [generation, at]), [[0, "a2"], [1, "a1"]]);
    assert.equal(plan(declared, dark, state).problems[0]?.path, "abandonHosts");
    // A member that was moved by hand is no second one where it was.
    const moved = holding([recordedAt(0, "a2")]);
    assert.deepEqual(plan(declared, observation([reachable("a1", [member(0)]), unreachable("a2")]), moved).problems, []);
  });
});

describe("a plan", () => {
  it("makes each slot once and keeps each once, whatever the record says and the hosts show", () => {
    const anyMember = fc.record({ slot: fc.nat(3), generation: fc.nat(2), at: fc.constantFrom(...NAMES, "c9"), uuid: fc.constantFrom("right", "none", "wrong") })
      .map(({ slot, generation, at, uuid }) => recordedAt(slot, at, { generation, hostUuid: uuid === "none" ? "" : uuid === "right" ? `uuid-${at}` : "uuid-b1" }));
    const seen = fc.record({ slot: fc.nat(3), generation: fc.nat(2), incarnation: fc.constantFrom(INCARNATION, "two") });
    const look = fc.option(fc.uniqueArray(seen, { maxLength: 3, selector: ({ slot }) => slot }), { nil: undefined });
    fc.assert(fc.property(
      fc.array(anyMember, { maxLength: 6 }), fc.array(look, { minLength: 3, maxLength: 3 }), fc.subarray(NAMES, { minLength: 1 }), fc.nat(5),
      fc.subarray(NAMES, { maxLength: 1 }), fc.constantFrom("apply" as const, "preview" as const, undefined),
      (members, looks, declaredNames, count, abandonHosts, mode) => {
        const found: Observation = observation(NAMES.map((name, i) => (looks[i] ? reachable(name, looks[i].map(({ slot, ...more }) => member(slot, more))) : unreachable(name))));
        const declared = spec({ hosts: declaredNames.map((name) => host(name)), template: { file: "/golden.qcow2" }, count, abandonHosts, allowRecreate: true });
        const state = holding(members);
        const next = plan(declared, mode ? found : undefined, state, { mode: mode ?? "preview" });
        assertOncePerSlot(next);
        const again = record(declared, found, state);
        const kept = new Set(slots(again.members));
        const hidden = members.filter(({ host: at, hostUuid }) => (
          hostUuid === `uuid-${at}` && NAMES.includes(at) && !looks[NAMES.indexOf(at)] && !abandonHosts.includes(at)));
        const others = new Set(looks.flatMap((one) => (one ?? []).flatMap(({ slot, incarnation }) => (incarnation === "two" ? [slot] : []))));
        assert.ok(hidden.every(({ slot }) => kept.has(slot) || others.has(slot)), "what may live out of sight stays on record");
        planRemoval({ spec: declared, fleetId: FLEET, incarnation: INCARNATION, observation: found, previous: state });
      },
    ), { numRuns: 200 });
  });
});
