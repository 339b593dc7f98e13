import assert from "node:assert/strict";
import type { Leftover } from "../../provider/fleet";
import { CONTENT, disk, member, observation, plan, reachable, record, spec } from "./build";

const unfinished = (slot: number, changes: Partial<Leftover> = {}): Leftover => ({
  kind: "volume", name: `base-${slot}`, slot, generation: 0, bytes: 1e8, resumable: { contentId: CONTENT }, ...changes,
});
const hosts = (leftovers: Record<string, Leftover[]>, members: Record<string, ReturnType<typeof member>[]> = {}) =>
  observation(["a1", "a2", "b1", "b2"].map((name) => reachable(name, members[name] ?? [], { leftovers: leftovers[name] ?? [] })));
const made = ({ create }: ReturnType<typeof plan>) => create.map(({ slot, host, generation }) => `${slot}@${host}.g${generation}`);

const ABSENT = { path: "template", message: "is not there" };
const NOT_SEEN = { message: ABSENT.message };
const replica: Leftover = { kind: "volume", name: "replica", bytes: 1e8, resumable: { contentId: CONTENT } };
/** Of a first run that was killed while its guests ran without their disks, with its template gone since. */
const orphaned = (changes: Partial<ReturnType<typeof member>>, leftovers: Record<string, Leftover[]> = {}) => ({
  ...hosts(leftovers, { a2: [member(0, { base: "arriving", contentId: CONTENT, ...changes })] }), template: undefined, templateProblem: NOT_SEEN,
});
const one = (changes: Parameters<typeof spec>[0] = {}) => spec({ count: undefined, hosts: ["a1", "a2", "b1", "b2"].map((name) => (
  { name, uri: `qemu+ssh://root@${name}/system`, rack: `rack-${name[0]}`, count: name === "a2" ? 1 : 0 }
)), ...changes });

const recorded = () => record(one(), hosts({}, { a2: [member(0)] }));

describe("a plan for guests that wait for their disks while the template is gone", () => {
  for (const previous of [false, true]) {
    const when = previous ? "recorded" : "not recorded yet";
    it(`tells of the template, its content ${when}`, () => {
      const state = previous ? recorded() : undefined;
      assert.deepEqual(plan(one(), orphaned({}), state).problems, [ABSENT]);
    });
    it(`spares the replica that a linked one waits for and no other, its content ${when}`, () => {
      const state = previous ? recorded() : undefined;
      const seen = orphaned({ kind: "linked" }, { a2: [replica, { ...replica, name: "other", resumable: { contentId: "c0" } }], b1: [{ ...replica, name: "unwanted" }] });
      const result = plan(one({ clone: "linked" }), seen, state);
      assert.deepEqual(result.cleanup.map(({ leftover }) => leftover.name), ["other", "unwanted"]);
      assert.deepEqual(result.problems, [ABSENT]);
    });
  }

  it("needs no template where a seed of the content is left", () => {
    const seen = orphaned({ kind: "linked" }, { a2: [replica] });
    const b1 = seen.hosts.find((host) => host.name === "b1")!;
    Object.assign(b1, { replicas: [{ contentId: CONTENT, purpose: "replica", disk: disk("replica-b1"), users: [] }] });
    const result = plan(one({ clone: "linked" }), seen, recorded());
    assert.deepEqual([result.problems, result.complete.map(({ slot }) => slot)], [[], [0]]);
  });
});

describe("a plan after a run that was killed", () => {
  it("goes on with the copies of the slots it makes on the same hosts, under the same names", () => {
    const { cleanup, ...rest } = plan(spec({ countPerHost: 1 }), hosts({ a2: [unfinished(1)], b1: [unfinished(2, { generation: 3 })] }));
    assert.deepEqual(made({ cleanup, ...rest }), ["0@a1.g0", "1@a2.g0", "2@b1.g3", "3@b2.g0"]);
    assert.deepEqual(cleanup, []);
  });

  it("gives hosts the slots that they hold copies for, whoever else finished", () => {
    const whole = { a1: [member(0)], a2: [member(5)] };
    const result = plan(spec({ countPerHost: 2 }), hosts({ a2: [unfinished(1)], b1: [unfinished(2)], b2: [unfinished(7)] }, whole));
    assert.deepEqual(made(result), ["1@a2.g0", "2@b1.g0", "3@a1.g0", "4@b1.g0", "6@b2.g0", "7@b2.g0"]);
    assert.deepEqual(result.cleanup, []);
  });

  it("removes those of another content, of another host's slots, and those that are not wanted", () => {
    const leftovers = { a1: [unfinished(0, { resumable: { contentId: "c0" } })], a2: [unfinished(9)] };
    const result = plan(spec({ countPerHost: 1 }), hosts(leftovers));
    assert.deepEqual(made(result)[0], "0@a1.g1");
    assert.deepEqual(result.cleanup.map((one) => one.leftover.name), ["base-0", "base-9"]);
  });

  it("uses no generation again that a later object of the slot has passed", () => {
    const seen = hosts({ a1: [unfinished(0)], b1: [{ kind: "volume", name: "other", slot: 0, generation: 1, bytes: 1 }] });
    const result = plan(spec({ countPerHost: 1 }), seen);
    assert.equal(made(result)[0], "0@a1.g2");
    assert.ok(result.cleanup.some((one) => one.leftover.name === "base-0"));
  });

  it("takes the lowest of the slots that a host holds copies for, none beyond those that are wanted, and says that it goes on", () => {
    const { create, cleanup } = plan(spec({ countPerHost: 1 }), hosts({ a1: [unfinished(1), unfinished(3)], b2: [unfinished(4)] }));
    assert.deepEqual(create.map(({ slot, host, reason }) => [slot, host, reason]), [
      [0, "a2", "a2 is below its target"], [1, "a1", "a1 is below its target; goes on from the copy that an earlier run began"],
      [2, "b1", "b1 is below its target"], [3, "b2", "b2 is below its target"],
    ]);
    assert.deepEqual(cleanup.map(({ leftover }) => leftover.name), ["base-3", "base-4"]);
  });

  it("makes no linked member of a copy that was begun for a full one: its slot goes where it would, under the next generation", () => {
    const { create, cleanup } = plan(spec({ countPerHost: 1, clone: "linked" }), hosts({ a1: [unfinished(0)], a2: [unfinished(2)] }));
    assert.deepEqual(create.map(({ slot, host, kind, generation, reason }) => [slot, host, kind, generation, reason]), [
      [0, "a1", "linked", 1, "a1 is below its target"], [1, "a2", "linked", 0, "a2 is below its target"],
      [2, "b1", "linked", 1, "b1 is below its target"], [3, "b2", "linked", 0, "b2 is below its target"],
    ]);
    assert.deepEqual(cleanup.map(({ leftover }) => leftover.name), ["base-0", "base-2"]);
  });

  it("counts for a slot's generation nothing whose generation, or slot, cannot be told", () => {
    const unnumbered = [unfinished(1, { generation: undefined, resumable: undefined }), unfinished(2, { slot: undefined, generation: 7 }), unfinished(3, { generation: 4, resumable: undefined })];
    assert.deepEqual(made(plan(spec({ countPerHost: 1 }), hosts({ b1: unnumbered }))), ["0@a1.g0", "1@a2.g0", "2@b1.g0", "3@b2.g5"]);
  });

  it("goes on with a base although its delta and disks were begun, which are removed", () => {
    const result = plan(spec({ countPerHost: 1 }), hosts({ a1: [unfinished(0), { kind: "volume", name: "delta-0", slot: 0, generation: 0, bytes: 1 }] }));
    assert.equal(made(result)[0], "0@a1.g0");
    assert.deepEqual(result.cleanup.map((one) => one.leftover.name), ["delta-0"]);
  });

  it("goes on with a replica where linked members need one, and removes it where none do", () => {
    const seen = hosts({ a1: [replica], b2: [{ ...replica, name: "unwanted" }] });
    const result = plan(spec({ clone: "linked", count: undefined, hosts: ["a1", "a2", "b1", "b2"].map((name) => ({ name, uri: `qemu+ssh://root@${name}/system`, rack: `rack-${name[0]}`, count: name === "b2" ? 0 : 1 })) }), seen);
    assert.deepEqual(result.cleanup.map((one) => one.leftover.name), ["unwanted"]);
  });
});
