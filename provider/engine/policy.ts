import type { FleetSpec, PolicyName } from "../fleet/model";
import { bestOf, policies, policyNames, simulationSteps, type Policy, type SimulatedRun } from "../scheduler";
import type { SourcePool } from "./pool";
import type { Clock } from "./types";

/** Events simulated in one go: some milliseconds, so that locks and connections are kept alive meanwhile. */
const STEPS_AT_ONCE = 16;

/** The declared policy; for `auto`, the one whose simulation on this very pool ends first. */
export async function policyFor(spec: FleetSpec, pool: SourcePool, clock: Clock): Promise<Policy> {
  if (spec.policy !== "auto") return policies[spec.policy];
  const { topology, view } = pool;
  // All are tried on the same pool, whatever happens to it meanwhile.
  const [targets, made, sources, excluded] = [[...view.targets], [...view.made], view.sources.map((one) => ({ ...one })), [...view.excluded]];
  const { maxConcurrentClones } = spec.limits;
  const runs: Partial<Record<PolicyName, SimulatedRun>> = {};
  for (const name of policyNames) {
    const steps = simulationSteps(topology, targets, made, sources, policies[name], { maxConcurrentClones, excluded });
    for (let n = 1; ; n++) {
      const step = steps.next();
      if (step.done) {
        runs[name] = step.value;
        break;
      }
      if (n % STEPS_AT_ONCE === 0) await clock.sleep(0);
    }
  }
  return policies[bestOf(runs as Record<PolicyName, SimulatedRun>).name];
}
