/** Who is where before a run: every slot once, from what hosts showed and what the last run recorded. */
import type { KnownHost, HostTable } from "./hosts";
import type { FleetState, MemberState, ObservedMember } from "./model";

/** A slot that is taken. */
export interface Incumbent {
  slot: number;
  name: string;
  host: KnownHost;
  generation: number;
  contentId: string;
  /** As observed; absent: known from the record alone. */
  member?: ObservedMember;
}

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
  twins: Incumbent[];
  /** Older copies of a slot that is held elsewhere, as after an abandoned host came back. */
  outdated: Incumbent[];
}

/**
 * @param trustRecord hosts that were never asked count as they were recorded (a preview without any host): members on
 * hosts that are no longer declared are stranded, not lost.
 */
export function takeCensus(table: HostTable, previous: FleetState | undefined, trustRecord: boolean): Census {
  const census: Census = { present: [], missing: [], stranded: [], lost: [], forgotten: [], twins: [], outdated: [] };
  const recordedHost = new Map((previous?.members ?? []).map((member) => [member.slot, table.hostOf(member)]));
  /** The latest recorded copy of each slot that stands where nobody could look, unless it was given up. */
  const outOfSight = new Map<number, MemberState>();
  for (const member of previous?.members ?? []) {
    const host = table.hostOf(member);
    const isLater = member.generation >= (outOfSight.get(member.slot)?.generation ?? 0);
    if (!host?.seen && !host?.abandoned && isLater) outOfSight.set(member.slot, member);
  }
  const holders = new Map<number, Incumbent[]>();
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
    const inPlace = copies.filter(({ member }) => !member?.displaced);
    const displaced = copies.filter(({ member }) => member?.displaced);
    const [holder, ...others] = [inPlace, displaced].flatMap((group) => group.sort((a, b) => b.generation - a.generation || rank(b) - rank(a)));
    const unseen = outOfSight.get(slot);
    const isBehind = unseen !== undefined && (holder!.member!.displaced ? unseen.generation >= holder!.generation : unseen.generation > holder!.generation);
    // What is seen came back from a time before, or is a twin; the recorded one is alive as far as anyone knows.
    if (isBehind) holders.delete(slot);
    else (holder!.host.declared ? census.present : census.stranded).push(holder!);
    const generation = isBehind ? unseen.generation : holder!.generation;
    for (const one of isBehind ? copies : others) {
      // Equal generations never destroy: which of them somebody still needs nobody can tell.
      (one.member!.displaced || one.generation >= generation ? census.twins : census.outdated).push(one);
    }
  }
  for (const member of previous?.members ?? []) {
    const isOlder = (outOfSight.get(member.slot)?.generation ?? 0) > member.generation;
    if (isOlder && table.hostOf(member)?.seen) continue;
    if (!holders.has(member.slot)) fileRecorded(member, table.hostOf(member), census, trustRecord);
  }
  for (const group of Object.values(census) as Incumbent[][]) group.sort((a, b) => a.slot - b.slot || a.generation - b.generation);
  return census;
}

function fileRecorded(member: MemberState, host: KnownHost | undefined, census: Census, trustRecord: boolean): void {
  const nowhere: KnownHost = { name: member.host, rack: member.rack, unseenReason: "it is not known any more", abandoned: false };
  const { slot, name, generation, contentId } = member;
  const incumbent: Incumbent = { slot, name, host: host ?? nowhere, generation, contentId };
  if (!host) census.lost.push(incumbent);
  else if (host.abandoned) census.forgotten.push(incumbent);
  else if (host.seen) {
    if (host.declared) census.missing.push(incumbent);
  } else if (host.declared) census.present.push(incumbent);
  else (trustRecord ? census.stranded : census.lost).push(incumbent);
}
