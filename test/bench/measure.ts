/** The measurements of one run, taken in turns, so that whatever else the machine does hits all alike. */
import type { LabHost } from "../lab/lab.mjs";
import { runFleet, type FleetRun } from "./fleetRun";
import { benchSpec, type BenchFleet, type BenchGround } from "./inputs";
import type { BenchOptions, BenchPolicy } from "./options";
import type { PlainCopies } from "./plain";

export interface Measurements {
  /** Seconds of a plain copy, each time it was measured. */
  plain: { acrossRacks: number[]; withinRack: number[] };
  /** A fleet of one on another rack's host, and of one on the template's own: what one clone costs. */
  single: { acrossRacks: FleetRun[]; local: FleetRun[] };
  fleets: { policy: BenchPolicy; repeat: number; run: FleetRun }[];
}

/** The template's host and a partner in its rack and in another one; the lab's first hosts where there is none. */
export interface Route {
  from: LabHost;
  across: LabHost;
  within: LabHost;
}

export function routeOf(hosts: readonly LabHost[]): Route {
  const [from, ...others] = hosts;
  if (!from || others.length === 0) throw new Error("topology: expected at least two hosts, to copy from one to the other");
  return {
    from,
    across: others.find((host) => host.rack !== from.rack) ?? others[0]!,
    within: others.find((host) => host.rack === from.rack) ?? others[0]!,
  };
}

export async function measure(
  ground: BenchGround, plainCopies: PlainCopies, options: BenchOptions, log: (line: string) => void,
): Promise<Measurements> {
  const { lab } = ground;
  const { policies, members, repeat, powerOn } = options;
  const { from, across, within } = routeOf(lab.hosts);
  const measured: Measurements = {
    plain: { acrossRacks: [], withinRack: [] }, single: { acrossRacks: [], local: [] }, fleets: [],
  };
  const fleet = async (wanted: Omit<BenchFleet, "powerOn">): Promise<FleetRun> => {
    const run = await runFleet(lab, benchSpec(ground, { ...wanted, powerOn }));
    log(`  ${wanted.onlyOn === undefined ? wanted.policy : `one clone on ${wanted.onlyOn}`}: ${run.fromCallSeconds.toFixed(1)} s, predicted ${run.predicted.makespanSeconds.toFixed(1)} s (load ${run.loadAverage}, CPU ${Math.round(100 * run.cpuBusyShare)} % busy)`);
    for (const { sourceHost, targetHost, error } of run.failedCopies) log(`    a copy ${sourceHost} -> ${targetHost} failed: ${error}`);
    if (run.leftovers.length > 0) log(`  LEFT BEHIND: ${run.leftovers.join(", ")}`);
    return run;
  };
  const plain = async (): Promise<void> => {
    measured.plain.acrossRacks.push(await plainCopies.copy(from, across));
    measured.plain.withinRack.push(await plainCopies.copy(from, within));
    log(`  plain copy: ${measured.plain.acrossRacks.at(-1)!.toFixed(2)} s across racks, ${measured.plain.withinRack.at(-1)!.toFixed(2)} s within one`);
  };

  log("warming up");
  await fleet({ policy: "singleSource", count: lab.hosts.length });
  for (let turn = 0; turn < repeat; turn++) {
    log(`turn ${turn + 1} of ${repeat}`);
    measured.single.acrossRacks.push(await fleet({ policy: "singleSource", count: 1, onlyOn: across.name }));
    measured.single.local.push(await fleet({ policy: "singleSource", count: 1, onlyOn: from.name }));
    for (const policy of policies) {
      await plain();
      measured.fleets.push({ policy, repeat: turn, run: await fleet({ policy, count: members }) });
    }
  }
  return measured;
}
