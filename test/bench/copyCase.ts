/**
 * Case `copy`: one image to every other host, by each policy and by a swarm, each beside one plain copy of the same
 * turn. The subjects take turns, so that whatever else the machine does hits all alike.
 */
import { timelineSvg } from "../../provider/picture";
import type { BenchCase } from "./cases";
import { copyReport } from "./copyReport";
import { runFleet, type FleetRun } from "./fleetRun";
import { routeOf, type BenchGround } from "./ground";
import { benchSpec } from "./inputs";
import type { BenchOptions, BenchSubject } from "./options";
import { Swarm, type SwarmRun } from "./swarm";

export interface CopyMeasurement {
  subject: BenchSubject;
  turn: number;
  /** One plain copy of the same turn. */
  plainSeconds: number;
  run: FleetRun | SwarmRun;
}

export interface CopyMeasurements {
  /** Seconds of one plain copy, by turn. */
  plain: number[];
  runs: CopyMeasurement[];
  hosts: string[];
  racks: Record<string, string>;
}

async function measure(ground: BenchGround, options: BenchOptions, found: unknown, save: (measured: unknown) => void): Promise<CopyMeasurements> {
  const { lab, template, log, plain, imageBytes } = ground;
  const measured = (found as CopyMeasurements | undefined) ?? {
    plain: [], runs: [], hosts: lab.hosts.map(({ name }) => name), racks: Object.fromEntries(lab.hosts.map(({ name, rack }) => [name, rack])),
  };
  const { from, to } = routeOf(lab.hosts);
  let swarm: Swarm | undefined;
  let warm = false;
  try {
    for (let turn = 0; turn < options.repeat; turn++) {
      for (const subject of options.subjects) {
        if (measured.runs.some((one) => one.turn === turn && one.subject === subject)) continue;
        if (!ground.mayGoOn()) return measured;
        if (!warm) await plain.copy(from, to); // the first one after a lab's start is slower
        warm = true;
        // Of this turn: a machine has good hours and bad ones.
        const plainSeconds = measured.plain[turn] ??= await plain.copy(from, to);
        if (subject === "swarm") swarm ??= await Swarm.prepare(lab, template.path, log);
        const nicShare = Math.min(1, imageBytes / plainSeconds / (Math.min(from.nicBitsPerSecond, to.nicBitsPerSecond) / 8));
        const run = subject === "swarm" ? await swarm!.copy() : await runFleet(ground, benchSpec(ground, subject, nicShare));
        measured.runs.push({ subject, turn, plainSeconds, run });
        save(measured);
        if (run.kind === "fleet") {
          const { clones } = run;
          ground.picture(`copy-${lab.hosts.length}-${subject}-${turn + 1}`, timelineSvg(clones, {
            hosts: lab.hosts, imageBytes, title: `${subject}${subject === "auto" ? ` (${run.policy})` : ""} to ${lab.hosts.length - 1} hosts, ${run.copySeconds.toFixed(1)} s`,
          }));
        }
        log(`turn ${turn + 1}, ${subject}: ${run.copySeconds.toFixed(2)} s, ${(run.copySeconds / plainSeconds).toFixed(3)} of a plain copy (CPU ${Math.round(100 * run.cpuBusyShare)} % busy)`);
        for (const failure of run.kind === "fleet" ? run.failedCopies : []) log(`  a copy failed: ${failure}`);
        for (const fault of run.faults) log(`  FAULT: ${fault}`);
      }
    }
    return measured;
  } finally {
    await swarm?.remove();
  }
}

export const copyCase: BenchCase = {
  measure,
  report: (measured, { imageBytes }) => copyReport(measured as CopyMeasurements, imageBytes),
};
