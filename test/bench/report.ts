/** Pure: what the measurements say, in medians and ratios, and the table that shows it. */
import { table } from "../../provider/cli/table";
import type { FleetRun } from "./fleetRun";
import { sent } from "./counters";
import type { Measurements } from "./measure";
import type { BenchPolicy } from "./options";
import { errorOf, median } from "./statistics";

export interface PolicyReport {
  policy: BenchPolicy;
  /** What `auto` chose, each time. */
  chose: string[];
  /** First call to last member ready. */
  medianSeconds: number;
  /** Absent when it was not measured. */
  toSingleSource?: number;
  toPlainCopy: number;
  clonePhaseSeconds: number;
  /** First byte to last member ready: what is predicted. */
  makespanSeconds: number;
  predictedSeconds: number;
  /** Of the medians; above 0: predicted too long. */
  predictionError: number;
  bytesMoved: { reported: number; measured: number };
  bytesAcrossRacks: { reported: number; measured: number };
  /** Copies that failed or were ended for lagging, and were made from another source, over all runs. */
  failedCopies: number;
}

export interface BenchReport {
  plainSeconds: { acrossRacks: number; withinRack: number };
  /** One clone less one plain copy; on the template's own host: less the disk's time. */
  startupSeconds: { acrossRacks: number; local: number };
  policies: PolicyReport[];
  /** Over all fleets, however far and to which side. */
  medianPredictionError: number;
  leftovers: string[];
}

export function reportOf(measured: Measurements, imageBytes: number, diskBytesPerSecond: number): BenchReport {
  const plain = { acrossRacks: median(measured.plain.acrossRacks), withinRack: median(measured.plain.withinRack) };
  const clonePhase = (runs: readonly FleetRun[]): number => median(runs.map((run) => run.clonePhaseSeconds));
  const runsOf = (policy: BenchPolicy): FleetRun[] => measured.fleets.filter((each) => each.policy === policy).map(({ run }) => run);
  const fromCall = (runs: readonly FleetRun[]): number => median(runs.map((run) => run.fromCallSeconds));
  const singleSource = runsOf("singleSource");
  const reference = singleSource.length > 0 ? fromCall(singleSource) : undefined;
  const runs = measured.fleets.map(({ run }) => run);
  return {
    plainSeconds: plain,
    startupSeconds: {
      acrossRacks: clonePhase(measured.single.acrossRacks) - plain.acrossRacks,
      local: clonePhase(measured.single.local) - imageBytes / diskBytesPerSecond,
    },
    policies: [...new Set(measured.fleets.map(({ policy }) => policy))].map((policy) => (
      policyReport(policy, runsOf(policy), plain.acrossRacks, reference)
    )),
    medianPredictionError: median(runs.map((run) => Math.abs(errorOf(run.predicted.makespanSeconds, run.makespanSeconds)))),
    leftovers: [...measured.single.acrossRacks, ...measured.single.local, ...runs].flatMap((run) => run.leftovers),
  };
}

function policyReport(policy: BenchPolicy, runs: readonly FleetRun[], plainSeconds: number, singleSourceSeconds: number | undefined): PolicyReport {
  const medianSeconds = median(runs.map((run) => run.fromCallSeconds));
  const makespanSeconds = median(runs.map((run) => run.makespanSeconds));
  const predictedSeconds = median(runs.map((run) => run.predicted.makespanSeconds));
  return {
    policy,
    chose: runs.map((run) => run.policy),
    medianSeconds,
    ...(singleSourceSeconds !== undefined && { toSingleSource: medianSeconds / singleSourceSeconds }),
    toPlainCopy: medianSeconds / plainSeconds,
    clonePhaseSeconds: median(runs.map((run) => run.clonePhaseSeconds)),
    makespanSeconds,
    predictedSeconds,
    predictionError: errorOf(predictedSeconds, makespanSeconds),
    bytesMoved: {
      reported: median(runs.map((run) => run.bytesMoved)), measured: median(runs.map((run) => sent(run.traffic.nics))),
    },
    bytesAcrossRacks: {
      reported: median(runs.map((run) => run.bytesAcrossRacks)), measured: median(runs.map((run) => sent(run.traffic.uplinks))),
    },
    failedCopies: runs.reduce((sum, run) => sum + run.failedCopies.length, 0),
  };
}

export function reportText(report: BenchReport): string {
  const rows = report.policies.map((one) => [
    one.policy === "auto" ? `auto (${[...new Set(one.chose)].join(", ")})` : one.policy,
    seconds(one.medianSeconds),
    one.toSingleSource === undefined ? "" : one.toSingleSource.toFixed(2),
    one.toPlainCopy.toFixed(2),
    seconds(one.clonePhaseSeconds),
    seconds(one.makespanSeconds),
    seconds(one.predictedSeconds),
    `${(100 * one.predictionError).toFixed(0)} %`,
    megabytes(one.bytesMoved.reported),
    megabytes(one.bytesMoved.measured),
    megabytes(one.bytesAcrossRacks.reported),
    megabytes(one.bytesAcrossRacks.measured),
    one.failedCopies,
  ]);
  return table([
    "policy", "median s", "x singleSource", "x plain copy", "clone phase s", "makespan s", "predicted s", "error",
    "MB moved", "on NICs", "MB across racks", "on uplinks", "failed copies",
  ], rows);
}

const seconds = (value: number): string => value.toFixed(1);
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
