/** Leftovers of earlier runs, and those that only look like some. */
import type { HostTable } from "./hosts";
import type { FleetState, ObservedPartial } from "./model";

/**
 * Whose disk a partial volume seen on `host` may be, so that nobody removes it: the name of a member of its slot and
 * generation that is seen on another host (hosts may share a pool), or is recorded on a host that is not seen now. Of
 * the members of the host itself the look that listed it has judged: what it lists stands beside them unused, such as
 * the delta of a merge whose last step was lost.
 * @returns undefined: nobody's, it may be removed
 */
export function ownerOf(partial: ObservedPartial, host: string, table: HostTable, previous: FleetState | undefined): string | undefined {
  const { kind, slot, generation } = partial;
  // A helper domain holds no data, and a volume without a slot is no member's.
  if (kind !== "volume" || slot === undefined) return undefined;
  const isIts = (member: { slot: number; generation: number }) =>
    member.slot === slot && (generation === undefined || member.generation === generation);
  for (const { name, seen } of table.hosts) {
    const member = name === host ? undefined : seen?.members.find(isIts);
    if (member) return `${member.name} on ${name}`;
  }
  const unseen = (previous?.members ?? []).find((member) => isIts(member) && !table.hostOf(member)?.seen);
  return unseen && `${unseen.name}, recorded on ${unseen.host}`;
}
