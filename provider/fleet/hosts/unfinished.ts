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
  /** Of each disk of its image that had begun. */
  leftovers: Leftover[];
}

/**
 * By slot. Volume names are never used twice, so only one whose generation is later than whatever else was ever seen or
 * recorded of its slot; what stands beside it on its host under the same generation is of the same attempt.
 */
export function unfinishedBases(table: HostTable, previous: FleetState | undefined, contentId: string): Map<number, UnfinishedBase> {
  const shown = table.hosts.flatMap(({ name, seen }) => (seen ? [{ host: name, seen }] : []));
  if (!shown.some(({ seen }) => seen.leftovers.some((leftover) => leftover.resumable))) return new Map();
  const bySlot = ({ slot }: { slot?: number }) => slot;
  const leftovers = shown.flatMap(({ host, seen }) => seen.leftovers.map((leftover) => ({ host, slot: leftover.slot, generation: leftover.generation, leftover })));
  const beside = groupBy(leftovers, bySlot);
  const taken = groupBy([...(previous?.members ?? []), ...shown.flatMap(({ seen }) => [...seen.members, ...seen.kept])], bySlot);
  const held = groupBy(shown.flatMap(({ seen }) => seen.heldGenerations), bySlot);
  const unfinished = new Map<number, UnfinishedBase>();
  for (const { host, slot, generation, leftover } of leftovers) {
    if (slot === undefined || generation === undefined || leftover.resumable?.contentId !== contentId) continue;
    const latest = groupOf(taken, slot).every((one) => one.generation < generation)
      && groupOf(held, slot).every((one) => one.generation <= generation)
      && groupOf(beside, slot).every((one) => (one.host === host && one.generation === generation) || (one.generation ?? Infinity) < generation);
    if (!latest) continue;
    const begun = unfinished.get(slot);
    if (begun) begun.leftovers.push(leftover);
    else unfinished.set(slot, { host, slot, generation, leftovers: [leftover] });
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
    for (const leftover of host.seen!.leftovers) { // it is seen, or its member were none that was
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
    else if (base?.host === host && base.generation === generation) for (const leftover of base.leftovers) resumed.add(leftover);
  }
  for (const { name, seen } of table.hosts) {
    if (!linkedOn.has(name) || !seen || seen.replicas.some((r) => r.purpose === "replica" && r.contentId === contentId)) continue;
    for (const leftover of seen.leftovers) if (leftover.slot === undefined && leftover.resumable?.contentId === contentId) resumed.add(leftover);
  }
  return resumed;
}
