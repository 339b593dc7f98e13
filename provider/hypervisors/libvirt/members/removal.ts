/** What no member owns goes: replicas and uploads that nobody needs, and what runs left that did not end. */
import type { DestroyOrder } from "../../hypervisor";
import { endArrival, endArrivals } from "../volumes/arrivals";
import { disksOf } from "../volumes/contentId";
import { inPlace, type Here, type Place } from "../connection/place";
import { assertBare, deleteVolume } from "../guard/guard";
import { markerName, targetVolumeName } from "../volumes/images";
import { deletePending } from "./dataDisks";
import { tagOf } from "../look/memberDomain";
import { isMarkerOf } from "../look/leftovers";
import { isHelperDomain, parseVolumeName, type VolumeName } from "../volumes/names";

export async function removeReplica({ host, contentId, purpose }: Extract<DestroyOrder, { kind: "replica" }>, place: Place): Promise<void> {
  const ref = { kind: "replica" as const, host, contentId, purpose };
  const images = (["qcow2", "raw"] as const).flatMap((format) => disksOf(contentId).map((disk) => targetVolumeName(place.scope, { ...ref, disk }, format)));
  await inPlace(place, "remove", async (here) => {
    await assertBare(here, images); // before its mark goes: whoever uses it stands on a whole one
    await deleteVolume(here, markerName(here.scope, ref)); // without its mark it is partial, whatever comes
    for (const image of images) await deleteVolume(here, image);
    await endArrivals(here, parseVolumeName(here.scope, images[0]!)!);
  });
}

async function dropMark(here: Here, image: Extract<VolumeName, { kind: "replica" | "template" }>): Promise<void> {
  const volumes = (await here.client.listVolumes(here.pool)).flatMap(({ name: volume }) => {
    const name = parseVolumeName(here.scope, volume);
    return name ? [{ volume, name }] : [];
  });
  if (volumes.some(({ name }) => name.kind === image.kind && name.contentPrefix === image.contentPrefix)) return;
  for (const { volume, name } of volumes) if (isMarkerOf(name, image)) await deleteVolume(here, volume);
}

export async function removeLeftover({ fleet, leftover }: Extract<DestroyOrder, { kind: "leftover" }>, place: Place): Promise<void> {
  // Also where its pool is no more.
  if (leftover.kind === "domain") return place.session.run("remove", async (client) => {
    const domain = isHelperDomain(fleet.fleetId, leftover.name) ? await client.lookupDomain(leftover.name) : null;
    const tag = domain && await tagOf(client, domain);
    if (domain && tag?.purpose === "helper" && tag.fleetId === fleet.fleetId) await client.destroyDomain(domain, 0);
  });
  await inPlace(place, "remove", async (here) => {
    const name = parseVolumeName(here.scope, leftover.name);
    if (!name) return;
    if (name.kind === "pending") return deletePending(here, leftover.name);
    await deleteVolume(here, leftover.name);
    await endArrival(here, name);
    // The mark of an image that lost a disk by hand goes with what was left of it.
    if (name.kind === "replica" || name.kind === "template") await dropMark(here, name);
  });
}
