import type { FleetSpec } from "../fleet/model";
import { choosePolicy, policies, type Policy } from "../scheduler";
import type { SourcePool } from "./pool";

/** The declared policy; for `auto`, the one whose simulation on this very pool ends first. */
export function policyFor(spec: FleetSpec, pool: SourcePool): Policy {
  if (spec.policy !== "auto") return policies[spec.policy];
  const { topology, targets, made, sources, excluded } = pool.view;
  const { maxConcurrentClones } = spec.limits;
  return policies[choosePolicy(topology, targets, made, sources, { maxConcurrentClones, excluded }).name];
}
