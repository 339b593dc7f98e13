import assert from "node:assert/strict";
import fc from "fast-check";
import { expectedRates, policies, type SimulatedRun, type Topology } from "../../provider/scheduler";
import { relayTree } from "../../provider/scheduler/policies/relayTree";
import { base, cases, networkOf, none, simulatePolicy, template, topology, view, type Datacenter, type Shape } from "./fixtures";

const racksOf = (count: number, hosts: number): number[] => Array.from({ length: count }, () => hosts);

function run(t: Datacenter, each: number): SimulatedRun {
  const result = simulatePolicy(t, t.hosts.map(() => each), none(t), [template()], policies.relay, { relay: true });
  assert.equal(result.unmade, 0);
  return result;
}

/** How often an image came over each uplink in the direction that saw it most. */
function mostCrossings(t: Topology, { transfers }: SimulatedRun): number {
  const counts = new Map<string, number>();
  for (const { sourceHost, targetHost } of transfers) {
    const [from, to] = [t.hosts[sourceHost]!.rack, t.hosts[targetHost]!.rack];
    if (from !== to) for (const key of [`out of ${from}`, `into ${to}`]) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return Math.max(0, ...counts.values());
}

describe("relay: reference makespans", function () {
  this.timeout(60_000);
  for (const [racks, hosts, members, bound] of [[2, 4, 4, 40], [10, 20, 10, 100], [100, 40, 25, 250]] as const) {
    it(`${racks} racks of ${hosts} hosts with ${members} members each: ${bound} s, each uplink once a direction`, () => {
      const t = topology({ racks: racksOf(racks, hosts) });
      const result = run(t, members);
      assert.ok(result.makespanSeconds <= 1.05 * bound, `${result.makespanSeconds} s`);
      assert.equal(mostCrossings(t, result), 1);
    });
  }

  it("brings one base to each of forty hosts in the time of one", () => {
    const { makespanSeconds, transfers } = run(topology({ racks: [20, 20] }), 1);
    assert.ok(makespanSeconds < 10.01, `${makespanSeconds} s`);
    assert.ok(transfers.every((copy) => copy.startSeconds === 0));
  });

  it("gives way in depth where hops cost", () => {
    const deep = topology({ racks: racksOf(10, 20) });
    deep.hopSeconds = 0.2;
    assert.ok(run(deep, 1).makespanSeconds < 30, "a single line of 200 hops would take 50 s");
  });
});

describe("relay: what it makes of unequal hosts", () => {
  const feeders = (result: SimulatedRun): Set<number> => new Set(result.transfers.filter((c) => c.sourceHost !== c.targetHost).map((c) => c.sourceHost));

  it("lets slow hosts feed nobody that is faster", () => {
    const t = topology({ racks: [6, 6] });
    for (const slow of [2, 8]) t.hosts[slow]!.nicBytesPerSecond = 1.25e8;
    const result = run(t, 1);
    assert.deepEqual([2, 8].filter((slow) => feeders(result).has(slow)), []);
    const quick = result.transfers.filter((copy) => t.hosts[copy.targetHost]!.nicBytesPerSecond > 1e9 && ![...t.hosts.keys()].some((h) => (
      [2, 8].includes(h) && result.transfers.some((c) => c.targetHost === h && c.sourceHost === copy.targetHost))));
    assert.ok(quick.filter((copy) => copy.targetHost !== 0).every((copy) => copy.endSeconds < 15));
  });

  it("visits a rack behind a thin uplink last", () => {
    const t = topology({ racks: [3, 3, 3] });
    t.racks[1]!.uplinkBytesPerSecond = 1.25e8;
    const result = run(t, 1);
    const third = result.transfers.filter((copy) => copy.targetHost >= 6);
    assert.ok(third.every((copy) => copy.endSeconds < 81));
    assert.equal(mostCrossings(t, result), 1);
    assert.ok(result.transfers.filter((copy) => copy.targetHost >= 3 && copy.targetHost < 6).some((copy) => copy.sourceHost >= 6));
  });

  it("starts in every rack that has the image already", () => {
    const t = topology({ racks: [3, 3] });
    const { transfers } = simulatePolicy(t, t.hosts.map(() => 1), [0, 0, 0, 1, 0, 0], [template(), base(1, 3)], policies.relay, { relay: true });
    assert.ok(transfers.every((copy) => t.hosts[copy.sourceHost]!.rack === t.hosts[copy.targetHost]!.rack));
  });
});

describe("relay: decisions", () => {
  it("names what an earlier decision of the batch starts as the source", () => {
    const t = topology({ racks: [3] });
    const decisions = policies.relay.next(view(t, { targets: [0, 1, 1], arriving: [] }));
    assert.deepEqual(decisions.map(({ source, targetHost }) => [source, targetHost]), [[0, 1], [{ decision: 0 }, 2]]);
  });

  it("decides as store-and-forward does where the hypervisor cannot relay", () => {
    const t = topology({ racks: [4, 4] });
    const given = { targets: t.hosts.map(() => 2) };
    assert.deepEqual(policies.relay.next(view(t, given)), policies.earliestCompletion.next(view(t, given)));
  });

  it("makes a tree that enters each rack once, for any datacenter (property)", () => {
    fc.assert(fc.property(cases("network"), (c) => {
      const t = c.topology;
      const targets = t.hosts.slice(1).map(({ index, maxConcurrent }) => ({ host: index, room: maxConcurrent, wants: 1 }));
      const edges = relayTree(t, 10e9, [{ host: 0, load: 0, room: t.hosts[0]!.maxConcurrent, wants: 1 }], targets);
      const fed = new Set([0]);
      const entered = new Set([t.hosts[0]!.rack]);
      for (const { from, to } of edges) {
        assert.ok(fed.has(from), "nobody feeds before it is fed");
        const rack = t.hosts[to]!.rack;
        if (to !== 0 && t.hosts[from]!.rack !== rack) assert.ok(!entered.has(rack), "a rack is entered once");
        assert.ok(to === 0 || !fed.has(to), "nobody is fed twice");
        fed.add(to);
        entered.add(rack);
      }
    }), { numRuns: 300 });
  });
});

describe("flow network: cut-through", () => {
  const slow = (shape: Shape, host: number, bytesPerSecond: number): Datacenter => {
    const t = topology(shape);
    t.hosts[host]!.nicBytesPerSecond = bytesPerSecond;
    return t;
  };

  it("lets a reader have what its relay has, and no more", () => {
    const network = networkOf<string>(slow({ racks: [3] }, 0, 5e8));
    const up = network.start(0, 1, "up", 0);
    const down = network.start(1, 2, "down", 0, { upstream: up });
    network.nextSeconds();
    assert.equal(network.fraction(down, 10), network.fraction(up, 10));
    assert.deepEqual(network.advanceTo(network.nextSeconds()).map((flow) => flow.tag), ["up", "down"]);
  });

  it("lets a late reader catch up at its own pace first", () => {
    const network = networkOf<string>(slow({ racks: [3] }, 0, 5e8));
    const up = network.start(0, 1, "up", 0);
    network.nextSeconds();
    network.advanceTo(4);
    const down = network.start(1, 2, "down", 4, { upstream: up });
    // 2 GB behind, 1 GB/s against 0.5: level after 4 s.
    assert.equal(network.nextSeconds(), 8);
    network.advanceTo(8);
    network.nextSeconds();
    assert.ok(Math.abs(network.fraction(down, 10) - network.fraction(up, 10)) < 1e-6);
  });

  it("keeps a relay serving until its slow reader has all", () => {
    const network = networkOf<string>(slow({ racks: [3] }, 2, 5e8));
    const up = network.start(0, 1, "up", 0);
    network.start(1, 2, "down", 0, { upstream: up });
    assert.equal(network.nextSeconds(), 10);
    assert.deepEqual(network.advanceTo(10), []);
    assert.deepEqual(network.takeServing().map((flow) => flow.tag), ["up"]);
    assert.equal(network.nextSeconds(), 20);
    assert.deepEqual(network.advanceTo(20).map((flow) => flow.tag), ["up", "down"]);
  });

  it("stands still behind a relay that was stopped, and goes on from another source where it was", () => {
    const network = networkOf<string>(topology({ racks: [3] }));
    const up = network.start(0, 1, "up", 0);
    const down = network.start(1, 2, "down", 0, { upstream: up });
    network.nextSeconds();
    network.advanceTo(5);
    network.stop(up, 5);
    assert.equal(network.nextSeconds(), Infinity);
    network.resource(down, 0, undefined, 7);
    assert.equal(network.nextSeconds(), 12);
  });

  it("begins hop by hop where hops cost", () => {
    const t = topology({ racks: [4] });
    t.hopSeconds = 0.5;
    const network = networkOf<number>(t);
    let up = network.start(0, 1, 1, 0);
    for (const host of [2, 3]) up = network.start(host - 1, host, host, 0, { upstream: up });
    const ends: number[] = [];
    for (let at = network.nextSeconds(); at < Infinity; at = network.nextSeconds()) if (network.advanceTo(at).length > 0) ends.push(at);
    assert.deepEqual(ends, [10.5, 11]);
  });

  it("frees for others what a reader held back by its relay leaves (rates)", () => {
    const t = slow({ racks: [4] }, 0, 2e8);
    const pairs = [{ sourceHost: 0, targetHost: 1 }, { sourceHost: 1, targetHost: 2 }, { sourceHost: 1, targetHost: 3 }];
    assert.deepEqual(expectedRates(t, pairs, [undefined, 0, undefined]), [2e8, 2e8, 8e8]);
  });
});
