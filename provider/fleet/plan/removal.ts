/** What deleting the resource must remove: its own incarnation, nothing else. */
import { namesOf } from "../members/changes";
import { takeCensus } from "../hosts/census";
import { groupBy, groupOf } from "../groups";
import { knowHosts, unsettledReason } from "../hosts/table";
import { leftoverWarnings, ownersOf } from "../hosts/leftovers";
import { keptDiskProblems } from "./refusals";
import type { FleetPlan, FleetSpec, FleetState, Observation } from "../model";
import { plural, tidy } from "../words/problems";
import { FIRST_WAVE } from "./context";
import { stoodOnElsewhere } from "./replicas";
import { strangerWarnings, twinProblems } from "../hosts/strangers";

export interface RemovalRequest {
  spec: FleetSpec;
  fleetId: string;
  incarnation: string;
  observation: Observation;
  previous?: FleetState;
}

/**
 * A plan that only destroys. Members of another incarnation stand in `keep`; as long as there are any, leftovers,
 * replicas and uploads stay too, because they may be that one's.
 */
export function planRemoval({ spec, fleetId, incarnation, observation, previous }: RemovalRequest): FleetPlan {
  const table = knowHosts(spec, previous, observation);
  const census = takeCensus(table, previous, false);
  const twins = new Set(census.twins.map((one) => one.member));
  const found = table.hosts.flatMap((host) => (host.seen?.members ?? []).filter((member) => !twins.has(member)).map((member) => ({ ...member, host: host.name })));
  const bySlot = (a: { slot: number; generation: number }, b: { slot: number; generation: number }) => a.slot - b.slot || a.generation - b.generation;
  const own = found.filter((member) => member.incarnation === incarnation).sort(bySlot);
  const others = found.filter((member) => member.incarnation !== incarnation).sort(bySlot);
  const unseen = [...census.present.filter((one) => !one.member), ...census.lost, ...census.doubles].sort(bySlot);
  const unseenOn = groupBy(unseen, (one) => one.host);
  const othersOn = groupBy(others, (one) => one.host);

  const problems = [...table.hosts.filter((host) => !host.seen && !host.abandoned).flatMap((host) => {
    const held = groupOf(unseenOn, host);
    if (held.length === 0 && !host.recorded?.unsettled) return [];
    const what = held.length > 0 ? `holds ${plural(held.length, "member")} (${namesOf(held)})` : unsettledReason(host);
    return [{
      path: "abandonHosts",
      message: `expected every host with members to answer, got none from ${host.name} (${host.unseenReason}), which ${what}; bring it back, or give it up with abandonHosts: [${JSON.stringify(host.name)}], run \`pulumi up\`, then destroy`,
    }];
  })];
  problems.push(...keptDiskProblems(spec, own), ...twinProblems(census, new Set(own.map(({ slot }) => slot))));
  if (spec.deletionProtection && own.length + unseen.length > 0) {
    problems.push({
      path: "deletionProtection",
      message: `expected false for deleting a fleet of ${plural(own.length + unseen.length, "member")}, got true; set it to false, run \`pulumi up\`, then delete`,
    });
  }
  const alone = others.length === 0;
  const ownerOf = ownersOf(table, previous);
  const isStoodOn = stoodOnElsewhere(table, previous);
  return {
    fleetId,
    seedContentId: previous?.contentId ?? observation.template?.contentId ?? "",
    create: [], adopt: [], reconfigure: [], consolidate: [], complete: [], awaiting: [], move: [],
    keep: others.map(({ slot, name, host }) => ({ slot, name, host, reason: "belongs to another run or resource of this fleet" })),
    destroy: own.map(({ slot, name, host, generation }) => ({ slot, name, host, generation, wave: FIRST_WAVE, reason: "the fleet is deleted" })),
    lost: unseen.map(({ slot, name, host }) => ({ slot, name, host: host.name, reason: `its host does not answer: ${host.unseenReason}` })),
    cleanup: !alone ? [] : table.hosts.flatMap(({ name, seen }) =>
      (seen?.leftovers ?? []).filter((leftover) => ownerOf(leftover, name) === undefined)
        .map((leftover) => ({ host: name, leftover, reason: "the fleet is deleted" }))),
    removeReplicas: !alone ? [] : table.hosts.flatMap((host) =>
      (host.seen?.replicas ?? []).filter((replica) => !isStoodOn(host, replica))
        .map(({ contentId, purpose }) => ({ host: host.name, contentId, purpose, reason: "the fleet is deleted" }))),
    placement: Object.fromEntries(spec.hosts.map((host) => [host.name, groupOf(othersOn, host.name).length])),
    problems: tidy(problems),
    warnings: [...strangerWarnings({ table, census }), ...leftoverWarnings({ table, previous }), ...table.hosts.filter((host) => !host.seen && !unseenOn.has(host)).map((host) =>
      `${host.name} does not answer (${host.unseenReason}): nothing is recorded there; leftovers, if any, stay`)],
  };
}
