/** What the user should know about a plan though it stops nothing. */
import { isCompletable, isUnarrived } from "../members/arrival";
import { diskWarning, namesOf } from "../members/changes";
import { groupBy, groupOf } from "../groups";
import { kindOfSlot } from "../members/identity";
import { leftoverWarnings } from "../hosts/leftovers";
import type { FleetPlan, ObservedMember } from "../model";
import { hostNames, unsettledReason } from "../hosts/table";
import { nearest, plural, seen } from "../words/problems";
import { keptWarnings, largerDiskWarnings } from "./dataDisks";
import { memoryWarnings } from "./memory";
import { hasSeed } from "./refusals";
import type { PlanContext } from "./context";
import { strangerWarnings } from "../hosts/strangers";
import { waitingWarnings } from "./waiting";

export function planWarnings(context: PlanContext, plan: FleetPlan): string[] {
  const leaving = new Set(plan.destroy.map((one) => one.slot));
  const members = context.census.present.flatMap((one) => (one.member && !leaving.has(one.slot) ? [one.member] : []));
  return [
    ...adoptionWarning(plan),
    ...hostWarnings(context),
    ...strangerWarnings(context),
    ...abandonWarnings(context),
    ...contentWarnings(context, plan, members),
    ...kindWarnings(context, members),
    ...diskWarning(context.spec, members),
    ...largerDiskWarnings(context, plan),
    ...keptWarnings(context, plan),
    ...arrivalWarnings(context, members),
    ...leftoverWarnings(context),
    ...usedReplicaWarnings(context),
    ...memoryWarnings(context, plan),
    ...waitingWarnings(context, plan, members),
  ];
}

/** Which members are there already and become this resource's: never without a word, for they may be somebody else's. */
export function adoptionWarning({ adopt }: FleetPlan): string[] {
  if (adopt.length === 0) return [];
  const listed = adopt.slice(0, 20).map(({ name, host }) => `${name} on ${host}`).join(", ");
  const more = adopt.length > 20 ? ` and ${adopt.length - 20} more` : "";
  return [`takes over ${plural(adopt.length, "member")} made by an earlier run or another resource of this fleet: ${listed}${more}`];
}

function hostWarnings({ table, mode, observation, census }: PlanContext): string[] {
  const warnings: string[] = [];
  const forgottenOn = groupBy(census.forgotten, (one) => one.host);
  const lostOn = new Set([...census.lost, ...census.doubles].map((one) => one.host));
  if (mode === "preview" && !observation) {
    warnings.push("no host was asked: planned from the inputs and the recorded state alone");
  } else if (mode === "preview") {
    for (const host of table.hosts.filter((one) => !one.seen && !one.abandoned && (one.declared || one.recorded?.unsettled || lostOn.has(one)))) {
      const members = lostOn.has(host) ? "its members count as lost" : `it ${unsettledReason(host)}`;
      const what = host.recorded?.noted ? "a run that was killed on this machine noted it as one it worked on" : members;
      const then = host.declared ? "planned as recorded; up fails unless it answers" : `${what}; up fails unless it answers or stands in abandonHosts`;
      warnings.push(`${host.name} does not answer (${host.unseenReason}): ${then}`);
    }
  }
  for (const host of table.hosts.filter((one) => one.abandoned)) {
    const forgotten = groupOf(forgottenOn, host);
    warnings.push(`${host.name} is abandoned: ${forgotten.length > 0 ? `${namesOf(forgotten)} forgotten, ` : ""}nothing is placed there`);
  }
  for (const { name, seen } of table.hosts) {
    if (seen && "unknown" in seen.room) warnings.push(`${name}: what is free in its ${seen.words.store} is not known, so nothing says whether the plan fits (${seen.room.unknown})`);
  }
  return warnings;
}

function contentWarnings(context: PlanContext, plan: FleetPlan, members: readonly ObservedMember[]): string[] {
  const { observation, image: { contentId } } = context;
  if (observation?.templateUnread) {
    return plan.create.length === 0 ? [] : ["the template is still being read: what its copies cost is guessed, and up waits for it"];
  }
  if (observation && !observation.template && plan.create.length > 0 && hasSeed(context, plan)) {
    return ["the template cannot be seen: new members are cloned from copies of its recorded content"];
  }
  if (!observation?.template) return [];
  const older = members.filter((member) => member.contentId !== contentId);
  if (older.length === 0) return [];
  const grows = plan.create.length > 0 ? `; the ${plural(plan.create.length, "new member")} will have the present one` : "";
  return [`the template has changed: ${namesOf(older)} ${older.length === 1 ? "stays" : "stay"} on the earlier content (onTemplateChange is keep)${grows}`];
}

/** Of names this short nearly every other is near. */
const TELLING_CHARACTERS = 4;

/**
 * No problem: a host that was given up and is forgotten by now must not make every later run fail. Only a host that does
 * not answer may be meant: whoever follows a suggestion must not give up one that lives.
 */
function abandonWarnings({ spec, table }: PlanContext): string[] {
  if (spec.abandonHosts.length === 0) return [];
  const names = new Set(table.hosts.flatMap(hostNames));
  const silent = table.hosts.filter(({ seen: answer }) => !answer).flatMap(hostNames);
  return spec.abandonHosts.filter((given) => !names.has(given)).map((given) => {
    const meant = given.length < TELLING_CHARACTERS ? undefined : nearest(given, [...new Set(silent)]);
    return `abandonHosts: no host of this fleet is called ${seen(given)}, so nothing is given up by it; ` +
      `${meant ? `did you mean ${seen(meant)}? Else ` : ""}remove it: a host that was given up before is forgotten by now`;
  });
}

function kindWarnings({ spec }: PlanContext, members: readonly ObservedMember[]): string[] {
  const differing = members.filter((member) => member.kind !== kindOfSlot(spec.clone, member.slot));
  if (differing.length === 0) return [];
  return [`clone: ${namesOf(differing)} ${differing.length === 1 ? "stays" : "stay"} as made; the change concerns new members only`];
}

function arrivalWarnings({ image: { contentId } }: PlanContext, members: readonly ObservedMember[]): string[] {
  if (contentId === "") return []; // no template was ever seen: none has changed
  const stuck = members.filter((member) => isUnarrived(member) && !isCompletable(member, contentId));
  if (stuck.length === 0) return [];
  return [`${namesOf(stuck)}: started before the disk was there, and the template has changed since: what is missing cannot be fetched any more. Bring the template back, or make them anew (onTemplateChange: replace)`];
}

function usedReplicaWarnings({ table }: PlanContext): string[] {
  return table.hosts.flatMap(({ name, seen }) => (seen?.replicas ?? []).flatMap(({ disk, strangers = [] }) =>
    strangers.length === 0 ? [] : [`${disk.name} on ${name} stays: ${strangers.join("; ")}`]));
}
