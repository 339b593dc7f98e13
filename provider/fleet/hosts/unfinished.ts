/** Copies that an earlier run left unfinished, and which of them a plan goes on with. */
import { isUnarrived } from "../members/arrival";
import type { Incumbent } from "./census";
import { groupBy, groupOf } from "../groups";
import type { HostTable } from "./table";
import type { FleetState, Leftover, PlannedCreate } from "../model";

/** An unfinished base: made anew for its slot on its host, under its generation, only the rest is fetched. */
export interface UnfinishedBase {
  host: string;
  slot: number;
  generation: number;
  leftover: Leftover;
}

/**
 * By slot. Volume names are never used twice, so only one whose generation is later than whatever else was ever seen or
 * recorded of its slot; what stands beside it on its host under the same generation is of the same attempt.
 */
export function unfinishedBases(table: HostTable, previous: FleetState | undefined, contentId: string): Map<number, UnfinishedBase> {
  if (!table.hosts.some(({ seen }) => seen?.leftovers.some((leftover) => leftover.resumable))) return new Map();
  const known: { host?: string; slot?: number; generation?: number; leftover?: Leftover }[] = [
    ...(previous?.members ?? []).map(({ slot, generation }) => ({ slot, generation })),
    ...table.hosts.flatMap(({ name, seen }) => [
      ...[...(seen?.members ?? []), ...(seen?.kept ?? [])].map(({ slot, generation }) => ({ slot, generation })),
      ...(seen?.leftovers ?? []).map((leftover) => ({ host: name, slot: leftover.slot, generation: leftover.generation, leftover })),
    ]),
  ];
  const bySlot = groupBy(known, (one) => one.slot);
  const held = groupBy(table.hosts.flatMap(({ seen }) => seen?.heldGenerations ?? []), (one) => one.slot);
  const unfinished = new Map<number, UnfinishedBase>();
  for (const { host, slot, generation, leftover } of known) {
    if (host === undefined || slot === undefined || generation === undefined) continue;
    if (leftover?.resumable?.contentId !== contentId) continue;
    const latest = groupOf(bySlot, slot).every((other) => (
      (other.host === host && other.generation === generation && other.leftover !== undefined) || (other.generation ?? Infinity) < generation
    )) && groupOf(held, slot).every((one) => one.generation <= generation);
    if (latest) unfinished.set(slot, { host, slot, generation, leftover });
  }
  return unfinished;
}

/**
 * Unfinished replicas that linked members of their host wait for (`start: "immediately"`). They stay although nothing
 * can be fetched now, as without a template: it may come back.
 */
export function awaitedLeftovers(kept: readonly Pick<Incumbent, "host" | "member">[]): Set<Leftover> {
  const awaited = new Set<Leftover>();
  for (const { host, member } of kept) {
    if (member?.kind !== "linked" || !isUnarrived(member)) continue;
    for (const leftover of host.seen?.leftovers ?? []) {
      if (leftover.slot === undefined && leftover.resumable?.contentId === member.contentId) awaited.add(leftover);
    }
  }
  return awaited;
}

/** The leftovers that the copies of a plan go on from. */
export function resumedLeftovers(
  table: HostTable, unfinished: ReadonlyMap<number, UnfinishedBase>, create: readonly PlannedCreate[], contentId: string,
): Set<Leftover> {
  const resumed = new Set<Leftover>();
  const linkedOn = new Set<string>();
  for (const { slot, host, kind, generation } of create) {
    const base = unfinished.get(slot);
    if (kind === "linked") linkedOn.add(host);
    else if (base?.host === host && base.generation === generation) resumed.add(base.leftover);
  }
  for (const { name, seen } of table.hosts) {
    if (!linkedOn.has(name) || !seen || seen.replicas.some((r) => r.purpose === "replica" && r.contentId === contentId)) continue;
    for (const leftover of seen.leftovers) if (leftover.slot === undefined && leftover.resumable?.contentId === contentId) resumed.add(leftover);
  }
  return resumed;
}
