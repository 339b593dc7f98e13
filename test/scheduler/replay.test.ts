/** A run that was, played again by the time model. */
import assert from "node:assert/strict";
import { policies } from "../../provider/scheduler";
import { replay } from "../../provider/scheduler/time/replay";
import { networkOf, none, simulatePolicy, template, topology } from "./fixtures";

const round = (ends: Float64Array): number[] => [...ends].map((end) => Math.round(end * 1e6) / 1e6);

describe("a replay", () => {
  it("lets a copy have no more than the one it read from, and else what its way allows", () => {
    const t = topology({ racks: [3] });
    t.hosts[0]!.nicBytesPerSecond = 5e8;
    const copies = [{ sourceHost: 0, targetHost: 1, startSeconds: 0 }, { sourceHost: 1, targetHost: 2, startSeconds: 2 }];
    assert.deepEqual(round(replay(t, t.image, copies)), [20, 12]);
    assert.deepEqual(round(replay(t, t.image, [copies[0]!, { ...copies[1]!, upstream: 0 }])), [20, 20]);
  });

  it("starts copies when they started, those that end then over already", () => {
    const t = topology({ racks: [3] });
    const copies = [0, 10, 15].map((startSeconds) => ({ sourceHost: 0, targetHost: 1, startSeconds }));
    assert.deepEqual(round(replay(t, t.image, copies)), [10, 25, 30]);
    assert.deepEqual(round(replay(t, t.image, [])), []);
  });

  it("never ends what nothing moves", () => {
    const t = topology({ racks: [2], nicBytesPerSecond: 0 });
    assert.deepEqual([...replay(t, t.image, [{ sourceHost: 0, targetHost: 1, startSeconds: 0 }])], [Infinity]);
  });

  for (const name of ["rounds", "earliestCompletion", "relay", "singleSource"] as const) {
    it(`ends every copy of a simulated run when the simulation did: ${name}`, () => {
      const t = { ...topology({ racks: [3, 2], startupSeconds: 0.4 }), hopSeconds: 0.1 };
      const { transfers } = simulatePolicy(t, t.hosts.map(() => 3), none(t), [template()], policies[name], { relay: true });
      const place = new Map(transfers.map(({ made }, index) => [made, index]));
      const ends = replay(t, t.image, transfers.map((one) => {
        const upstream = place.get(one.source);
        const arriving = upstream !== undefined && transfers[upstream]!.endSeconds > one.startSeconds;
        return { ...one, ...(arriving && { upstream }) };
      }));
      transfers.forEach(({ endSeconds }, index) => assert.ok(Math.abs(ends[index]! / endSeconds - 1) < 1e-6, `copy ${index}`));
    });
  }
});

describe("copies at once", () => {
  it("of which one ends give what it had to the others, and to those that read from them", () => {
    const network = networkOf<string>(topology({ racks: [5] }));
    const first = network.start(0, 1, "first", 0);
    network.start(0, 2, "second", 0);
    network.start(1, 3, "reads", 0, { upstream: first });
    assert.equal(network.nextSeconds(), 20);
    network.advanceTo(8);
    network.start(0, 4, "third", 8);
    // A third each from 8 to 26 s: 4 GB and 6 GB; then the third alone.
    const ends: string[] = [];
    for (let at = network.nextSeconds(); at < Infinity; at = network.nextSeconds()) for (const { tag } of network.advanceTo(at)) ends.push(`${tag} ${Math.round(at * 1e6) / 1e6}`);
    assert.deepEqual(ends, ["first 26", "second 26", "reads 26", "third 30"]);
  });

  it("are all over when the last is, whatever order they began in", () => {
    const network = networkOf<number>(topology({ racks: [4] }));
    const flows = [network.start(0, 1, 0, 0), network.start(2, 3, 1, 0)];
    network.nextSeconds();
    network.stop(flows[0]!, 3);
    assert.equal(network.nextSeconds(), 10);
    assert.deepEqual([network.advanceTo(10).map(({ tag }) => tag), network.nextSeconds(), network.fraction(flows[0]!, 20), network.fraction(flows[1]!, 20)], [[1], Infinity, 0.3, 1]);
  });
});
