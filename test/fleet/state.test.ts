import assert from "node:assert/strict";
import { DamagedRecordError, fleetOutputsSchema, parseState } from "../../provider/fleet";
import { disk, host, made, member, observation, plan, reachable, record, slots, spec, unreachable, withHost } from "./build";

describe("recorded state", () => {
  it("holds every member by slot, the placement and the hosts with their ids", () => {
    const { state } = made({ count: 4 });
    assert.deepEqual(state.members.map((one) => [one.name, one.host, one.hostUuid, one.rack, one.state]), [
      ["workers-000", "a1", "uuid-a1", "rack-a", "running"], ["workers-001", "a2", "uuid-a2", "rack-a", "running"],
      ["workers-002", "b1", "uuid-b1", "rack-b", "running"], ["workers-003", "b2", "uuid-b2", "rack-b", "running"],
    ]);
    assert.deepEqual(state.placement, { a1: 1, a2: 1, b1: 1, b2: 1 });
    assert.deepEqual(state.hosts.map((one) => [one.name, one.uuid]), [["a1", "uuid-a1"], ["a2", "uuid-a2"], ["b1", "uuid-b1"], ["b2", "uuid-b2"]]);
    assert.equal(state.contentId, "c1");
  });

  it("lists frozen bases under delta disks as snapshots", () => {
    const declared = spec({ hosts: [host("a1")], count: 2 });
    const found = observation([reachable("a1", [member(0, { base: "frozen", chain: [disk("delta-0"), disk("base-0")] }), member(1)])]);
    assert.deepEqual(record(declared, found).snapshots, [{ slot: 0, host: "a1", volume: "base-0" }]);
  });

  it("records no member of another incarnation", () => {
    const declared = spec({ hosts: [host("a1")], count: 2 });
    const found = observation([reachable("a1", [member(0), member(1, { incarnation: "two" })])]);
    assert.deepEqual(slots(record(declared, found).members), [0]);
  });

  it("keeps what is recorded of a declared host that does not answer", () => {
    const { declared, found, state } = made({ count: 4 });
    assert.deepEqual(record(declared, withHost(found, "a2", () => unreachable("a2")), state), state);
  });

  it("calls members lost on a host that is gone, and remembers the host until they are abandoned", () => {
    const { found, state } = made({ count: 4 });
    const without = { hosts: [host("a1"), host("b1"), host("b2")], count: 4 };
    const dark = withHost(found, "a2", () => unreachable("a2"));
    const lost = record(spec(without), dark, state);
    assert.deepEqual(lost.members.map((one) => one.state), ["running", "lost", "running", "running"]);
    assert.deepEqual(lost.hosts.map((one) => one.name), ["a1", "b1", "b2", "a2"]);
    assert.deepEqual(record(spec(without), dark, lost), lost);
    const forgotten = record(spec({ ...without, abandonHosts: ["a2"] }), dark, lost);
    assert.deepEqual([slots(forgotten.members), forgotten.hosts.length], [[0, 2, 3], 3]);
  });

  it("remembers a host that was taken out as long as it holds replicas or leftovers", () => {
    const { found, state } = made({ count: 3 });
    const fewer = spec({ hosts: [host("a1"), host("a2"), host("b1")], count: 3 });
    const replica = { contentId: "c1", purpose: "replica" as const, disk: disk("r"), users: [] };
    const names = (one: typeof state) => one.hosts.map(({ name, unsettled }) => (unsettled ? `${name}!` : name));
    const holding = record(fewer, withHost(found, "b2", (one) => ({ ...one, replicas: [replica] })), state);
    const littered = record(fewer, withHost(found, "b2", (one) => ({ ...one, leftovers: [{ kind: "volume", name: "p", bytes: 1 }] })), state);
    assert.deepEqual([names(holding), names(littered), names(record(fewer, found, state))], [["a1", "a2", "b1", "b2"], ["a1", "a2", "b1", "b2!"], ["a1", "a2", "b1"]]);
    const dark = withHost(found, "b2", () => unreachable("b2"));
    assert.deepEqual([record(fewer, dark, holding).replicas, names(record(fewer, dark, littered))], [holding.replicas, ["a1", "a2", "b1", "b2!"]]);
  });

  it("remembers a host that shows members which are not on record, so that their slots are not made a second time", () => {
    const crashed = withHost(observation(["a1", "b2"].map((name) => reachable(name))), "b2", (one) => ({ ...one, members: [member(0, { incarnation: "crashed" })] }));
    const known = record(spec({ hosts: [host("a1"), host("b2")], count: 1 }), crashed);
    assert.deepEqual(known.hosts.map(({ name, unsettled }) => [name, unsettled]), [["a1", undefined], ["b2", true]]);
    const fewer = spec({ hosts: [host("a1")], count: 1 });
    const without = record(fewer, crashed, known);
    assert.deepEqual([without.hosts.map(({ name, unsettled }) => [name, unsettled]), without.members], [[["a1", undefined], ["b2", true]], []]);
    const dark = plan(fewer, withHost(crashed, "b2", () => unreachable("b2")), without);
    assert.match(dark.problems.map(({ message }) => message).join(), /b2 \(connection refused\), which was worked on/);
    const emptied = withHost(crashed, "b2", (one) => ({ ...one, members: [] }));
    assert.deepEqual(record(fewer, emptied, without).hosts.map(({ name }) => name), ["a1"]);
  });

  it("takes over the new name of a renamed host", () => {
    const { found, state } = made({ count: 4 });
    const declared = spec({ count: 4, hosts: [host("a1"), host("x9", { uri: "qemu+ssh://root@a2/system" }), host("b1"), host("b2")] });
    const renamed = { ...found, hosts: found.hosts.map((one) => (one.name === "a2" ? { ...one, name: "x9" } : one)) };
    assert.equal(record(declared, renamed, state).members[1]!.host, "x9");
  });

  it("survives a round trip through JSON, and fits the documented outputs", () => {
    const { state } = made();
    assert.deepEqual(JSON.parse(JSON.stringify(parseState(JSON.parse(JSON.stringify(state))))), JSON.parse(JSON.stringify(state)));
    const { hosts: _, defaultsVersion: _version, ...outputs } = state;
    assert.deepEqual(fleetOutputsSchema.strict().parse(outputs), outputs);
  });

  it("reads what an older version wrote and what a newer one adds, and skips what tells of past runs and cannot be read", () => {
    const old = parseState({ fleetId: "abcd", incarnation: "i", members: [{ slot: 0, name: "w-000", host: "a1", sparkle: 1, rack: null }], hosts: [{ name: "a1", uri: "qemu:///system" }], lastRun: 3, snapshots: [{ slot: "x" }], timeline: "x" });
    assert.deepEqual(old?.members.map(({ slot, kind, state, chain }) => [slot, kind, state, chain]), [[0, "full", "running", []]]);
    assert.equal(old?.hosts[0]?.transferPorts.from, 10809);
    assert.deepEqual([old?.lastRun.policy, old?.replicas, old?.contentId], ["none", [], ""]);
  });

  it("is refused as a whole where one value of a member, host or replica is damaged, with its path", () => {
    const { state } = made({ count: 4 });
    const whole = JSON.parse(JSON.stringify({ ...state, replicas: [{ host: "a1", contentId: "c1", purpose: "replica", volume: "r" }] })) as Record<string, any>;
    assert.ok(parseState(whole));
    for (const list of ["members", "hosts", "replicas"]) {
      for (const key of Object.keys(whole[list][0])) {
        for (const wrong of [{}, [{}], true, -1.5, "\u0000"]) {
          const damaged = structuredClone(whole);
          damaged[list][0][key] = wrong;
          const sameKind = typeof wrong === typeof whole[list][0][key] && !Array.isArray(wrong) && !(key === "slot" || key === "generation");
          const path = new RegExp(`^${list}\\[0\\]\\.${key}\\b`);
          try {
            parseState(damaged);
            assert.ok(sameKind || wrong === true, `${list}.${key}: ${JSON.stringify(wrong)} was read`);
          } catch (error) {
            assert.ok(error instanceof DamagedRecordError && path.test(error.path), String(error));
          }
        }
      }
      assert.throws(() => parseState({ ...whole, [list]: "x" }), (error) => error instanceof DamagedRecordError && error.path === list);
      assert.throws(() => parseState({ ...whole, [list]: [null] }), DamagedRecordError);
    }
    assert.throws(() => parseState({ ...whole, members: [{ ...whole["members"][0], slot: "1" }] }), {
      message: 'the recorded state of this fleet is damaged: members[0].slot: expected what this version or an older one writes there, got "1"; `pulumi stack export` shows it',
    });
  });

  it("is no state without a fleet id and an incarnation", () => {
    for (const value of [undefined, null, 3, [], {}, { fleetId: "abcd" }, { fleetId: "", incarnation: "i" }]) assert.equal(parseState(value), undefined);
  });
});
