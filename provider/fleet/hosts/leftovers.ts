/** Leftovers of earlier runs, and those that only look like some. */
import { groupBy, groupOf } from "../groups";
import type { HostTable, KnownHost } from "./table";
import { memberKey } from "../members/keys";
import type { FleetState, Leftover } from "../model";

type Missed = NonNullable<FleetState["hosts"][number]["missed"]>;

/**
 * Of each host, the members on record that are seen nowhere while what may be their disk stays in its store, which other
 * hosts may reach: they may have been moved by hand to one that is not this fleet's, and run there. Noted for as long as
 * the disk stays, since their slots are made anew meanwhile.
 */
export function missedMembers(table: HostTable, previous: FleetState | undefined): Map<KnownHost, Missed> {
  const missed = new Map(table.hosts.flatMap((host) => (!host.seen && host.recorded?.missed ? [[host, host.recorded.missed] as const] : [])));
  const littered = table.hosts.filter(({ seen }) => seen && seen.leftovers.length > 0);
  if (littered.length === 0) return missed;
  const bySlot = ({ slot }: { slot: number }) => slot;
  const recordedBySlot = groupBy(previous?.members ?? [], bySlot);
  const inSight = groupBy(table.hosts.flatMap((host) => (host.seen?.members ?? []).map(({ slot, generation }) => ({ slot, generation, host }))), bySlot);
  for (const host of littered) {
    const isHere = (one: { slot: number; generation: number }) => groupOf(inSight, one.slot).some((other) => other.host === host && other.generation === one.generation);
    const found = new Map<string, Missed[number]>();
    for (const { slot, generation: left } of host.seen!.leftovers) {
      const gone = host.seen!.store === undefined ? [] : groupOf(recordedBySlot, slot).filter((member) => (
        table.hostOf(member) === host || !groupOf(inSight, slot).some(({ generation }) => generation === member.generation)));
      for (const one of [...host.recorded?.missed ?? [], ...gone]) {
        if (one.slot !== slot || (left !== undefined && one.generation !== left) || isHere(one)) continue;
        found.set(memberKey(one), { slot: one.slot, generation: one.generation, name: one.name });
      }
    }
    if (found.size > 0) missed.set(host, [...found.values()]);
  }
  return missed;
}

/**
 * Whose disk a leftover seen on `host` may be, so that nobody removes it: the name of a member of its slot and
 * generation that is seen on another host (hosts may share a store), or is recorded on a host that is not seen now, or
 * was recorded and is seen nowhere while other hosts may reach the store. Of
 * the members of the host itself the look that listed it has judged: what it lists stands beside them unused, such as
 * the delta of a merge whose last step was lost.
 * @returns of a leftover on a host: whose it may be, in words; undefined: nobody's, it may be removed
 */
export function ownersOf(table: HostTable, previous: FleetState | undefined): (leftover: Leftover, host: string) => string | undefined {
  if (!table.hosts.some(({ seen }) => seen && seen.leftovers.length > 0)) return () => undefined;
  const bySlot = ({ slot }: { slot: number }) => slot;
  const seenMembers = groupBy(table.hosts.flatMap(({ name, seen }) =>
    (seen?.members ?? []).map((member) => ({ slot: member.slot, generation: member.generation, name: member.name, host: name }))), bySlot);
  const recorded = groupBy(previous?.members ?? [], bySlot);
  const missedAt = new Map([...missedMembers(table, previous)].map(([one, missed]) => [one.name, missed]));
  const wordsAt = new Map(table.hosts.flatMap(({ name, seen }) => (seen ? [[name, seen.words] as const] : [])));
  return ({ slot, generation }, host) => {
    // What bears no slot is no member's, and a helper holds no data.
    if (slot === undefined) return undefined;
    const isIts = (member: { generation: number }) => generation === undefined || member.generation === generation;
    const elsewhere = groupOf(seenMembers, slot).find((member) => member.host !== host && isIts(member));
    if (elsewhere) return `${elsewhere.name} on ${elsewhere.host}`;
    const unseen = groupOf(recorded, slot).find((member) => isIts(member) && !table.hostOf(member)?.seen);
    if (unseen) return `${unseen.name}, recorded on ${unseen.host}`;
    const missed = groupOf(missedAt, host).find((member) => member.slot === slot && isIts(member));
    if (!missed) return undefined;
    const words = wordsAt.get(host);
    return `${missed.name}, which is seen nowhere: other machines may reach the ${words?.store ?? "store"}. If none of them has it, ${words?.removeImage ?? "remove"} it`;
  };
}

/** What looks left over and is not removed, with whose it may be. */
export function leftoverWarnings({ table, previous }: { table: HostTable; previous?: FleetState }): string[] {
  const ownerOf = ownersOf(table, previous);
  return table.hosts.flatMap(({ name, seen }) => (seen?.leftovers ?? []).flatMap((leftover) => {
    const owner = ownerOf(leftover, name);
    return owner === undefined ? [] : [`${leftover.name} on ${name} looks left over and stays: it may be a disk of ${owner}`];
  }));
}
