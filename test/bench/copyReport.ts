/** Pure: what the copies say, in medians and ratios, and the table that shows it. */
import { table } from "../../provider/cli/table";
import type { CaseReport } from "./cases";
import { sent } from "./counters";
import type { CopyMeasurement, CopyMeasurements } from "./copyCase";
import type { BenchSubject } from "./options";
import { errorOf, median } from "./statistics";

export interface SubjectReport {
  subject: BenchSubject;
  /** What `auto` chose, each once. */
  chose?: string[];
  runs: number;
  /** Medians, as all that follows. */
  copySeconds: number;
  /** Of the ratios of each run to its turn's plain copy. */
  toPlainCopy: number;
  /** The whole call; absent for the swarm. */
  callSeconds?: number;
  predictedSeconds?: number;
  /** Above 0: predicted too long. */
  predictionError?: number;
  /** The most that left, and that entered, one host's NIC, as parts of the image. */
  mostOut: number;
  mostIn: number;
  /** The most that left one rack, as parts of the image. */
  mostOutOfRack: number;
  /** All that left any rack. */
  acrossRacks: number;
  /** What the machine did beside it shows here: a busy machine has no time for copies. */
  cpuBusyShare: number;
  failedCopies: number;
}

export function copyReport(measured: CopyMeasurements, imageBytes: number): CaseReport {
  const subjects = [...new Set(measured.runs.map(({ subject }) => subject))]
    .map((subject) => subjectReport(subject, measured.runs.filter((one) => one.subject === subject), imageBytes));
  const errors = measured.runs.flatMap(({ run }) => (run.kind === "fleet" ? [Math.abs(errorOf(run.predictedSeconds, run.copySeconds))] : []));
  const medianError = errors.length > 0 ? median(errors) : undefined;
  const plain = median(Object.values(measured.plain).filter((seconds) => seconds > 0));
  const targets = measured.hosts.length - 1;
  const text = [
    `one image of ${(imageBytes / 1e6).toFixed(0)} MB to ${targets} hosts; one plain copy (nc) takes ${plain.toFixed(2)} s`,
    "",
    table(
      ["", "copy s", "x plain copy", "call s", "predicted s", "error", "NIC out", "NIC in", "rack out", "across racks", "CPU busy", "runs"],
      subjects.map((one) => [
        one.chose ? `auto (${one.chose.join(", ")})` : one.subject, one.copySeconds.toFixed(2), one.toPlainCopy.toFixed(3),
        one.callSeconds?.toFixed(1) ?? "", one.predictedSeconds?.toFixed(2) ?? "",
        one.predictionError === undefined ? "" : `${(100 * one.predictionError).toFixed(1)} %`,
        one.mostOut.toFixed(2), one.mostIn.toFixed(2), one.mostOutOfRack.toFixed(2), one.acrossRacks.toFixed(2),
        `${(100 * one.cpuBusyShare).toFixed(0)} %`, one.runs,
      ]),
    ),
    "",
    "copy s: first copy's call to the last file closed. call s: the whole run, with lock, look, definition and merge of empty delta disks.",
    "NIC out, NIC in, rack out: the most that passed one of them, headers included, in images; across racks: all that left racks.",
    ...(medianError === undefined ? [] : [`Median prediction error ${(100 * medianError).toFixed(1)} %.`]),
  ].join("\n");
  const faults = measured.runs.flatMap(({ subject, turn, run }) => run.faults.map((fault) => `copy, ${subject}, turn ${turn + 1}: ${fault}`));
  return { text, data: { plainSeconds: plain, subjects, medianPredictionError: medianError }, faults };
}

function subjectReport(subject: BenchSubject, all: readonly CopyMeasurement[], imageBytes: number): SubjectReport {
  const of = (value: (one: CopyMeasurement) => number): number => median(all.map(value));
  const most = (counts: Record<string, { rx: number; tx: number }>, way: "rx" | "tx"): number =>
    Math.max(...Object.values(counts).map((count) => count[way])) / imageBytes;
  const fleets = all.flatMap(({ run }) => (run.kind === "fleet" ? [run] : []));
  const copySeconds = of(({ run }) => run.copySeconds);
  return {
    subject,
    ...(subject === "auto" && { chose: [...new Set(fleets.map(({ policy }) => policy))] }),
    runs: all.length,
    copySeconds,
    toPlainCopy: of(({ run, plainSeconds }) => run.copySeconds / plainSeconds),
    ...(fleets.length > 0 && {
      callSeconds: median(fleets.map(({ callSeconds }) => callSeconds)),
      predictedSeconds: median(fleets.map(({ predictedSeconds }) => predictedSeconds)),
      predictionError: median(fleets.map((run) => errorOf(run.predictedSeconds, run.copySeconds))),
    }),
    mostOut: of(({ run }) => most(run.traffic.nics, "tx")),
    mostIn: of(({ run }) => most(run.traffic.nics, "rx")),
    mostOutOfRack: of(({ run }) => most(run.traffic.uplinks, "tx")),
    acrossRacks: of(({ run }) => sent(run.traffic.uplinks) / imageBytes),
    cpuBusyShare: of(({ run }) => run.cpuBusyShare),
    failedCopies: fleets.reduce((sum, run) => sum + run.failedCopies.length, 0),
  };
}
