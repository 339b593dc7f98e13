import type { ImageUse, ImageUser } from "./imageUse";
import type { Domain, LibvirtClient } from "./rpc/client";
import { isLibvirtError, LibvirtError } from "./rpc/errors";
import { ErrorCode } from "./rpc/protocol";
import { volumeFacts, type VolumeFacts } from "./volumes";

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
 * Whether two paths are one file. Looked at before and after the image: of one file that is being written, what never
 * runs backwards lies between.
 */
async function isSameFile(client: LibvirtClient, user: ImageUser, path: string, image: VolumeFacts): Promise<"same" | "alike" | false> {
  const volume = await client.lookupVolumeByPath(path);
  const look = volume ? () => volumeFacts(client, volume).then(timeOf) : () => blockOf(client, user, path);
  const own = await client.lookupVolumeByPath(image.path);
  if (!own) return false;
  const before = await look();
  const at = await volumeFacts(client, own);
  const after = await look();
  const now = volume ? timeOf(at) : [at.capacityBytes, at.fileBytes ?? 0, at.allocationBytes];
  if (!before || !after || !now.every((value, i) => before[i]! <= value && value <= after[i]!)) return false;
  return volume ? "same" : "alike";
}

/** When the file itself last changed, to the nanosecond. */
const timeOf = ({ ctime, fileBytes = 0 }: VolumeFacts): number[] => [...(ctime ?? "").split(".").map(Number), fileBytes];

/** Of a running domain's disk. */
async function blockOf(client: LibvirtClient, { uuid }: ImageUser, path: string): Promise<number[] | undefined> {
  const domain = await byUuid(client, uuid);
  if (!domain) return undefined;
  try {
    const { capacity, physical, allocation } = await client.blockInfo(domain, path);
    return [capacity, physical, allocation];
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
