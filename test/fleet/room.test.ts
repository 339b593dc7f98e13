import assert from "node:assert/strict";
import fc from "fast-check";
import type { ReachableHost } from "../../provider/fleet";
import { alike, byStore, freeBytesOf } from "../../provider/fleet/plan/room";
import { reachable } from "./build";

const named = (groups: readonly (readonly ReachableHost[])[]) => groups.map((group) => group.map(({ name }) => name));
const at = (name: string, store?: string) => reachable(name, [], store === undefined ? {} : { store });
const free = (name: string, freeBytes: number, more: Partial<ReachableHost> = {}) => reachable(name, [], { room: { freeBytes, capacityBytes: 1000 }, ...more });
const unknown = (name: string) => reachable(name, [], { room: { unknown: "the pool is being refreshed" } });

describe("stores that hosts share", () => {
  it("are one for the hosts that name the same, in the order of their first; a host that names none has one of its own", () => {
    const hosts = [at("a1", "nas:/pool"), at("a2"), at("b1", "nas:/other"), at("b2", "nas:/pool"), at("c1")];
    assert.deepEqual(named(byStore(hosts)), [["a1", "b2"], ["a2"], ["b1"], ["c1"]]);
    assert.deepEqual(byStore([]), []);
  });

  it("hold every host once, and are not taken for a host's own that is named alike", () => {
    assert.deepEqual(named(byStore([at("a1"), at("a2", "a1"), at("a3", "of a1")])), [["a1"], ["a2"], ["a3"]]);
    fc.assert(fc.property(fc.array(fc.option(fc.constantFrom("x", "y"), { nil: undefined }), { maxLength: 8 }), (stores) => {
      const hosts = stores.map((store, index) => at(`h${index}`, store));
      assert.deepEqual(byStore(hosts).flat().sort((a, b) => hosts.indexOf(a) - hosts.indexOf(b)), hosts);
      for (const group of byStore(hosts)) assert.ok(group.length === 1 || group.every(({ store }) => store !== undefined && store === group[0]!.store));
    }));
  });

  it("have as much free as the least sanguine of their hosts says, whatever the others do not know", () => {
    assert.equal(freeBytesOf([free("a1", 300), free("a2", 200), unknown("b1"), free("b2", 250)]), 200);
    assert.equal(freeBytesOf([unknown("a1"), unknown("a2")]), Infinity);
  });
});

describe("stores that may be one though nobody says so", () => {
  it("are those of one size that have the same free, or as nearly as two hosts asked one after the other tell", () => {
    const hosts = [free("a1", 500), free("a2", 550), free("b1", 450), free("b2", 551), free("c1", 100), free("c2", 101)];
    assert.deepEqual(named(alike(hosts)), [["a1", "a2", "b1"], ["c1", "c2"]]);
  });

  it("are not stores of other sizes, however alike what is free there", () => {
    const hosts = [free("a1", 500), free("a2", 500, { room: { freeBytes: 500, capacityBytes: 1001 } }), free("b1", 500, { room: { freeBytes: 500, capacityBytes: 1001 } })];
    assert.deepEqual(named(alike(hosts)), [["a2", "b1"]]);
  });

  it("are not those of hosts that say which store is theirs, or that do not know or tell its figures", () => {
    const untold = (name: string) => reachable(name, [], { room: { freeBytes: 500 } });
    assert.deepEqual(alike([free("a1", 500, { store: "nas:/a" }), free("a2", 500, { store: "nas:/b" }), free("b1", 500)]), []);
    assert.deepEqual(alike([unknown("a1"), unknown("a2"), untold("b1"), untold("b2"), free("c1", 500)]), []);
    assert.deepEqual(named(alike([unknown("a1"), free("a2", 500), untold("b1"), free("b2", 500), free("c1", 500, { store: "nas:/c" })])), [["a2", "b2"]]);
  });

  it("are none where each differs from each", () => {
    assert.deepEqual(alike([free("a1", 100), free("a2", 300), free("b1", 900)]), []);
    assert.deepEqual(alike([]), []);
  });
});
