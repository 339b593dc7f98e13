/** Replicas and uploads that nobody will need once a plan is done. */
import type { FleetPlan } from "./model";
import { compare } from "./problems";
import type { PlanContext } from "./reconcile";

export function unusedReplicas({ table, contentId, census }: PlanContext, plan: FleetPlan): FleetPlan["removeReplicas"] {
  if (!table.hosts.some(({ seen }) => seen && seen.replicas.length > 0)) return [];
  const leaving = new Set(plan.destroy.map((one) => `${one.host}/${one.slot}/${one.generation}`));
  const fleetIsEmpty = Object.values(plan.placement).every((members) => members === 0) && census.lost.length === 0;
  const linkedOn = new Set(plan.create.filter((one) => one.kind === "linked").map((one) => one.host));
  return table.hosts.flatMap(({ name, seen, declared }) =>
    (seen?.replicas ?? []).flatMap((replica) => {
      if (replica.strangers?.length) return []; // somebody's machine stands on it
      const users = (seen?.members ?? []).filter((member) =>
        !leaving.has(`${name}/${member.slot}/${member.generation}`)
        && (replica.users.includes(member.slot) || (member.kind === "linked" && member.contentId === replica.contentId)));
      const created = linkedOn.has(name) && replica.contentId === contentId;
      const reason = replica.purpose === "replica"
        ? users.length === 0 && !created && "its last linked clone is gone"
        : fleetIsEmpty ? "the fleet has no members any more"
        : replica.contentId !== contentId ? "the template has changed since this upload"
        : !declared && "its host is no longer declared";
      return reason ? [{ host: name, contentId: replica.contentId, purpose: replica.purpose, reason }] : [];
    }).sort((a, b) => compare(a.contentId, b.contentId) || compare(a.purpose, b.purpose)),
  );
}
