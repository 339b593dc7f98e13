/** Replicas and uploads that nobody will need once a plan is done. */
import type { HostTable, KnownHost } from "../hosts/table";
import { ownersOf } from "../hosts/leftovers";
import { memberKeyOn } from "../members/keys";
import type { FleetPlan, FleetState, ObservedReplica } from "../model";
import { compare } from "../words/problems";
import type { PlanContext } from "./context";

/**
 * Replicas that a guest may stand on who is not to be seen beside them: hosts may share a pool, and a linked member that
 * was moved by hand writes to a disk of the host it came from, over that host's replica. Its own host shows that disk as
 * one that stays; and a displaced member says of which content its replica is, not on which host.
 * @returns of a replica on a host: whether one may stand on it
 */
export function stoodOnElsewhere(table: HostTable, previous: FleetState | undefined): (host: KnownHost, replica: ObservedReplica) => boolean {
  const contents = new Set(table.hosts.flatMap(({ seen }) =>
    (seen?.members ?? []).filter((member) => member.displaced && member.kind === "linked").map(({ contentId }) => contentId)));
  const ownerOf = ownersOf(table, previous);
  const staying = new Set(table.hosts.filter(({ name, seen }) => seen?.leftovers.some((leftover) => ownerOf(leftover, name) !== undefined)));
  return (host, { purpose, contentId }) => purpose === "replica" && (contents.has(contentId) || staying.has(host));
}

export function unusedReplicas({ table, image: { contentId }, census, previous }: PlanContext, plan: FleetPlan): FleetPlan["removeReplicas"] {
  if (!table.hosts.some(({ seen }) => seen && seen.replicas.length > 0)) return [];
  const leaving = new Set(plan.destroy.map((one) => memberKeyOn(one.host, one)));
  const fleetIsEmpty = Object.values(plan.placement).every((members) => members === 0) && census.lost.length === 0;
  const linkedOn = new Set(plan.create.filter((one) => one.kind === "linked").map((one) => one.host));
  const isStoodOn = stoodOnElsewhere(table, previous);
  return table.hosts.flatMap((host) => {
    const { name, seen, declared } = host;
    if (!seen) return [];
    return seen.replicas.flatMap((replica) => {
      if (replica.strangers?.length || isStoodOn(host, replica)) return []; // a machine stands on it that the plan has no say in
      const users = seen.members.filter((member) =>
        !leaving.has(memberKeyOn(name, member))
        && (replica.users.includes(member.slot) || (member.kind === "linked" && member.contentId === replica.contentId)));
      const created = linkedOn.has(name) && replica.contentId === contentId;
      const reason = replica.purpose === "replica"
        ? users.length === 0 && !created && "its last linked clone is gone"
        : fleetIsEmpty ? "the fleet has no members any more"
        : replica.contentId !== contentId ? "the template has changed since this upload"
        : !declared && "its host is no longer declared";
      return reason ? [{ host: name, contentId: replica.contentId, purpose: replica.purpose, reason }] : [];
    }).sort((a, b) => compare(a.contentId, b.contentId) || compare(a.purpose, b.purpose));
  });
}
