import assert from "node:assert/strict";
import fc from "fast-check";
import { parseState, planRemoval, type Leftover, type ReachableHost } from "../../provider/fleet";
import { carryOut, FLEET, INCARNATION, made, member, plan, record, spec, unreachable, withHost } from "./build";

const volume = (name: string, slot: number, generation = 0): Leftover => ({ kind: "volume", name, slot, generation, bytes: 1 });
const names = ({ cleanup }: { cleanup: { leftover: Leftover }[] }) => cleanup.map(({ leftover }) => leftover.name);

describe("what looks left over of a member that is seen nowhere", () => {
  const { declared, found, state } = made({ count: 4 });
  const gone = (changes: Partial<ReachableHost>) => withHost(found, "a2", (one) => ({
    ...one, members: [], leftovers: [volume("base-1", 1), volume("delta-1", 1), volume("other", 9)], heldGenerations: [{ slot: 1, generation: 0 }], ...changes,
  }));

  it("stays, and is named, in a pool that other hosts may reach; the slot is made anew in the next generation", () => {
    const result = plan(declared, gone({ store: "netfs nas:/pool" }), state);
    assert.deepEqual([names(result), result.create.map(({ slot, generation }) => [slot, generation])], [["other"], [[1, 1]]]);
    assert.match(result.warnings.join("\n"), /base-1 on a2 looks left over and stays: it may be a disk of workers-001, which is seen nowhere.*virsh vol-delete it\ndelta-1 on a2/);
    const removal = planRemoval({ spec: declared, fleetId: FLEET, incarnation: INCARNATION, observation: gone({ store: "netfs nas:/pool" }), previous: state });
    assert.deepEqual(names(removal), ["other"]);
  });

  it("is removed as ever from a pool of the host's own", () => {
    const result = plan(declared, gone({}), state);
    assert.deepEqual([names(result), result.warnings], [["base-1", "delta-1", "other"], []]);
  });

  it("stays in later runs, whatever becomes of the slot, until the disk is gone", () => {
    const store = "netfs nas:/pool";
    const left = [volume("base-1", 1)];
    const next = fc.record({ count: fc.nat({ max: 5 }), dark: fc.boolean(), taken: fc.boolean() });
    fc.assert(fc.property(fc.array(next, { minLength: 1, maxLength: 4 }), (runs) => {
      let observed = gone({ store, leftovers: left });
      let recorded = state;
      for (const { count, dark, taken } of runs) {
        const program = spec({ count: count + 1, ...(taken && { hosts: declared.hosts.filter(({ name }) => name !== "a2").map(({ name, own, rack }) => ({ name, uri: own.uri, rack })) }), allowRecreate: true });
        const now = dark ? withHost(observed, "a2", () => unreachable("a2")) : observed;
        const run = plan(program, now, recorded, { mode: "preview" });
        assert.deepEqual(names(run), []);
        const after = withHost(carryOut(program, now, run), "a2", (one) => ({ ...one, leftovers: left }));
        recorded = parseState(JSON.parse(JSON.stringify(record(program, after, recorded))))!;
        const before = observed.hosts.find(({ name }) => name === "a2")!;
        observed = dark ? { ...after, hosts: after.hosts.map((one) => (one.name === "a2" ? before : one)) } : after;
      }
      const cleared = withHost(observed, "a2", (one) => ({ ...one, leftovers: [] }));
      assert.ok(record(declared, cleared, recorded).hosts.every(({ missed }) => missed === undefined));
    }), { numRuns: 100 });
  });

  it("of a member that is there, only its own host's look judges", () => {
    const merged = withHost(found, "a2", (one) => ({ ...one, members: [member(1)], leftovers: [volume("delta-1", 1)], store: "netfs nas:/pool" }));
    assert.deepEqual(names(plan(declared, merged, state)), ["delta-1"]);
    assert.ok(record(declared, merged, state).hosts.every(({ missed }) => missed === undefined));
  });
});
