import type { ImageUse, ImageUser } from "../guard/imageUse";
import type { LibvirtClient } from "../rpc/client";
import type { Domain } from "../rpc/handles";
import { isLibvirtError, LibvirtError } from "../rpc/errors";
import { ErrorCode } from "../rpc/protocol";
import type { Declaration } from "./volume";
import { ENOENT, volumeFacts, type VolumeFacts } from "../volumes/volumes";

/** Who may write to an image that is to be copied. */
export interface Writer {
  user: ImageUser;
  /** False: it names another path, with the same last name, and a file that may be the same one. */
  certain: boolean;
}

/**
 * A domain that writes to the image while it runs, or will where its saved state goes on. One that names another path is
 * asked what lies there: only what may be the same file counts.
 */
export async function writerOf(client: LibvirtClient, use: ImageUse, facts: VolumeFacts): Promise<Writer | undefined> {
  const writers = use.usersOf(facts).filter((user) => user.writes && ((user.running && user.now) || user.managedSave));
  const certain = writers.find((user) => user.certain);
  if (certain) return { user: certain, certain: true };
  for (const user of writers) {
    const same = user.path === undefined ? false : await isSameFile(client, user, user.path, facts).catch(nobody);
    if (same) return { user, certain: same === "same" };
  }
  return undefined;
}

/** A domain that is gone, or does not say: QEMU's own lock and the content id are there still. */
function nobody(error: unknown): false {
  if (!(error instanceof LibvirtError)) throw error;
  return false;
}

/**
 * As what domains have an image, each format with a domain that says so. One that names another path or pool counts
 * unless what lies there is another file: its guest may write whatever it likes into the first bytes of a raw disk.
 */
export async function formatsOf(client: LibvirtClient, declared: readonly Declaration[], facts: VolumeFacts): Promise<Map<string, string>> {
  const formats = new Map<string, string>();
  for (const one of declared) if (!formats.has(one.format) && await mayBeSame(client, one, facts)) formats.set(one.format, one.domain);
  return formats;
}

/** The disk of another domain that may be written to, if the image is or may be one. */
export async function diskOwner(client: LibvirtClient, use: ImageUse, facts: VolumeFacts): Promise<ImageUser | undefined> {
  for (const user of use.usersOf(facts)) if (user.writes && user.how === "disk" && await mayBeSame(client, user, facts)) return user;
  return undefined;
}

/** False only where another file, or none, lies at the path or in the pool that the domain names. */
async function mayBeSame(client: LibvirtClient, named: Pick<Declaration, "certain" | "path" | "pool" | "uuid">, facts: VolumeFacts): Promise<boolean> {
  if (named.certain) return true;
  try {
    const path = named.path ?? (named.pool === undefined ? undefined : await pathIn(client, named.pool, facts.volume));
    if (path === null) return false;
    return path === undefined || !path.startsWith("/") || await isSameFile(client, named, path, facts) !== false;
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    return error.errno !== ENOENT && !isLibvirtError(error, ErrorCode.noDomain);
  }
}

async function pathIn(client: LibvirtClient, poolName: string, volume: string): Promise<string | null> {
  const pool = await client.lookupPool(poolName);
  return pool && ((await client.lookupVolume(pool, volume))?.key ?? null);
}

/**
 * Whether two paths are one file. Looked at before and after the image: of one file that is being written, what never
 * runs backwards lies between.
 */
async function isSameFile(client: LibvirtClient, user: Pick<ImageUser, "uuid">, path: string, image: VolumeFacts): Promise<"same" | "alike" | false> {
  const volume = await client.lookupVolumeByPath(path);
  const look = volume ? () => volumeFacts(client, volume).then(timeOf) : () => blockOf(client, user, path);
  const own = await client.lookupVolumeByPath(image.path);
  if (!own) return false;
  const before = await look();
  const at = await volumeFacts(client, own);
  const after = await look();
  const now = volume ? timeOf(at) : [at.fileBytes ?? 0, at.allocationBytes];
  if (!before || !after || !now.every((value, i) => before[i]! <= value && value <= after[i]!)) return false;
  return volume ? "same" : "alike";
}

/** When the file itself last changed, to the nanosecond. */
const timeOf = ({ ctime, fileBytes = 0 }: VolumeFacts): number[] => [...(ctime ?? "").split(".").map(Number), fileBytes];

/** Of a domain's disk: its file, since a raw one's size is not what libvirt takes its bytes for. */
async function blockOf(client: LibvirtClient, { uuid }: Pick<ImageUser, "uuid">, path: string): Promise<number[] | undefined> {
  const domain = await byUuid(client, uuid);
  if (!domain) return undefined;
  try {
    const { physical, allocation } = await client.blockInfo(domain, path);
    return [physical, allocation];
  } catch (error) {
    if (isLibvirtError(error, ErrorCode.noDomain)) return undefined;
    throw error;
  }
}

async function byUuid(client: LibvirtClient, uuid: string): Promise<Domain | undefined> {
  return (await client.listDomains()).find((each) => each.uuid.toString("hex") === uuid);
}

/** In words, after "an image that nobody writes, but". */
export function writerText({ user, certain }: Writer, image: string, host: string): string {
  const who = user.running ? `the running domain ${user.domain}` : `the saved state of the domain ${user.domain}`;
  const what = certain ? `has ${image}` : `has ${user.path}, of the same name and size, which may be the same file`;
  const wayOut = user.running ? "shut it down" : "start it and shut it down (virsh start, virsh shutdown), or drop the state (virsh managedsave-remove)";
  return `${who} on ${host} ${what}${HOW[user.how] ?? ""}: ${wayOut}${certain ? "" : ", or rename one of them"}`;
}

const HOW: Readonly<Record<string, string>> = { mirror: " as the target of a block copy", commit: " merged into (a block commit)", nvram: " as its firmware's variables" };
