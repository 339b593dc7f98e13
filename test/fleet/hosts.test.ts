import assert from "node:assert/strict";
import fc from "fast-check";
import { hostsToObserve, knowHosts } from "../../provider/fleet";
import type { FleetSpec, FleetState } from "../../provider/fleet/model";
import { hostNames, unsettledReason } from "../../provider/fleet/hosts/table";
import { recordedHost } from "../../provider/fleet/record/host";
import { host, observation, reachable, spec, unreachable } from "./build";

const declared = (...names: string[]): FleetSpec => spec({ hosts: names.map((name) => host(name)), template: { host: names[0]!, pool: "default", volume: "golden.qcow2" } });
const recordedAs = (name: string, changes: Partial<FleetState["hosts"][number]> = {}): FleetState["hosts"][number] =>
  ({ ...recordedHost(declared(name).hosts[0]!), uuid: `uuid-${name}`, ...changes });
const stateOf = (...hosts: FleetState["hosts"]): FleetState => ({ fleetId: "f", incarnation: "i", contentId: "", members: [], replicas: [], snapshots: [], placement: {}, hosts, lastRun: {} as never });
const at = (uri: string) => `qemu+ssh://root@${uri}/system`;

describe("which machine a host is", () => {
  it("the recorded one under another URI, where the ids agree", () => {
    const table = knowHosts(declared("a1"), stateOf(recordedAs("old", { uuid: "uuid-a1" })), observation([reachable("a1"), reachable("old", [], { uuid: "uuid-a1" })]));
    assert.deepEqual(table.hosts.map(({ name, recorded }) => [name, recorded?.name]), [["a1", "old"]]);
    assert.equal(table.hostOf({ host: "old", hostUuid: "uuid-a1" })?.name, "a1");
  });

  it("another one, where the ids differ, though the names are the same", () => {
    const table = knowHosts(declared("a1"), stateOf(recordedAs("a1", { uri: at("elsewhere"), uuid: "uuid-elsewhere" })), observation([reachable("a1"), reachable("a1 (former)", [], { uuid: "uuid-elsewhere" })]));
    assert.deepEqual(table.hosts.map(({ name, uuid }) => [name, uuid]), [["a1", "uuid-a1"], ["a1 (former)", "uuid-elsewhere"]]);
    assert.equal(table.hostOf({ host: "a1", hostUuid: "uuid-elsewhere" })?.name, "a1 (former)");
    assert.equal(table.hostOf({ host: "a1", hostUuid: "uuid-a1" })?.name, "a1");
  });

  it("without ids the one of its name", () => {
    const unseen = observation([{ status: "unreachable", name: "a1", reason: "no" }, { status: "unreachable", name: "b1", reason: "no" }]);
    const table = knowHosts(declared("a1", "b1"), stateOf({ ...recordedAs("b1", { uri: at("moved") }), uuid: "" as never }), unseen);
    assert.deepEqual(table.hosts.map(({ name, recorded }) => [name, recorded?.uri]), [["a1", undefined], ["b1", at("moved")]]);
  });

  it("out of sight, where its URI leads to another machine by now", () => {
    const table = knowHosts(declared("a1"), stateOf(recordedAs("a1", { uuid: "uuid-before" })), observation([reachable("a1")]));
    assert.deepEqual(table.hosts.map(({ name, uuid, unseenReason }) => [name, uuid, unseenReason]), [["a1", "uuid-a1", ""], ["a1 (former)", "uuid-before", "its URI now reaches another machine"]]);
    assert.equal(table.hostOf({ host: "a1", hostUuid: "uuid-before" })?.seen, undefined);
  });

  it("no member's, where nothing of it agrees", () => {
    const table = knowHosts(declared("a1"), undefined, observation([reachable("a1")]));
    assert.equal(table.hostOf({ host: "a1", hostUuid: "uuid-of-another" }), undefined, "its name alone does not do where the id says otherwise");
    assert.equal(table.hostOf({ host: "a1", hostUuid: "" })?.name, "a1");
    assert.equal(table.hostOf({ host: "zz", hostUuid: "" }), undefined);
  });

  it("one machine is one host", () => {
    const twice = knowHosts(declared("a1", "b1"), undefined, observation([reachable("a1"), reachable("b1", [], { uuid: "uuid-a1" })]));
    assert.deepEqual(twice.problems.map(({ path }) => path), ["hosts[1].uri"]);
    assert.deepEqual(knowHosts(declared("a1", "b1"), undefined, observation([reachable("a1"), reachable("b1")])).problems, []);
  });

  it("is given up only while it does not answer, by any name that a program may call it", () => {
    const silent = { status: "unreachable", name: "b1", reason: "no" } as const;
    for (const name of ["b1", at("b1"), "uuid-b1"]) {
      const given = { ...declared("a1", "b1"), abandonHosts: [name] };
      assert.deepEqual(knowHosts(given, stateOf(recordedAs("b1")), observation([reachable("a1"), silent])).hosts.map((one) => one.abandoned), [false, true], name);
      assert.deepEqual(knowHosts(given, stateOf(recordedAs("b1")), observation([reachable("a1"), reachable("b1")])).hosts.map((one) => one.abandoned), [false, false], name);
    }
    const [known] = knowHosts(declared("a1"), stateOf(recordedAs("old", { uuid: "uuid-a1" })), observation([reachable("a1")])).hosts;
    assert.deepEqual(hostNames(known!), ["a1", at("a1"), "old", at("old"), "uuid-a1"]);
  });

  it("is looked at while anything of the fleet may be on it, under a name that is no other's", () => {
    const names = (state?: FleetState) => hostsToObserve(declared("a1"), state).map(({ name, own }) => [name, own.uri]);
    assert.deepEqual(names(), [["a1", at("a1")]]);
    assert.deepEqual(names(stateOf(recordedAs("a1"), recordedAs("b1"))), [["a1", at("a1")], ["b1", at("b1")]]);
    assert.deepEqual(names(stateOf(recordedAs("a1", { uri: at("before") }))), [["a1", at("a1")], ["a1 (former)", at("before")]]);
    assert.deepEqual(names(stateOf(recordedAs("a1", { uri: at("first") }), recordedAs("a1", { uri: at("second") }))),
      [["a1", at("a1")], ["a1 (former)", at("first")], ["a1 (former 2)", at("second")]]);
  });

  it("is the one recorded under its name while no answer says which machine it is", () => {
    const moved = recordedAs("a1", { uri: at("before") });
    const { hosts: [known, ...more] } = knowHosts(declared("a1"), stateOf(moved), undefined);
    assert.deepEqual([known, more], [{
      name: "a1", rack: "rack-a", abandoned: false, declared: { index: 0, spec: declared("a1").hosts[0] }, unseenReason: "it was not asked", recorded: moved,
    }, []]);
  });

  it("is found by its id before its names, and by the name it was recorded under before the one it has", () => {
    const table = knowHosts(declared("a1", "b1"), stateOf(recordedAs("old", { uuid: "uuid-a1" }), recordedAs("a1", { uri: at("b1"), uuid: "uuid-b1" })), observation([reachable("a1"), reachable("b1")]));
    const found = (name: string, hostUuid: string) => table.hostOf({ host: name, hostUuid })?.name;
    assert.deepEqual([found("unheard of", "uuid-a1"), found("old", ""), found("a1", ""), found("b1", ""), found("old", "uuid-b1"), found("old", "uuid-c1")], ["a1", "a1", "b1", "b1", "b1", undefined]);
  });

  it("is not out of sight where another host of the program is the machine by now", () => {
    const table = knowHosts(declared("a1", "b1"), stateOf(recordedAs("a1", { uuid: "uuid-b1" })), observation([reachable("a1"), reachable("b1")]));
    assert.deepEqual(table.hosts.map(({ name, uuid, recorded }) => [name, uuid, recorded?.name]), [["a1", "uuid-a1", undefined], ["b1", "uuid-b1", undefined]]);
  });

  it("is the first of two that the program has under one address", () => {
    const [first] = declared("a1").hosts;
    const table = knowHosts({ ...declared("a1"), hosts: [first!, { ...first!, name: "again" }] }, stateOf(recordedAs("a1", { unsettled: true })), undefined);
    assert.deepEqual(table.hosts.map(({ name, recorded }) => [name, recorded?.unsettled]), [["a1", true], ["again", undefined]]);
  });

  it("is known from an answer alone, once for each machine, unless it is one that is known already", () => {
    const old = recordedAs("old", { uuid: "uuid-a1" });
    const table = knowHosts(declared("a1", "b1"), stateOf(old, recordedAs("z1")), observation([
      reachable("a1"), unreachable("b1"), unreachable("old"), unreachable("z1"), reachable("x1"), reachable("x1 again", [], { uuid: "uuid-x1" }), reachable("a1 again", [], { uuid: "uuid-a1" }), unreachable("y1"),
    ]));
    assert.deepEqual(table.hosts, [
      { name: "a1", rack: "rack-a", abandoned: false, declared: { index: 0, spec: declared("a1").hosts[0] }, seen: reachable("a1"), uuid: "uuid-a1", unseenReason: "", recorded: old },
      { name: "b1", rack: "rack-b", abandoned: false, declared: { index: 1, spec: declared("a1", "b1").hosts[1] }, unseenReason: "connection refused" },
      { name: "z1", rack: "rack-z", abandoned: false, recorded: recordedAs("z1"), uuid: "uuid-z1", unseenReason: "connection refused" },
      { name: "x1", rack: "", abandoned: false, seen: reachable("x1"), uuid: "uuid-x1", unseenReason: "" },
      { name: "y1", rack: "", abandoned: false, unseenReason: "connection refused" },
    ]);
  });

  it("is called by the names that it has, and must answer for the reason that is known", () => {
    const [known] = knowHosts(declared("a1"), undefined, undefined).hosts;
    assert.deepEqual(hostNames(known!), ["a1", at("a1")]);
    const reasons = [undefined, recordedAs("a1", { unsettled: true }), recordedAs("a1", { unsettled: true, noted: true })].map((recorded) => unsettledReason({ ...known!, ...(recorded && { recorded }) }).slice(0, 22));
    assert.deepEqual(reasons, ["was worked on when it ", "was worked on when it ", "a run that was killed "]);
  });

  it("has a name of its own, whatever was declared, recorded and seen", () => {
    const name = fc.constantFrom("a1", "b1", "c1");
    const machine = fc.constantFrom("m1", "m2", "m3");
    const places = fc.uniqueArray(fc.record({ name, uri: fc.constantFrom("x", "y", "z"), uuid: machine }), { minLength: 1, maxLength: 4, selector: ({ name: each }) => each });
    const records = fc.array(fc.record({ name, uri: fc.constantFrom("x", "y", "z"), uuid: machine }), { maxLength: 4 });
    fc.assert(fc.property(places, records, fc.array(machine, { minLength: 8, maxLength: 8 }), (now, before, seen) => {
      const program: FleetSpec = { ...declared("a1"), hosts: now.map((one) => ({ ...declared("a1").hosts[0]!, name: one.name, own: { ...declared("a1").hosts[0]!.own, uri: at(one.uri) } })) };
      const previous = stateOf(...before.map((one) => recordedAs(one.name, { uri: at(one.uri), uuid: one.uuid })));
      const asked = hostsToObserve(program, previous);
      const known = knowHosts(program, previous, observation(asked.map((one, index) => (
        index % 3 === 2 ? { status: "unreachable", name: one.name, reason: "no" } : reachable(one.name, [], { uuid: seen[index]! })))));
      for (const names of [asked, known.hosts].map((hosts) => hosts.map((one) => one.name))) assert.equal(new Set(names).size, names.length, names.join());
    }));
  });
});
