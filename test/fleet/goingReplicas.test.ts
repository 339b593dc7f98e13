import assert from "node:assert/strict";
import { planRemoval, type FleetInputs, type Observation, type ObservedMember, type ObservedReplica, type ReachableHost } from "../../provider/fleet";
import { CONTENT, disk, FLEET, host, INCARNATION, made, member, observation, plan, reachable, record, spec, unreachable, withHost } from "./build";

const replica = (contentId = CONTENT, changes: Partial<ObservedReplica> = {}): ObservedReplica => ({ contentId, purpose: "replica", disk: disk(`replica-${contentId}`), users: [], ...changes });
const upload = (contentId = CONTENT): ObservedReplica => replica(contentId, { purpose: "template" });
const linked = (slot: number, changes: Partial<ObservedMember> = {}): ObservedMember => member(slot, { kind: "linked", base: "replica", ...changes });
const each = (counts: Record<string, number>, more: Partial<FleetInputs> = {}) => spec({ clone: "linked", hosts: Object.entries(counts).map(([name, count]) => host(name, { count })), ...more });
const on = (hosts: Record<string, Partial<ReachableHost>>): Observation => observation(Object.entries(hosts).map(([name, changes]) => reachable(name, [], changes)));
const GONE = "its last linked clone is gone";

/** What goes, by host, after a run that recorded what it saw. */
function going(declared: ReturnType<typeof spec>, found: Observation): string[] {
  const before = record(declared, found);
  return plan(declared, found, before).removeReplicas.map(({ host: at, contentId, purpose, reason }) => `${at}: ${purpose} ${contentId}, ${reason}`);
}

describe("a replica", () => {
  it("stays under each linked member of its content, and under whoever its host says stands on it", () => {
    const declared = each({ a1: 1, a2: 1, b1: 1 });
    assert.deepEqual(going(declared, on({
      a1: { members: [linked(0, { contentId: "c0" })], replicas: [replica("c0"), replica("c9")] },
      a2: { members: [linked(1, { contentId: "c1" })], replicas: [replica("c8", { users: [1] }), replica("c7", { users: [0] })] },
      b1: { members: [member(2, { contentId: "c0" })], replicas: [replica("c0")] },
    })), [`a1: replica c9, ${GONE}`, `a2: replica c7, ${GONE}`, `b1: replica c0, ${GONE}`]);
  });

  it("goes with the last member that stood on it, not with one of several", () => {
    const found = on({ a1: { members: [linked(0), linked(1)], replicas: [replica()] }, a2: { members: [linked(2)], replicas: [replica()] } });
    assert.deepEqual(going(each({ a1: 1, a2: 0 }), found), [`a2: replica c1, ${GONE}`]);
  });

  it("stays where linked members of its content are made, and nowhere else", () => {
    const found = on({ a1: { replicas: [replica("c0"), replica()] }, a2: { replicas: [replica()] } });
    assert.deepEqual(going(each({ a1: 1, a2: 0 }), found), [`a1: replica c0, ${GONE}`, `a2: replica c1, ${GONE}`]);
    assert.deepEqual(going(each({ a1: 1, a2: 0 }, { clone: "full" }), found), [`a1: replica c0, ${GONE}`, `a1: replica c1, ${GONE}`, `a2: replica c1, ${GONE}`]);
  });

  it("stays under a machine that is none of the fleet's, and where a disk stays that may stand on it, of whatever content", () => {
    const elsewhere = { slot: 1, generation: 0 };
    const left = { kind: "volume" as const, name: "delta", bytes: 1 };
    const declared = each({ a1: 0, a2: 0, b1: 1 });
    const found = on({
      a1: { replicas: [replica("c3", { strangers: ["clone"] }), replica("c4")] },
      a2: { replicas: [replica("c5"), upload("c5")], leftovers: [{ ...left, ...elsewhere }] },
      b1: { members: [member(1)], replicas: [replica("c6")], leftovers: [{ ...left, name: "nobody's", slot: 9, generation: 0 }] },
    });
    assert.deepEqual(going(declared, found), [`a1: replica c4, ${GONE}`, "a2: template c5, the template has changed since this upload", `b1: replica c6, ${GONE}`]);
  });

  it("of the content that a displaced linked member stands on stays on every host", () => {
    const found = on({
      a1: { members: [linked(0, { displaced: true, contentId: "c2" })], replicas: [replica("c4")] },
      a2: { members: [linked(1, { contentId: "c3" }), member(2, { displaced: true, contentId: "c5" })], replicas: [replica("c2"), replica("c5"), upload("c2")] },
    });
    assert.deepEqual(going(each({ a1: 1, a2: 2 }, { allowRecreate: true }), found), [`a1: replica c4, ${GONE}`, "a2: template c2, the template has changed since this upload", `a2: replica c5, ${GONE}`]);
  });
});

describe("an upload of a local file", () => {
  const two = (a1: Partial<ReachableHost>, a2: Partial<ReachableHost> = {}) => on({ a1, a2 });

  it("stays while the fleet has members and the file is as it was", () => {
    const found = two({ members: [member(0)], replicas: [upload("c0"), upload()] });
    assert.deepEqual(going(each({ a1: 1, a2: 0 }), found), ["a1: template c0, the template has changed since this upload"]);
  });

  it("goes with the last member, unless one is lost, and from a host that is no longer declared", () => {
    const found = two({ replicas: [upload()] });
    assert.deepEqual(going(each({ a1: 0, a2: 0 }), found), ["a1: template c1, the fleet has no members any more"]);
    assert.deepEqual(going(each({ a1: 0, a2: 1 }), found), []);
    const { state, found: whole } = made({ count: 2 });
    const dark = withHost(withHost(whole, "a2", (one) => ({ ...one, replicas: [upload()], members: [] })), "a1", () => unreachable("a1"));
    const fewer = spec({ hosts: [host("b1", { count: 1 })], template: { host: "b1", pool: "default", volume: "golden.qcow2" } });
    assert.deepEqual(plan(fewer, dark, state).removeReplicas.map(({ host: at, reason }) => [at, reason]), [["a2", "its host is no longer declared"]]);
  });
});

describe("a removal, as a whole", () => {
  it("says of each thing what becomes of it, members in the order of their slots, and goes on with none of another's", () => {
    const declared = each({ a1: 2, a2: 1, b1: 1 }, { clone: "full" });
    const left = { kind: "volume" as const, name: "part", bytes: 1 };
    const found = on({
      a1: { members: [member(3), member(0, { generation: 2 })], replicas: [replica("c0"), upload()], leftovers: [left] },
      a2: { members: [member(0, { generation: 1 })] },
      b1: { members: [member(1)] },
    });
    const request = { spec: declared, fleetId: FLEET, incarnation: INCARNATION };
    const gone = (slot: number, at: string, generation = 0) => ({ slot, name: `workers-00${slot}`, host: at, generation, wave: 0, reason: "the fleet is deleted" });
    const nothing = { create: [], adopt: [], reconfigure: [], consolidate: [], complete: [], awaiting: [], move: [] };
    assert.deepEqual(planRemoval({ ...request, observation: found }), {
      fleetId: FLEET, seedContentId: CONTENT, ...nothing, keep: [],
      destroy: [gone(0, "a2", 1), gone(0, "a1", 2), gone(1, "b1"), gone(3, "a1")],
      lost: [], cleanup: [{ host: "a1", leftover: left, reason: "the fleet is deleted" }],
      removeReplicas: [{ host: "a1", contentId: "c0", purpose: "replica", reason: "the fleet is deleted" }, { host: "a1", contentId: CONTENT, purpose: "template", reason: "the fleet is deleted" }],
      placement: { a1: 0, a2: 0, b1: 0 }, problems: [], warnings: [],
    });
    const others = withHost(found, "b1", (one) => ({ ...one, members: [member(2, { incarnation: "two" }), member(1, { incarnation: "two" })] }));
    const mixed = planRemoval({ ...request, observation: others, previous: { ...record(declared, found), contentId: "c7" } });
    const stays = (slot: number) => ({ slot, name: `workers-00${slot}`, host: "b1", reason: "belongs to another run or resource of this fleet" });
    assert.deepEqual([mixed.seedContentId, mixed.keep, mixed.placement, mixed.cleanup, mixed.removeReplicas], ["c7", [stays(1), stays(2)], { a1: 0, a2: 0, b1: 2 }, [], []]);
    assert.equal(planRemoval({ ...request, observation: { hosts: found.hosts } }).seedContentId, "");
  });

  it("is refused, host by host, where a silent one may hold anything, and says how many the protection is of", () => {
    const { declared, found, state } = made({ count: 4, deletionProtection: true });
    const dark = withHost(withHost(found, "a2", () => unreachable("a2")), "b2", () => unreachable("b2"));
    const noted = { ...state, hosts: state.hosts.map((one) => (one.name === "b2" ? { ...one, unsettled: true } : one)), members: state.members.filter(({ host: at }) => at !== "b2") };
    const removal = planRemoval({ spec: declared, fleetId: FLEET, incarnation: INCARNATION, observation: dark, previous: noted });
    const bring = (name: string) => `bring it back, or give it up with abandonHosts: ["${name}"], run \`pulumi up\`, then destroy`;
    assert.deepEqual(removal.problems, [
      { path: "abandonHosts", message: `expected every host with members to answer, got none from a2 (connection refused), which holds 1 member (workers-001); ${bring("a2")}` },
      { path: "abandonHosts", message: `expected every host with members to answer, got none from b2 (connection refused), which was worked on when it went silent or was left with leftovers or members that are not on record; ${bring("b2")}` },
      { path: "deletionProtection", message: "expected false for deleting a fleet of 3 members, got true; set it to false, run `pulumi up`, then delete" },
    ]);
    assert.deepEqual(removal.lost, [{ slot: 1, name: "workers-001", host: "a2", reason: "its host does not answer: connection refused" }]);
    assert.deepEqual(removal.warnings, ["b2 does not answer (connection refused): nothing is recorded there; leftovers, if any, stay"]);
  });
});
