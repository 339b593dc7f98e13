import type { FleetSpec, Problem } from "../fleet/model";
import { choiceSteps, policies, type Policy } from "../scheduler";
import type { SourcePool } from "./pool";
import type { Clock } from "./types";

/** Events simulated in one go: some milliseconds, so that locks and connections are kept alive meanwhile. */
const STEPS_AT_ONCE = 8;

/** The declared policy; for `auto`, the one whose simulation on this very pool ends first. */
export async function policyFor(spec: FleetSpec, pool: SourcePool, clock: Clock): Promise<Policy> {
  if (spec.policy !== "auto") return policies[spec.policy];
  const { topology, view } = pool;
  // All are tried on the same pool, whatever happens to it meanwhile.
  const [targets, made, sources, excluded] = [[...view.targets], [...view.made], view.sources.map((one) => ({ ...one })), [...view.excluded]];
  const { maxConcurrentClones } = spec.limits;
  const steps = choiceSteps(topology, targets, made, sources, { maxConcurrentClones, excluded, relay: pool.view.arriving !== undefined });
  for (let n = 1; ; n++) {
    const step = steps.next();
    if (step.done) return policies[step.value.name];
    if (n % STEPS_AT_ONCE === 0) await clock.sleep(0);
  }
}

/** A policy that the hypervisor has not what it takes for. */
export function policyProblems({ policy }: FleetSpec, relay: boolean): Problem[] {
  if (policy !== "relay" || relay) return [];
  return [{
    path: "policy",
    message: 'expected auto, rounds, earliestCompletion or singleSource, got "relay"; this hypervisor cannot copy from a copy that is still arriving, use auto',
  }];
}
