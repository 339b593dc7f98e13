/** Leftovers of earlier runs, and those that only look like some. */
import type { HostTable } from "./hosts";
import type { FleetState, ObservedPartial } from "./model";

/**
 * Whose disk a partial volume may be, so that nobody removes it: the name of a member of its slot and generation that is
 * seen on any host (hosts may share a pool), or is recorded on a host that is not seen now.
 * @returns undefined: nobody's, it may be removed
 */
export function ownerOf(partial: ObservedPartial, table: HostTable, previous: FleetState | undefined): string | undefined {
  const { kind, slot, generation } = partial;
  // A helper domain holds no data, and a volume without a slot is no member's.
  if (kind !== "volume" || slot === undefined) return undefined;
  const isIts = (member: { slot: number; generation: number }) =>
    member.slot === slot && (generation === undefined || member.generation === generation);
  for (const { name, seen } of table.hosts) {
    const member = seen?.members.find(isIts);
    if (member) return `${member.name} on ${name}`;
  }
  const unseen = (previous?.members ?? []).find((member) => isIts(member) && !table.hostOf(member)?.seen);
  return unseen && `${unseen.name}, recorded on ${unseen.host}`;
}
