import assert from "node:assert/strict";
import fc from "fast-check";
import { place, type TargetSpec } from "../../provider/fleet";

type Hosts = { name: string; rack: string; capacity?: number }[];
const racks = [{ name: "ra" }, { name: "rb" }];
const four: Hosts = [{ name: "a1", rack: "ra" }, { name: "a2", rack: "ra" }, { name: "b1", rack: "rb" }, { name: "b2", rack: "rb" }];
const count = (n: number): TargetSpec => ({ kind: "count", count: n });
const now = (counts: Record<string, number>) => new Map(Object.entries(counts));
const total = (placement: Record<string, number>) => Object.values(placement).reduce((sum, n) => sum + n, 0);

const anyHosts: fc.Arbitrary<Hosts> = fc
  .array(fc.record({ rack: fc.constantFrom("ra", "rb", "rc"), capacity: fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined }) }), { minLength: 1, maxLength: 8 })
  .map((hosts) => hosts.map((host, index) => ({ name: `h${index}`, ...host })));
const roomOf = (hosts: Hosts) => hosts.reduce((sum, host) => sum + (host.capacity ?? Infinity), 0);

/** The rules as they read, without a heap. `floor`: what each host keeps in any case. */
function placedOneByOne(wanted: number, hosts: Hosts, existing: Map<string, number>, floor = new Map<string, number>()): Map<string, number> {
  const largest = Math.max(1, ...hosts.map((host) => host.capacity ?? 0));
  const grown = (start: Map<string, number>): Map<string, number> => {
    const held = new Map(start);
    const load = (some: Hosts) => some.reduce((sum, { name, capacity }) => ({ held: sum.held + held.get(name)!, weight: sum.weight + (capacity ?? largest) }), { held: 0, weight: 0 });
    const least = (groups: Hosts[]) => groups.reduce((best, one) => (load(one).held * load(best).weight < load(best).held * load(one).weight ? one : best));
    const names = [...new Set([...racks.map(({ name }) => name), ...hosts.map(({ rack }) => rack)])];
    for (let left = wanted - total(Object.fromEntries(held)); left > 0; left--) {
      const hasRoom = ({ name, capacity }: Hosts[number]) => held.get(name)! < (capacity ?? Infinity);
      const groups = names.map((name) => hosts.filter(({ rack }) => rack === name)).filter((group) => group.some(hasRoom));
      if (groups.length === 0) break;
      const { name } = least(least(groups).filter(hasRoom).map((host) => [host]))[0]!;
      held.set(name, held.get(name)! + 1);
    }
    return held;
  };
  const held = grown(existing);
  const fair = grown(new Map(hosts.map(({ name }) => [name, 0])));
  for (let left = total(Object.fromEntries(held)) - wanted; left > 0; left--) {
    const inRack = (rack: string) => hosts.reduce((sum, one) => sum + (one.rack === rack ? held.get(one.name)! : 0), 0);
    const [next] = hosts.map(({ name, rack }, index) => ({ name, index, over: held.get(name)! - fair.get(name)!, rack: inRack(rack) }))
      .filter(({ name }) => held.get(name)! > (floor.get(name) ?? 0)).sort((a, b) => b.over - a.over || b.rack - a.rack || b.index - a.index);
    held.set(next!.name, held.get(next!.name)! - 1);
  }
  return held;
}

describe("placement of a count", () => {
  it("spreads evenly over racks and hosts", () => {
    assert.deepEqual(place(count(12), four, racks, now({})), { a1: 3, a2: 3, b1: 3, b2: 3 });
  });

  it("gives every rack its first member before any host has its second", () => {
    const lopsided: Hosts = [{ name: "a1", rack: "ra" }, { name: "a2", rack: "ra" }, { name: "a3", rack: "ra" }, { name: "b1", rack: "rb" }];
    assert.deepEqual(place(count(2), lopsided, racks, now({})), { a1: 1, a2: 0, a3: 0, b1: 1 });
  });

  it("weighs hosts by capacity", () => {
    const sized: Hosts = [{ name: "a1", rack: "ra", capacity: 30 }, { name: "a2", rack: "ra", capacity: 10 }];
    assert.deepEqual(place(count(8), sized, racks, now({})), { a1: 6, a2: 2 });
  });

  it("grows from 12 to 20 and shrinks to 5 by the difference alone", () => {
    const twenty = place(count(20), four, racks, now({ a1: 3, a2: 3, b1: 3, b2: 3 }));
    assert.deepEqual(twenty, { a1: 5, a2: 5, b1: 5, b2: 5 });
    const five = place(count(5), four, racks, now(twenty));
    assert.deepEqual(five, { a1: 2, a2: 1, b1: 1, b2: 1 });
  });

  it("moves nothing when a host is added", () => {
    const five = [...four, { name: "c1", rack: "rc" }];
    assert.deepEqual(place(count(12), five, racks, now({ a1: 3, a2: 3, b1: 3, b2: 3 })), { a1: 3, a2: 3, b1: 3, b2: 3, c1: 0 });
  });

  it("takes from the host furthest over its share, then from the rack with most members, then from the latest declared", () => {
    assert.deepEqual(place(count(9), four, racks, now({ a1: 1, a2: 1, b1: 6, b2: 2 })), { a1: 1, a2: 1, b1: 5, b2: 2 });
    const order = (counts: Record<string, number>, until: number): string[] => {
      if (total(counts) === until) return [];
      const next = place(count(total(counts) - 1), four, racks, now(counts));
      return [Object.keys(next).find((name) => next[name]! < counts[name]!)!, ...order(next, until)];
    };
    assert.deepEqual(order({ a1: 2, a2: 3, b1: 2, b2: 2 }, 4), ["a2", "b2", "a2", "b1", "a1"]);
    assert.deepEqual(order({ a1: 2, a2: 2, b1: 2, b2: 2 }, 4), ["b2", "a2", "b1", "a1"]);
  });

  it("gives up slots whose members are missing before any that lives, and no more of them than it must", () => {
    assert.deepEqual(place(count(3), four, racks, now({ a2: 1, b1: 1, b2: 1 }), now({ a1: 1 })), { a1: 0, a2: 1, b1: 1, b2: 1 });
    assert.deepEqual(place(count(2), four, racks, now({ a2: 1, b1: 1, b2: 1 }), now({ a1: 1 })), { a1: 0, a2: 1, b1: 1, b2: 0 });
    assert.deepEqual(place(count(4), four, racks, now({ a1: 1, b1: 1 }), now({ a1: 2, b1: 1 })), { a1: 2, a2: 0, b1: 2, b2: 0 });
    assert.deepEqual(place(count(5), four, racks, now({ a1: 1, b1: 1 }), now({ a1: 2, b1: 1 })), { a1: 3, a2: 0, b1: 2, b2: 0 });
  });

  it("is what looking at every host for every member would give", () => {
    fc.assert(fc.property(anyHosts, fc.array(fc.nat(6)), fc.integer({ min: 0, max: 40 }), (hosts, have, wanted) => {
      const existing = new Map(hosts.map((host, i) => [host.name, Math.min(have[i] ?? 0, host.capacity ?? Infinity)]));
      assert.deepEqual(place(count(wanted), hosts, racks, existing), Object.fromEntries(placedOneByOne(wanted, hosts, existing)));
    }));
  });

  it("takes from what is there, and from those that are missing where these are enough, as looking at every host for every member would", () => {
    const held = fc.array(fc.nat(6), { minLength: 8, maxLength: 8 });
    fc.assert(fc.property(anyHosts.map((hosts) => hosts.map(({ name, rack }) => ({ name, rack }))), held, held, fc.nat(1000), (hosts, alive, gone, permille) => {
      const living = new Map(hosts.map(({ name }, i) => [name, alive[i]!]));
      const missing = new Map(hosts.map(({ name }, i) => [name, gone[i]!]));
      const all = new Map(hosts.map(({ name }, i) => [name, alive[i]! + gone[i]!]));
      const sum = (some: Map<string, number>) => total(Object.fromEntries(some));
      const wanted = Math.floor((sum(all) * permille) / 1000);
      const expected = wanted <= sum(living) ? placedOneByOne(wanted, hosts, living) : placedOneByOne(wanted, hosts, all, living);
      assert.deepEqual(place(count(wanted), hosts, racks, living, missing), Object.fromEntries(expected));
      const fewer = Math.floor((sum(living) * permille) / 1000);
      assert.deepEqual(place(count(fewer), hosts, racks, living), Object.fromEntries(placedOneByOne(fewer, hosts, living)));
    }));
  });

  it("leaves a host its living members while another has missing ones to give up, however far over its share it is", () => {
    assert.deepEqual(place(count(4), four, racks, now({ a1: 3 }), now({ b1: 2 })), { a1: 3, a2: 0, b1: 1, b2: 0 });
    assert.deepEqual(place(count(4), four, racks, now({ a1: 3 }), now({ a1: 1, b1: 2 })), { a1: 3, a2: 0, b1: 1, b2: 0 });
  });

  it("of racks that are as far over takes from the one with more members, though it is declared first", () => {
    const lopsided: Hosts = [{ name: "a1", rack: "ra" }, { name: "a2", rack: "ra" }, { name: "b1", rack: "rb" }];
    assert.deepEqual(place(count(4), lopsided, racks, now({ a1: 1, a2: 2, b1: 2 })), { a1: 1, a2: 1, b1: 2 });
    assert.deepEqual(place(count(6), lopsided, racks, now({ a1: 3, a2: 1, b1: 3 })), { a1: 2, a2: 1, b1: 3 });
  });

  it("makes room when a capacity is lowered", () => {
    const capped = four.map((host) => (host.name === "a1" ? { ...host, capacity: 1 } : host));
    assert.deepEqual(place(count(8), capped, racks, now({ a1: 2, a2: 2, b1: 2, b2: 2 })), { a1: 1, a2: 3, b1: 2, b2: 2 });
  });

  it("places every member once, never over a capacity, and leaves an unchanged count as it is", () => {
    fc.assert(fc.property(anyHosts, fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 40 }), (hosts, first, second) => {
      const one = place(count(first), hosts, racks, now({}));
      assert.equal(total(one), Math.min(first, roomOf(hosts)));
      const two = place(count(second), hosts, racks, now(one));
      assert.equal(total(two), Math.min(second, roomOf(hosts)));
      for (const host of hosts) {
        assert.ok(two[host.name]! <= (host.capacity ?? Infinity));
        if (second >= first) assert.ok(two[host.name]! >= one[host.name]!, "growth takes from nobody");
        else assert.ok(two[host.name]! <= one[host.name]!, "shrinking gives to nobody");
      }
      assert.deepEqual(place(count(total(two)), hosts, racks, now(two)), two);
    }));
  });
});

describe("placement of per-host targets", () => {
  it("is what was declared, whatever exists", () => {
    assert.deepEqual(place({ kind: "countPerHost", countPerHost: 2 }, four, racks, now({ a1: 9 })), { a1: 2, a2: 2, b1: 2, b2: 2 });
    assert.deepEqual(place({ kind: "each", counts: { a1: 3, b2: 1 } }, four, racks, now({ a2: 4 })), { a1: 3, a2: 0, b1: 0, b2: 1 });
  });
});
