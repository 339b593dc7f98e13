import assert from "node:assert/strict";
import { type FleetRunError, previewFleet, refreshFleet } from "../../provider/engine";
import { type FleetSpec, type FleetState, type Learned, parseState } from "../../provider/fleet";
import type { Traits } from "../../provider/hypervisors/hypervisor";
import { UNBOUNDED, type SimulatedOptions } from "../../provider/hypervisors/simulated";
import { learnFrom, policies, simulatePolicy, topologyOf } from "../../provider/scheduler";
import { replay } from "../../provider/scheduler/time/replay";
import { COSTS, inputs, request, specOf, up, world, type World } from "./world";

const IMAGE = { contentId: "0".repeat(64), disks: [{ bytes: 4e9 }] };

/** What the hosts really do, against 10 Gbit/s NICs and 1 GB/s disks declared. */
interface Truth {
  network: number;
  disk: number;
  startupSeconds: number;
  hopSeconds: number;
  defineSeconds: number;
}

const TRUTHS: Record<string, Truth> = {
  "slow NICs": { network: 0.15, disk: 0.9, startupSeconds: 0.9, hopSeconds: 0.15, defineSeconds: 0.3 },
  "slow disks": { network: 1, disk: 0.2, startupSeconds: 0.3, hopSeconds: 0.05, defineSeconds: 1.5 },
  "slow both, slow starts": { network: 0.3, disk: 0.4, startupSeconds: 4, hopSeconds: 0.6, defineSeconds: 0.8 },
  "faster than declared": { network: 2, disk: 2.5, startupSeconds: 0.1, hopSeconds: 0, defineSeconds: 0.1 },
};
/** What the hypervisor says of itself: copies take 0.44 s to begin, hops 0.1 s. */
const SAID: Traits = { abilities: { ...UNBOUNDED.abilities, relaying: { hopSeconds: 0.1 } }, costs: { copyStartupSeconds: 0.44 } };

const fleet = (policy: string, countPerHost: number, hosts = 8): FleetSpec => specOf(inputs(hosts, 2, { policy, countPerHost, imageBytes: 4e9 }));

function real({ network, disk, startupSeconds, hopSeconds, defineSeconds }: Truth, declared: FleetSpec): World {
  const spec: FleetSpec = {
    ...declared,
    hosts: declared.hosts.map((host) => ({ ...host, nicBitsPerSecond: host.nicBitsPerSecond * network, diskBytesPerSecond: host.diskBytesPerSecond * disk })),
    racks: declared.racks.map((rack) => ({ ...rack, uplinkBitsPerSecond: rack.uplinkBitsPerSecond * network })),
  };
  const options: SimulatedOptions = {
    startupSeconds, hopSeconds, costs: { ...COSTS, defineSeconds }, traits: SAID, imageBytes: declared.imageBytes, progressSeconds: 0.1,
  };
  return world(spec, options);
}

const errorOf = (said: number, was: number): number => Math.abs(said / was - 1);

async function grow(truth: Truth, policy: string): Promise<{ errors: number[]; state: FleetState }> {
  const where = real(truth, fleet(policy, 1));
  let state: FleetState | undefined;
  const errors: number[] = [];
  for (const countPerHost of [2, 4, 5]) {
    const { summary, state: after } = await up(fleet(policy, countPerHost), where, state);
    errors.push(errorOf(summary.predictedSeconds!, summary.makespanSeconds));
    state = after;
  }
  return { errors, state: state! };
}

describe("predictions", function () {
  this.timeout(60_000);

  for (const [name, truth] of Object.entries(TRUTHS)) {
    for (const policy of ["auto", "relay", "rounds", "earliestCompletion", "singleSource"]) {
      it(`${name}, ${policy}: less than 10 % off after two runs`, async () => {
        const { errors, state } = await grow(truth, policy);
        assert.ok(errors[2]! < 0.1, `${errors.map((e) => e.toFixed(3)).join(", ")} ${JSON.stringify(state.learned)}`);
      });
    }
  }

  const LESSON: Learned = { runs: 1, networkFactor: 0.5, diskFactor: 0.5, startupSeconds: 2, hopSeconds: 0.2, finishSeconds: 3 };
  const truth = TRUTHS["slow NICs"]!;

  it("of previews go by what was learned, the time from the last copy to the last member included", async () => {
    const spec = fleet("singleSource", 1);
    const ask = { spec, fleetId: "fleetaaaaa", incarnation: "one", traits: { abilities: { ...UNBOUNDED.abilities, relaying: { hopSeconds: 0.2 } }, costs: { copyStartupSeconds: 2 } } };
    const before = await previewFleet(ask);
    const after = await previewFleet({ ...ask, learned: LESSON });
    // 34 s of copies at once, 2 s of start-up.
    assert.ok(errorOf(after.summary.makespanSeconds, 2 * (before.summary.makespanSeconds - 2) + 2 + 3) < 0.001);
    assert.equal(after.summary.predictedSeconds, undefined);
  });

  it("follow rates that are corrected in the program: what was learned of the old ones does not count twice", async () => {
    const where = real(truth, fleet("relay", 1));
    const { state } = await up(fleet("relay", 2), where);
    assert.ok(errorOf(state.learned!.networkFactor, truth.network) < 0.05);
    const corrected = fleet("relay", 4);
    for (const host of corrected.hosts) host.nicBitsPerSecond *= truth.network;
    const { summary, state: after } = await up(corrected, where, state);
    assert.ok(errorOf(summary.predictedSeconds!, summary.makespanSeconds) < 0.1);
    assert.ok(errorOf(after.learned!.networkFactor, 1) < 0.05);
  });

  it("learn nothing from a run in which something broke, and forget nothing", async () => {
    const where = real(truth, fleet("relay", 1));
    const { state } = await up(fleet("relay", 2), where);
    where.hypervisor.takeDown("b2");
    const refused = await up(fleet("relay", 3), where, state).then(() => undefined, (e: unknown) => e);
    assert.ok(refused instanceof Error);
    where.hypervisor.bringUp("b2");
    where.clock.at(where.clock.nowMs() + 5000, () => where.hypervisor.takeDown("b2"));
    const broken = await up(fleet("relay", 3), where, state).then(() => undefined, (e: unknown) => e as FleetRunError);
    assert.deepEqual(broken!.state.learned, state.learned);
    assert.ok(broken!.clones.length > 0);
    where.hypervisor.bringUp("b2");
    const read = await refreshFleet(request(fleet("relay", 3), where, { previous: broken!.state }));
    assert.deepEqual(read!.learned, state.learned);
    assert.deepEqual(parseState(JSON.parse(JSON.stringify(read)))!.learned, state.learned);
  });

  it("stay within what hosts can be, whatever a run tells", () => {
    const t = topologyOf(fleet("relay", 1));
    for (const seconds of [1e-6, 1e6]) {
      const copies = t.hosts.slice(1).map(({ index }) => ({ sourceHost: 0, targetHost: index, startSeconds: 0, endSeconds: seconds, firstByteSeconds: seconds }));
      const { networkFactor, diskFactor, startupSeconds, finishSeconds } = learnFrom(t, { image: IMAGE, copies, finishSeconds: seconds }, undefined)!;
      for (const factor of [networkFactor, diskFactor]) assert.ok(factor >= 0.02 && factor <= 4, `${factor}`);
      assert.ok(startupSeconds! <= 60 && finishSeconds <= 600);
    }
  });

  it("learn nothing from a run that moved next to nothing", () => {
    const t = topologyOf(fleet("relay", 1));
    const run = { image: { contentId: "c1", disks: [{ bytes: 1e6 }] }, copies: [{ sourceHost: 0, targetHost: 1, startSeconds: 0, endSeconds: 9 }], finishSeconds: 0 };
    assert.equal(learnFrom(t, run, undefined), undefined);
    assert.equal(learnFrom(t, run, LESSON), LESSON);
  });

  it("cost little to learn: a run of 4000 copies", () => {
    const spec = fleet("relay", 1, 100);
    const t = topologyOf(spec);
    const { transfers } = simulatePolicy(t, IMAGE, t.hosts.map(() => 40), t.hosts.map(() => 0), [{ id: 0, host: 0, kind: "template", serving: 0 }], policies.relay, { relay: true });
    const copies = transfers.map(({ sourceHost, targetHost, startSeconds, endSeconds }) => ({ sourceHost, targetHost, startSeconds, endSeconds }));
    const began = performance.now();
    learnFrom(t, { image: IMAGE, copies, finishSeconds: 0 }, LESSON);
    assert.ok(performance.now() - began < 10_000);
  });
});

describe("replay", () => {
  it("ends every copy of a simulated run when the simulation did", () => {
    for (const name of ["rounds", "earliestCompletion", "relay", "singleSource"] as const) {
      const t = { ...topologyOf(fleet(name, 3)), startupSeconds: 0.4, hopSeconds: 0.1 };
      const { transfers } = simulatePolicy(t, IMAGE, t.hosts.map(() => 3), t.hosts.map(() => 0), [{ id: 0, host: 0, kind: "template", serving: 0 }], policies[name], { relay: true });
      const place = new Map(transfers.map(({ made }, index) => [made, index]));
      const ends = replay(t, IMAGE, transfers.map((one) => {
        const upstream = place.get(one.source);
        const arriving = upstream !== undefined && transfers[upstream]!.endSeconds > one.startSeconds;
        return { ...one, ...(arriving && { upstream }) };
      }));
      transfers.forEach(({ endSeconds }, index) => assert.ok(errorOf(ends[index]!, endSeconds) < 1e-6, `${name} ${index}`));
    }
  });
});
