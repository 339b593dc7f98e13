/** What no member owns goes: replicas and uploads that nobody needs, and what runs left that did not end. */
import type { DestroyOrder } from "../../hypervisor";
import { endArrival } from "../volumes/arrivals";
import { assertBare, deleteVolume, type Place } from "../guard/guard";
import { markerName, targetVolumeName } from "../volumes/images";
import { deletePending } from "./member";
import { tagOf } from "../look/memberDomain";
import { isHelperDomain, parseVolumeName } from "../volumes/names";

export async function removeReplica({ host, contentId, purpose }: Extract<DestroyOrder, { kind: "replica" }>, at: Place): Promise<void> {
  const ref = { kind: "replica" as const, host, contentId, purpose };
  const images = (["qcow2", "raw"] as const).map((format) => targetVolumeName(at.scope, ref, format));
  await at.session.run("remove", async (client) => {
    await assertBare(client, at, images); // before its mark goes: whoever uses it stands on a whole one
    await deleteVolume(client, at, markerName(at.scope, ref)); // without its mark it is partial, whatever comes
    for (const image of images) await deleteVolume(client, at, image);
    await endArrival(client, at, parseVolumeName(at.scope, images[0]!)!);
  });
}

export async function removeLeftover({ fleet, leftover }: Extract<DestroyOrder, { kind: "leftover" }>, at: Place): Promise<void> {
  await at.session.run("remove", async (client) => {
    if (leftover.kind === "domain") {
      const domain = isHelperDomain(fleet.fleetId, leftover.name) ? await client.lookupDomain(leftover.name) : null;
      const tag = domain && await tagOf(client, domain);
      if (domain && tag?.purpose === "helper" && tag.fleetId === fleet.fleetId) await client.destroyDomain(domain, 0);
      return;
    }
    const name = parseVolumeName(at.scope, leftover.name);
    if (!name) return;
    if (name.kind === "pending") return deletePending(client, at, leftover.name);
    await deleteVolume(client, at, leftover.name);
    await endArrival(client, at, name);
  });
}
