import assert from "node:assert/strict";
import type { CopyMeasurement, CopyMeasurements } from "./copyCase";
import { copyReport, type SubjectReport } from "./copyReport";
import type { FleetRun } from "./fleetRun";
import { errorOf, median } from "./statistics";

const traffic = { nics: { a1: { rx: 0, tx: 300 }, b1: { rx: 105, tx: 2 } }, uplinks: { a: { rx: 0, tx: 110 }, b: { rx: 110, tx: 10 } } };

function measurement(turn: number, copySeconds: number, changes: Partial<FleetRun> = {}): CopyMeasurement {
  return {
    subject: "auto", turn, plainSeconds: 2,
    run: {
      kind: "fleet", policy: "rounds", copySeconds, callSeconds: copySeconds + 1, predictedSeconds: 8, bytesMoved: 0, bytesAcrossRacks: 0,
      bytesResent: 0, traffic, clones: [], failedCopies: [], faults: [], loadAverage: 0, cpuBusyShare: 0.5, ...changes,
    },
  };
}

function reported(runs: CopyMeasurement[]): { subjects: SubjectReport[]; medianPredictionError?: number } {
  const measured: CopyMeasurements = { plain: [2, 2, 2], runs, hosts: ["a1", "b1"], racks: { a1: "a", b1: "b" } };
  return copyReport(measured, 100).data as ReturnType<typeof reported>;
}

describe("report of the copies", () => {
  const report = reported([measurement(0, 9), measurement(1, 99), measurement(2, 7)]);
  const [auto] = report.subjects;

  it("takes medians, and ratios to a plain copy of the same turn", () => {
    assert.equal(auto!.copySeconds, 9);
    assert.equal(auto!.toPlainCopy, 4.5);
    assert.deepEqual(auto!.chose, ["rounds"]);
  });

  it("holds predictions against the copies that they predict", () => {
    assert.ok(Math.abs(auto!.predictionError! - (8 / 9 - 1)) < 1e-12);
    assert.ok(Math.abs(report.medianPredictionError! - 1 / 7) < 1e-12);
  });

  it("shows what passed the busiest NIC and uplink in images", () => {
    assert.deepEqual([auto!.mostOut, auto!.mostIn, auto!.mostOutOfRack, auto!.acrossRacks], [3, 1.05, 1.1, 1.2]);
  });

  it("names every fault", () => {
    const { faults } = copyReport({ plain: [2], runs: [measurement(0, 9, { faults: ["left behind: x"] })], hosts: ["a1", "b1"], racks: {} }, 100);
    assert.deepEqual(faults, ["copy, auto, turn 1: left behind: x"]);
  });

  it("knows a swarm, which predicts nothing", () => {
    const { subjects } = reported([{ subject: "swarm", turn: 0, plainSeconds: 2, run: { kind: "swarm", copySeconds: 3, traffic, cpuBusyShare: 0, faults: [] } }]);
    assert.equal(subjects[0]!.predictedSeconds, undefined);
    assert.equal(subjects[0]!.toPlainCopy, 1.5);
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
