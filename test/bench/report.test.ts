import assert from "node:assert/strict";
import type { FleetRun } from "./fleetRun";
import type { Measurements } from "./measure";
import { reportOf, reportText } from "./report";
import { errorOf, median } from "./statistics";

const traffic = { nics: { a1: { rx: 0, tx: 30e6 }, b1: { rx: 30e6, tx: 2e6 } }, uplinks: { a: { rx: 0, tx: 11e6 }, b: { rx: 11e6, tx: 1e6 } } };

function run(seconds: number, predictedSeconds: number, changes: Partial<FleetRun> = {}): FleetRun {
  const times = { policy: "rounds" as const, clonePhaseSeconds: seconds - 1, bytesMoved: 30e6, bytesAcrossRacks: 10e6 };
  return {
    ...times, makespanSeconds: seconds, fromCallSeconds: seconds + 1, callSeconds: seconds + 2, loadAverage: 0, cpuBusyShare: 0, traffic,
    predicted: { ...times, makespanSeconds: predictedSeconds }, clones: [], failedCopies: [], predictedClones: [], leftovers: [],
    ...changes,
  };
}

function measured(fleets: Measurements["fleets"]): Measurements {
  return {
    plain: { acrossRacks: [2, 9, 1], withinRack: [1, 1] },
    single: { acrossRacks: [run(4, 4)], local: [run(2, 2)] },
    fleets,
  };
}

describe("report of the bench", () => {
  const report = reportOf(measured([
    { policy: "singleSource", repeat: 0, run: run(19, 19) },
    { policy: "rounds", repeat: 0, run: run(9, 8) },
    { policy: "rounds", repeat: 1, run: run(99, 8, { leftovers: ["a1: volume x"] }) },
    { policy: "rounds", repeat: 2, run: run(7, 8) },
  ]), 100e6, 200e6);
  const rounds = report.policies[1]!;

  it("compares medians with the single source and with a plain copy of the same run", () => {
    assert.equal(rounds.medianSeconds, 10);
    assert.equal(rounds.toSingleSource, 0.5);
    assert.equal(rounds.toPlainCopy, 5);
  });

  it("holds predictions against the makespan that they predict", () => {
    assert.equal(rounds.makespanSeconds, 9);
    assert.ok(Math.abs(rounds.predictionError - (8 / 9 - 1)) < 1e-12);
  });

  it("counts what crossed racks once, as it left its rack", () => {
    assert.deepEqual(rounds.bytesAcrossRacks, { reported: 10e6, measured: 12e6 });
    assert.deepEqual(rounds.bytesMoved, { reported: 30e6, measured: 32e6 });
  });

  it("says what a clone costs beyond its bytes", () => {
    assert.deepEqual(report.startupSeconds, { acrossRacks: 1, local: 0.5 });
  });

  it("names what was left behind", () => {
    assert.deepEqual(report.leftovers, ["a1: volume x"]);
  });

  it("does without a single source to compare with", () => {
    const alone = reportOf(measured([{ policy: "auto", repeat: 0, run: run(9, 8) }]), 100e6, 200e6);
    assert.equal(alone.policies[0]!.toSingleSource, undefined);
    assert.match(reportText(alone), /^auto \(rounds\) +10\.0 /m);
  });
});

describe("statistics of the bench", () => {
  it("take the middle, or the mean of the middle two", () => {
    assert.equal(median([9, 1, 2]), 2);
    assert.equal(median([4, 1, 2, 9]), 3);
    assert.throws(() => median([]), RangeError);
  });

  it("call an error positive where too long was predicted", () => {
    assert.equal(errorOf(12, 10) > 0, true);
    assert.equal(errorOf(8, 10) < 0, true);
  });
});
