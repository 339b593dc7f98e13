/** Leftovers of earlier runs, and those that only look like some. */
import { groupBy, groupOf } from "./groups";
import type { HostTable } from "./hosts";
import type { FleetState, ObservedPartial } from "./model";

/**
 * Whose disk a partial volume seen on `host` may be, so that nobody removes it: the name of a member of its slot and
 * generation that is seen on another host (hosts may share a pool), or is recorded on a host that is not seen now. Of
 * the members of the host itself the look that listed it has judged: what it lists stands beside them unused, such as
 * the delta of a merge whose last step was lost.
 * @returns of a partial on a host: whose it may be, in words; undefined: nobody's, it may be removed
 */
export function ownersOf(table: HostTable, previous: FleetState | undefined): (partial: ObservedPartial, host: string) => string | undefined {
  if (!table.hosts.some(({ seen }) => seen && seen.partials.length > 0)) return () => undefined;
  const bySlot = ({ slot }: { slot: number }) => slot;
  const seenMembers = groupBy(table.hosts.flatMap(({ name, seen }) =>
    (seen?.members ?? []).map((member) => ({ slot: member.slot, generation: member.generation, name: member.name, host: name }))), bySlot);
  const recorded = groupBy(previous?.members ?? [], bySlot);
  return ({ kind, slot, generation }, host) => {
    // A helper domain holds no data, and a volume without a slot is no member's.
    if (kind !== "volume" || slot === undefined) return undefined;
    const isIts = (member: { generation: number }) => generation === undefined || member.generation === generation;
    const elsewhere = groupOf(seenMembers, slot).find((member) => member.host !== host && isIts(member));
    if (elsewhere) return `${elsewhere.name} on ${elsewhere.host}`;
    const unseen = groupOf(recorded, slot).find((member) => isIts(member) && !table.hostOf(member)?.seen);
    return unseen && `${unseen.name}, recorded on ${unseen.host}`;
  };
}

/** What looks left over and is not removed, with whose it may be. */
export function leftoverWarnings({ table, previous }: { table: HostTable; previous?: FleetState }): string[] {
  const ownerOf = ownersOf(table, previous);
  return table.hosts.flatMap(({ name, seen }) => (seen?.partials ?? []).flatMap((partial) => {
    const owner = ownerOf(partial, name);
    return owner === undefined ? [] : [`${partial.name} on ${name} looks left over and stays: it may be a disk of ${owner}`];
  }));
}
