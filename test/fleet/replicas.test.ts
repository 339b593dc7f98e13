import assert from "node:assert/strict";
import type { ObservedMember, ObservedReplica, ReachableHost } from "../../provider/fleet";
import { CONTENT, disk, host, member, observation, plan, reachable, record, spec, template, unreachable } from "./build";

const NAMES = ["a1", "a2", "b1", "b2"];
const GONE = "its last linked clone is gone";
const replica = (contentId = CONTENT, more: Partial<ObservedReplica> = {}): ObservedReplica => ({ contentId, purpose: "replica", disk: disk(`replica-${contentId}`), users: [], ...more });
const upload = (contentId = CONTENT): ObservedReplica => replica(contentId, { purpose: "template" });
const linked = (slot: number, more: Partial<ObservedMember> = {}) => member(slot, { kind: "linked", base: "replica", ...more });

/** A fleet of linked members with so many on each host, of NAMES in their order. */
const fleet = (counts: readonly number[], more: Parameters<typeof spec>[0] = {}) =>
  spec({ hosts: counts.map((count, index) => host(NAMES[index]!, { count })), clone: "linked", allowRecreate: true, template: { file: "./golden.qcow2" }, ...more });
const seen = (hosts: Record<string, { members?: ObservedMember[] } & Partial<ReachableHost>>) =>
  observation(NAMES.map((name) => reachable(name, hosts[name]?.members ?? [], hosts[name])));
const removed = ({ removeReplicas }: ReturnType<typeof plan>) => removeReplicas.map(({ host: on, purpose, contentId, reason }) => [on, purpose, contentId, reason]);

describe("replicas under linked members", () => {
  it("stay while a member stands on them by what the replica says of its users or the member of its content, and go otherwise", () => {
    const found = seen({
      a1: { members: [linked(0)], replicas: [replica()] },
      a2: { members: [linked(1, { contentId: "c0" })], replicas: [replica(CONTENT, { users: [1] }), replica("c0")] },
      b1: { members: [member(2)], replicas: [replica()] },
      b2: { members: [linked(3, { contentId: "c0" })], replicas: [replica()] },
    });
    assert.deepEqual(removed(plan(fleet([1, 1, 1, 1]), found)), [["b1", "replica", CONTENT, GONE], ["b2", "replica", CONTENT, GONE]]);
  });

  it("stay for a linked member that is to be made of their content, and not for a full one, or one of another content", () => {
    const found = seen(Object.fromEntries(NAMES.slice(0, 3).map((name) => [name, { replicas: [replica(), replica("c0")] }])));
    assert.deepEqual(removed(plan(fleet([1, 0, 1]), found)), [
      ["a1", "replica", "c0", GONE], ["a2", "replica", "c0", GONE], ["a2", "replica", CONTENT, GONE], ["b1", "replica", "c0", GONE],
    ]);
    assert.deepEqual(removed(plan(fleet([1], { clone: "full" }), seen({ a1: { replicas: [replica()] } }))), [["a1", "replica", CONTENT, GONE]]);
  });

  it("go with the members that leave, and stay where a stranger, or a guest that was moved by hand, may stand on them", () => {
    const found = seen({
      a1: { members: [linked(0)], replicas: [replica(CONTENT, { users: [0] })] },
      a2: { members: [linked(1)], replicas: [replica(CONTENT, { users: [1], strangers: ["web"] })] },
      b1: { members: [linked(2, { contentId: "c0", displaced: true })] },
      b2: { replicas: [replica("c0"), replica("c3"), upload("c0")] },
    });
    assert.deepEqual(removed(plan(fleet([0, 0, 1, 0]), found)), [["a1", "replica", CONTENT, GONE], ["b2", "template", "c0", "the template has changed since this upload"], ["b2", "replica", "c3", GONE]]);
  });

  it("stay beside what may be the disk of a member that is seen elsewhere, and go beside a leftover that is nobody's", () => {
    const left = (slot: number) => [{ kind: "volume", name: `delta-${slot}`, slot, generation: 0, bytes: 1 }];
    const found = seen({ a1: { members: [linked(0)] }, a2: { replicas: [replica("c0")], leftovers: left(0) }, b1: { replicas: [replica("c0")], leftovers: left(7) } });
    assert.deepEqual(removed(plan(fleet([1, 0, 0]), found)), [["b1", "replica", "c0", GONE]]);
  });

  it("are not judged on a host that does not answer", () => {
    const { hosts } = seen({ a1: { members: [linked(0)], replicas: [replica("c0")] } });
    const dark = observation([hosts[0]!, unreachable("a2"), hosts[2]!]);
    assert.deepEqual(removed(plan(fleet([1, 0, 0]), dark)), [["a1", "replica", "c0", GONE]]);
  });
});

describe("uploads of the template", () => {
  it("stay while the fleet has members on any host, even one that is out of sight and no longer declared", () => {
    const found = seen({ a1: { replicas: [upload()] }, a2: { members: [member(0)] } });
    assert.deepEqual(removed(plan(fleet([0, 1]), found)), []);
    const none = { hosts: [found.hosts[0]!, unreachable("a2")], template };
    assert.deepEqual(removed(plan(fleet([0]), none, record(fleet([0, 1]), found))), []);
    assert.deepEqual(removed(plan(fleet([0]), seen({ a1: { replicas: [upload()] } }))), [["a1", "template", CONTENT, "the fleet has no members any more"]]);
  });

  it("go with their host's declaration, and when the template has changed; of each host in the order of contents, a replica before an upload", () => {
    const found = seen({
      a1: { members: [linked(0)], replicas: [upload("c2"), replica("c2"), upload("c0"), replica("c0"), upload()] },
      b1: { replicas: [upload()] },
    });
    assert.deepEqual(removed(plan(fleet([1, 0]), found, record(fleet([1, 0, 0]), found))), [
      ["a1", "replica", "c0", GONE], ["a1", "template", "c0", "the template has changed since this upload"],
      ["a1", "replica", "c2", GONE], ["a1", "template", "c2", "the template has changed since this upload"],
      ["b1", "template", CONTENT, "its host is no longer declared"],
    ]);
  });
});
