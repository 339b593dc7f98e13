import assert from "node:assert/strict";
import fc from "fast-check";
import {
  bytesNeeded, maybeOneStore, overheadBytes, preflight, roomOf, sharesOf,
  type FleetInputs, type FleetPlan, type FleetSpec, type Leftover, type Observation, type PlannedCreate, type ReachableHost,
} from "../../provider/fleet";
import { CONTENT, disk, empty, host, made, member, observation, plan, reachable, spec, template, withHost } from "./build";

const IMAGE = template.disks[0]!.bytes;
const OVERHEAD = 1_048_576;
const EMPTY_DISK = 262_144;

/** Targets of its own for each host. */
const each = (counts: Record<string, number>, more: Partial<FleetInputs> = {}): FleetSpec => spec({ hosts: Object.entries(counts).map(([name, count]) => host(name, { count })), ...more });
const on = (hosts: Record<string, Partial<ReachableHost>>, more: Partial<Observation> = {}): Observation =>
  observation(Object.entries(hosts).map(([name, changes]) => reachable(name, [], changes)), more);
const messages = (declared: FleetSpec, found: Observation, next = plan(declared, found)) => preflight(declared, found, next).map(({ path, message }) => `${path}: ${message}`);
const neededOn = (declared: FleetSpec, found: Observation, next = plan(declared, found)) => {
  const shareOf = sharesOf(declared, next);
  return Object.fromEntries(found.hosts.map((one) => [one.name, bytesNeeded(declared, found, shareOf(one.name), one as ReachableHost)]));
};
const freeing = (declared: FleetSpec, next: FleetPlan, found: ReachableHost) => roomOf(sharesOf(declared, next), [{ ...found, room: { freeBytes: 0 } }]);
const free = (freeBytes: number, more: Partial<ReachableHost> = {}): Partial<ReachableHost> => ({ room: { freeBytes }, ...more });
const replica = (purpose: "replica" | "template", contentId = CONTENT) => ({ contentId, purpose, disk: disk("r"), users: [] });

describe("room: pools that are too small", () => {
  it("are told of each host by itself, to the byte", () => {
    const declared = each({ a1: 1, a2: 2, b1: 3 });
    const exactly = on({ a1: free(IMAGE + OVERHEAD), a2: free(2 * (IMAGE + OVERHEAD)), b1: free(3 * (IMAGE + OVERHEAD)) });
    assert.deepEqual(messages(declared, exactly), []);
    const less = on({ a1: free(IMAGE + OVERHEAD), a2: free(2 * (IMAGE + OVERHEAD) - 1), b1: free(0) });
    assert.deepEqual(messages(declared, less), [
      'hosts[1].pool: expected a pool with 602097152 bytes free for 2 new members, got "default" with 602097151 bytes free; make room on a2, or want fewer members there',
      'hosts[2].pool: expected a pool with 903 MB free for 3 new members, got "default" with 0 B free; make room on b1, or want fewer members there',
    ]);
  });

  it("count once for hosts that share them, with those alone that something is made on", () => {
    const shared = on({ a1: free(5e8, { store: "nfs" }), a2: free(6e8, { store: "nfs" }), b1: free(7e8, { store: "nfs" }), b2: free(5e8) });
    assert.deepEqual(messages(each({ a1: 0, a2: 2, b1: 1, b2: 1 }), shared), [
      'hosts[1].pool: expected a pool with 903 MB free for 3 new members on a2, b1 together, which share it, got "default" with 500 MB free; make room on it, or want fewer members there',
    ]);
    assert.deepEqual(messages(each({ a1: 0, a2: 0, b1: 2, b2: 1 }), shared), [
      'hosts[2].pool: expected a pool with 602 MB free for 2 new members, got "default" with 500 MB free; make room on b1, or want fewer members there',
    ]);
    assert.deepEqual(messages(each({ a1: 0, a2: 0, b1: 1, b2: 1 }), shared), []);
  });

  it("are told of the first host where a local file does not fit, although no member is made there", () => {
    const declared = each({ a1: 0, a2: 1 }, { template: { file: "./golden.qcow2" } });
    const local = { template: { ...template, host: undefined } };
    assert.deepEqual(messages(declared, on({ a1: free(1e6), a2: {} }, local), plan(declared, on({ a1: {}, a2: {} }, local))),
      ['hosts[0].pool: expected a pool with 300 MB free for the template\'s file, got "default" with 1 MB free; make room on a1']);
    assert.deepEqual(messages(declared, on({ a1: free(IMAGE), a2: {} }, local)), []);
  });
});

describe("room: what a plan writes", () => {
  it("is an empty disk more for each extra one", () => {
    const disks = ["data", "logs"].map((label) => ({ label, sizeBytes: 1e9 }));
    const declared = each({ a1: 3, a2: 0 }, { vm: { networks: [{ network: "default" }], disks } });
    const next = plan(declared, empty(declared));
    assert.deepEqual(["a1", "a2"].map((name) => overheadBytes(declared, next, name)), [3 * (OVERHEAD + 2 * EMPTY_DISK), 0]);
    assert.deepEqual(neededOn(declared, empty(declared)), { a1: 3 * (IMAGE + OVERHEAD + 2 * EMPTY_DISK), a2: 0 });
  });

  it("is a replica for linked members wherever none of their content is, whatever else there is", () => {
    const declared = each({ a1: 2, a2: 2, b1: 2, b2: 2 }, { clone: "linked" });
    const found = on({
      a1: { replicas: [replica("replica")] }, a2: { replicas: [replica("template")] }, b1: { replicas: [replica("replica", "c0")] }, b2: { replicas: [replica("replica", "c0"), replica("replica")] },
    });
    assert.deepEqual(neededOn(declared, found), { a1: 2 * OVERHEAD, a2: IMAGE + 2 * OVERHEAD, b1: IMAGE + 2 * OVERHEAD, b2: 2 * OVERHEAD });
  });

  it("is an upload of a local file on the first host while no host has one and something is made", () => {
    const file = (counts: Record<string, number>) => each(counts, { template: { file: "./golden.qcow2" } });
    const unsent = { template: { ...template, host: undefined } };
    const uploading = (first: Partial<ReachableHost>, more: Partial<Observation> = unsent, a2 = 1) => neededOn(file({ a1: 0, a2 }), on({ a1: first, a2: {} }, more)).a1;
    assert.equal(uploading({}), IMAGE);
    assert.equal(uploading({ replicas: [replica("replica"), replica("template", "c0")] }), IMAGE, "another thing");
    assert.equal(uploading({ replicas: [replica("template")] }), 0, "it is there");
    assert.equal(uploading({}, { template: { ...template, host: "a2" } }), 0, "another host has it, as after hosts were put in another order");
    assert.equal(uploading({}, unsent, 0), 0, "nobody needs it");
    const unread = { ...file({ a1: 0, a2: 1 }), imageBytes: 2e8 };
    assert.deepEqual(neededOn(unread, on({ a1: {}, a2: {} }, { template: undefined, templateUnread: true })), { a1: 2e8, a2: 2e8 + OVERHEAD }, "it is still being read");
  });

  it("is as much as the program says a copy is, where the template cannot be seen", () => {
    const { found, state } = made({ hosts: [host("a1", { count: 1 }), host("a2", { count: 1 })] });
    const seeded = withHost({ ...found, template: undefined }, "a2", (one) => ({ ...one, members: one.members.map((m) => ({ ...m, base: "frozen" as const })) }));
    for (const [imageBytes, image] of [[2e8, 2e8], [undefined, 0]] as const) {
      const declared: FleetSpec = { ...each({ a1: 2, a2: 1 }), ...(imageBytes !== undefined && { imageBytes }) };
      const next = plan(declared, seeded, state);
      assert.deepEqual([next.problems, neededOn(declared, seeded, next)], [[], { a1: image + OVERHEAD, a2: 0 }]);
    }
  });

  it("is the rest of what members wait for that run already, and nothing for what has arrived", () => {
    const declared = each({ a1: 2, a2: 2 });
    const found = observation([
      reachable("a1", [member(0, { base: "arriving" }), member(2, { base: "arrived" })]), reachable("a2", [member(1, { base: "arrived" }), member(3, { base: "arrived" })]),
    ]);
    const next = plan(declared, found);
    assert.deepEqual([next.create, next.complete.length, neededOn(declared, found, next)], [[], 4, { a1: IMAGE + OVERHEAD, a2: 0 }]);
  });
});

describe("room: what a plan frees first", () => {
  const declared = each({ a1: 1, a2: 0 });
  const none = plan(each({ a1: 0, a2: 0 }), empty(declared));

  it("is of the members that leave this host their disks, but none to be kept and no replica, and what is cleaned up here", () => {
    const [swept, sweptElsewhere, staying]: Leftover[] = [["swept", 7], ["swept elsewhere", 1e5], ["staying", 1e6]].map(([name, bytes]) => ({ kind: "volume", name: String(name), bytes: Number(bytes) }));
    const own = (label: string, bytes: number, onDelete: "delete" | "keep") => ({ ...disk(label, bytes), label, onDelete });
    const a1 = reachable("a1", [
      member(0, { chain: [disk("delta", 10), disk("base", 100)], disks: [own("data", 1, "delete"), own("mail", 2e7, "keep")] }),
      member(1, { kind: "linked", chain: [disk("delta", 20), disk("snapshot", 300), disk("replica", 3e7)] }),
      member(2, { chain: [disk("here", 4e7)], displaced: true }),
      member(3, { chain: [disk("stays", 5e7)] }),
    ], { leftovers: [swept!, staying!] });
    const leaving = (slot: number, at: string) => ({ slot, name: `workers-00${slot}`, host: at, generation: 0, wave: 0, reason: "" });
    const next: FleetPlan = {
      ...none, destroy: [leaving(0, "a1"), leaving(1, "a1"), leaving(2, "a2")],
      cleanup: [{ host: "a1", leftover: swept!, reason: "" }, { host: "a2", leftover: sweptElsewhere!, reason: "" }],
    };
    assert.equal(freeing(declared, next, a1), 10 + 100 + 1 + 20 + 300 + 7);
    const a2 = reachable("a2", [member(2, { chain: [disk("there", 11)] })], { leftovers: [sweptElsewhere!] });
    assert.equal(freeing(declared, next, a2), 11 + 1e5);
    assert.equal(freeing(declared, none, a1), 0);
  });

  const image = { contentId: CONTENT, disks: template.disks };
  const created = (slot: number, kind: "full" | "linked", generation = 0): PlannedCreate => ({ slot, name: `workers-00${slot}`, host: "a1", rack: "rack-a", kind, generation, image, wave: 0, reason: "" });
  const unfinished = (changes: Partial<Leftover>): Leftover => ({ kind: "volume", name: "partial", bytes: 5, resumable: { contentId: CONTENT }, ...changes });
  const found = plan(declared, empty(declared));
  const resuming = (leftover: Leftover, create: PlannedCreate[], more: Partial<ReachableHost> = {}, complete: FleetPlan["complete"] = []) =>
    freeing(declared, { ...found, create, complete }, reachable("a1", [], { ...more, leftovers: [leftover] }));

  it("is an unfinished copy only where a full member of its slot, its generation and its content goes on from it", () => {
    const copy = unfinished({ slot: 1, generation: 2 });
    assert.equal(resuming(copy, [created(0, "full"), created(1, "full", 2)]), 5);
    assert.equal(resuming({ ...copy, resumable: undefined }, [created(1, "full", 2)]), 0, "not to be trusted");
    assert.equal(resuming({ ...copy, resumable: { contentId: "c0" } }, [created(1, "full", 2)]), 0, "another content");
    assert.equal(resuming(copy, [created(1, "full", 3)]), 0, "another generation");
    assert.equal(resuming(copy, [created(2, "full", 2)]), 0, "another slot");
    assert.equal(resuming(copy, [created(1, "linked", 2)]), 0, "a linked member has no copy");
    assert.equal(resuming(copy, [{ ...created(1, "full", 2), host: "a2" }]), 0, "another host");
  });

  it("is an unfinished replica only where linked members are made and no whole one of its content is there", () => {
    const part = unfinished({});
    assert.equal(resuming(part, [created(0, "full"), created(1, "linked")]), 5);
    assert.equal(resuming(part, [created(1, "linked")], { replicas: [replica("template"), replica("replica", "c0")] }), 5);
    assert.equal(resuming(part, [created(0, "full")]), 0, "nobody stands on it");
    assert.equal(resuming(part, [created(1, "linked")], { replicas: [replica("replica", "c0"), replica("replica")] }), 0, "a whole one is there");
  });

  it("is what members that run already wait for, of the content they were made of", () => {
    const older = { ...created(1, "full", 2), base: "arriving" as const, image: { ...image, contentId: "c0" } };
    const copy = unfinished({ slot: 1, generation: 2, resumable: { contentId: "c0" } });
    assert.equal(resuming(copy, [], {}, [older]), 5);
    assert.equal(resuming(copy, [], {}, [{ ...older, image }]), 0);
  });
});

describe("room: hosts whose pools may be one", () => {
  const ONE = IMAGE + OVERHEAD;
  const pool = (freeBytes: number, capacityBytes = 1e12) => ({ room: { freeBytes, capacityBytes } });

  it("are those alike that something is made on and that would not fit together", () => {
    const declared = each({ a1: 1, a2: 1, b1: 0, b2: 1, c1: 1 });
    const at = (first: number, second: number) => {
      const found = on({ a1: pool(first), a2: pool(first), b1: pool(first), b2: pool(second, 2e12), c1: pool(second, 2e12) });
      return maybeOneStore(declared, found, plan(declared, found));
    };
    assert.deepEqual(at(2 * ONE, 2 * ONE), []);
    assert.deepEqual(at(2 * ONE - 1, 2 * ONE), [["a1", "a2"]]);
    assert.deepEqual(at(2 * ONE, ONE), [["b2", "c1"]]);
    assert.deepEqual(at(0, 0), [["a1", "a2"], ["b2", "c1"]]);
  });

  it("differ by a twentieth of their size at most in what is free, and tell their size", () => {
    const declared = each({ a1: 1, a2: 1 });
    const suspected = (first: Partial<ReachableHost>, second: Partial<ReachableHost>) => {
      const found = on({ a1: first, a2: second });
      return maybeOneStore(declared, found, plan(declared, found));
    };
    assert.deepEqual(suspected(pool(ONE, 2e9), pool(ONE + 1e8, 2e9)), [["a1", "a2"]]);
    assert.deepEqual(suspected(pool(ONE + 1e8, 2e9), pool(ONE, 2e9)), [["a1", "a2"]]);
    assert.deepEqual(suspected(pool(ONE, 2e9), pool(ONE + 1e8 + 1, 2e9)), []);
    assert.deepEqual(suspected(pool(ONE + 1e8 + 1, 2e9), pool(ONE, 2e9)), []);
    assert.deepEqual(suspected(pool(ONE, 2e9), pool(ONE, 3e9)), []);
    assert.deepEqual(suspected(free(ONE), free(ONE)), []);
    assert.deepEqual(suspected({ room: { unknown: "no figures" } }, { room: { unknown: "no figures" } }), []);
  });

  it("are none where the plan frees enough first", () => {
    const { found: before, state } = made({ hosts: [host("a1", { count: 1 }), host("a2", { count: 1 })] });
    const declared = each({ a1: 1, a2: 1 }, { onTemplateChange: "replace" });
    const found = { ...before, hosts: before.hosts.map((one) => ({ ...one, ...pool(2 * OVERHEAD) })), template: { ...template, contentId: "c2" } };
    assert.deepEqual(maybeOneStore(declared, found, plan(declared, found, state)), []);
  });

  it("are all of those whose store nothing tells that something is made on, exactly when the least that one of them has is too little for all", () => {
    fc.assert(fc.property(fc.array(fc.record({ count: fc.nat(3), units: fc.nat(6), known: fc.boolean() }), { minLength: 1, maxLength: 5 }), (shape) => {
      const hosts = shape.map((one, index) => ({ ...one, name: `h${index}` }));
      const declared = each(Object.fromEntries(hosts.map(({ name, count }) => [name, count])), { template: { host: "h0", pool: "default", volume: "golden.qcow2" } });
      const found = on(Object.fromEntries(hosts.map(({ name, units, known }) => [name, { ...pool(units * ONE), ...(known && { store: name }) }])));
      const writing = hosts.filter(({ count, known }) => count > 0 && !known);
      const isTooMuch = writing.length > 1 && writing.reduce((sum, { count }) => sum + count, 0) > Math.min(...writing.map(({ units }) => units));
      assert.deepEqual(maybeOneStore(declared, found, plan(declared, found)), isTooMuch ? [writing.map(({ name }) => name)] : []);
    }));
  });
});
