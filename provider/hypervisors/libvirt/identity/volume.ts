/**
 * The volume that tells a member's guest who it is: made before the member, written in place when the content changes, gone
 * with the member. The tag names the content by its hash, and only once all of it is written; a volume that no definition
 * names is a leftover.
 */
import { guestFiles } from "../../../fleet";
import type { GuestIdentity } from "../../../fleet/model";
import type { ReconfigureOrder } from "../../hypervisor";
import type { Here } from "../connection/place";
import { assertUnused, deleteUnused, deleteVolume } from "../guard/guard";
import { attachedFiles } from "../look/domainDisks";
import type { Domain, Volume } from "../rpc/handles";
import { Flag } from "../rpc/protocol";
import type { UploadChunk } from "../rpc/stream";
import { volumeName, type VolumeScope } from "../volumes/names";
import { diskPath, ensureVolume, volumeFacts } from "../volumes/volumes";
import type { DiskXml } from "../xml/domainXml";
import { IDENTITY_LABEL } from "../xml/memberDefinition";
import type { MemberTag } from "../xml/tags";
import { IMAGE_BYTES, identityImage } from "./image";

interface Slot {
  slot: number;
  generation: number;
}
type IdentityDisk = DiskXml & { label: string };

export const identityName = (scope: VolumeScope, { slot, generation }: Slot): string => volumeName(scope, { kind: "identity", slot, generation });

/**
 * The disk that goes into the definition, behind all others, with what the order says written on it.
 * @param found the member, where there is one
 * @returns none where the order tells nothing
 */
export async function identityDisks(here: Here, of: Slot, { guest }: Pick<ReconfigureOrder, "guest">, found?: { domain: Domain; tag: MemberTag }): Promise<IdentityDisk[]> {
  if (!guest) return [];
  const { client, pool, scope } = here;
  const name = identityName(scope, of);
  const volume = found ? await client.lookupVolume(pool, name) : await deleteVolume(here, name).then(() => null); // of a run that did not get to the member
  if (!volume) await write(here, await ensureVolume(here, name, IMAGE_BYTES, "raw"), guest, "new");
  else if (found?.tag.guest !== guest.hash) {
    await assertUnused(here, [name], found!.domain.uuid);
    const { format, capacityBytes } = await volumeFacts(client, volume);
    if (format !== "raw" || capacityBytes !== IMAGE_BYTES) throw new Error(`${name} is not as it was made: remove it by hand (virsh vol-delete)`);
    await write(here, volume, guest, "written");
  }
  return [await asDisk(here, name)];
}

/** As the definition has it, whatever is ordered by now. */
export async function standingIdentity(here: Here, of: Slot, domain: Domain): Promise<IdentityDisk[]> {
  const name = identityName(here.scope, of);
  return attachedFiles(await here.client.domainXml(domain, Flag.xmlInactive)).includes(name) ? [await asDisk(here, name)] : [];
}

const asDisk = async (here: Here, name: string): Promise<IdentityDisk> => ({ path: await diskPath(here, name), format: "raw", readOnly: true, label: IDENTITY_LABEL });

/** The definition names it no more. A guest that still runs with it keeps it: it is a leftover once that has ended. */
export async function dropIdentity(here: Here, of: Slot, { guest }: Pick<ReconfigureOrder, "guest">): Promise<void> {
  if (!guest) await deleteUnused(here, [identityName(here.scope, of)]);
}

/** A new volume is zeros, and what an image ends in is zeros, too. */
async function write({ client }: Here, volume: Volume, guest: GuestIdentity, was: "new" | "written"): Promise<void> {
  const image = await identityImage(guestFiles(guest));
  const bytes = was === "written" ? image : image.subarray(0, lengthOf(image));
  await client.uploadVolume(volume, bytes.length, once(bytes));
}

const SECTOR_BYTES = 4096;

function lengthOf(image: Buffer): number {
  let end = image.length;
  while (end > 0 && image[end - 1] === 0) end--;
  return Math.ceil(end / SECTOR_BYTES) * SECTOR_BYTES;
}

async function* once(data: Buffer): AsyncGenerator<UploadChunk> {
  yield { data };
}
