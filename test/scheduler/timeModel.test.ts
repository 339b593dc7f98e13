import assert from "node:assert/strict";
import fc from "fast-check";
import { asLearned, expectedRates, PROVIDER_HOST, soloRate, soloSeconds, topologyOf } from "../../provider/scheduler";
import { maxMinRates } from "../../provider/maxmin";
import { capacitiesOf, pathOf } from "../../provider/scheduler/time/timeModel";
import { host, spec } from "../fleet/build";
import { cases, networkOf, topology } from "./fixtures";

describe("time model: one copy", () => {
  const t = topology({ racks: [2, 1], uplinkBytesPerSecond: 5e8, startupSeconds: 0.5 });

  it("runs at the slowest of disks and NICs within a rack", () => assert.equal(soloRate(t, 0, 1), 1e9));
  it("is limited by an uplink only across racks", () => assert.equal(soloRate(t, 0, 2), 5e8));
  it("uses the disk alone on one host", () => assert.equal(soloRate(topology({ racks: [1], nicBytesPerSecond: 1 }), 0, 0), 1e9));
  it("is limited by the target alone when the provider uploads", () => assert.equal(soloRate(t, PROVIDER_HOST, 2), 1e9));
  it("adds the start-up", () => assert.equal(soloSeconds(t, 10e9, 0, 1), 10.5));
  it("costs nothing on one host with reflinks", () => {
    assert.equal(soloSeconds(topology({ racks: [1], freeLocalCopies: true, startupSeconds: 1 }), 10e9, 0, 0), 0);
  });
  it("takes one second in unit time, whatever it copies", () => {
    const unit = topology({ racks: [2], time: "unit", startupSeconds: 9 });
    assert.deepEqual([soloSeconds(unit, 10e9, 0, 0), soloSeconds(unit, 10e9, 0, 1)], [1, 1]);
  });
});

describe("time model: sharing", () => {
  it("splits a disk's reads evenly, and its writes apart from them", () => {
    const t = topology({ racks: [3] });
    const rates = expectedRates(t, [{ sourceHost: 0, targetHost: 1 }, { sourceHost: 0, targetHost: 2 }, { sourceHost: 1, targetHost: 0 }]);
    assert.deepEqual(rates, [5e8, 5e8, 1e9]);
  });

  it("gives what one copy cannot use to the others", () => {
    const t = topology({ racks: [3] });
    t.hosts[1]!.nicBytesPerSecond = 1e8;
    const rates = expectedRates(t, [{ sourceHost: 0, targetHost: 1 }, { sourceHost: 0, targetHost: 2 }]);
    assert.deepEqual(rates, [1e8, 9e8]);
  });

  it("shares an uplink among the copies that cross it", () => {
    const t = topology({ racks: [2, 2], uplinkBytesPerSecond: 1e9 });
    const rates = expectedRates(t, [{ sourceHost: 0, targetHost: 2 }, { sourceHost: 1, targetHost: 3 }]);
    assert.deepEqual(rates, [5e8, 5e8]);
  });

  it("never exceeds a resource, and leaves every copy one that is full (property)", () => {
    const flows = cases("network").chain((c) => {
      const host = fc.nat(c.topology.hosts.length - 1);
      return fc.array(fc.tuple(host, host), { minLength: 1, maxLength: 20 }).map((pairs) => ({ topology: c.topology, pairs }));
    });
    fc.assert(fc.property(flows, ({ topology: t, pairs }) => {
      const paths = pairs.map(([from, to]) => pathOf(t, from, to));
      const capacities = capacitiesOf(t);
      const rates = maxMinRates(paths, capacities);
      const used = new Float64Array(capacities.length);
      const most = new Float64Array(capacities.length);
      paths.forEach((path, i) => path.forEach((r) => {
        used[r]! += rates[i]!;
        most[r] = Math.max(most[r]!, rates[i]!);
      }));
      used.forEach((rate, r) => assert.ok(rate <= capacities[r]! * (1 + 1e-9)));
      // The definition of max-min: on a full resource of its path no other copy has more.
      paths.forEach((path, i) => assert.ok(path.length === 0 ? rates[i] === Infinity
        : path.some((r) => used[r]! >= capacities[r]! * (1 - 1e-9) && rates[i]! >= most[r]! * (1 - 1e-9))));
    }), { numRuns: 300 });
  });
});

describe("flow network", () => {
  const t = topology({ racks: [3] });

  it("slows a copy while another shares its source, and no longer", () => {
    const network = networkOf<string>(t);
    network.start(0, 1, "a", 0);
    assert.equal(network.nextSeconds(), 10);
    network.advanceTo(5);
    network.start(0, 2, "b", 5);
    // a has 5 GB left at half the rate.
    assert.equal(network.nextSeconds(), 15);
    assert.deepEqual(network.advanceTo(15).map((f) => f.tag), ["a"]);
    assert.equal(network.nextSeconds(), 20);
  });

  it("counts the rate of a store once for all hosts that reach it", () => {
    const shared = topology({ racks: [4] });
    shared.hosts[3]!.store = shared.hosts[2]!.store;
    const network = networkOf<string>(shared);
    network.start(0, 2, "a", 0);
    network.start(1, 3, "b", 0);
    assert.equal(network.nextSeconds(), 20);
  });

  it("tells how much is there", () => {
    const network = networkOf<string>(t);
    const flow = network.start(0, 1, "a", 0);
    network.nextSeconds();
    assert.equal(network.fraction(flow, 2.5), 0.25);
    network.stop(flow, 5);
    assert.equal(network.fraction(flow, 9), 0.5);
    assert.equal(network.nextSeconds(), Infinity);
  });

  it("moves no byte during the start-up", () => {
    const network = networkOf<string>(topology({ racks: [2], startupSeconds: 3 }));
    const flow = network.start(0, 1, "a", 0);
    assert.equal(network.nextSeconds(), 3);
    network.advanceTo(3);
    assert.equal(network.fraction(flow, 3), 0);
    assert.equal(network.nextSeconds(), 13);
  });

  it("slows what a slowed host sends", () => {
    const network = networkOf<string>(t);
    network.start(0, 1, "a", 0);
    network.start(1, 0, "b", 0);
    network.setHostFactor(0, 0.5, 0, "out");
    assert.deepEqual(network.advanceTo(network.nextSeconds()).map((f) => f.tag), ["b"]);
    assert.equal(network.nextSeconds(), 20);
  });

  it("returns copies that end together in the order they began", () => {
    const network = networkOf<number>(topology({ racks: [4, 4, 4] }));
    for (let i = 0; i < 12; i++) network.start(i, (i + 4) % 12, i, 0);
    assert.deepEqual(network.advanceTo(network.nextSeconds()).map((f) => f.tag), [...Array(12).keys()]);
  });
});

describe("time model: limits to transfers", () => {
  const limited = topologyOf(spec({
    hosts: [host("a1", { nicBitsPerSecond: 1e10, transferRateBitsPerSecond: 2e9 }), host("b1", { nicBitsPerSecond: 1e9, transferRateBitsPerSecond: 2e9 })],
    racks: [{ name: "rack-a", uplinkBitsPerSecond: 4e10, transferRateBitsPerSecond: 8e8 }, { name: "rack-b" }],
    template: { host: "a1", pool: "default", volume: "golden.qcow2" },
  }));

  it("give a card or an uplink the lesser of its rate and its limit", () => {
    assert.deepEqual(limited.hosts.map((one) => one.nicBytesPerSecond), [2.5e8, 1.25e8]);
    assert.deepEqual(limited.racks.map((one) => one.uplinkBytesPerSecond), [1e8, 5e9]);
  });

  it("stay what they are when the card itself was learned to be slower or faster", () => {
    const learned = (networkFactor: number) => asLearned(limited, { runs: 1, networkFactor, diskFactor: 1, finishSeconds: 0 }).hosts.map((one) => one.nicBytesPerSecond);
    assert.deepEqual(learned(0.5), [2.5e8, 6.25e7]);
    assert.deepEqual(learned(4), [2.5e8, 2.5e8]);
  });
});
