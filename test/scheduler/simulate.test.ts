/** What a simulated run tells, and when it is given up. */
import assert from "node:assert/strict";
import { policies, simulationSteps } from "../../provider/scheduler";
import { base, choosePolicy, none, simulatePolicy, template, topology } from "./fixtures";

describe("a simulated run", () => {
  it("tells what went over the network, and what of it between racks", () => {
    const t = topology({ racks: [2, 1], imageBytes: 1e9 });
    const { bytesMoved, bytesAcrossRacks, transfers } = simulatePolicy(t, [1, 1, 1], none(t), [template()], policies.singleSource);
    assert.deepEqual([transfers.length, bytesMoved, bytesAcrossRacks], [3, 2e9, 1e9]);
  });

  it("tells who fed whom when: by ids, hosts and seconds", () => {
    const t = topology({ racks: [2], imageBytes: 1e9 });
    const { transfers, makespanSeconds, unmade } = simulatePolicy(t, [0, 2], [0, 1], [base(4, 1)], policies.singleSource);
    assert.deepEqual(transfers, [{ source: 4, made: 5, sourceHost: 1, targetHost: 1, startSeconds: 0, endSeconds: 1 }]);
    assert.deepEqual([makespanSeconds, unmade], [1, 0]);
  });

  it("counts a source busy while it feeds, and what it made as a source of its own", () => {
    const t = topology({ racks: [1], time: "unit" });
    const { transfers } = simulatePolicy(t, [3], [0], [template()], policies.rounds);
    assert.deepEqual(transfers.map(({ source, startSeconds }) => [source, startSeconds]), [[0, 0], [0, 1], [1, 1]]);
  });

  it("lets copies read from one that still arrives only where it may", () => {
    const t = topology({ racks: [3] });
    const run = (relay: boolean) => simulatePolicy(t, [0, 1, 1], none(t), [template()], policies.relay, { relay });
    assert.deepEqual(run(true).transfers.map(({ source, startSeconds, endSeconds }) => [source, startSeconds, endSeconds]), [[0, 0, 10], [1, 0, 10]]);
    assert.ok(run(false).transfers.every(({ source, startSeconds }) => source === 0 || startSeconds >= 10));
  });

  it("lets none have more than the one it reads from", () => {
    const t = topology({ racks: [3] });
    t.hosts[0]!.nicBytesPerSecond = 5e8;
    const { transfers } = simulatePolicy(t, [0, 1, 1], none(t), [template()], policies.relay, { relay: true });
    assert.deepEqual(transfers.map(({ sourceHost, targetHost, endSeconds }) => [sourceHost, targetHost, endSeconds]), [[0, 1, 20], [1, 2, 20]]);
  });

  it("goes on step by step, one at each event", () => {
    const t = topology({ racks: [1], time: "unit" });
    const steps = simulationSteps(t, t.image, [3], [0], [template()], policies.singleSource);
    let events = 0;
    for (let step = steps.next(); !step.done; step = steps.next()) events++;
    assert.equal(events, 3);
  });
});

describe("a run that has to be over by some time", () => {
  // Ten copies of 10 s each, one after the other or all at once: the store needs 100 s in any case.
  const t = topology({ racks: [1] });
  const run = (giveUpSeconds: number, more = {}) => simulatePolicy({ ...t, ...more }, [10], [0], [template()], policies.rounds, { giveUpSeconds });

  it("is run to its end where it just makes it", () => {
    assert.deepEqual([run(100).makespanSeconds, run(100).unmade], [100, 0]);
  });

  it("is given up as soon as no store can write what is left in time", () => {
    const { makespanSeconds, transfers, unmade } = run(99);
    assert.deepEqual([makespanSeconds, transfers.length, unmade], [Infinity, 1, 10]);
  });

  it("counts what copies under way have brought, and nothing of excluded hosts", () => {
    const two = topology({ racks: [2] });
    // 20 copies on a host out of the run would never be done.
    const { makespanSeconds } = simulatePolicy(two, [3, 20], [0, 0], [template()], policies.rounds, { giveUpSeconds: 30, excluded: [false, true] });
    assert.equal(makespanSeconds, 30);
  });

  it("is given up only at the time itself where copies cost nothing, or all the same", () => {
    const unit = simulatePolicy(topology({ racks: [1], time: "unit" }), [3], [0], [template()], policies.singleSource, { giveUpSeconds: 2 });
    assert.deepEqual([unit.makespanSeconds, unit.unmade, unit.transfers.length], [Infinity, 1, 3]);
    assert.deepEqual([run(1, { freeLocalCopies: true }).makespanSeconds], [0]);
  });

  it("is not looked at where nobody said when", () => assert.equal(run(Infinity).makespanSeconds, 100));
});

describe("auto, in what it need not try to the end", () => {
  it("begins with the policies that are mostly quick, and gives up those that are slower", () => {
    const t = topology({ racks: [20, 20] });
    const { runs } = choosePolicy(t, t.hosts.map(() => 10), none(t), [template()], { relay: true });
    assert.ok(runs.relay!.makespanSeconds < Infinity);
    for (const slower of ["rounds", "earliestCompletion", "singleSource"] as const) assert.equal(runs[slower]!.makespanSeconds, Infinity, slower);
  });
});
