import type { FleetSpec, Problem } from "../fleet/model";
import { choosePolicy, policies, type Policy } from "../scheduler";
import type { SourcePool } from "./pool";

/** The declared policy; for `auto`, the one whose simulation on this very pool ends first. */
export function policyFor(spec: FleetSpec, pool: SourcePool): Policy {
  if (spec.policy !== "auto") return policies[spec.policy];
  const { topology, targets, made, sources, excluded } = pool.view;
  const { maxConcurrentClones } = spec.limits;
  return policies[choosePolicy(topology, targets, made, sources, { maxConcurrentClones, excluded, relay: pool.view.arriving !== undefined }).name];
}

/** A policy that the hypervisor has not what it takes for. */
export function policyProblems({ policy }: FleetSpec, relay: boolean): Problem[] {
  if (policy !== "relay" || relay) return [];
  return [{
    path: "policy",
    message: 'expected auto, rounds, earliestCompletion or singleSource, got "relay"; this hypervisor cannot copy from a copy that is still arriving, use auto',
  }];
}
