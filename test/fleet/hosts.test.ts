import assert from "node:assert/strict";
import { hostsToObserve, knowHosts } from "../../provider/fleet";
import type { FleetSpec, FleetState } from "../../provider/fleet/model";
import { hostNames } from "../../provider/fleet/hosts/table";
import { recordedHost } from "../../provider/fleet/record/host";
import { host, observation, reachable, spec } from "./build";

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
  });
});
