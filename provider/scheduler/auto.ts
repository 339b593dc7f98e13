import type { PolicyName } from "../fleet/model";
import { policies, policyNames } from "./policies";
import { simulatePolicy, type SimulatedRun, type SimulateOptions } from "./simulate";
import type { Source, Topology } from "./types";

export interface PolicyChoice {
  name: PolicyName;
  run: SimulatedRun;
  /** Every policy's run, for comparison. */
  runs: Record<PolicyName, SimulatedRun>;
}

/** Makespans closer than this part of each other are a tie. */
const TIE = 1e-9;

/**
 * `auto`: simulates every policy and takes the one that leaves least unmade, then the shortest makespan, then the
 * first in the order of policies.ts.
 */
export function choosePolicy(
  topology: Topology,
  targets: readonly number[],
  made: readonly number[],
  sources: readonly Source[],
  options: SimulateOptions = {},
): PolicyChoice {
  const runs = Object.fromEntries(policyNames.map((name) =>
    [name, simulatePolicy(topology, targets, made, sources, policies[name], options)])) as Record<PolicyName, SimulatedRun>;
  return bestOf(runs);
}

export function bestOf(runs: Record<PolicyName, SimulatedRun>): PolicyChoice {
  const better = (a: SimulatedRun, b: SimulatedRun): boolean =>
    a.unmade !== b.unmade ? a.unmade < b.unmade : a.makespanSeconds < b.makespanSeconds * (1 - TIE);
  const name = policyNames.reduce((best, candidate) => (better(runs[candidate], runs[best]) ? candidate : best));
  return { name, run: runs[name], runs };
}
