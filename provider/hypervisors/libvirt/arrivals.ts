import type { ObservedPartial } from "../../fleet/model";
import { deleteVolume, type Place } from "./guard";
import { targetVolumeName, type TargetRef } from "./images";
import { asPartial, type OwnVolume } from "./leftovers";
import { memberInSlot } from "./memberDomain";
import { contentPrefix, parseVolumeName, volumeName, type HostUp, type VolumeName, type VolumeScope } from "./names";
import type { LibvirtClient, Pool } from "./rpc/client";
import { LibvirtError } from "./rpc/errors";
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
    return { bootSeconds: Math.round(Date.now() / 1000 - upSeconds), upSeconds: Math.round(upSeconds) };
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    return null;
  }
}

/** Whether the host was up all the time between. */
export function isSameBoot(then: HostUp, now: HostUp | null): boolean {
  return now !== null && Math.abs(now.bootSeconds - then.bootSeconds) < Math.min(then.upSeconds / 2, MAX_DRIFT_SECONDS);
}

const isMarkOf = (mark: VolumeName, image: VolumeName): mark is Mark => mark.kind === "arriving" && (mark.of === "base"
  ? image.kind === "base" && image.slot === mark.slot && image.generation === mark.generation
  : image.kind === "replica" && image.contentPrefix === contentPrefix(mark.contentId));

/** Leftovers as the plan sees them. The mark of a copy that can be gone on from belongs to it, and stays and goes with it. */
export function asPartials(leftovers: OwnVolume[], now: HostUp | null): ObservedPartial[] {
  const marks = leftovers.filter((one): one is OwnVolume & { name: Mark } => one.name.kind === "arriving" && isSameBoot(one.name.since, now));
  const attached = new Set<OwnVolume>();
  const images = leftovers.filter(({ name }) => name.kind !== "arriving").map((volume) => {
    const mark = volume.facts.format === "qcow2" && volume.facts.backingPath === undefined
      ? marks.find((one) => isMarkOf(one.name, volume.name)) : undefined;
    if (mark) attached.add(mark);
    return { ...asPartial(volume), ...(mark && { resumable: { contentId: mark.name.contentId } }) };
  });
  return [...images, ...leftovers.filter((one) => one.name.kind === "arriving" && !attached.has(one)).map(asPartial)];
}

/** A target's volume, ready to be written. */
export interface Arrival {
  path: string;
  /** Allocated by what arrived in an earlier attempt, which is gone on from. Absent: a fresh volume. */
  arrivedBytes?: number;
}

/**
 * Whether what is to be copied is whole already and stands under machines: a replica with its mark, a base whose member
 * exists and waits for nothing. Copied again it would be taken away under them.
 */
export async function isStanding({ session, scope }: Place, ref: TargetRef, contentId: string, marker: string | undefined): Promise<boolean> {
  const { pool } = await session.pool();
  return session.run("look at target", async (client) => {
    if (!(await client.lookupVolume(pool, targetVolumeName(scope, ref)))) return false;
    if (ref.kind === "replica") return marker !== undefined && (await client.lookupVolume(pool, marker)) !== null;
    const member = await memberInSlot(client, scope.fleetId, ref.slot);
    return member?.generation === ref.generation && member.contentId === contentId && member.base !== "arriving";
  });
}

/** The volume an earlier attempt at the same target left, if its bytes can be trusted; else a fresh one. */
export async function beginArrival(place: Place, ref: TargetRef, contentId: string, capacityBytes: number, marker: string | undefined): Promise<Arrival> {
  const { session, scope } = place;
  const { pool } = await session.pool();
  const name = targetVolumeName(scope, ref);
  const image = parseVolumeName(scope, name)!;
  return session.run("make volume", async (client) => {
    const [up, marks] = await Promise.all([hostUp(client), marksOf(client, pool, scope, image)]);
    const trusted = marks.some(({ mark }) => mark.contentId === contentId && isSameBoot(mark.since, up));
    const found = trusted ? await client.lookupVolume(pool, name) : null;
    if (found && (marker === undefined || !(await client.lookupVolume(pool, marker)))) {
      const facts = await volumeFacts(client, found);
      if (facts.format === "qcow2" && facts.backingPath === undefined && facts.capacityBytes === capacityBytes) {
        return { path: facts.path, arrivedBytes: facts.allocationBytes };
      }
    }
    if (marker !== undefined) await deleteVolume(client, place, marker); // first: what is being rewritten is not whole
    await deleteVolume(client, place, name);
    for (const mark of marks) await deleteVolume(client, place, mark.volume);
    // Before the volume: one without a mark is never gone on from.
    if (up) await ensureVolume(client, pool, volumeName(scope, markFor(ref, contentId, up)), 1, "raw");
    const volume = await ensureVolume(client, pool, name, capacityBytes, "qcow2");
    return { path: (await volumeFacts(client, volume)).path };
  });
}

const markFor = (ref: TargetRef, contentId: string, since: HostUp): Mark => (ref.kind === "base"
  ? { kind: "arriving", of: "base", slot: ref.slot, generation: ref.generation, contentId, since }
  : { kind: "arriving", of: "replica", contentId, since });

async function marksOf(client: LibvirtClient, pool: Pool, scope: VolumeScope, image: VolumeName): Promise<{ volume: string; mark: Mark }[]> {
  return (await client.listVolumes(pool)).flatMap(({ name: volume }) => {
    const mark = parseVolumeName(scope, volume);
    return mark !== null && isMarkOf(mark, image) ? [{ volume, mark }] : [];
  });
}

/** It is, or may be, not whole. */
export async function isMarkedArriving(client: LibvirtClient, pool: Pool, scope: VolumeScope, image: VolumeName): Promise<boolean> {
  return (await marksOf(client, pool, scope, image)).length > 0;
}

/** It is whole, or belongs to what is. */
export async function endArrival(client: LibvirtClient, at: Place, image: VolumeName): Promise<void> {
  const { pool } = await at.session.pool();
  for (const { volume } of await marksOf(client, pool, at.scope, image)) await deleteVolume(client, at, volume);
}

/** Nothing of it stays. */
export async function discardArrival(at: Place, ref: TargetRef): Promise<void> {
  const name = targetVolumeName(at.scope, ref);
  await at.session.run("clean up", async (client) => {
    await deleteVolume(client, at, name);
    await endArrival(client, at, parseVolumeName(at.scope, name)!);
  });
}
