import assert from "node:assert/strict";
import { knowHosts, type FleetState, type MemberState, type Observation } from "../../provider/fleet";
import { takeCensus, type Census, type Incumbent } from "../../provider/fleet/hosts/census";
import { strangerWarnings, takenUuidProblems, twinProblems } from "../../provider/fleet/hosts/strangers";
import { recordedHost } from "../../provider/fleet/record/host";
import { memberUuid } from "../../provider/fleet/members/identity";
import { empty, FLEET, host, made, member, observation, plan, reachable, spec, unreachable } from "./build";

const recorded = (slot: number, at: string, generation = 0): MemberState => ({
  slot, name: `workers-00${slot}`, host: at, hostUuid: `uuid-${at}`, rack: `rack-${at[0]}`, uuid: "", kind: "full", generation, contentId: "c1", macs: [],
  state: "running", base: "consolidated", chain: [], ipAddresses: [],
});
/** What the last run recorded: these members, on hosts of these names. */
const recordOf = (names: string[], members: MemberState[]): FleetState => ({
  ...made({ count: 0 }).state, members,
  hosts: spec({ hosts: names.map((name) => host(name)), template: { file: "/golden.qcow2" } }).hosts.map((one) => ({ ...recordedHost(one), uuid: `uuid-${one.name}` })),
});
const declared = (names: string[], abandonHosts: string[] = []) => spec({ hosts: names.map((name) => host(name)), template: { file: "/golden.qcow2" }, count: 12, abandonHosts });

/** Each group that holds any, as `slot.generation@host`, with a ! where it is known from the record alone. */
function groups(census: Census): Partial<Record<keyof Census, string[]>> {
  const words = ({ slot, generation, host: { name }, member: seen }: Incumbent) => `${slot}.${generation}@${name}${seen ? "" : "!"}`;
  return Object.fromEntries((Object.entries(census) as [keyof Census, Incumbent[]][]).flatMap(([group, all]) => (all.length > 0 ? [[group, all.map(words)]] : [])));
}

describe("a census", () => {
  it("of nothing holds nothing, in every group", () => {
    const program = declared(["a1"]);
    const none: Census = { present: [], missing: [], stranded: [], lost: [], forgotten: [], twins: [], doubles: [], outdated: [] };
    assert.deepEqual(takeCensus(knowHosts(program, undefined, undefined), undefined, false), none);
    assert.deepEqual(takeCensus(knowHosts(program, undefined, observation([reachable("a1")])), recordOf(["a1"], []), false), none);
  });

  it("gives a slot to its latest copy that stands in its place, among equals to that on a declared host, and among those to the recorded one", () => {
    const state = recordOf(["a1", "a2", "b1", "c1"], [recorded(0, "a2"), recorded(1, "c1")]);
    const found = observation([
      reachable("a1", [member(6), member(2, { generation: 1 }), member(3, { generation: 5, displaced: true }), member(0), member(1)]),
      reachable("a2", [member(5), member(2, { generation: 2 }), member(3), member(0)]),
      reachable("b1", [member(2)]),
      reachable("c1", [member(1), member(4)]),
    ]);
    assert.deepEqual(groups(takeCensus(knowHosts(declared(["a1", "a2", "b1"]), state, found), state, false)), {
      present: ["0.0@a2", "1.0@a1", "2.2@a2", "3.0@a2", "5.0@a2", "6.0@a1"],
      stranded: ["4.0@c1"],
      twins: ["0.0@a1", "1.0@c1", "3.5@a1"],
      outdated: ["2.0@b1", "2.1@a1"],
    });
  });

  const NAMES = ["a1", "b1", "b2", "b3", "c1", "c2", "d1", "x1"];
  const members = [
    recorded(0, "b1"),
    recorded(1, "c1"), recorded(1, "b1"),
    recorded(2, "b1"), recorded(2, "b2"),
    recorded(3, "c1"), recorded(3, "c2"),
    recorded(4, "b1", 1), recorded(4, "b2"),
    recorded(5, "zz"),
    recorded(6, "d1"),
    recorded(7, "a1"),
    recorded(8, "x1"),
    recorded(9, "b1", 1),
    recorded(10, "b1", 1),
    recorded(11, "b3"),
  ];
  const state = recordOf(NAMES, members);
  const program = declared(["a1", "b1", "b2", "b3"], ["b3", "x1"]);

  it("takes what may live out of sight for alive, the latest on a declared host first, and what was given up or is gone for neither", () => {
    const found = observation([
      reachable("a1", [member(4), member(9, { generation: 2, displaced: true }), member(10, { generation: 1, displaced: true })]), reachable("d1"),
      ...["b1", "b2", "b3", "c1", "c2", "x1"].map(unreachable),
    ]);
    const census = takeCensus(knowHosts(program, state, found), state, false);
    assert.deepEqual(groups(census), {
      present: ["0.0@b1!", "1.0@b1!", "2.0@b1!", "4.1@b1!", "9.2@a1", "10.1@b1!"],
      missing: ["7.0@a1!"],
      lost: ["3.0@c1!", "5.0@zz!"],
      forgotten: ["8.0@x1!", "11.0@b3!"],
      twins: ["10.1@a1"],
      doubles: ["1.0@c1!", "2.0@b2!", "3.0@c2!", "4.0@b2!"],
      outdated: ["4.0@a1"],
    });
    assert.deepEqual(census.lost[1], {
      slot: 5, name: "workers-005", generation: 0, contentId: "c1", recorded: members[9],
      host: { name: "zz", rack: "rack-z", unseenReason: "it is not known any more", abandoned: false },
    });
  });

  it("that trusts the record strands what is recorded on hosts that were taken out, where they are known", () => {
    assert.deepEqual(groups(takeCensus(knowHosts(program, state, undefined), state, true)), {
      present: ["0.0@b1!", "1.0@b1!", "2.0@b1!", "4.1@b1!", "7.0@a1!", "9.1@b1!", "10.1@b1!"],
      stranded: ["3.0@c1!", "6.0@d1!"],
      lost: ["5.0@zz!"],
      forgotten: ["8.0@x1!", "11.0@b3!"],
      doubles: ["1.0@c1!", "2.0@b2!", "3.0@c2!", "4.0@b2!"],
    });
  });

  it("counts the members of a machine once, though two hosts of the program reach it", () => {
    const found = observation([reachable("a1", [member(0)]), reachable("b1", [member(0)], { uuid: "uuid-a1" })]);
    assert.deepEqual(groups(takeCensus(knowHosts(declared(["a1", "b1"]), undefined, found), undefined, false)), { present: ["0.0@a1"] });
  });
});

describe("what is said of twins", () => {
  const displaced = true;
  const power = "stopped" as const;
  const state = recordOf(["a1", "a2", "b1", "c1"], [recorded(1, "b1"), recorded(2, "a2")]);
  const found = observation([
    reachable("a1", [
      member(0, { displaced, power }), member(1, { displaced }), member(2), member(3, { displaced }), member(4), member(4, { name: "renamed", displaced, power: "paused" }), member(5),
    ], { strangers: [{ name: "z-copy", reason: "a copy" }] }),
    reachable("a2", [member(0), member(2), member(3, { power })], { strangers: [{ name: "a-copy", reason: "somebody's" }] }),
    unreachable("b1"),
    reachable("c1", [member(5, { displaced, power })]),
  ]);
  const table = knowHosts(declared(["a1", "a2", "b1"]), state, found);
  const census = takeCensus(table, state, false);
  const runsElsewhere = "it runs, so leave it until the host of the member answers, and start no other meanwhile";
  const takeAway = "where it should not be, take it away: virsh undefine";
  const bothRun = "both run: shut down the one that should not (virsh shutdown), and take away what is left of it: virsh undefine";
  const bringBack = "its guest runs on a1: bring it back with virsh migrate, or, for it to count where it runs, take away the definition that is shut off: virsh undefine workers-003 on a2. Never start both";

  it("is where the member stands and what to do, so that none that may be the only one that lives is taken away", () => {
    assert.deepEqual(strangerWarnings({ table, census }), [
      "a-copy on a2 is left alone: somebody's",
      `renamed on a1 is left alone: it is a twin (another holds its slot, its disks bear another host's name); ${bothRun} renamed on a1, or virsh undefine workers-004 on a1`,
      `workers-000 on a1 is left alone: it is a twin (the member stands on a2, its disks bear another host's name); ${takeAway} workers-000 on a1`,
      `workers-001 on a1 is left alone: it is a twin (the member stands on b1, its disks bear another host's name); ${runsElsewhere}`,
      `workers-002 on a1 is left alone: it is a twin (the member stands on a2, it is of the same generation); ${bothRun} workers-002 on a1, or virsh undefine workers-002 on a2`,
      `workers-003 on a1 is left alone: it is a twin (the member stands on a2, its disks bear another host's name); ${bringBack}`,
      `workers-005 on c1 is left alone: it is a twin (the member stands on a1, its disks bear another host's name); ${takeAway} workers-005 on c1`,
      "z-copy on a1 is left alone: a copy",
    ]);
  });

  it("stops a plan that does something to a slot whose disks two definitions may have, and none other", () => {
    const two = (name: string, where: string, advice: string) =>
      `expected one definition of ${name}, which is to be started, changed or removed, got two that may have the same disk: ${where}; ${advice}`;
    assert.deepEqual(twinProblems(census, new Set([0, 1, 2, 5])), [
      { path: "hosts[0]", message: two("workers-000", "running on a2, and shut off on a1", `${takeAway} workers-000 on a1`) },
      { path: "hosts[0]", message: two("workers-001", "on record on b1, and running on a1", runsElsewhere) },
      { path: "hosts", message: two("workers-005", "running on a1, and shut off on c1", `${takeAway} workers-005 on c1`) },
    ]);
    assert.deepEqual(twinProblems(census, new Set([2, 4, 9])).map(({ message }) => message), [
      two("renamed", "running on a1, and running on a1", `${bothRun} renamed on a1, or virsh undefine workers-004 on a1`),
    ]);
    assert.deepEqual(twinProblems(census, new Set()), []);
  });
});

describe("a machine that has the UUID of a member", () => {
  it("is named where the member is to be made, and nowhere else, and not as a problem of the member itself", () => {
    const program = declared(["a1", "a2", "b1"]);
    const next = plan(program, empty(program));
    const uuid = (slot: number) => memberUuid(FLEET, slot);
    const problems = (takenUuids: Record<string, { uuid: string; name: string }[]>) => {
      const found: Observation = observation([...["a1", "a2", "c1"].map((name) => reachable(name, [], takenUuids[name] ? { takenUuids: takenUuids[name] } : {})), unreachable("b1")]);
      return takenUuidProblems(knowHosts(program, recordOf(["c1"], []), found), next);
    };
    const [first, second] = next.create.filter((one) => one.host === "a2").map(({ slot }) => slot) as [number, number];
    assert.deepEqual(problems({}), []);
    assert.deepEqual(problems({ a1: [], a2: [{ uuid: uuid(first), name: `workers-00${first}` }, { uuid: "another", name: "x" }], c1: [{ uuid: uuid(first), name: "x" }] }), []);
    const [only, ...more] = problems({ a1: [{ uuid: uuid(second), name: "elsewhere" }], a2: [{ uuid: "another", name: "x" }, { uuid: uuid(second), name: "mine" }] });
    assert.deepEqual(more, []);
    assert.deepEqual(only, {
      path: "hosts[1]", message: `expected the UUID of workers-00${second} to be free on a2, got "mine", which has it: a member that was renamed or whose tag was taken away; ` +
        `bring it back (virsh domrename mine workers-00${second}), or take its domain away if it is not needed any more`,
    });
  });
});
