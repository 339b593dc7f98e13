/**
 * The volume that tells a member's guest who it is: made before the member, written in place when the content changes, gone
 * with the member. The tag names the content by its hash, and only once all of it is written; a volume that no definition
 * names is a leftover. For cloud-init it is a disk, for Ignition a file that QEMU reads when the guest starts.
 */
import { guestFiles } from "../../../fleet";
import type { GuestContent, GuestIdentity } from "../../../fleet/model";
import type { ReconfigureOrder } from "../../hypervisor";
import type { Here } from "../connection/place";
import { assertUnused, deleteUnused, deleteVolume } from "../guard/guard";
import { baseName, filesOf } from "../look/domainDisks";
import type { Domain, Volume } from "../rpc/handles";
import { Flag } from "../rpc/protocol";
import type { UploadChunk } from "../rpc/stream";
import { volumeName, type VolumeScope } from "../volumes/names";
import { diskPath, ensureVolume, volumeFacts } from "../volumes/volumes";
import { IDENTITY_LABEL, type DataDisk } from "../xml/memberDefinition";
import { ignitionFiles } from "../xml/setIgnition";
import type { MemberTag } from "../xml/tags";
import { parseXml, type ParsedXml } from "../xml/xml";
import { IMAGE_BYTES, identityImage } from "./image";

interface Slot {
  slot: number;
  generation: number;
}

/** What a definition has for it. */
export interface Told {
  /** Behind all others. */
  disks: DataDisk[];
  ignition?: string;
}
const NOTHING: Told = { disks: [] };

const KINDS: Readonly<Record<GuestContent["kind"], "identity" | "ignition">> = { cloudInit: "identity", ignition: "ignition" };
const nameFor = (scope: VolumeScope, { slot, generation }: Slot, kind: GuestContent["kind"]): string => volumeName(scope, { kind: KINDS[kind], slot, generation });
/** Whatever it is for. */
export const toldNames = (scope: VolumeScope, of: Slot): string[] => (["cloudInit", "ignition"] as const).map((kind) => nameFor(scope, of, kind));

/** Of the volumes that may tell this member's guest who it is, those that a definition names. */
export function toldBy(domain: ParsedXml, scope: VolumeScope, of: Slot): string[] {
  const named = [...filesOf(domain), ...ignitionFiles(domain).flatMap((path) => baseName(path) ?? [])];
  return toldNames(scope, of).filter((name) => named.includes(name));
}

/**
 * What goes into the definition, with what the order says written on it.
 * @param found the member, where there is one
 */
export async function tellGuest(here: Here, of: Slot, { guest }: Pick<ReconfigureOrder, "guest">, found?: { domain: Domain; tag: MemberTag }): Promise<Told> {
  if (!guest) return NOTHING;
  const { client, pool, scope } = here;
  const name = nameFor(scope, of, guest.content.kind);
  if (!found) await deleteVolume(here, name); // of a run that did not get to the member
  const volume = found ? await client.lookupVolume(pool, name) : null;
  if (!volume) await writeNew(here, name, guest);
  else if (found?.tag.guest !== guest.hash) {
    await assertUnused(here, [name], found!.domain.uuid);
    await writeOver(here, volume, guest);
  }
  return asTold(here, name, guest.content.kind);
}

/** As the definition has it, whatever is ordered by now. */
export async function standingTold(here: Here, of: Slot, domain: Domain): Promise<Told> {
  const named = toldBy(parseXml(await here.client.domainXml(domain, Flag.xmlInactive)), here.scope, of);
  for (const kind of ["cloudInit", "ignition"] as const) {
    const name = nameFor(here.scope, of, kind);
    if (named.includes(name)) return asTold(here, name, kind);
  }
  return NOTHING;
}

async function asTold(here: Here, name: string, kind: GuestContent["kind"]): Promise<Told> {
  const path = await diskPath(here, name);
  return kind === "ignition" ? { disks: [], ignition: path } : { disks: [{ path, format: "raw", readOnly: true, label: IDENTITY_LABEL }] };
}

/** The definition names others no more. A guest that still runs with one keeps it: it is a leftover once that has ended. */
export async function dropTold(here: Here, of: Slot, { guest }: Pick<ReconfigureOrder, "guest">): Promise<void> {
  const kept = guest && nameFor(here.scope, of, guest.content.kind);
  await deleteUnused(here, toldNames(here.scope, of).filter((name) => name !== kept));
}

/** A new volume is zeros, and what an image ends in is zeros, too. */
async function writeNew(here: Here, name: string, guest: GuestIdentity): Promise<void> {
  const bytes = await bytesOf(guest);
  const volume = await ensureVolume(here, name, bytes.length, "raw");
  await upload(here, volume, bytes.subarray(0, endOf(bytes)));
}

async function writeOver(here: Here, volume: Volume, guest: GuestIdentity): Promise<void> {
  const { format, capacityBytes } = await volumeFacts(here.client, volume);
  const isImage = guest.content.kind === "cloudInit";
  if (format !== "raw" || (isImage && capacityBytes !== IMAGE_BYTES)) throw new Error(`${volume.name} is not as it was made: remove it by hand (virsh vol-delete)`);
  const bytes = await bytesOf(guest, isImage ? undefined : capacityBytes);
  if (bytes.length > capacityBytes) await here.client.resizeVolume(volume, bytes.length);
  await upload(here, volume, bytes);
}

const SECTOR_BYTES = 512;
const upToSector = (bytes: number): number => Math.ceil(bytes / SECTOR_BYTES) * SECTOR_BYTES;

/** @param leastBytes of a text, which blanks at its end make longer: they say nothing in JSON */
async function bytesOf(guest: GuestIdentity, leastBytes = 0): Promise<Buffer> {
  if (guest.content.kind === "cloudInit") return identityImage(guestFiles(guest));
  const text = Buffer.from(guest.content.config, "utf8");
  return Buffer.concat([text, Buffer.alloc(Math.max(leastBytes, upToSector(text.length)) - text.length, " ")]);
}

function endOf(bytes: Buffer): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return upToSector(end);
}

const upload = ({ client }: Here, volume: Volume, bytes: Buffer): Promise<void> => client.uploadVolume(volume, bytes.length, once(bytes));

async function* once(data: Buffer): AsyncGenerator<UploadChunk> {
  yield { data };
}
