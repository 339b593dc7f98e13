/**
 * What one run must do: declared against found (DESIGN.md section 3). Pure: the same input gives the same plan on every
 * machine. Buckets are sorted by slot; every entry says why in words.
 */
import type { Incumbent } from "../hosts/census";
import { differenceOf } from "../members/changes";
import { groupBy } from "../groups";
import type { KnownHost } from "../hosts/table";
import { kindOfSlot, slotName } from "../members/identity";
import { ownersOf } from "../hosts/leftovers";
import type { FleetPlan, FleetSpec, PlannedCreate, PlannedDestroy } from "../model";
import { place } from "./placement";
import { compare, tidy } from "../words/problems";
import { refusals } from "./refusals";
import { isCompletable, isUnarrived } from "../members/arrival";
import { awaitedLeftovers, resumedLeftovers } from "../hosts/unfinished";
import { homesOf, withKeptDisks } from "./dataDisks";
import { contextOf, FIRST_WAVE, type PlanContext, type ReconcileRequest } from "./context";
import { unusedReplicas } from "./replicas";
import { seedKeeper } from "../members/seeds";
import { awaitedMembers } from "./waiting";
import { planWarnings } from "./warnings";

export function reconcile(request: ReconcileRequest): FleetPlan {
  const context = contextOf(request);
  const { spec, table, census } = context;
  const targets = hostTargets(context);
  const { staying, leaving } = sortOut(context, targets);
  const missing = new Set(census.missing);
  const replaced = new Set(staying.filter((one) => !missing.has(one) && isReplaced(context, one)));
  const moves = pairMoves(context, targets, staying, leaving);

  const creating = [
    ...recreations(context, staying.filter((one) => missing.has(one)), [...replaced]),
    ...moves.paired.map(({ from, to }) => ({
      ...created(context, from.slot, to, `moved from ${from.host.name}: cloned anew, data is lost`),
    })),
    ...growth(context, staying, moves),
  ].sort(bySlot);
  const movedTo = new Map(moves.paired.map(({ from, to }) => [from, to]));
  const destroy = [
    ...leaving.map((one) => destroyed(one, leavingReason(one, movedTo.get(one)))),
    ...[...replaced].map((one) => destroyed(one, "the template has changed and onTemplateChange is replace")),
    ...census.outdated.map((one) => destroyed(one, `an outdated copy: the slot is held with a later generation elsewhere`)),
  ].sort((a, b) => a.slot - b.slot || a.generation - b.generation);
  const create = withKeptDisks(context, creating, destroy);
  const kept = staying.filter((one) => !replaced.has(one) && !missing.has(one));

  const complete = unarrived(context, kept);
  const plan: FleetPlan = {
    fleetId: request.fleetId,
    seedContentId: context.image.contentId,
    create,
    destroy,
    ...sortKept(context, kept),
    consolidate: unmerged(context, kept),
    complete,
    awaiting: awaitedMembers(context, kept),
    move: moves.paired.map(({ from, to }) => ({
      slot: from.slot, name: from.name, from: from.host.name, to: to.name,
      reason: `move: data is lost; ${leavingReason(from, to)}`,
    })),
    lost: census.lost.map((one) => ({
      slot: one.slot, name: one.name, host: one.host.name,
      reason: `its host is no longer declared and does not answer: ${one.host.unseenReason}`,
    })),
    cleanup: cleanupOf(context, [...create, ...complete], kept),
    removeReplicas: [],
    placement: placementOf(spec, kept, create),
    problems: [],
    warnings: [],
  };
  plan.removeReplicas = unusedReplicas(context, plan);
  plan.problems = tidy([...table.problems, ...refusals(context, plan)]);
  plan.warnings = planWarnings(context, plan);
  return plan;
}

const bySlot = (a: { slot: number }, b: { slot: number }) => a.slot - b.slot;

const activeHosts = ({ table }: PlanContext) => table.hosts.filter((host) => host.declared && !host.abandoned);

/** Members wanted on each declared host; an abandoned one gets none. */
function hostTargets(context: PlanContext): Map<string, number> {
  const { spec, census } = context;
  const active = activeHosts(context);
  // Until their host is abandoned, lost members may be alive: they count, so that nobody makes a second one.
  const targets = spec.targets.kind === "count"
    ? { ...spec.targets, count: Math.max(0, spec.targets.count - census.lost.length) }
    : spec.targets;
  const placed = place(targets, active.map((host) => host.declared!.spec), spec.racks, countByHost(census.present), countByHost(census.missing));
  return new Map(spec.hosts.map((host) => [host.name, placed[host.name] ?? 0]));
}

function countByHost(members: readonly Incumbent[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { host } of members) counts.set(host.name, (counts.get(host.name) ?? 0) + 1);
  return counts;
}

/**
 * Those over their host's target leave: first the missing, which lose nothing by it, then the highest slots; so do all on
 * hosts that are no longer declared.
 */
function sortOut({ census }: PlanContext, targets: ReadonlyMap<string, number>): { staying: Incumbent[]; leaving: Incumbent[] } {
  const taken = [...census.present, ...census.missing];
  const missing = new Set(census.missing);
  const gone = new Set([...groupBy(taken, (one) => one.host.name)].flatMap(([host, held]) => {
    const over = Math.max(0, held.length - (targets.get(host) ?? 0));
    return held.sort((a, b) => Number(missing.has(b)) - Number(missing.has(a)) || b.slot - a.slot).slice(0, over);
  }));
  return {
    staying: taken.filter((one) => !gone.has(one)),
    leaving: [...[...gone].filter((one) => !missing.has(one)), ...census.stranded].sort(bySlot),
  };
}

function isReplaced({ spec, observation }: PlanContext, one: Incumbent): boolean {
  const content = observation?.template?.contentId;
  return spec.onTemplateChange === "replace" && content !== undefined && one.contentId !== content;
}

interface Moves {
  paired: { from: Incumbent; to: KnownHost }[];
  /** Hosts that get a new member each, one entry a member, after the moves. */
  open: KnownHost[];
}

/** A member that leaves one host while another host grows is moved: it keeps its slot, and loses its data. */
function pairMoves(context: PlanContext, targets: ReadonlyMap<string, number>, staying: readonly Incumbent[], leaving: readonly Incumbent[]): Moves {
  const held = countByHost(staying);
  let needs = activeHosts(context).map((host) => ({ host, need: (targets.get(host.name) ?? 0) - (held.get(host.name) ?? 0) }));
  const open: KnownHost[] = [];
  for (let round = 0; needs.length > 0; round++) {
    needs = needs.filter(({ need }) => need > round);
    for (const { host } of needs) open.push(host);
  }
  const moved = leaving.slice(0, open.length);
  return { paired: moved.map((from, index) => ({ from, to: open[index]! })), open: open.slice(moved.length) };
}

function created(context: PlanContext, slot: number, host: KnownHost, reason: string): PlannedCreate {
  const { spec, image } = context;
  const kind = kindOfSlot(spec.clone, slot);
  const unfinished = context.unfinished.get(slot);
  const generation = kind === "full" && unfinished?.host === host.name ? unfinished.generation : context.nextGeneration.get(slot) ?? 0;
  return { slot, name: slotName(spec.namePrefix, slot), host: host.name, rack: host.rack, kind, generation, image, wave: FIRST_WAVE, reason };
}

function recreations(context: PlanContext, missing: readonly Incumbent[], replaced: readonly Incumbent[]): PlannedCreate[] {
  return [
    ...missing.map((one) => created(context, one.slot, one.host, `recorded on ${one.host.name} but not found there: removed outside Pulumi`)),
    ...replaced.map((one) => created(context, one.slot, one.host, "cloned anew from the changed template")),
  ];
}

/** New members take the lowest slots that nobody holds; of these a host takes first those it holds an unfinished copy for, then those it kept a data disk of. */
function growth(context: PlanContext, staying: readonly Incumbent[], moves: Moves): PlannedCreate[] {
  const { census } = context;
  const taken = new Set([...staying, ...census.lost, ...moves.paired.map(({ from }) => from)].map((one) => one.slot));
  const forgotten = new Map(census.forgotten.map((one) => [one.slot, one]));
  const free: number[] = [];
  for (let slot = 0; free.length < moves.open.length; slot++) if (!taken.has(slot)) free.push(slot);
  const begun = groupBy(free.filter((slot) => kindOfSlot(context.spec.clone, slot) === "full").reverse(), (slot) => context.unfinished.get(slot)?.host);
  const resumed = moves.open.map((host) => begun.get(host.name)?.pop());
  const given = new Set(resumed);
  const left = free.filter((slot) => !given.has(slot));
  const open = new Set(moves.open.filter((_, index) => resumed[index] === undefined).map(({ name }) => name));
  const homes = homesOf(context);
  const homely = groupBy([...left].reverse(), (slot) => homes(slot).find((name) => open.has(name)));
  const back = moves.open.map((host, index) => (resumed[index] === undefined ? homely.get(host.name)?.pop() : undefined));
  const atHome = new Set(back);
  const rest = left.filter((slot) => !atHome.has(slot)).values();
  return moves.open.map((host, index) => {
    const slot = resumed[index] ?? back[index] ?? rest.next().value!;
    const before = forgotten.get(slot);
    const reason = before ? `replaces the one lost with the abandoned host ${before.host.name}`
      : `${host.name} is below its target${resumed[index] === undefined ? "" : "; goes on from the copy that an earlier run began"}`;
    return created(context, slot, host, reason);
  });
}

function destroyed(one: Incumbent, reason: string): PlannedDestroy {
  return { slot: one.slot, name: one.name, host: one.host.name, generation: one.generation, wave: FIRST_WAVE, reason };
}

function leavingReason(one: Incumbent, movedTo: KnownHost | undefined): string {
  const why = one.host.declared ? `${one.host.name} is over its target` : `${one.host.name} is no longer declared`;
  return movedTo ? `${why} and ${movedTo.name} is below its own` : why;
}

/** Members that stay: as they are, taken over from another incarnation, or with something to change. */
function sortKept({ spec, fleetId, incarnation }: PlanContext, kept: readonly Incumbent[]): Pick<FleetPlan, "keep" | "adopt" | "reconfigure"> {
  const result: Pick<FleetPlan, "keep" | "adopt" | "reconfigure"> = { keep: [], adopt: [], reconfigure: [] };
  for (const { slot, name, host, member } of kept) {
    const at = { slot, name, host: host.name };
    // One whose disk is still to be completed is brought to its declared shape by that.
    const difference = member && !isUnarrived(member) ? differenceOf(spec, member, { fleetId, host: host.name, rack: host.rack }) : null;
    const adopted = member !== undefined && member.incarnation !== incarnation;
    if (adopted) result.adopt.push({ ...at, reason: "made by another run or resource of this fleet" });
    if (difference) result.reconfigure.push({ ...at, wave: FIRST_WAVE, ...difference });
    if (!adopted && !difference) {
      result.keep.push({ ...at, reason: member ? "as declared" : `as recorded; ${host.name} could not be asked: ${host.unseenReason}` });
    }
  }
  return result;
}

/** What is still arriving, or has and is not yet in its place. Of another content only what is whole can be completed. */
function unarrived({ image }: PlanContext, kept: readonly Incumbent[]): FleetPlan["complete"] {
  return kept.flatMap(({ slot, name, host, member }) => {
    if (!member || !isUnarrived(member) || !isCompletable(member, image.contentId)) return [];
    const { base, kind, generation, contentId } = member;
    const reason = base === "arriving" ? "it was started before its disk was there, and the rest has not arrived" : "its disk has arrived and is not in its place yet";
    const made = base === "arriving" ? image : { contentId, disks: [] };
    return [{ slot, name, host: host.name, rack: host.rack, kind, generation, base, image: made, wave: FIRST_WAVE, reason }];
  });
}

/** What an earlier run did not get to; `keepSeeds` leaves the first of each rack or host, as the engine does. */
function unmerged({ spec, image: { contentId } }: PlanContext, kept: readonly Incumbent[]): FleetPlan["consolidate"] {
  const isSeed = seedKeeper(spec);
  return [...kept] // by slot, on declared hosts alone
    .sort((a, b) => a.host.declared!.index - b.host.declared!.index)
    .flatMap(({ slot, name, host, member }) => {
      if (member?.kind !== "full" || (member.base !== "frozen" && member.base !== "consolidating")) return [];
      if (member.base === "frozen" && member.contentId === contentId && isSeed({ host: host.name, rack: host.rack })) return [];
      const reason = member.base === "frozen" ? "its frozen base is no longer needed as a source" : "the merge of its delta disk was not finished";
      return [{ slot, name, host: host.name, reason }];
    });
}

function cleanupOf(
  { table, previous, unfinished, image: { contentId } }: PlanContext, create: readonly PlannedCreate[], kept: readonly Incumbent[],
): FleetPlan["cleanup"] {
  const needed = new Set([...resumedLeftovers(table, unfinished, create, contentId), ...awaitedLeftovers(kept)]);
  const ownerOf = ownersOf(table, previous);
  return table.hosts.flatMap(({ name, seen }) =>
    (seen?.leftovers ?? [])
      .filter((leftover) => !needed.has(leftover) && ownerOf(leftover, name) === undefined)
      .sort((a, b) => compare(a.name, b.name) || compare(a.kind, b.kind))
      .map((leftover) => ({ host: name, leftover, reason: "left over from a run that did not end" })),
  );
}

function placementOf(spec: FleetSpec, kept: readonly Incumbent[], create: readonly PlannedCreate[]): Record<string, number> {
  const counts = countByHost(kept);
  for (const { host } of create) counts.set(host, (counts.get(host) ?? 0) + 1);
  return Object.fromEntries(spec.hosts.map((host) => [host.name, counts.get(host.name) ?? 0]));
}
