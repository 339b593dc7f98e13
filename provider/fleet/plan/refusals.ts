/** What makes a plan impossible, or is refused unless the program says otherwise. */
import { namesOf } from "../members/changes";
import { groupBy, groupOf } from "../groups";
import { asMade } from "../images";
import { hostNames, unsettledReason, type KnownHost } from "../hosts/table";
import { macCollisions } from "../members/addresses";
import { memberKeyOn, slotKeyOn } from "../members/keys";
import { dataDiskProblems } from "./dataDisks";
import { memoryRefusals } from "./memory";
import type { FleetPlan, FleetSpec, ObservedMember, Problem } from "../model";
import { templateHostOf } from "../own";
import { problemOfTemplate } from "../words/paths";
import { plural } from "../words/problems";
import type { PlanContext } from "./context";
import { guestRefusals } from "./guests";
import { waitingRefusals } from "./waiting";
import { actedSlots, takenUuidProblems, twinProblems } from "../hosts/strangers";

export function refusals(context: PlanContext, plan: FleetPlan): Problem[] {
  const leaving = doomed(context, plan);
  return [
    ...(context.mode === "apply" ? hostProblems(context) : []),
    ...moveProblems(context, plan),
    ...foreignProblems(context, plan, leaving),
    ...keptDiskProblems(context.spec, leaving.map(({ member }) => member)),
    ...answeringProblems(context),
    ...protectionProblems(context, plan),
    ...nameProblems(context, plan),
    ...takenUuidProblems(context.table, plan),
    ...twinProblems(context.census, actedSlots(plan)),
    ...macCollisions(plan.fleetId, plan.create.map((one) => one.slot), cardsOf(context), context.observation),
    ...guestRefusals(context, plan),
    ...waitingRefusals(context, plan),
    ...templateProblems(context, plan),
    ...shrinkingProblems(context, plan),
    ...dataDiskProblems(context, plan),
    ...memoryRefusals(context, plan),
  ];
}

/** Hosts that must answer and do not. */
export function hostProblems({ table, census }: Pick<PlanContext, "table" | "census">): Problem[] {
  const heldOn = groupBy([...census.present, ...census.lost, ...census.doubles], (one) => one.host);
  return table.hosts.flatMap((host) => {
    if (host.seen || host.abandoned) return [];
    const held = groupOf(heldOn, host);
    const holds = held.length > 0 ? ` and holds ${plural(held.length, "member")} (${namesOf(held)})` : "";
    const wayOut = `bring it back, or give it up with abandonHosts: [${JSON.stringify(host.name)}]` +
      (held.length > 0 ? ", which forgets its members" : "");
    if (host.declared) {
      return [{ path: `hosts[${host.declared.index}]`, message: `expected a host that answers, got none: ${host.name} does not answer (${host.unseenReason})${holds}; ${wayOut}` }];
    }
    if (held.length === 0 && !host.recorded?.unsettled) return [];
    const which = held.length > 0 ? holds.slice(4) : ` ${unsettledReason(host)}`;
    return [{
      path: "abandonHosts",
      message: `expected hosts that were taken out of the program to answer, got none from ${host.name} (${host.unseenReason}), which${which}; ${wayOut}`,
    }];
  }).concat(unknownHostProblems({ table, census }));
}

/** Members whose recorded host is not known at all. */
function unknownHostProblems({ table, census }: Pick<PlanContext, "table" | "census">): Problem[] {
  const known = new Set(table.hosts);
  const homeless = census.lost.filter((one) => !known.has(one.host));
  return homeless.length === 0 ? [] : [{
    path: "abandonHosts",
    message: `expected the hosts of all recorded members to be known, got none for ${namesOf(homeless)}; ` +
      `declare ${[...new Set(homeless.map((one) => one.host.name))].join(", ")} again, or run \`pulumi refresh\``,
  }];
}

function moveProblems({ spec }: PlanContext, plan: FleetPlan): Problem[] {
  if (plan.move.length === 0 || spec.allowRecreate) return [];
  const moves = plan.move.slice(0, 5).map((one) => `${one.name} from ${one.from} to ${one.to}`).join(", ");
  const more = plan.move.length > 5 ? ` and ${plan.move.length - 5} more` : "";
  return [{
    path: "allowRecreate",
    message: `expected true for a change that moves ${plural(plan.move.length, "member")} (${moves}${more}), got false; ` +
      "move: data is lost, set it to true to accept that, or leave the targets as they were",
  }];
}

/** What the plan destroys, as seen. */
function doomed({ table }: PlanContext, plan: FleetPlan): Doomed[] {
  if (plan.destroy.length === 0) return [];
  const hosts = new Map(table.hosts.map((host) => [host.name, host]));
  const found = [...groupBy(plan.destroy, (one) => one.host)].flatMap(([host, destroyed]) => {
    const members = groupBy(hosts.get(host)?.seen?.members ?? [], ({ slot }) => slot);
    return destroyed.flatMap(({ slot, generation }): Doomed[] => {
      const member = groupOf(members, slot).find((one) => one.generation === generation);
      return member ? [{ member, host }] : [];
    });
  });
  return found.sort((a, b) => a.member.slot - b.member.slot || a.member.generation - b.member.generation);
}

interface Doomed {
  member: ObservedMember;
  host: string;
}

/**
 * Members of another incarnation: of a create that crashed, or of another resource that means the same fleet. Nothing
 * tells the two apart, so they are adopted, but not destroyed unasked.
 */
function foreignProblems(context: PlanContext, plan: FleetPlan, leaving: readonly Doomed[]): Problem[] {
  if (context.spec.allowRecreate) return [];
  const moved = new Set(plan.move.map((one) => slotKeyOn(one.from, one))); // moves are refused already
  const foreign = leaving.flatMap(({ member, host }) =>
    (member.incarnation !== context.incarnation && !moved.has(slotKeyOn(host, member)) ? [member] : []));
  if (foreign.length === 0) return [];
  return [{
    path: "allowRecreate",
    message: `expected true for a change that destroys ${plural(foreign.length, "member")} (${namesOf(foreign)}) which another run or resource ` +
      "of this fleet made, got false; after a create that crashed, adopt them first with the targets and hosts it had; " +
      "if they are another resource's, give this one a fleetId of its own; to destroy them, set it to true",
  }];
}

/** A disk made with onDelete delete goes with its member, whatever the program says by now. */
export function keptDiskProblems(spec: FleetSpec, leaving: readonly ObservedMember[]): Problem[] {
  if (spec.allowRecreate) return [];
  return spec.vm.disks.flatMap(({ label, onDelete }, index) => {
    const losing = onDelete !== "keep" ? [] : leaving.filter((member) =>
      member.disks.some((disk) => disk.label === label && disk.onDelete === "delete"));
    return losing.length === 0 ? [] : [{
      path: `vm.disks[${index}].onDelete`,
      message: `expected disks made to be kept, got ${JSON.stringify(label)} of ${namesOf(losing)}, made with "delete", which would go with ` +
        `${losing.length === 1 ? "its member" : "their members"}; keep the members, or save the data and set allowRecreate to true`,
    }];
  });
}

/** abandonHosts is said of a dead host, once: it is no consent to give the host up again whenever it is out of reach. */
function answeringProblems({ spec, table, census }: PlanContext): Problem[] {
  if (spec.abandonHosts.length === 0) return [];
  const seen = new Map(table.hosts.filter((one) => one.seen).reverse().flatMap((host) => hostNames(host).map((name) => [name, host])));
  return spec.abandonHosts.flatMap((given, index) => {
    const host = seen.get(given);
    if (!host) return [];
    const older = census.outdated.filter((one) => one.host === host);
    const then = older.length > 0
      ? `then its older ${older.length === 1 ? "copy" : "copies"} (${namesOf(older)}), made anew elsewhere meanwhile, will be destroyed`
      : host.declared ? "then it is used again" : "then it is emptied, as any host that is no longer declared";
    return [{
      path: `abandonHosts[${index}]`,
      message: `expected a host that does not answer, got ${JSON.stringify(given)}; remove it from abandonHosts: it answers; ${then}`,
    }];
  });
}

function protectionProblems({ spec }: PlanContext, plan: FleetPlan): Problem[] {
  if (!spec.deletionProtection || plan.destroy.length === 0) return [];
  return [{
    path: "deletionProtection",
    message: `expected false for a change that removes ${plural(plan.destroy.length, "member")} (${namesOf(plan.destroy)}), got true; ` +
      "set it to false first, or undo the change",
  }];
}

function nameProblems({ table }: PlanContext, plan: FleetPlan): Problem[] {
  const foreign = new Map(table.hosts.flatMap(({ name, seen }) =>
    (seen ? [[name, { words: seen.words, names: new Set([...seen.foreignNames, ...seen.strangers.map((one) => one.name)]) }] as const] : [])));
  return plan.create.flatMap((one) => {
    const there = foreign.get(one.host);
    return there?.names.has(one.name)
      ? [{
          path: "namePrefix",
          message: `expected names that are free, got ${JSON.stringify(one.name)}, which a ${there.words.machine} on ${one.host} has that is not of this fleet; ` +
            `rename that ${there.words.machine}, or choose another namePrefix; if another fleet made it that shall be this one, give its fleetId`,
        }]
      : [];
  });
}

/** The template must be seen only when something is copied and no seed of its content is left. */
function templateProblems(context: PlanContext, plan: FleetPlan): Problem[] {
  const { observation, mode } = context;
  if (observation?.template || !isCopying(context, plan)) return [];
  if (!observation) return givenUpProblems(context);
  if (hasSeed(context, plan)) return [];
  const holder = holderOf(context);
  // A CI preview may not reach the template's host; that is no fault of the program.
  if (holder?.abandoned) return [givenUpProblem(holder)];
  if (mode === "preview" && holder && !holder.seen) return [];
  // A large local file takes longer to read than a preview may; up waits for it.
  if (mode === "preview" && observation.templateUnread) return [];
  return [problemOfTemplate(observation.templateProblem ?? { message: "expected a template that can be read, got none; see that it exists where the program says" })];
}

/** The host that the template is declared to lie on. */
function holderOf({ table, spec }: PlanContext): KnownHost | undefined {
  const name = templateHostOf(spec.template);
  return table.hosts.find((host) => host.name === name);
}

/** Something is made, or runs already and waits for the rest of its disk: before a first run ended nobody knows of which content. */
function isCopying({ census, image: { contentId } }: PlanContext, plan: FleetPlan): boolean {
  if (plan.create.length > 0 || plan.complete.some((one) => one.base === "arriving")) return true;
  const leaving = new Set(plan.destroy.map((one) => memberKeyOn(one.host, one)));
  return contentId === "" && census.present.some(({ host, member }) => member?.base === "arriving" && !leaving.has(memberKeyOn(host.name, member)));
}

/** Planned without any host: the record alone says whether a copy of the template's content is left elsewhere. */
function givenUpProblems(context: PlanContext): Problem[] {
  const { table, previous, image: { contentId } } = context;
  const holder = holderOf(context);
  if (!holder?.abandoned) return [];
  const isSeed = (one: { host: string; contentId: string }, hostUuid = "") => one.contentId === contentId && table.hostOf({ host: one.host, hostUuid })?.abandoned === false;
  const seeds = [...(previous?.members ?? []).filter((one) => one.base === "frozen" && isSeed(one, one.hostUuid)), ...(previous?.replicas ?? []).filter((one) => isSeed(one))];
  return contentId !== "" && seeds.length > 0 ? [] : [givenUpProblem(holder)];
}

const givenUpProblem = ({ name }: KnownHost): Problem => ({
  path: "template.host",
  message: `expected a host that is not given up, got ${JSON.stringify(name)}, which abandonHosts names; put the template on another host, or take this one out of abandonHosts`,
});

/** A frozen base or a replica of the recorded content that the plan leaves in place. */
export function hasSeed({ table, image: { contentId } }: PlanContext, plan: FleetPlan): boolean {
  const leaving = new Set(plan.destroy.map((one) => memberKeyOn(one.host, one)));
  return contentId !== "" && table.hosts.some(({ name, seen }) =>
    (seen?.replicas ?? []).some((replica) => replica.contentId === contentId)
    || (seen?.members ?? []).some((member) => member.base === "frozen" && member.contentId === contentId && !leaving.has(memberKeyOn(name, member))));
}

/** How many cards a new member has: where they are inherited, as the template that was seen has them. */
const cardsOf = ({ spec, observation }: PlanContext): number => spec.vm.networks?.length ?? observation?.template?.hardware?.cards ?? 0;

/** Disks never shrink: what a guest wrote beyond the new end would be gone. */
function shrinkingProblems({ spec, census, observation }: PlanContext, plan: FleetPlan): Problem[] {
  const sizeBytes = spec.vm.rootDisk?.sizeBytes;
  if (sizeBytes === undefined) return [];
  const madeBytes = asMade(sizeBytes);
  const refused = (bytes: number, whose: string): Problem[] => [{
    path: "vm.rootDisk.sizeBytes",
    message: `expected at least the ${bytes} bytes that ${whose}, got ${sizeBytes}; disks never shrink: raise it, or leave it out`,
  }];
  const template = observation?.template?.disks[0]?.capacityBytes ?? 0;
  if (plan.create.length > 0 && template > madeBytes) return refused(template, "the template's disk holds");
  const staying = new Set([...plan.keep, ...plan.adopt, ...plan.reconfigure].map((one) => slotKeyOn(one.host, one)));
  const larger = census.present.filter(({ member, host, ...one }) => (member?.chain[0]?.capacityBytes ?? 0) > madeBytes && staying.has(slotKeyOn(host.name, one)));
  const [largest] = larger.sort((a, b) => b.member!.chain[0]!.capacityBytes - a.member!.chain[0]!.capacityBytes);
  return largest ? refused(largest.member!.chain[0]!.capacityBytes, `${largest.name} has`) : [];
}
