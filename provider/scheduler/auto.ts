import type { Image, PolicyName } from "../fleet/model";
import { policies, policyNames } from "./policies";
import { drained, simulationSteps, type SimulatedRun, type SimulateOptions } from "./simulate";
import type { Source, Topology } from "./types";

export interface PolicyChoice {
  name: PolicyName;
  run: SimulatedRun;
  /** The run of each policy the hypervisor supports, as far as it was of interest: a slower one is given up (SimulateOptions). */
  runs: Partial<Record<PolicyName, SimulatedRun>>;
}

const LIKELY: readonly PolicyName[] = ["relay", "earliestCompletion", "rounds", "singleSource"];

/** Makespans closer than this part of each other are a tie. */
const TIE = 1e-9;

/**
 * `auto`: simulates every policy (`relay` where `options.relay`) and takes the one that leaves least unmade, then the shortest makespan, then the
 * first in the order of policies.ts.
 */
export function choosePolicy(...asked: Parameters<typeof choiceSteps>): PolicyChoice {
  return drained(choiceSteps(...asked));
}

/** The same, one simulated event after the other, for a caller that has other things to do in between. */
export function* choiceSteps(
  topology: Topology,
  image: Image,
  targets: readonly number[],
  made: readonly number[],
  sources: readonly Source[],
  options: SimulateOptions = {},
): Generator<void, PolicyChoice, void> {
  const able = policyNames.filter((name) => name !== "relay" || options.relay);
  const runs: Partial<Record<PolicyName, SimulatedRun>> = {};
  let shortest = Infinity;
  // Those that are mostly quick first: what is slower than the quickest so far need not be run to its end.
  for (const name of [...able].sort((a, b) => LIKELY.indexOf(a) - LIKELY.indexOf(b))) {
    const run = runs[name] = yield* simulationSteps(topology, image, targets, made, sources, policies[name], { ...options, giveUpSeconds: shortest * (1 + TIE) });
    if (run.unmade === 0) shortest = Math.min(shortest, run.makespanSeconds);
  }
  const better = (a: SimulatedRun, b: SimulatedRun): boolean =>
    a.unmade !== b.unmade ? a.unmade < b.unmade : a.makespanSeconds < b.makespanSeconds * (1 - TIE);
  const name = able.reduce((best, candidate) => (better(runs[candidate]!, runs[best]!) ? candidate : best));
  return { name, run: runs[name]!, runs };
}
