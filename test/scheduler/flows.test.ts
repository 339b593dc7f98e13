/** Copies under way over time: what happens to them besides running to their end. Alone a copy takes 10 s here. */
import assert from "node:assert/strict";
import { networkOf, topology, type Datacenter, type Shape } from "./fixtures";
import type { FlowNetwork } from "../../provider/scheduler";

const setUp = (shape: Partial<Shape> = {}, change: (t: Datacenter) => void = () => undefined) => {
  const t = topology({ racks: [4], ...shape });
  change(t);
  return networkOf<string>(t);
};
/** Goes on to this second. @returns what ended on the way, with when */
function until(network: FlowNetwork<string>, seconds: number): string[] {
  const ended: string[] = [];
  for (let at = network.nextSeconds(); at <= seconds && at < Infinity; at = network.nextSeconds()) {
    for (const { tag } of network.advanceTo(at)) ended.push(`${tag} ${Math.round(at * 1e6) / 1e6}`);
  }
  if (seconds < Infinity) network.advanceTo(seconds);
  return ended;
}

describe("a copy that lost its source", () => {
  it("keeps what it has, stands still, and leaves the way to others", () => {
    const network = setUp();
    const flow = network.start(0, 1, "a", 0);
    network.start(0, 2, "b", 0);
    until(network, 4);
    network.pause(flow, 4);
    assert.deepEqual([network.fraction(flow, 4), network.fraction(flow, 99)], [0.2, 0.2]);
    assert.deepEqual(until(network, Infinity), ["b 12"]);
  });

  it("goes on from another with what is missing, without starting up anew", () => {
    const network = setUp({ startupSeconds: 2 });
    const flow = network.start(0, 1, "a", 0);
    until(network, 6);
    network.pause(flow, 6);
    until(network, 20);
    network.resource(flow, 3, undefined, 20);
    assert.deepEqual([flow.sourceHost, network.fraction(flow, 20)], [3, 0.4]);
    assert.deepEqual(until(network, Infinity), ["a 26"]);
  });

  it("before its start-up is over is done with that first, wherever it reads then", () => {
    const network = setUp({ startupSeconds: 4 });
    const flow = network.start(0, 1, "a", 0);
    until(network, 1);
    network.resource(flow, 2, undefined, 1);
    assert.deepEqual(until(network, Infinity), ["a 14"]);
  });

  it("may read on from one that still arrives", () => {
    const network = setUp({}, (t) => { t.hosts[0]!.nicBytesPerSecond = 5e8; });
    const slow = network.start(0, 1, "slow", 0);
    until(network, 3);
    const flow = network.start(2, 3, "a", 3);
    until(network, 3.5);
    network.resource(flow, 1, slow, 3.5);
    until(network, 6);
    assert.ok(Math.abs(network.fraction(flow, 6) - network.fraction(slow, 6)) < 1e-6);
    assert.deepEqual(until(network, Infinity), ["slow 20", "a 20"]);
  });

  it("on its own host by now takes what its disk takes", () => {
    const network = setUp({ nicBytesPerSecond: 1e8 });
    const flow = network.start(0, 1, "a", 0);
    until(network, 10);
    network.resource(flow, 1, undefined, 10);
    assert.deepEqual(until(network, Infinity), ["a 19"]);
  });
});

describe("a copy that is over or all there", () => {
  it("is neither stopped, paused nor given another source", () => {
    const network = setUp();
    const flow = network.start(0, 1, "a", 0);
    assert.equal(network.needsSource(flow), true);
    until(network, 10);
    for (const change of [() => network.stop(flow, 11), () => network.pause(flow, 11), () => network.resource(flow, 2, undefined, 11)]) {
      change();
      assert.deepEqual([network.fraction(flow, 11), network.needsSource(flow), flow.sourceHost, network.nextSeconds()], [1, false, 0, Infinity]);
    }
  });

  it("serves its reader whatever becomes of its own source, and needs none", () => {
    const network = setUp({}, (t) => { t.hosts[2]!.nicBytesPerSecond = 5e8; });
    const up = network.start(0, 1, "up", 0);
    network.start(1, 2, "down", 0, { upstream: up });
    until(network, 12);
    assert.equal(network.needsSource(up), false);
    network.pause(up, 12);
    network.resource(up, 3, undefined, 12);
    assert.deepEqual([network.fraction(up, 12), up.sourceHost], [1, 0]);
    assert.deepEqual([network.takeServing().length, network.takeServing().length], [1, 0]);
    assert.deepEqual(until(network, Infinity), ["up 20", "down 20"]);
  });

  it("is over as soon as its last reader reads elsewhere", () => {
    const network = setUp({}, (t) => { t.hosts[2]!.nicBytesPerSecond = 5e8; });
    const up = network.start(0, 1, "up", 0);
    const down = network.start(1, 2, "down", 0, { upstream: up });
    until(network, 12);
    network.resource(down, 3, undefined, 12);
    assert.equal(network.nextSeconds(), 12);
    assert.deepEqual(until(network, Infinity), ["up 12", "down 20"]);
  });
});

describe("a copy that is stopped", () => {
  it("has what it had, once and for all, and its reader gets that and no more", () => {
    const network = setUp({}, (t) => { t.hosts[2]!.nicBytesPerSecond = 5e8; });
    const up = network.start(0, 1, "up", 0);
    const down = network.start(1, 2, "down", 0, { upstream: up });
    until(network, 4);
    network.stop(up, 4);
    network.stop(up, 6);
    assert.equal(network.fraction(up, 99), 0.4);
    until(network, 30);
    assert.ok(Math.abs(network.fraction(down, 30) - 0.4) < 1e-6, `${network.fraction(down, 30)}`);
    assert.equal(network.needsSource(down), true);
  });

  it("leaves the way to others", () => {
    const network = setUp();
    const flow = network.start(0, 1, "a", 0);
    network.start(0, 2, "b", 0);
    until(network, 4);
    network.stop(flow, 4);
    assert.deepEqual(until(network, Infinity), ["b 12"]);
  });
});

describe("a copy of a part", () => {
  it("ends with that part, and what was there already is not moved", () => {
    for (const [options, seconds] of [[{ part: 0.5 }, 5], [{ arrived: 0.4 }, 6], [{ part: 0.5, arrived: 0.4 }, 1], [{ arrived: 1 }, 0], [{ part: 0.5, arrived: 0.9 }, 0], [{ startupSeconds: 7 }, 17]] as const) {
      const network = setUp({ startupSeconds: 0 });
      network.start(0, 1, "a", 0, options);
      assert.deepEqual(until(network, Infinity), [`a ${seconds}`], JSON.stringify(options));
    }
  });

  it("brings its reader no further: that stands still", () => {
    const network = setUp();
    const up = network.start(0, 1, "up", 0, { part: 0.5 });
    const down = network.start(1, 2, "down", 0, { upstream: up });
    assert.deepEqual(until(network, Infinity), ["up 5"]);
    assert.ok(Math.abs(network.fraction(down, 50) - 0.5) < 1e-6);
    assert.equal(network.takeServing().length, 0);
  });
});

describe("a host that slows down", () => {
  it("sends and takes in at its part, until it is as it was", () => {
    const network = setUp();
    network.start(0, 1, "from", 0);
    network.start(2, 0, "to", 0);
    network.start(2, 3, "beside", 0);
    network.setHostFactor(0, 0.1, 0);
    until(network, 10);
    network.setHostFactor(0, 1, 10);
    // 1 GB of either by then; the third had what was left of its source's disk.
    assert.deepEqual(until(network, Infinity), ["beside 12", "from 19", "to 20"]);
  });

  it("stands still at nothing", () => {
    const network = setUp();
    const flow = network.start(0, 1, "a", 0);
    network.setHostFactor(0, 0, 4);
    assert.equal(network.nextSeconds(), Infinity);
    assert.equal(network.fraction(flow, 50), 0.4);
  });

  it("starts its copies no later: their start-up takes what it takes", () => {
    const network = setUp({ startupSeconds: 2 });
    network.setHostFactor(0, 0.5, 0);
    network.start(0, 1, "a", 0);
    assert.deepEqual(until(network, Infinity), ["a 22"]);
  });

  it("takes longer over copies that start then in unit time, as their source", () => {
    const network = setUp({ time: "unit" });
    network.setHostFactor(0, 0.5, 0);
    network.start(0, 1, "from", 0);
    network.start(2, 0, "to", 0);
    network.start(0, 3, "part", 0, { part: 0.25 });
    assert.deepEqual(until(network, Infinity), ["part 0.5", "to 1", "from 2"]);
  });
});

describe("a copy that takes no bytes", () => {
  it("is there at once within a host with reflinks", () => {
    const network = setUp({ freeLocalCopies: true, startupSeconds: 3 });
    const flow = network.start(1, 1, "a", 0);
    assert.equal(network.fraction(flow, 0), 1);
    assert.deepEqual(until(network, Infinity), ["a 0"]);
  });

  it("takes bytes after all where it is given a source elsewhere before it is there", () => {
    const network = setUp({ freeLocalCopies: true });
    const flow = network.start(1, 1, "a", 0);
    network.resource(flow, 0, undefined, 0);
    assert.equal(network.fraction(flow, 0), 0);
    assert.deepEqual(until(network, Infinity), ["a 10"]);
  });

  it("is as far as its start-up is, however long that was told to take", () => {
    const network = setUp({ time: "unit" });
    const flow = network.start(0, 1, "a", 0, { startupSeconds: 4 });
    assert.deepEqual([network.fraction(flow, 1), network.fraction(flow, 3)], [0.25, 0.75]);
    assert.deepEqual(until(network, Infinity), ["a 4"]);
  });

  it("is as far as its second is in unit time, and begins when its relay is whole", () => {
    const network = setUp({ time: "unit" });
    const up = network.start(0, 1, "up", 0);
    const down = network.start(1, 2, "down", 0, { upstream: up });
    assert.deepEqual([network.fraction(up, 0.25), network.fraction(down, 0.25), network.fraction(up, 7)], [0.25, 0, 1]);
    assert.deepEqual(until(network, 1), []);
    assert.equal(network.fraction(down, 1.5), 0.5);
    assert.deepEqual(until(network, Infinity), ["up 2", "down 2"]);
  });
});

describe("a reader", () => {
  it("that begins when its relay is whole reads as from any source", () => {
    const network = setUp({}, (t) => { t.hosts[3]!.nicBytesPerSecond = 5e8; });
    const up = network.start(0, 1, "up", 0);
    network.start(1, 3, "slow", 0, { upstream: up });
    until(network, 12);
    network.start(1, 2, "late", 12, { upstream: up });
    // Beside the slow one's 0.5 GB/s it has the other half of the disk, then all of it.
    assert.deepEqual(until(network, Infinity), ["slow 20", "up 26", "late 26"]);
  });

  it("begins a hop after its relay's first byte, and no sooner than its own start-up is over", () => {
    const hops = (startSeconds: number, startupSeconds: number) => {
      const network = setUp({ startupSeconds }, (t) => { t.hopSeconds = 0.5; });
      const up = network.start(0, 1, "up", 0);
      until(network, startSeconds);
      const down = network.start(1, 2, "down", startSeconds, { upstream: up });
      for (let at = network.nextSeconds(); network.fraction(down, at) === 0 && at < 9; at = network.nextSeconds()) {
        network.advanceTo(at);
        if (network.fraction(down, at + 0.01) > 0) return at;
      }
      return assert.fail("it never began");
    };
    assert.deepEqual([hops(0, 0), hops(0, 2), hops(1, 2)], [0.5, 2.5, 3]);
  });

  it("that is quicker than its relay has no more than that, and both end together", () => {
    const network = setUp({}, (t) => { t.hosts[0]!.nicBytesPerSecond = 5e8; });
    const up = network.start(0, 1, "up", 0);
    until(network, 6);
    const down = network.start(1, 2, "down", 6, { upstream: up });
    until(network, 9);
    assert.ok(Math.abs(network.fraction(down, 9) - 0.3) < 1e-9);
    until(network, 15);
    assert.ok(Math.abs(network.fraction(down, 15) - 0.75) < 1e-6);
    assert.deepEqual(until(network, Infinity), ["up 20", "down 20"]);
  });
});
