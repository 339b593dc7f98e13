import assert from "node:assert/strict";
import fc from "fast-check";
import type { Leftover } from "../../provider/fleet";
import { CONTENT, decisions, FLEET, host, made, member, observation, plan, reachable, record, slots, spec, template, unreachable, withHost } from "./build";

const volume = (name: string, more: Partial<Leftover> = {}): Leftover => ({ kind: "volume", name, bytes: 1, ...more });

describe("a whole plan of a fleet that is in no good order", () => {
  const declared = spec({
    hosts: [host("b1", { count: 4 }), host("a1", { count: 1 }), host("a2", { count: 4 })], allowRecreate: true, vm: { memory: 2048, networks: [{ network: "default" }] },
  });
  const before = spec({ hosts: ["b1", "a1", "a2", "b2", "c1"].map((name) => host(name)), count: 10 });
  const now = { memory: 2048 };
  const found = observation([
    reachable("a2", [member(7, { base: "arrived" }), member(1, { base: "arriving" }), member(6)]),
    reachable("a1", [member(3), member(2, { incarnation: "two", base: "frozen" })], { leftovers: [volume("y"), volume("x"), volume("x", { kind: "domain" })] }),
    reachable("b2", [member(6, { generation: 1 })]),
    reachable("b1", [member(5, { ...now, base: "frozen" }), member(4, { ...now, base: "consolidating" })]),
    unreachable("c1"),
  ]);
  const recorded = record(before, { ...found, hosts: [
    ...found.hosts.filter(({ name }) => name !== "b1" && name !== "c1"), reachable("b1", [member(4), member(5), member(8)]), reachable("c1", [member(9)]),
  ] });

  it("says of every member what becomes of it and why, in the order of slots, and who is merged in the order of hosts", () => {
    const at = (slot: number, on: string) => ({ slot, name: `workers-00${slot}`, host: on });
    const image = { contentId: CONTENT, disks: template.disks.map(({ bytes }) => ({ bytes })) };
    const create = (slot: number, on: string, generation: number, reason: string) => ({ ...at(slot, on), rack: `rack-${on[0]}`, kind: "full", generation, image, wave: 0, reason });
    assert.deepEqual(decisions(plan(declared, found, recorded)), {
      fleetId: FLEET,
      create: [
        create(0, "a2", 0, "a2 is below its target"),
        create(3, "b1", 1, "moved from a1: cloned anew, data is lost"),
        create(6, "a2", 2, "moved from b2: cloned anew, data is lost"),
        create(8, "b1", 1, "recorded on b1 but not found there: removed outside Pulumi"),
      ],
      destroy: [
        { ...at(3, "a1"), generation: 0, wave: 0, reason: "a1 is over its target and b1 is below its own" },
        { ...at(6, "a2"), generation: 0, wave: 0, reason: "an outdated copy: the slot is held with a later generation elsewhere" },
        { ...at(6, "b2"), generation: 1, wave: 0, reason: "b2 is no longer declared and a2 is below its own" },
      ],
      keep: [
        { ...at(1, "a2"), reason: "as declared" }, { ...at(4, "b1"), reason: "as declared" },
        { ...at(5, "b1"), reason: "as declared" }, { ...at(7, "a2"), reason: "as declared" },
      ],
      adopt: [{ ...at(2, "a1"), reason: "made by another run or resource of this fleet" }],
      reconfigure: [{
        ...at(2, "a1"), changes: [{ kind: "hardware", numCpus: 1, memory: 2048, networks: ["default"] }], wave: 0, reason: "memory 1024 → 2048 MiB, in effect from its next start",
      }],
      consolidate: [
        { ...at(4, "b1"), reason: "the merge of its delta disk was not finished" },
        { ...at(5, "b1"), reason: "its frozen base is no longer needed as a source" },
        { ...at(2, "a1"), reason: "its frozen base is no longer needed as a source" },
      ],
      awaiting: [],
      complete: [
        {
          ...at(1, "a2"), rack: "rack-a", kind: "full", generation: 0, base: "arriving", image, wave: 0,
          reason: "it was started before its disk was there, and the rest has not arrived",
        },
        { ...at(7, "a2"), rack: "rack-a", kind: "full", generation: 0, base: "arrived", image: { ...image, disks: [] }, wave: 0, reason: "its disk has arrived and is not in its place yet" },
      ],
      move: [
        { slot: 3, name: "workers-003", from: "a1", to: "b1", reason: "move: data is lost; a1 is over its target and b1 is below its own" },
        { slot: 6, name: "workers-006", from: "b2", to: "a2", reason: "move: data is lost; b2 is no longer declared and a2 is below its own" },
      ],
      lost: [{ ...at(9, "c1"), reason: "its host is no longer declared and does not answer: connection refused" }],
      cleanup: [volume("x", { kind: "domain" }), volume("x"), volume("y")].map((leftover) => ({ host: "a1", leftover, reason: "left over from a run that did not end" })),
      removeReplicas: [],
      placement: { b1: 4, a1: 1, a2: 4 },
      problems: [{
        path: "abandonHosts",
        message: "expected hosts that were taken out of the program to answer, got none from c1 (connection refused), which holds 1 member (workers-009); " +
          'bring it back, or give it up with abandonHosts: ["c1"], which forgets its members',
      }],
      warnings: ["takes over 1 member made by an earlier run or another resource of this fleet: workers-002 on a1"],
    });
  });

  it("is the same whatever order its hosts, their members and what is left over were seen in", () => {
    const shuffled = <T>(all: readonly T[]) => fc.shuffledSubarray([...all], { minLength: all.length });
    const hosts = fc.tuple(...found.hosts.map((one) => (one.status !== "reachable" ? fc.constant(one) : fc.record({
      status: fc.constant(one.status), members: shuffled(one.members), leftovers: shuffled(one.leftovers),
    }).map((parts) => ({ ...one, ...parts }))))).chain(shuffled);
    const whole = plan(declared, found, recorded);
    fc.assert(fc.property(hosts, (seen) => assert.deepEqual(plan(declared, { ...found, hosts: seen }, recorded), whole)));
  });
});

describe("a plan where members leave several hosts and others have room", () => {
  it("moves the lowest slots, whichever host they leave, to the hosts in their order, and removes the others", () => {
    const declared = spec({ hosts: [host("a1", { count: 0 }), host("a2", { count: 1 }), host("b1", { count: 1 })], allowRecreate: true });
    const found = observation([reachable("a1", [member(1), member(2)]), reachable("a2"), reachable("b1"), reachable("b2", [member(0), member(3)])]);
    const result = plan(declared, found, record(spec({ hosts: ["a1", "a2", "b1", "b2"].map((name) => host(name)), count: 4 }), found));
    assert.deepEqual(result.move.map(({ slot, from, to }) => [slot, from, to]), [[0, "b2", "a2"], [1, "a1", "b1"]]);
    assert.deepEqual(result.destroy.map(({ slot, host: on, reason }) => [slot, on, reason]), [
      [0, "b2", "b2 is no longer declared and a2 is below its own"], [1, "a1", "a1 is over its target and b1 is below its own"],
      [2, "a1", "a1 is over its target"], [3, "b2", "b2 is no longer declared"],
    ]);
  });
});

describe("a plan with onTemplateChange replace", () => {
  const declared = spec({ count: 4, onTemplateChange: "replace" });
  const { found, state } = made({ count: 4 });

  it("replaces nobody while the template cannot be seen, whatever its content may be", () => {
    const unseen = { hosts: found.hosts, templateProblem: { message: "is not there" } };
    for (const previous of [state, undefined]) {
      const result = plan(declared, unseen, previous);
      assert.deepEqual([result.destroy, result.create, slots(result.keep), result.problems], [[], [], [0, 1, 2, 3], []]);
    }
  });

  it("replaces those of another content alone", () => {
    const changed = withHost({ ...found, template: { ...template, contentId: "c2" } }, "a2", (one) => ({ ...one, members: [member(1, { contentId: "c2" })] }));
    const result = plan(declared, changed, state);
    assert.deepEqual([slots(result.destroy), slots(result.create), slots(result.keep)], [[0, 2, 3], [0, 2, 3], [1]]);
  });
});

describe("a plan that leaves seeds unmerged", () => {
  it("leaves those of the present content only, the lowest slot of the first host of each rack", () => {
    const declared = spec({ hosts: [host("a2"), host("a1"), host("b1")], count: 5, keepSeeds: "rack" });
    const frozen = (slot: number, contentId = CONTENT) => member(slot, { base: "frozen", contentId });
    const found = observation([reachable("a1", [frozen(0), frozen(4)]), reachable("a2", [frozen(3), frozen(2)]), reachable("b1", [frozen(1, "c0")])]);
    assert.deepEqual(plan(declared, found).consolidate.map(({ slot, host: on }) => [slot, on]), [[3, "a2"], [0, "a1"], [4, "a1"], [1, "b1"]]);
  });
});

describe("an apply without any look at the hosts", () => {
  it("trusts no record: it removes nobody from a host that is no longer declared, and is refused", () => {
    const { state } = made({ count: 4 });
    const without = spec({ hosts: ["a1", "a2", "b1"].map((name) => host(name)), count: 4, allowRecreate: true });
    const result = plan(without, undefined, state, { mode: "apply" });
    assert.deepEqual([result.destroy, slots(result.lost)], [[], [3]]);
    assert.ok(result.problems.some(({ path, message }) => path === "abandonHosts" && message.includes("workers-003")));
    assert.deepEqual(slots(plan(without, undefined, state, { mode: "preview" }).destroy), [3]);
  });
});
