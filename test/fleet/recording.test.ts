import assert from "node:assert/strict";
import { DamagedRecordError, NO_RUN, parseState, recordedAddress, recordState, withoutPassword, type FleetSpec, type FleetState, type Observation, type RecordRequest } from "../../provider/fleet";
import { declaredHost, recordedHost } from "../../provider/fleet/record/host";
import { CONTENT, disk, FLEET, host, INCARNATION, made, member, observation, reachable, slots, spec, unreachable } from "./build";

const fleet = (names: string[], abandonHosts: string[] = []) => spec({ hosts: names.map((name) => host(name)), template: { file: "/golden.qcow2" }, count: 4, abandonHosts });
const recorded = (declared: string[] | FleetSpec, found: Observation, more: Partial<RecordRequest> = {}) =>
  recordState({ spec: Array.isArray(declared) ? fleet(declared) : declared, fleetId: FLEET, incarnation: INCARNATION, observation: found, lastRun: NO_RUN, ...more });
const replica = (volume: string) => ({ contentId: CONTENT, purpose: "replica" as const, disk: disk(volume), users: [] });
const replicaOn = (at: string, volume: string) => ({ host: at, contentId: CONTENT, purpose: "replica" as const, volume });
const range = { offsetBytes: 0, lengthBytes: 1 };
const profile = (contentId: string) => ({ contentId, ranges: [range] });

describe("what a run leaves on record", () => {
  it("of an empty fleet is this, and no property that holds nothing", () => {
    const [only] = fleet(["a1"]).hosts;
    assert.deepEqual(recorded(["a1"], observation([unreachable("a1")], { template: undefined })), {
      fleetId: FLEET, incarnation: INCARNATION, defaultsVersion: 3, contentId: "", members: [], replicas: [], snapshots: [], placement: { a1: 0 }, hosts: [recordedHost(only!)], lastRun: NO_RUN,
    });
  });

  it("is everything that it was given and saw", () => {
    const lastRun = { ...NO_RUN, created: 2, predictedSeconds: 3 };
    const timeline = { policy: "relay" as const, imageBytes: 1, racks: [], clones: [], leftOut: 0 };
    const learned = { runs: 1, networkFactor: 1, diskFactor: 1, finishSeconds: 0 };
    const found = observation([
      reachable("b1", [member(1, { contentId: "c0", power: "stopped" })], { replicas: [replica("z"), replica("a")] }),
      reachable("a1", [member(0, { base: "frozen", chain: [disk("delta-0"), disk("base-0")] })]),
    ]);
    const state = recorded(["a1", "b1"], found, { lastRun, timeline, learned, readProfiles: ["c0", CONTENT, "elsewhere"].map(profile) });
    const [a1, b1] = fleet(["a1", "b1"]).hosts.map((one) => ({ ...recordedHost(one), uuid: `uuid-${one.name}` }));
    const its = (slot: number) => ({ slot, name: `workers-00${slot}`, uuid: member(slot).uuid, kind: "full", generation: 0, macs: member(slot).cardAddresses });
    assert.deepEqual(state, {
      fleetId: FLEET, incarnation: INCARNATION, defaultsVersion: 3, contentId: CONTENT,
      members: [
        { ...its(0), host: "a1", hostUuid: "uuid-a1", rack: "rack-a", contentId: CONTENT, state: "running", base: "frozen", chain: ["delta-0", "base-0"], ipAddresses: [] },
        { ...its(1), host: "b1", hostUuid: "uuid-b1", rack: "rack-b", contentId: "c0", state: "stopped", base: "consolidated", chain: ["base-1"], ipAddresses: [] },
      ],
      replicas: [replicaOn("b1", "a"), replicaOn("b1", "z")], snapshots: [{ slot: 0, host: "a1", volume: "base-0" }], placement: { a1: 1, b1: 1 }, hosts: [a1, b1], lastRun,
      timeline, learned, readProfiles: [profile("c0"), profile(CONTENT)],
    });
    assert.deepEqual(parseState(JSON.parse(JSON.stringify(state))), state, "and is read back as it was written");
    const { timeline: _timeline, learned: _learned, readProfiles: _profiles, ...less } = state;
    const without = { ...less, lastRun: NO_RUN };
    assert.deepEqual(parseState(JSON.parse(JSON.stringify(without))), without, "with nothing where nothing was");
  });

  it("names the content of the template, else that on record, else that of the first member", () => {
    const unseen = observation([reachable("a1", [member(0, { contentId: "of a member" })])], { template: undefined });
    const previous = { ...made({ count: 0 }).state, contentId: "on record" };
    const seen: Observation = { ...unseen, template: observation([]).template! };
    assert.deepEqual([recorded(["a1"], seen, { previous }), recorded(["a1"], seen), recorded(["a1"], unseen, { previous }), recorded(["a1"], unseen)].map(({ contentId }) => contentId), [CONTENT, CONTENT, "on record", "of a member"]);
  });

  it("counts as snapshots only bases of full members that nobody writes and a delta stands over", () => {
    const two = (slot: number) => [disk(`delta-${slot}`), disk(`base-${slot}`)];
    const found = observation([reachable("a1", [
      member(0, { base: "frozen" }), member(1, { base: "consolidating", chain: two(1) }), member(2, { kind: "linked", base: "replica", chain: two(2) }), member(3, { base: "frozen", chain: two(3) }),
      member(4, { kind: "linked", base: "frozen", chain: two(4) }),
    ])]);
    assert.deepEqual(recorded(["a1"], found).snapshots, [{ slot: 3, host: "a1", volume: "base-3" }]);
  });
});

describe("what stays on record of hosts that do not answer", () => {
  const { state } = made({ hosts: ["a1", "b1", "c1"].map((name) => host(name)), count: 0 });
  const previous: FleetState = {
    ...state, replicas: [replicaOn("b1", "r"), replicaOn("c1", "r")],
    hosts: state.hosts.map((one) => ({ ...one, ...(one.name !== "a1" && { unsettled: true, missed: [{ slot: 9, generation: 0, name: "workers-009" }] }) })),
  };
  const summary = ({ replicas, hosts }: FleetState) => [
    replicas.map(({ host: at, volume }) => `${volume} on ${at}`), hosts.map(({ name, unsettled, missed }) => `${name}${unsettled ? " unsettled" : ""}${missed ? ` missed ${slots(missed).join()}` : ""}`),
  ];
  const dark = observation([reachable("a1"), unreachable("b1"), unreachable("c1"), unreachable("d1")]);

  it("are their replicas, their open work and the members that were missed there, under the names that they have now", () => {
    assert.deepEqual(summary(recorded(["a1", "b1", "d1"], dark, { previous })), [["r on b1", "r on c1"], ["a1", "b1 unsettled missed 9", "d1", "c1 unsettled missed 9"]]);
    const renamed = spec({ hosts: [host("a1"), host("b9", { uri: host("b1").uri })], template: { file: "/golden.qcow2" }, count: 4 });
    assert.deepEqual(summary(recorded(renamed, observation([reachable("a1"), unreachable("b9"), unreachable("c1")]), { previous })), [["r on b9", "r on c1"], ["a1", "b9 unsettled missed 9", "c1 unsettled missed 9"]]);
  });

  it("is nothing where they are given up", () => {
    const given = (names: string[]) => recorded(fleet(names, ["b1", "c1"]), dark, { previous, unsettled: new Set(["b1", "c1"]) });
    assert.deepEqual(summary(given(["a1", "b1"])), [[], ["a1", "b1"]]);
  });
});

describe("a host's work stays open", () => {
  const { state: previous } = made({ hosts: ["a1", "b1"].map((name) => host(name)), count: 0 });
  const open = (found: Observation, more: Partial<RecordRequest> = {}) => recorded(["a1", "b1"], found, { previous, ...more }).hosts.map(({ unsettled }) => unsettled);

  it("where the run could not look at it since", () => {
    assert.deepEqual(open(observation([reachable("a1"), reachable("b1")]), { unsettled: new Set(["b1"]) }), [undefined, true]);
    assert.deepEqual(open(observation([reachable("a1"), unreachable("b1")])), [undefined, undefined]);
  });

  it("where it shows leftovers, members of another incarnation or such as are not recorded", () => {
    const other = { incarnation: "two" };
    assert.deepEqual(open(observation([reachable("a1", [], { leftovers: [{ kind: "volume", name: "x", bytes: 1 }] }), reachable("b1", [member(0, other)])])), [true, true]);
    assert.deepEqual(open(observation([reachable("a1", [member(0)]), reachable("b1", [member(0, { displaced: true })])])), [undefined, true], "a twin is not on record there");
    assert.deepEqual(open(observation([reachable("a1", [member(0), member(1, other)]), reachable("b1", [member(2)])])), [true, undefined]);
    const copy = member(0, { ...other, name: "copy", displaced: true });
    assert.deepEqual(open(observation([reachable("a1", [member(0), copy]), reachable("b1")])), [true, undefined], "though its slot's member is recorded there");
    const both = observation([reachable("a1", [member(0, other)]), reachable("b1", [])]);
    const hidden = { ...previous, members: recorded(["a1", "b1"], observation([reachable("a1", [member(0, { generation: 1 })])])).members };
    assert.deepEqual(open(both, { previous: hidden }), [true, undefined]);
  });
});

describe("a record is read", () => {
  const whole = () => JSON.parse(JSON.stringify(made({ count: 2 }).state)) as Record<string, unknown>;

  it("as none where it lacks its fleet, whatever else is wrong with it", () => {
    assert.equal(parseState({ ...whole(), members: 3, fleetId: 3 }), undefined);
    assert.equal(parseState({ ...whole(), incarnation: "", hosts: [{}] }), undefined);
    assert.throws(() => parseState({ ...whole(), members: 3, hosts: 3 }), DamagedRecordError);
  });

  it("without those items of its past that cannot be read", () => {
    const snapshot = { slot: 0, host: "a1", volume: "v" };
    const state = parseState({ ...whole(), snapshots: [snapshot, { ...snapshot, slot: "0" }, 3, null], readProfiles: [{ contentId: "c", ranges: [] }, profile("c2")] })!;
    assert.deepEqual([state.snapshots, state.readProfiles], [[snapshot], [profile("c2")]]);
    const spoilt = parseState({ ...whole(), snapshots: 3, readProfiles: "x", timeline: {}, learned: { runs: 1 }, lastRun: { ...NO_RUN, predictedSeconds: "x" } })!;
    assert.deepEqual([spoilt, spoilt.snapshots], [parseState(whole()), []]);
  });
});

describe("a host's record", () => {
  const all = host("a1", { capacity: 4, transferRateBitsPerSecond: 2e9, transferAddress: "10.0.0.1" });
  const [full, least] = [all, { name: "a2", uri: "qemu:///system" }].map((one) => spec({ hosts: [one], template: { file: "/golden.qcow2" }, count: 1 }).hosts[0]!);

  it("holds what was declared, and nothing where nothing was", () => {
    for (const one of [full!, least!]) assert.deepEqual(declaredHost(recordedHost(one)), one);
    assert.deepEqual([Object.keys(recordedHost(full!)), Object.keys(recordedHost(least!))], [
      ["name", "uri", "rack", "pool", "transferAddress", "transferPorts", "nicBitsPerSecond", "transferRateBitsPerSecond", "diskBytesPerSecond", "maxConcurrent", "capacity"],
      ["name", "uri", "rack", "pool", "transferPorts", "nicBitsPerSecond", "diskBytesPerSecond", "maxConcurrent"],
    ]);
    assert.deepEqual([full!, least!].map((one) => recordedAddress(recordedHost(one))), [all.uri, "qemu:///system"]);
  });

  it("may be shown without the password that its address holds, and loses nothing else", () => {
    const record = { ...recordedHost(full!), uuid: "u" };
    assert.deepEqual(withoutPassword({ ...record, uri: "qemu+ssh://root:secret@a1/system" }), { ...record, uri: "qemu+ssh://root:***@a1/system" });
    assert.deepEqual(withoutPassword(record), record);
  });
});
