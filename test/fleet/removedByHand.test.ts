import assert from "node:assert/strict";
import fc from "fast-check";
import type { FleetInputs, FleetPlan, Observation } from "../../provider/fleet";
import { carryOut, host, made, plan, record, slots, spec, unreachable, withHost } from "./build";

/** Members that were removed with virsh: by slot. */
const without = (found: Observation, gone: (slot: number) => boolean): Observation => ({
  ...found,
  hosts: found.hosts.map((one) => (one.status === "reachable" ? { ...one, members: one.members.filter(({ slot }) => !gone(slot)) } : one)),
});

const NAMES = ["a1", "a2", "b1", "b2"];
type Targets = Pick<FleetInputs, "count" | "countPerHost"> | { each: number[] };
const anyTargets: fc.Arbitrary<Targets> = fc.oneof(
  fc.record({ count: fc.nat(14) }), fc.record({ countPerHost: fc.nat(4) }), fc.record({ each: fc.array(fc.nat(4), { minLength: 4, maxLength: 4 }) }),
);
const capacity = fc.option(fc.integer({ min: 4, max: 8 }), { nil: undefined });

function declaredAs(targets: Targets, names: readonly string[], capacities: readonly (number | undefined)[], more: Partial<FleetInputs> = {}): Partial<FleetInputs> {
  const each = "each" in targets ? targets.each : undefined;
  const hosts = names.map((name) => host(name, {
    ...(each ? { count: each[NAMES.indexOf(name)]! } : {}), ...(capacities[NAMES.indexOf(name)] !== undefined && { capacity: capacities[NAMES.indexOf(name)]! }),
  }));
  return { hosts, template: { file: "/golden.qcow2" }, allowRecreate: true, ...("each" in targets ? {} : targets), ...more };
}

/** How many members that live on declared hosts must go, so that no host is over its target. */
function mustGo(targets: Targets, living: ReadonlyMap<string, number>, names: readonly string[], capacities: readonly (number | undefined)[]): number {
  const capped = names.map((name) => Math.min(living.get(name) ?? 0, capacities[NAMES.indexOf(name)] ?? Infinity));
  const sum = (some: readonly number[]) => some.reduce((total, one) => total + one, 0);
  const all = sum(names.map((name) => living.get(name) ?? 0));
  if ("each" in targets) return sum(names.map((name) => Math.max(0, (living.get(name) ?? 0) - targets.each[NAMES.indexOf(name)]!)));
  if (targets.countPerHost !== undefined) return sum(names.map((name) => Math.max(0, (living.get(name) ?? 0) - targets.countPerHost!)));
  return all - sum(capped) + Math.max(0, sum(capped) - targets.count!);
}

function assertEachSlotOnce(one: FleetPlan): void {
  const made = slots(one.create);
  assert.equal(new Set(made).size, made.length, "a slot is made once");
  const living = new Set(slots([...one.keep, ...one.adopt]));
  assert.ok(made.every((slot) => !living.has(slot)), "a slot that lives is not made");
}

describe("a fleet that somebody removed members of by hand", () => {
  it("gives those up first when it shrinks", () => {
    const { found, state } = made({ count: 4 });
    const down = plan(spec({ count: 3 }), without(found, (slot) => slot === 1), state);
    assert.deepEqual([slots(down.keep), down.destroy, down.create, down.problems], [[0, 2, 3], [], [], []]);
    const further = plan(spec({ count: 2 }), without(found, (slot) => slot === 1), state);
    assert.deepEqual([slots(further.keep), slots(further.destroy), further.create], [[0, 2], [3], []]);
  });

  it("does so on a host with a target of its own, and makes those anew where the target needs them", () => {
    const hosts = (a1: number) => [host("a1", { count: a1 }), host("a2", { count: 1 })];
    const { found, state } = made({ hosts: hosts(3) });
    const gone = without(found, (slot) => slot === 0);
    const down = plan(spec({ hosts: hosts(2) }), gone, state);
    assert.deepEqual([down.destroy, down.create], [[], []]);
    assert.deepEqual(slots(plan(spec({ hosts: hosts(3) }), gone, state).create), [0]);
  });

  it("loses no member that lives while the target is met without, moves none, and makes each slot once", () => {
    fc.assert(fc.property(
      anyTargets, anyTargets, fc.array(fc.nat(16), { maxLength: 8 }), fc.subarray(NAMES, { minLength: 1 }), fc.subarray(NAMES, { maxLength: 1 }),
      fc.array(capacity, { minLength: 4, maxLength: 4 }),
      (before, after, gone, names, silent, capacities) => {
        const { found: whole, state } = made(declaredAs(before, NAMES, []));
        const given = silent.filter((name) => !names.includes(name) || names.length > 1);
        const room = names.reduce((sum, name) => sum + (given.includes(name) ? 0 : capacities[NAMES.indexOf(name)] ?? Infinity), 0);
        fc.pre(!("count" in after) || after.count! <= room);
        const found = given.reduce((all, name) => withHost(all, name, () => unreachable(name)), without(whole, (slot) => gone.includes(slot)));
        const declared = spec(declaredAs(after, names, capacities, { abandonHosts: given }));
        const next = plan(declared, found, state);
        assert.deepEqual(next.problems, []);
        assertEachSlotOnce(next);
        const seen = found.hosts.flatMap((one) => (one.status === "reachable" && names.includes(one.name) ? [one] : []));
        const living = new Map(seen.map((one) => [one.name, one.members.length]));
        const answering = names.filter((name) => living.has(name));
        const goes = next.destroy.filter(({ host: at }) => living.has(at)).length;
        assert.equal(goes, mustGo(after, living, answering, capacities));
        const done = carryOut(declared, found, next);
        const again = plan(declared, done, record(declared, done, state));
        assert.deepEqual([again.create, again.destroy, again.move], [[], [], []], "a second run has nothing to do");
      },
    ), { numRuns: 150 });
  });
});
