/** The images that a member's cloned disks consist of: put there when it is made, told apart from whatever else bears their names. */
import type { CopyRef, SnapshotOrder } from "../../hypervisor";
import { inPlace, type Here, type Place } from "../connection/place";
import { deleteVolume } from "../guard/guard";
import { assertOwnImage, memberDisks } from "../look/domainDisks";
import { memberInSlot, type FoundMember } from "../look/memberDomain";
import { disksOf } from "../volumes/contentId";
import { memberImage, targetVolumeName } from "../volumes/images";
import { parseVolumeName, type MemberImageKind, type VolumeScope } from "../volumes/names";
import { ensureVolume, volumeFacts } from "../volumes/volumes";

type Slot = { slot: number; generation: number };

/**
 * Freeze: the writes go to a delta on each disk from now on; the bases are never written again until they are
 * consolidated. Or link: the bases are the host's replica then.
 */
export async function putDeltas(image: CopyRef, order: SnapshotOrder, place: Place): Promise<void> {
  await inPlace(place, "freeze", async (here) => {
    const { client, scope } = here;
    if ((await memberInSlot(client, order.fleet.fleetId, order.slot))?.generation === order.generation) return; // done before: what stands there has been written
    for (const disk of disksOf(order.contentId)) {
      const base = targetVolumeName(scope, { ...image, disk });
      await putDelta(here, base, memberImage(scope, "delta", order, disk), disk === 0 ? order.diskBytes : undefined);
    }
  });
}

/** @param leastBytes that the delta is to hold, as a guest sees it. @default as the base */
async function putDelta(here: Here, baseName: string, delta: string, leastBytes = 0): Promise<void> {
  const { client, pool } = here;
  const base = await client.lookupVolume(pool, baseName);
  if (!base) throw new Error(`the base ${baseName} is gone`);
  const facts = await volumeFacts(client, base);
  await deleteVolume(here, delta); // of a run that did not get to the member: over another base, perhaps
  await ensureVolume(here, delta, Math.max(facts.capacityBytes, leastBytes), "qcow2", { path: facts.path, format: "qcow2" });
}

/**
 * The images that a member's cloned disks are in, by their last names, as it will start with them.
 * @throws where one of them is none of its own
 */
export async function standingImage({ client, scope }: Here, { domain, tag }: FoundMember, name: string): Promise<string[]> {
  return (await memberDisks(client, domain, tag)).map(({ place, persistent }) => {
    assertOwnImage(scope, tag, place, persistent, ["base", "delta"], name);
    return persistent;
  });
}

export const IMAGE_KINDS: readonly MemberImageKind[] = ["base", "delta", "early"];

/** A name of one of its cloned disks. */
export function isMemberImage(scope: VolumeScope, of: Slot, file: string): boolean {
  const name = parseVolumeName(scope, file);
  return name !== null && IMAGE_KINDS.some((kind) => kind === name.kind) && "slot" in name && name.slot === of.slot && name.generation === of.generation;
}

/** All that are there, and those of the first disk anyhow; from what stands on nothing of its own up. */
export async function imageNames({ client, pool, scope }: Here, of: Slot): Promise<string[]> {
  const there = (await client.listVolumes(pool)).map(({ name }) => name).filter((name) => isMemberImage(scope, of, name));
  const rank = (file: string): number => IMAGE_KINDS.findIndex((kind) => kind === parseVolumeName(scope, file)!.kind);
  return [...new Set([...IMAGE_KINDS.map((kind) => memberImage(scope, kind, of)), ...there])].sort((a, b) => rank(a) - rank(b));
}
