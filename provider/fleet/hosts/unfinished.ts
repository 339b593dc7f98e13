/** Copies that an earlier run left unfinished, and which of them a plan goes on with. */
import { isUnarrived } from "../members/arrival";
import type { Incumbent } from "./census";
import { groupBy, groupOf } from "../groups";
import type { HostTable } from "./table";
import type { FleetState, ObservedPartial, PlannedCreate } from "../model";

/** An unfinished base: made anew for its slot on its host, under its generation, only the rest is fetched. */
export interface UnfinishedBase {
  host: string;
  slot: number;
  generation: number;
  partial: ObservedPartial;
}

/**
 * By slot. Volume names are never used twice, so only one whose generation is later than whatever else was ever seen or
 * recorded of its slot; what stands beside it on its host under the same generation is of the same attempt.
 */
export function unfinishedBases(table: HostTable, previous: FleetState | undefined, contentId: string): Map<number, UnfinishedBase> {
  if (!table.hosts.some(({ seen }) => seen?.partials.some((partial) => partial.resumable))) return new Map();
  const known: { host?: string; slot?: number; generation?: number; partial?: ObservedPartial }[] = [
    ...(previous?.members ?? []).map(({ slot, generation }) => ({ slot, generation })),
    ...table.hosts.flatMap(({ name, seen }) => [
      ...[...(seen?.members ?? []), ...(seen?.kept ?? [])].map(({ slot, generation }) => ({ slot, generation })),
      ...(seen?.partials ?? []).map((partial) => ({ host: name, slot: partial.slot, generation: partial.generation, partial })),
    ]),
  ];
  const bySlot = groupBy(known, (one) => one.slot);
  const held = groupBy(table.hosts.flatMap(({ seen }) => seen?.heldGenerations ?? []), (one) => one.slot);
  const unfinished = new Map<number, UnfinishedBase>();
  for (const { host, slot, generation, partial } of known) {
    if (host === undefined || slot === undefined || generation === undefined) continue;
    if (partial?.resumable?.contentId !== contentId) continue;
    const latest = groupOf(bySlot, slot).every((other) => (
      (other.host === host && other.generation === generation && other.partial !== undefined) || (other.generation ?? Infinity) < generation
    )) && groupOf(held, slot).every((one) => one.generation <= generation);
    if (latest) unfinished.set(slot, { host, slot, generation, partial });
  }
  return unfinished;
}

/**
 * Unfinished replicas that linked members of their host wait for (`start: "immediately"`). They stay although nothing
 * can be fetched now, as without a template: it may come back.
 */
export function awaitedPartials(kept: readonly Pick<Incumbent, "host" | "member">[]): Set<ObservedPartial> {
  const awaited = new Set<ObservedPartial>();
  for (const { host, member } of kept) {
    if (member?.kind !== "linked" || !isUnarrived(member)) continue;
    for (const partial of host.seen?.partials ?? []) {
      if (partial.slot === undefined && partial.resumable?.contentId === member.contentId) awaited.add(partial);
    }
  }
  return awaited;
}

/** The partials that the copies of a plan go on from. */
export function resumedPartials(
  table: HostTable, unfinished: ReadonlyMap<number, UnfinishedBase>, create: readonly PlannedCreate[], contentId: string,
): Set<ObservedPartial> {
  const resumed = new Set<ObservedPartial>();
  const linkedOn = new Set<string>();
  for (const { slot, host, kind, generation } of create) {
    const base = unfinished.get(slot);
    if (kind === "linked") linkedOn.add(host);
    else if (base?.host === host && base.generation === generation) resumed.add(base.partial);
  }
  for (const { name, seen } of table.hosts) {
    if (!linkedOn.has(name) || !seen || seen.replicas.some((r) => r.purpose === "replica" && r.contentId === contentId)) continue;
    for (const partial of seen.partials) if (partial.slot === undefined && partial.resumable?.contentId === contentId) resumed.add(partial);
  }
  return resumed;
}
