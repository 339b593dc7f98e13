/** Who is where before a run: every slot once, from what hosts showed and what the last run recorded. */
import { groupBy } from "../groups";
import type { KnownHost, HostTable } from "./table";
import type { FleetState, MemberState, ObservedMember } from "../model";

/** A slot that is taken. */
export interface Incumbent {
  slot: number;
  name: string;
  host: KnownHost;
  generation: number;
  contentId: string;
  /** As observed; absent: known from the record alone. */
  member?: ObservedMember;
  /** Where it is known from the record alone. */
  recorded?: MemberState;
}

/** One that a host showed. */
export type SeenIncumbent = Incumbent & { member: ObservedMember };

export interface Census {
  /** On declared hosts: observed, or recorded there while the host did not answer. */
  present: Incumbent[];
  /** Recorded on a declared host that answered, and found nowhere: removed by hand. */
  missing: Incumbent[];
  /** On hosts that are no longer declared and answered. */
  stranded: Incumbent[];
  /** Recorded on hosts that are no longer declared and did not answer. */
  lost: Incumbent[];
  /** Recorded on hosts that were abandoned. */
  forgotten: Incumbent[];
  /** Seen beside the member that holds the slot, of its generation or of another host's disks: told of, never touched. */
  twins: SeenIncumbent[];
  /** Recorded copies of a slot that another one holds, where nobody could look: told of, and kept on record. */
  doubles: Incumbent[];
  /** Older copies of a slot that is held elsewhere, as after an abandoned host came back. */
  outdated: SeenIncumbent[];
}

/**
 * @param trustRecord hosts that were never asked count as they were recorded (a preview without any host): members on
 * hosts that are no longer declared are stranded, not lost.
 */
export function takeCensus(table: HostTable, previous: FleetState | undefined, trustRecord: boolean): Census {
  const census: Census = { present: [], missing: [], stranded: [], lost: [], forgotten: [], twins: [], doubles: [], outdated: [] };
  const recorded = previous?.members ?? [];
  const recordedHost = new Map(recorded.map((member) => [member.slot, table.hostOf(member)]));
  /** The latest recorded copy of each slot that stands where nobody could look, unless it was given up. */
  const outOfSight = new Map<number, MemberState>();
  for (const member of recorded) {
    const host = table.hostOf(member);
    const isLater = member.generation >= (outOfSight.get(member.slot)?.generation ?? 0);
    if (!host?.seen && !host?.abandoned && isLater) outOfSight.set(member.slot, member);
  }
  const holders = new Map<number, SeenIncumbent[]>();
  // Two declared hosts that are one machine show the same members; count them once.
  const machines = new Set<string>();
  for (const host of table.hosts) {
    if (!host.seen || machines.has(host.seen.uuid)) continue;
    machines.add(host.seen.uuid);
    for (const member of host.seen.members) {
      const { slot, name, generation, contentId } = member;
      const copy = { slot, name, host, generation, contentId, member };
      const copies = holders.get(slot);
      if (copies) copies.push(copy);
      else holders.set(slot, [copy]);
    }
  }
  for (const [slot, copies] of holders) {
    // One that stands on its own host's disks holds the slot before any that does not, whatever their generations.
    const rank = ({ host }: Incumbent) => (host.declared ? 2 : 0) + (host === recordedHost.get(slot) ? 1 : 0);
    const inPlace = copies.filter(({ member }) => !member.displaced);
    const displaced = copies.filter(({ member }) => member.displaced);
    const [holder, ...others] = [inPlace, displaced].flatMap((group) => group.sort((a, b) => b.generation - a.generation || rank(b) - rank(a)));
    const unseen = outOfSight.get(slot);
    const isBehind = unseen !== undefined && (holder!.member.displaced ? unseen.generation >= holder!.generation : unseen.generation > holder!.generation);
    // What is seen came back from a time before, or is a twin; the recorded one is alive as far as anyone knows.
    if (isBehind) holders.delete(slot);
    else (holder!.host.declared ? census.present : census.stranded).push(holder!);
    const generation = isBehind ? unseen.generation : holder!.generation;
    for (const one of isBehind ? copies : others) {
      // Equal generations never destroy: which of them somebody still needs nobody can tell.
      (one.member.displaced || one.generation >= generation ? census.twins : census.outdated).push(one);
    }
  }
  for (const [slot, copies] of groupBy(recorded, (member) => member.slot)) {
    fileRecorded(copies.map((member) => recordedIncumbent(member, table)), holders.has(slot), census, trustRecord);
  }
  for (const group of Object.values(census) as Incumbent[][]) group.sort((a, b) => a.slot - b.slot || a.generation - b.generation);
  return census;
}

function recordedIncumbent(member: MemberState, table: HostTable): Incumbent {
  const nowhere: KnownHost = { name: member.host, rack: member.rack, unseenReason: "it is not known any more", abandoned: false };
  const { slot, name, generation, contentId } = member;
  return { slot, name, host: table.hostOf(member) ?? nowhere, generation, contentId, recorded: member };
}

/**
 * One slot, one member, however many copies of it are on record: the latest that may be alive where nobody could look;
 * without such a one the latest that a host shows no more.
 * @param isHeld a host shows the slot's member: what is recorded of it elsewhere is where it was
 */
function fileRecorded(copies: Incumbent[], isHeld: boolean, census: Census, trustRecord: boolean): void {
  copies.sort((a, b) => b.generation - a.generation || Number(b.host.declared !== undefined) - Number(a.host.declared !== undefined));
  const hidden = copies.filter(({ host }) => !host.seen && !host.abandoned);
  if (isHeld) {
    census.doubles.push(...hidden.filter(({ generation }) => generation < copies[0]!.generation));
    return;
  }
  const [alive, ...doubles] = hidden;
  census.doubles.push(...doubles);
  if (alive) {
    (alive.host.declared ? census.present : trustRecord && alive.host.recorded ? census.stranded : census.lost).push(alive);
    return;
  }
  const gone = copies.find(({ host }) => host.seen && host.declared);
  const forgotten = copies.find(({ host }) => host.abandoned);
  if (gone) census.missing.push(gone);
  if (forgotten && !gone) census.forgotten.push(forgotten);
}
