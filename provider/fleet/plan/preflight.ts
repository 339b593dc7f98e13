/** Everything that would make a run fail, found before anything is touched, in one list. */
import { groupBy } from "../groups";
import { imageBytes } from "../images";
import { memberKey } from "../members/keys";
import type { FleetPlan, FleetSpec, Image, Observation, Leftover, Problem, ReachableHost } from "../model";
import { hostFacts } from "../own";
import { dataStoreProblems, newDiskBytes } from "./dataDisks";
import { alike, byStore, freeBytesOf } from "./room";
import { problemsOfHost } from "../words/paths";
import { expected, formatBytes, plural, tidy } from "../words/problems";

/** What a delta disk, a definition and a marker volume need at first. */
const MEMBER_OVERHEAD_BYTES = 1_048_576;

/**
 * The plan's own problems, those that the adapter found on hosts the plan works on, and pools that are too small.
 * A full clone needs what a copy of its image writes, a linked one its host's replica and a small delta. Space that the plan frees on a host counts, because a run removes before it clones; hosts that share a store
 * share its room.
 */
export function preflight(spec: FleetSpec, observation: Observation, plan: FleetPlan): Problem[] {
  const reachable = reachableOf(observation);
  const shareOf = sharesOf(spec, plan);
  const busy = new Set([...plan.create, ...plan.complete, ...plan.reconfigure].map((one) => one.host));
  return tidy([
    ...plan.problems,
    ...reachable.filter((host) => busy.has(host.name)).flatMap((host) => problemsOfHost(spec, host.name, host.problems)),
    ...byStore(reachable).flatMap((store) => spaceProblems(spec, observation, shareOf, store)),
    ...dataStoreProblems(spec, reachable, plan),
  ]);
}

export type ShareOf = (host: string) => FleetPlan;

/** What of a plan concerns a host: of the first, which a local template is uploaded to, all, since any copy anywhere brings that. */
export function sharesOf(spec: FleetSpec, plan: FleetPlan): ShareOf {
  const at = ({ host }: { host: string }) => host;
  const [create, complete, destroy, cleanup] = [groupBy(plan.create, at), groupBy(plan.complete, at), groupBy(plan.destroy, at), groupBy(plan.cleanup, at)];
  const of = <T>(groups: Map<string, T[]>, host: string): T[] => groups.get(host) ?? [];
  return (host) => (host === spec.hosts[0]?.name ? plan : {
    ...plan, create: of(create, host), complete: of(complete, host), destroy: of(destroy, host), cleanup: of(cleanup, host),
  });
}

/** Hosts that would not fit together if their pools were one: whether they are is worth finding out. */
export function maybeOneStore(spec: FleetSpec, observation: Observation, plan: FleetPlan): string[][] {
  const shareOf = sharesOf(spec, plan);
  const writing = reachableOf(observation).filter((host) => bytesNeeded(spec, observation, shareOf(host.name), host) > 0);
  return alike(writing)
    .filter((group) => sumOf(group, (host) => bytesNeeded(spec, observation, shareOf(host.name), host)) > roomOf(shareOf, group))
    .map((group) => group.map(({ name }) => name));
}

/** Free in the store of these hosts once the plan has removed what it removes. */
export const roomOf = (shareOf: ShareOf, store: readonly ReachableHost[]): number =>
  freeBytesOf(store) + sumOf(store, (host) => bytesFreed(shareOf(host.name), host));

const reachableOf = (observation: Observation): ReachableHost[] =>
  observation.hosts.filter((host): host is ReachableHost => host.status === "reachable");

const sumOf = <T>(all: readonly T[], bytes: (one: T) => number): number => all.reduce((sum, one) => sum + bytes(one), 0);

function spaceProblems(spec: FleetSpec, observation: Observation, shareOf: ShareOf, store: readonly ReachableHost[]): Problem[] {
  const neededOn = (host: ReachableHost): number => bytesNeeded(spec, observation, shareOf(host.name), host);
  const needed = sumOf(store, neededOn);
  const free = roomOf(shareOf, store);
  if (needed <= free) return [];
  const writing = store.filter((host) => neededOn(host) > 0);
  const names = new Set(writing.map(({ name }) => name));
  const index = spec.hosts.findIndex((one) => names.has(one.name));
  const declared = spec.hosts[index] && hostFacts(spec.hosts[index].own);
  const where = [...names].join(", ");
  const shared = names.size > 1 ? ` on ${where} together, which share it` : "";
  const members = sumOf(writing, (host) => shareOf(host.name).create.filter((one) => one.host === host.name).length);
  // Without members it is the copy of a local file that is sent there.
  const what = members > 0 ? plural(members, "new member") : "the template's file";
  // What rounds to the same would read as if nothing were wrong.
  const shown = formatBytes(needed) === formatBytes(free) ? (bytes: number) => `${bytes} bytes` : formatBytes;
  const then = `make room on ${names.size > 1 ? "it" : where}${members > 0 ? ", or want fewer members there" : ""}`;
  return [{
    path: declared ? `hosts[${index}].${declared.storeProperty}` : "hosts",
    message: `${expected(`a ${store[0]!.words.store} with ${shown(needed)} free for ${what}${shared}`, declared?.store ?? where)} with ${shown(free)} free; ${then}`,
  }];
}

/** Bytes that the plan writes to the host's pool at once. */
export function bytesNeeded(spec: FleetSpec, observation: Observation, plan: FleetPlan, host: ReachableHost): number {
  const overhead = overheadBytes(spec, plan, host.name);
  // Where neither the template nor the inputs tell its size, a guess refuses nobody.
  if (!observation.template && spec.imageBytes === undefined) return overhead;
  const lacks = (purpose: "replica" | "template") => ({ contentId }: Image): boolean =>
    !host.replicas.some((replica) => replica.purpose === purpose && replica.contentId === contentId);
  const [full, linked]: [Image[], Map<string, Image>] = [[], new Map()];
  for (const { kind, image } of writtenOn(plan, host.name)) {
    if (kind === "full") full.push(image);
    else linked.set(image.contentId, image);
  }
  const isUploadedHere = spec.template.kind === "file" && observation.template?.host === undefined && spec.hosts[0]?.name === host.name;
  const uploaded = isUploadedHere ? plan.create.slice(0, 1).map(({ image }) => image) : [];
  return sumOf([...full, ...[...linked.values()].filter(lacks("replica")), ...uploaded.filter(lacks("template"))], imageBytes) + overhead;
}

/** What its new members take there beside their images. */
export const overheadBytes = (spec: FleetSpec, plan: FleetPlan, host: string): number =>
  writtenOn(plan, host).length * MEMBER_OVERHEAD_BYTES + (newDiskBytes(spec, writtenOn(plan, host), host).get(undefined) ?? 0);

const writtenOn = (plan: FleetPlan, host: string) =>
  [...plan.create, ...plan.complete.filter((one) => one.base === "arriving")].filter((one) => one.host === host);

function bytesFreed(plan: FleetPlan, host: ReachableHost): number {
  const leaving = new Set(plan.destroy.filter((one) => one.host === host.name).map(memberKey));
  const members = host.members.filter((member) => leaving.has(memberKey(member)));
  const replicas = new Set(host.replicas.flatMap(({ disk, others = [] }) => [disk, ...others]).map(({ name }) => name));
  const disks = members.flatMap((member) => [
    // Under each disk of a linked clone lies one of the replica, which stays until the end of the run.
    ...(member.kind === "linked" ? member.chain.slice(0, -1).filter(({ name }) => !replicas.has(name)) : member.chain),
    ...member.disks.filter((disk) => disk.onDelete === "delete" && disk.store === undefined),
  ]);
  // What is removed, and what the plan goes on from: that need not be written again.
  const removed = new Set(plan.cleanup.filter((one) => one.host === host.name).map((one) => one.leftover));
  const leftovers = host.leftovers.filter((one) => removed.has(one) || isResumed(plan, host, one)).map((one) => one.bytes);
  return [...disks.map((disk) => disk.allocationBytes), ...leftovers].reduce((sum, bytes) => sum + bytes, 0);
}

/** A copy of the plan goes on from it. One that stays for a member of another host, or until its template is back, frees nothing. */
function isResumed(plan: FleetPlan, host: ReachableHost, { slot, generation, resumable }: Leftover): boolean {
  if (!resumable) return false;
  const { contentId } = resumable;
  const made = writtenOn(plan, host.name).filter((one) => one.image.contentId === contentId);
  if (slot !== undefined) return made.some((one) => one.kind === "full" && one.slot === slot && one.generation === generation);
  return made.some((one) => one.kind === "linked") && !host.replicas.some((one) => one.purpose === "replica" && one.contentId === contentId);
}
