import { randomBytes } from "node:crypto";
import type { Leftover } from "../../../fleet/model";
import { inPlace, type Here, type Place } from "../connection/place";
import { assertUnused, deleteOwnMap, deleteVolume } from "../guard/guard";
import type { CopyRef } from "../../hypervisor";
import { disksOf } from "./contentId";
import { markerName, targetVolumeName, type TargetRef } from "./images";
import { asLeftover, type OwnVolume } from "../look/leftovers";
import { memberInSlot } from "../look/memberDomain";
import { contentPrefix, parseVolumeName, volumeName, type HostUp, type VolumeName } from "./names";
import type { LibvirtClient } from "../rpc/client";
import { LibvirtError } from "../rpc/errors";
import { ensureVolume, volumeFacts } from "./volumes";

/**
 * Copies that are not whole (ADR 0052). An `arriving` mark, made before the volume, says which content it is of and
 * since when its host is up: what QEMU wrote survives QEMU's death, but not the host's, which may have acknowledged
 * more than it kept.
 */
type Mark = Extract<VolumeName, { kind: "arriving" }>;

/** Clocks and processors' idle times drift; a host that started again is behind by at least what it was up for. */
const MAX_DRIFT_SECONDS = 600;

/** Null: the host cannot tell, so nothing on it can be gone on from. */
export async function hostUp(client: LibvirtClient): Promise<HostUp | null> {
  try {
    const upSeconds = await client.nodeUpSeconds();
    // eslint-disable-next-line no-restricted-properties -- a time of day is what it is, and is trusted for nothing alone
    return { bootSeconds: Math.round(Date.now() / 1000 - upSeconds), upSeconds: Math.round(upSeconds) };
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    return null;
  }
}

const toleranceSeconds = (then: HostUp): number => Math.min(then.upSeconds / 2, MAX_DRIFT_SECONDS);

/**
 * Whether the host may have been up all the time between. By the clocks of the machines that looked, which may be any two
 * and may both be wrong: enough to plan with, not to go on with what is there (`isSameBootByAge`).
 */
export function isSameBoot(then: HostUp, now: HostUp | null): boolean {
  return now !== null && now.upSeconds + 1 >= then.upSeconds && Math.abs(now.bootSeconds - then.bootSeconds) < toleranceSeconds(then);
}

/**
 * Whether the host was up all the time since a mark was made that is this old by the store's own clock. One that started
 * again since has been up for less than the mark is old, and not for the time before the mark either.
 */
export function isSameBootByAge(then: HostUp, now: HostUp, ageSeconds: number): boolean {
  return Math.abs(ageSeconds - (now.upSeconds - then.upSeconds)) < toleranceSeconds(then);
}

/** By a file that is made now: both times are written by the clock that the pool's file system goes by. */
async function ageOf(here: Here, mark: string): Promise<number | undefined> {
  const { client, pool, scope } = here;
  const made = await client.lookupVolume(pool, mark);
  if (!made) return undefined;
  const probe = volumeName(scope, { kind: "map", id: randomBytes(8).toString("hex") });
  try {
    const fresh = await ensureVolume(here, probe, 1, "raw");
    const seconds = Number((await volumeFacts(client, fresh)).mtime) - Number((await volumeFacts(client, made)).mtime);
    return Number.isFinite(seconds) ? seconds : undefined;
  } finally {
    await deleteOwnMap(here, probe);
  }
}

async function isTrusted(here: Here, { volume, mark }: { volume: string; mark: Mark }, now: HostUp | null): Promise<boolean> {
  if (now === null || !isSameBoot(mark.since, now)) return false;
  const ageSeconds = await ageOf(here, volume);
  return ageSeconds !== undefined && isSameBootByAge(mark.since, now, ageSeconds);
}

/** Of any disk of the image. */
const isMarkOfImage = (mark: VolumeName, image: VolumeName): mark is Mark => mark.kind === "arriving" && (mark.of === "base"
  ? image.kind === "base" && image.slot === mark.slot && image.generation === mark.generation
  : image.kind === "replica" && image.contentPrefix === contentPrefix(mark.contentId));

const isMarkOf = (mark: VolumeName, image: VolumeName): mark is Mark =>
  isMarkOfImage(mark, image) && (mark.disk ?? 0) === (("disk" in image && image.disk) || 0);

/** Leftovers as the plan sees them. The mark of a copy that can be gone on from belongs to it, and stays and goes with it. */
export function asLeftovers(leftovers: OwnVolume[], now: HostUp | null): Leftover[] {
  const marks = leftovers.filter((one): one is OwnVolume & { name: Mark } => one.name.kind === "arriving" && isSameBoot(one.name.since, now));
  const attached = new Set<OwnVolume>();
  const images = leftovers.filter(({ name }) => name.kind !== "arriving").map((volume) => {
    const mark = volume.facts.format === "qcow2" && volume.facts.backingPath === undefined
      ? marks.find((one) => isMarkOf(one.name, volume.name)) : undefined;
    if (mark) attached.add(mark);
    return { ...asLeftover(volume), ...(mark && { resumable: { contentId: mark.name.contentId } }) };
  });
  return [...images, ...leftovers.filter((one) => one.name.kind === "arriving" && !attached.has(one)).map(asLeftover)];
}

/** A target's volume, ready to be written. */
export interface Arrival {
  path: string;
  /** Allocated by what arrived in an earlier attempt, which is gone on from. Absent: a fresh volume. */
  arrivedBytes?: number;
}

/**
 * Which disks of what is to be copied are to be copied at all. Of what is whole already and stands under machines (a replica with
 * its mark, a base whose member exists and waits for nothing) only those that somebody took away: the others, copied again, would
 * be taken away under them.
 */
export async function missingDisks(place: Place, ref: CopyRef, contentId: string): Promise<number[]> {
  const disks = disksOf(contentId);
  return inPlace(place, "look at target", async ({ client, pool, scope }) => {
    const isThere = await Promise.all(disks.map(async (disk) => (await client.lookupVolume(pool, targetVolumeName(scope, { ...ref, disk }))) !== null));
    if (!isThere.includes(true)) return disks;
    const member = ref.kind === "base" ? await memberInSlot(client, scope.fleetId, ref.slot) : null;
    const isStanding = ref.kind === "replica"
      ? (await client.lookupVolume(pool, markerName(scope, ref))) !== null
      : member?.generation === ref.generation && member.contentId === contentId && member.base !== "arriving";
    return isStanding ? disks.filter((disk) => !isThere[disk]) : disks;
  });
}

/** The volume an earlier attempt at the same target left, if its bytes can be trusted; else a fresh one. */
export async function beginArrival(place: Place, ref: TargetRef, contentId: string, capacityBytes: number): Promise<Arrival> {
  const { scope } = place;
  const name = targetVolumeName(scope, ref);
  const marker = ref.kind === "replica" ? markerName(scope, ref) : undefined;
  const image = parseVolumeName(scope, name)!;
  return inPlace(place, "make volume", async (here) => {
    const { client, pool } = here;
    const [up, marks] = await Promise.all([hostUp(client), marksOf(here, image)]);
    let trusted = false;
    for (const one of marks) trusted ||= one.mark.contentId === contentId && (await isTrusted(here, one, up));
    const found = trusted ? await client.lookupVolume(pool, name) : null;
    if (found && (marker === undefined || !(await client.lookupVolume(pool, marker)))) {
      const facts = await volumeFacts(client, found);
      if (facts.format === "qcow2" && facts.backingPath === undefined && facts.capacityBytes === capacityBytes) {
        await assertUnused(here, [name]); // else what somebody writes to it, or reads of it, is not ours to go on with
        return { path: facts.path, arrivedBytes: facts.allocationBytes };
      }
    }
    if (marker !== undefined) await deleteVolume(here, marker); // first: what is being rewritten is not whole
    await deleteVolume(here, name);
    for (const mark of marks) await deleteVolume(here, mark.volume);
    // Before the volume: one without a mark is never gone on from.
    if (up) await ensureVolume(here, volumeName(scope, markFor(ref, contentId, up)), 1, "raw");
    const volume = await ensureVolume(here, name, capacityBytes, "qcow2");
    return { path: (await volumeFacts(client, volume)).path };
  });
}

const markFor = (ref: TargetRef, contentId: string, since: HostUp): Mark => (ref.kind === "base"
  ? { kind: "arriving", of: "base", slot: ref.slot, generation: ref.generation, contentId, since, disk: ref.disk }
  : { kind: "arriving", of: "replica", contentId, since, disk: ref.disk });

async function marksOf({ client, pool, scope }: Here, image: VolumeName, is: typeof isMarkOf = isMarkOf): Promise<{ volume: string; mark: Mark }[]> {
  return (await client.listVolumes(pool)).flatMap(({ name: volume }) => {
    const mark = parseVolumeName(scope, volume);
    return mark !== null && is(mark, image) ? [{ volume, mark }] : [];
  });
}

/** One of its disks is, or may be, not whole. */
export async function isMarkedArriving(here: Here, image: VolumeName): Promise<boolean> {
  return (await marksOf(here, image, isMarkOfImage)).length > 0;
}

/** This disk is whole, or belongs to what is; or there is none any more. */
export async function endArrival(here: Here, image: VolumeName): Promise<void> {
  for (const { volume } of await marksOf(here, image)) await deleteVolume(here, volume);
}

/** All disks of the image are whole, or belong to what is; or there are none any more. */
export async function endArrivals(here: Here, image: VolumeName): Promise<void> {
  for (const { volume } of await marksOf(here, image, isMarkOfImage)) await deleteVolume(here, volume);
}

/** Nothing of any of its disks stays. */
export async function discardArrivals(place: Place, ref: CopyRef, contentId: string): Promise<void> {
  for (const disk of disksOf(contentId)) await discardArrival(place, { ...ref, disk });
}

/** Nothing of this disk stays. */
export async function discardArrival(place: Place, ref: TargetRef): Promise<void> {
  const name = targetVolumeName(place.scope, ref);
  await inPlace(place, "clean up", async (here) => {
    await deleteVolume(here, name);
    await endArrival(here, parseVolumeName(here.scope, name)!);
  });
}
