import assert from "node:assert/strict";
import fc from "fast-check";
import { place, removalOrder, type TargetSpec } from "../../provider/fleet";

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
    assert.deepEqual(removalOrder(now({ a1: 2, a2: 3, b1: 2, b2: 2 }), { a1: 1, a2: 3, b1: 1, b2: 1 }, four), ["a1", "b2", "b1"]);
    assert.deepEqual(removalOrder(now({ a1: 2, a2: 2, b1: 2, b2: 2 }), { a1: 1, a2: 1, b1: 1, b2: 1 }, four), ["b2", "a2", "b1", "a1"]);
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

  it("removes exactly what is over, one host at a time", () => {
    fc.assert(fc.property(anyHosts, fc.array(fc.nat(9)), fc.array(fc.nat(9)), (hosts, have, want) => {
      const existing = new Map(hosts.map((host, i) => [host.name, have[i] ?? 0]));
      const targets = Object.fromEntries(hosts.map((host, i) => [host.name, want[i] ?? 0]));
      const order = removalOrder(existing, targets, hosts);
      for (const { name } of hosts) {
        assert.equal(order.filter((one) => one === name).length, Math.max(0, existing.get(name)! - targets[name]!));
      }
    }));
  });
});

describe("placement of per-host targets", () => {
  it("is what was declared, whatever exists", () => {
    assert.deepEqual(place({ kind: "countPerHost", countPerHost: 2 }, four, racks, now({ a1: 9 })), { a1: 2, a2: 2, b1: 2, b2: 2 });
    assert.deepEqual(place({ kind: "each", counts: { a1: 3, b2: 1 } }, four, racks, now({ a2: 4 })), { a1: 3, a2: 0, b1: 0, b2: 1 });
  });
});
