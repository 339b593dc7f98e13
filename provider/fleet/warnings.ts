/** What the user should know about a plan though it stops nothing. */
import { isCompletable, isUnarrived } from "./arrival";
import { diskWarning, namesOf } from "./changes";
import { kindOfSlot } from "./identity";
import { ownerOf } from "./leftovers";
import type { FleetPlan, ObservedMember } from "./model";
import { plural } from "./problems";
import { hasSeed, isStillRead } from "./refusals";
import type { PlanContext } from "./reconcile";

export function planWarnings(context: PlanContext, plan: FleetPlan): string[] {
  const leaving = new Set(plan.destroy.map((one) => one.slot));
  const members = context.census.present.flatMap((one) => (one.member && !leaving.has(one.slot) ? [one.member] : []));
  return [
    ...hostWarnings(context),
    ...strangerWarnings(context),
    ...contentWarnings(context, plan, members),
    ...kindWarnings(context, members),
    ...diskWarning(context.spec, members),
    ...arrivalWarnings(context, members),
    ...leftoverWarnings(context),
  ];
}

function hostWarnings({ table, mode, observation, census }: PlanContext): string[] {
  const warnings: string[] = [];
  if (mode === "preview" && !observation) {
    warnings.push("no host was asked: planned from the inputs and the recorded state alone");
  } else if (mode === "preview") {
    for (const host of table.hosts.filter((one) => !one.seen && !one.abandoned && (one.declared || one.recorded?.unsettled || census.lost.some((lost) => lost.host === one)))) {
      const then = host.declared ? "planned as recorded; up fails unless it answers" : "its members count as lost; up fails unless it answers or stands in abandonHosts";
      warnings.push(`${host.name} does not answer (${host.unseenReason}): ${then}`);
    }
  }
  for (const host of table.hosts.filter((one) => one.abandoned)) {
    const forgotten = census.forgotten.filter((one) => one.host === host);
    warnings.push(`${host.name} is abandoned: ${forgotten.length > 0 ? `${namesOf(forgotten)} forgotten, ` : ""}nothing is placed there`);
  }
  for (const { name, seen } of table.hosts) {
    if (seen?.roomUnknown !== undefined) warnings.push(`${name}: what is free in its pool is not known, so nothing says whether the plan fits (${seen.roomUnknown})`);
  }
  return warnings;
}

/** Domains with our tag that are none of ours: somebody's, who may not know what he copied. */
function strangerWarnings({ table }: PlanContext): string[] {
  return table.hosts.flatMap(({ name, seen }) => (seen?.strangers ?? []).map((one) => `${one.name} on ${name} is left alone: ${one.reason}`));
}

function contentWarnings(context: PlanContext, plan: FleetPlan, members: readonly ObservedMember[]): string[] {
  const { observation, contentId } = context;
  if (observation && isStillRead(observation)) return [];
  if (observation && !observation.template && plan.create.length > 0 && hasSeed(context, plan)) {
    return ["the template cannot be seen: new members are cloned from copies of its recorded content"];
  }
  if (!observation?.template) return [];
  const older = members.filter((member) => member.contentId !== contentId);
  if (older.length === 0) return [];
  const grows = plan.create.length > 0 ? `; the ${plural(plan.create.length, "new member")} will have the present one` : "";
  return [`the template has changed: ${namesOf(older)} ${older.length === 1 ? "stays" : "stay"} on the earlier content (onTemplateChange is keep)${grows}`];
}

function kindWarnings({ spec }: PlanContext, members: readonly ObservedMember[]): string[] {
  const differing = members.filter((member) => member.kind !== kindOfSlot(spec.clone, member.slot));
  if (differing.length === 0) return [];
  return [`clone: ${namesOf(differing)} ${differing.length === 1 ? "stays" : "stay"} as made; the change concerns new members only`];
}

function arrivalWarnings({ contentId }: PlanContext, members: readonly ObservedMember[]): string[] {
  if (contentId === "") return []; // no template was ever seen: none has changed
  const stuck = members.filter((member) => isUnarrived(member) && !isCompletable(member, contentId));
  if (stuck.length === 0) return [];
  return [`${namesOf(stuck)}: started before the disk was there, and the template has changed since: what is missing cannot be fetched any more. Bring the template back, or make them anew (onTemplateChange: replace)`];
}

function leftoverWarnings({ table, previous }: PlanContext): string[] {
  return table.hosts.flatMap(({ name, seen }) => (seen?.partials ?? []).flatMap((partial) => {
    const owner = ownerOf(partial, name, table, previous);
    return owner === undefined ? [] : [`${partial.name} on ${name} looks left over and stays: it may be a disk of ${owner}`];
  }));
}
