import type { PolicyName } from "../fleet/model";
import { policies, policyNames } from "./policies";
import { simulatePolicy, type SimulatedRun, type SimulateOptions } from "./simulate";
import type { Source, Topology } from "./types";

export interface PolicyChoice {
  name: PolicyName;
  run: SimulatedRun;
  /** The run of each policy the hypervisor supports, for comparison. */
  runs: Partial<Record<PolicyName, SimulatedRun>>;
}

/** Makespans closer than this part of each other are a tie. */
const TIE = 1e-9;

/**
 * `auto`: simulates every policy (`relay` where `options.relay`) and takes the one that leaves least unmade, then the shortest makespan, then the
 * first in the order of policies.ts.
 */
export function choosePolicy(
  topology: Topology,
  targets: readonly number[],
  made: readonly number[],
  sources: readonly Source[],
  options: SimulateOptions = {},
): PolicyChoice {
  const able = policyNames.filter((name) => name !== "relay" || options.relay);
  const runs = Object.fromEntries(able.map((name) =>
    [name, simulatePolicy(topology, targets, made, sources, policies[name], options)])) as Record<PolicyName, SimulatedRun>;
  const better = (a: SimulatedRun, b: SimulatedRun): boolean =>
    a.unmade !== b.unmade ? a.unmade < b.unmade : a.makespanSeconds < b.makespanSeconds * (1 - TIE);
  const name = able.reduce((best, candidate) => (better(runs[candidate], runs[best]) ? candidate : best));
  return { name, run: runs[name], runs };
}
