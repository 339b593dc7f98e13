import assert from "node:assert/strict";
import { knowHosts, ownersOf, type FleetState, type Leftover, type MemberState, type Observation } from "../../provider/fleet";
import { leftoverWarnings, missedMembers } from "../../provider/fleet/hosts/leftovers";
import { awaitedLeftovers, resumedLeftovers, unfinishedBases, type UnfinishedBase } from "../../provider/fleet/hosts/unfinished";
import { recordedHost } from "../../provider/fleet/record/host";
import type { PlannedCreate, RecordedHost } from "../../provider/fleet/model";
import { CONTENT, disk, host, made, member, observation, reachable, spec, unreachable } from "./build";

const volume = (slot: number | undefined, generation?: number, changes: Partial<Leftover> = {}): Leftover => ({
  kind: "volume", name: `disk-${slot}.${generation}`, bytes: 1, ...(slot !== undefined && { slot }), ...(generation !== undefined && { generation }), ...changes,
});
const recorded = (slot: number, at: string, generation = 0): MemberState => ({
  slot, name: `workers-0${String(slot).padStart(2, "0")}`, host: at, hostUuid: `uuid-${at}`, rack: `rack-${at[0]}`, uuid: "", kind: "full", generation, contentId: CONTENT, macs: [],
  state: "running", base: "consolidated", chain: [], ipAddresses: [],
});
const program = (...names: string[]) => spec({ hosts: names.map((name) => host(name)), template: { file: "/golden.qcow2" }, count: 12 });
/** What the last run recorded: these hosts with what is known of each, and these members. */
const recordOf = (hosts: Record<string, Partial<RecordedHost>>, members: MemberState[]): FleetState => ({
  ...made({ count: 0 }).state, members,
  hosts: program(...Object.keys(hosts)).hosts.map((one) => ({ ...recordedHost(one), uuid: `uuid-${one.name}`, ...hosts[one.name] })),
});
const missing = (slot: number, generation = 0) => ({ slot, generation, name: `workers-0${String(slot).padStart(2, "0")}` });
const store = "netfs nas:/pool";

describe("the members whose disk may be what looks left over in a store that other hosts reach", () => {
  const state = recordOf(
    { a1: { missed: [missing(1), missing(2), missing(3)] }, a2: { missed: [missing(1)] }, b1: { missed: [missing(9)] } },
    [
      recorded(4, "a1"), recorded(5, "a1"), recorded(6, "c1"), recorded(7, "c1"), recorded(8, "c1"), recorded(10, "c1"), recorded(11, "a1"), recorded(12, "a1"), recorded(13, "zz"),
      recorded(14, "b1"),
    ],
  );
  const found = observation([
    reachable("a1", [member(11), member(12, { generation: 1 })], { store, leftovers: [
      volume(1, 1), volume(2), volume(4, 0), volume(4, 1), volume(5, 0), volume(6, 0), volume(7), volume(8, 0), volume(10, 0), volume(11, 0), volume(12, 0), volume(13, 0), volume(14, 0), volume(undefined),
    ] }),
    reachable("a2", [member(8, { generation: 1 }), member(10, { generation: 1 })], { leftovers: [volume(1, 0), volume(4, 0), volume(11)] }),
    unreachable("b1"), unreachable("b2"),
    reachable("c1", [member(5), member(6), member(10)], { store, leftovers: [volume(4), volume(undefined)] }),
    reachable("d1", [], { store, leftovers: [volume(20, 0)] }),
  ]);
  const declared = program("a1", "a2", "b1", "b2", "c1", "d1");
  const table = knowHosts(declared, state, found);
  const missed = (...given: Parameters<typeof missedMembers>) => [...missedMembers(...given)].map(([{ name }, members]) => [name, members]);

  it("are those on record that are seen nowhere else of that generation, and those noted before whose disk is still there", () => {
    assert.deepEqual(missed(table, state), [
      ["b1", [missing(9)]],
      ["a1", [2, 4, 5, 7, 8, 12, 13, 14].map((slot) => missing(slot))],
      ["a2", [missing(1)]],
      ["c1", [missing(4)]],
    ]);
  });

  it("are none without a record, and without leftovers those alone that are noted of hosts out of sight", () => {
    assert.deepEqual(missed(knowHosts(declared, undefined, found), undefined), []);
    const clean = observation([...["a1", "a2", "c1", "d1"].map((name) => reachable(name, [], { store })), unreachable("b1"), unreachable("b2")]);
    assert.deepEqual(missed(knowHosts(declared, state, clean), state), [["b1", [missing(9)]]]);
  });

  const nowhere = (name: string) => `${name}, which is seen nowhere: other machines may reach the pool. If none of them has it, virsh vol-delete it`;

  it("are named for each leftover: as seen on another host, as recorded out of sight, or as seen nowhere", () => {
    const ownerOf = ownersOf(table, state);
    const owners = (at: string) => found.hosts.flatMap((one) => (one.name === at && one.status === "reachable" ? one.leftovers.map((each) => [each.name, ownerOf(each, at)]) : []));
    assert.deepEqual(owners("a1"), [
      ["disk-1.1", undefined], ["disk-2.undefined", nowhere("workers-002")], ["disk-4.0", nowhere("workers-004")], ["disk-4.1", undefined],
      ["disk-5.0", "workers-005 on c1"], ["disk-6.0", "workers-006 on c1"], ["disk-7.undefined", nowhere("workers-007")], ["disk-8.0", nowhere("workers-008")],
      ["disk-10.0", "workers-010 on c1"], ["disk-11.0", undefined], ["disk-12.0", nowhere("workers-012")], ["disk-13.0", "workers-013, recorded on zz"],
      ["disk-14.0", "workers-014, recorded on b1"], ["disk-undefined.undefined", undefined],
    ]);
    const unseen = "workers-009, which is seen nowhere: other machines may reach the store. If none of them has it, remove it";
    assert.equal(ownerOf(volume(9), "b1"), unseen, "of a host that is out of sight by now, in plain words");
    assert.deepEqual([...owners("a2"), ...owners("c1"), ...owners("d1")].map(([, owner]) => owner), [nowhere("workers-001"), undefined, "workers-011 on a1", nowhere("workers-004"), undefined, undefined]);
  });

  it("are told of, each with its leftover, which stays", () => {
    const stays = (name: string, at: string, owner: string) => `${name} on ${at} looks left over and stays: it may be a disk of ${owner}`;
    const few = observation([reachable("a1", [member(0)], { leftovers: [volume(1, 0), volume(2, 0)] }), reachable("a2", [member(1)], { leftovers: [volume(0), volume(1)] })]);
    const all = { table: knowHosts(program("a1", "a2"), undefined, few) };
    assert.deepEqual(leftoverWarnings(all), [stays("disk-1.0", "a1", "workers-001 on a2"), stays("disk-0.undefined", "a2", "workers-000 on a1")]);
    assert.deepEqual(leftoverWarnings({ table: knowHosts(program("a1"), undefined, observation([reachable("a1", [member(0)])])) }), []);
  });
});

const resumable = { contentId: CONTENT };
const half = (slot: number | undefined, generation?: number, changes: Partial<Leftover> = {}) => volume(slot, generation, { resumable, name: `half-${slot}.${generation}`, ...changes });

describe("copies that a run left unfinished", () => {
  const bases = (found: Observation, state?: FleetState, contentId = CONTENT) =>
    [...unfinishedBases(knowHosts(program("a1", "a2", "b1"), state, found), state, contentId).values()].flatMap(({ host: at, slot, generation, leftovers }) => leftovers.map(({ name }) => `${name} for ${slot}.${generation}@${at}`));

  it("are gone on from where nothing else of the slot is as late, wherever it was seen or recorded", () => {
    const state = recordOf({ a1: {} }, [recorded(1, "a1"), recorded(2, "a1"), recorded(15, "a1", 1)]);
    const kept = (slot: number, generation: number) => ({ slot, generation, label: "data", name: `kept-${slot}` });
    const found = observation([
      reachable("a1", [member(3), member(4, { generation: 1 })], {
        leftovers: [
          half(0, 0), half(1, 0), half(2, 1), half(3, 1), half(4, 1), half(5, 0), half(6, 1), half(7, 0), half(8, 1), half(9, 2), half(10, 0), volume(10, 0), half(11, 0), half(12, 1), half(13, 1),
          half(14, 0, { resumable: { contentId: "c0" } }), half(15, 1), half(16, 3), half(undefined, 5), half(17), volume(18, 0), half(19, 0), volume(19, 1),
        ],
        kept: [kept(5, 0), kept(6, 0)], heldGenerations: [{ slot: 7, generation: 1 }, { slot: 8, generation: 1 }, { slot: 9, generation: 1 }],
      }),
      reachable("a2", [], { leftovers: [volume(11, 0), volume(12, 0), volume(13), volume(16, 1), volume(16, 2)] }),
      unreachable("b1"),
    ]);
    assert.deepEqual(bases(found, state), [0, 2, 3, 6, 8, 9, 10, 12, 16].map((slot) => {
      const generation = [0, 10].includes(slot) ? 0 : slot === 9 ? 2 : slot === 16 ? 3 : 1;
      return `half-${slot}.${generation} for ${slot}.${generation}@a1`;
    }));
    assert.deepEqual(bases(found, state, "c0"), ["half-14.0 for 14.0@a1"]);
  });

  it("are none of two of one generation on two hosts, nor of one that a later one has passed", () => {
    const found = observation([reachable("a1", [], { leftovers: [half(0, 0), half(1, 0), half(2, 0)] }), reachable("a2", [], { leftovers: [half(0, 0), half(1, 1)] })]);
    assert.deepEqual(bases(found), ["half-2.0 for 2.0@a1", "half-1.1 for 1.1@a2"]);
    assert.deepEqual(bases(observation([reachable("a1", [], { leftovers: [volume(0, 0)] })])), []);
  });

  it("of a replica are kept for linked members of the host that wait for it, and for nothing else", () => {
    const shown = (name: string, kind: "full" | "linked", base: "arriving" | "arrived" | "replica", leftovers: Leftover[]) => {
      const its = member(0, { kind, base });
      const [known] = knowHosts(program(name), undefined, observation([reachable(name, [its], { leftovers })])).hosts;
      return { host: known!, member: its };
    };
    const replica = (name: string, changes: Partial<Leftover> = {}) => half(undefined, undefined, { name, ...changes });
    const others = [half(1, 0), volume(undefined, undefined, { name: "helper" }), replica("other", { resumable: { contentId: "c0" } })];
    const [dark] = knowHosts(program("d1"), undefined, observation([unreachable("d1")])).hosts;
    const awaited = awaitedLeftovers([
      shown("a1", "linked", "arriving", [replica("one"), ...others]), shown("a2", "linked", "arrived", [replica("two")]),
      shown("b1", "full", "arriving", [replica("of a full one")]), shown("b2", "linked", "replica", [replica("of one that has its disk")]), { host: dark! },
    ]);
    assert.deepEqual([...awaited].map(({ name }) => name), ["one", "two"]);
  });

  it("are resumed by what is made of them, and by linked members on hosts without a replica of the content", () => {
    const create = (slot: number, at: string, kind: "full" | "linked", generation = 0): PlannedCreate => ({
      slot, generation, host: at, kind, name: "", rack: "", image: { contentId: CONTENT, disks: [] }, wave: 0, reason: "",
    });
    const replica = (contentId: string, purpose: "replica" | "template") => ({ contentId, purpose, disk: disk("r"), users: [] });
    const left = (name: string) => [half(undefined, undefined, { name }), half(9, 0, { name: `${name}, slotted` }), volume(undefined), half(undefined, undefined, { resumable: { contentId: "c0" }, name: `${name}, other` })];
    const found = observation([
      reachable("a1", [], { leftovers: left("beside a replica"), replicas: [replica("c0", "replica"), replica(CONTENT, "replica")] }),
      reachable("a2", [], { leftovers: left("beside an upload"), replicas: [replica(CONTENT, "template")] }),
      reachable("b1", [], { leftovers: left("beside another content"), replicas: [replica("c0", "replica")] }),
      reachable("b2", [], { leftovers: left("beside none") }),
      reachable("c1", [], { leftovers: left("where none is linked") }),
      unreachable("d1"),
    ]);
    const base = (slot: number, generation = 0, at = "a1"): [number, UnfinishedBase] => [slot, { host: at, slot, generation, leftovers: [half(slot, generation)] }];
    const unfinished = new Map([base(0), base(1, 1), base(2, 0, "a2"), base(3), base(4)]);
    const creates = [
      create(0, "a1", "full"), create(1, "a1", "full"), create(2, "a1", "full"), create(3, "a1", "linked"), create(5, "a1", "full"),
      ...["a2", "b1", "b2", "d1"].map((at, index) => create(6 + index, at, "linked")), create(20, "c1", "full"),
    ];
    const table = knowHosts(program("a1", "a2", "b1", "b2", "c1", "d1"), undefined, found);
    assert.deepEqual([...resumedLeftovers(table, unfinished, creates, CONTENT)].map(({ name }) => name), ["half-0.0", "beside an upload", "beside another content", "beside none"]);
    assert.deepEqual([...resumedLeftovers(table, unfinished, [], CONTENT)], []);
  });
});
