import type { DiskInfo } from "../../../fleet/model";
import type { LibvirtClient } from "../rpc/client";
import type { Pool, Volume } from "../rpc/handles";
import type { PoolAt } from "../rpc/poolAt";
import { isLibvirtError, LibvirtError } from "../rpc/errors";
import { ErrorCode } from "../rpc/protocol";
import { volumeXml } from "../xml/domainXml";
import { looksFull, PoolFullError, saysNoSpace } from "./noSpace";
import { at as xmlAt, parseXml, text } from "../xml/xml";

export interface VolumeFacts extends Omit<DiskInfo, "name"> {
  /** Its name in the pool. */
  volume: string;
  key: string;
  /** Seconds and nanoseconds as libvirt prints them. */
  mtime: string;
  backingPath?: string;
  /** The pool's own name. */
  pool?: string;
  /** The file's length; `capacityBytes` is what libvirt takes its image for. */
  fileBytes?: number;
  /** As `mtime`, and nobody can put it back. */
  ctime?: string;
  /** libvirt's word: `file`, `block`, `dir`, `network` … */
  kind?: string;
}

export async function volumeFacts(client: LibvirtClient, volume: Volume): Promise<VolumeFacts> {
  const node = xmlAt(parseXml(await client.volumeXml(volume)), "volume");
  return {
    volume: volume.name,
    key: text(node, "key") ?? volume.key,
    path: text(node, "target", "path") ?? volume.key,
    format: text(xmlAt(node, "target", "format"), "@type") ?? "raw",
    capacityBytes: Number(text(node, "capacity") ?? 0),
    allocationBytes: Number(text(node, "allocation") ?? 0),
    mtime: text(node, "target", "timestamps", "mtime") ?? "",
    backingPath: text(node, "backingStore", "path"),
    pool: volume.pool,
    fileBytes: Number(text(node, "physical") ?? text(node, "capacity") ?? 0),
    ctime: text(node, "target", "timestamps", "ctime") ?? "",
    kind: text(node, "@type") ?? "file",
  };
}

/** Of Linux, as libvirt passes it on. */
export const ENOENT = 2;

/** Null: listed, but its file is gone. */
export async function factsUnlessGone(client: LibvirtClient, volume: Volume): Promise<VolumeFacts | null> {
  try {
    return await volumeFacts(client, volume);
  } catch (error) {
    if (isLibvirtError(error, ErrorCode.noStorageVol) || (error instanceof LibvirtError && error.errno === ENOENT)) return null;
    throw error;
  }
}

/**
 * The volume that a definition names, in the pool at hand, else in whatever active pool has its file. Null: in none.
 * A copy of it under the same name in another pool is another file.
 */
export async function volumeAt({ client, pool }: PoolAt, name: string, path: string | undefined): Promise<VolumeAt | null> {
  const here = await client.lookupVolume(pool, name);
  const facts = here && await volumeFacts(client, here);
  const found = here && facts ? { pool, volume: here, facts } : null;
  if (path === undefined || facts?.path === path) return found;
  const elsewhere = await client.lookupVolumeByPath(path);
  if (elsewhere?.name !== name || elsewhere.pool === pool.name) return found;
  const other = await client.lookupPool(elsewhere.pool);
  return other ? { pool: other, volume: elsewhere, facts: await volumeFacts(client, elsewhere) } : found;
}

export interface VolumeAt {
  pool: Pool;
  volume: Volume;
  facts: VolumeFacts;
}

/** @throws where the pool has none of that name */
export async function diskPath({ client, pool }: PoolAt, name: string): Promise<string> {
  const volume = await client.lookupVolume(pool, name);
  if (!volume) throw new Error(`the disk ${name} is gone`);
  return (await volumeFacts(client, volume)).path;
}

/** Makes the volume, or takes the one that is there. */
export async function ensureVolume(
  at: PoolAt, name: string, capacityBytes: number, format: "qcow2" | "raw",
  backing?: { path: string; format: string },
): Promise<Volume> {
  const { client, pool } = at;
  try {
    return await client.createVolume(pool, volumeXml(name, capacityBytes, format, backing));
  } catch (error) {
    if (!isLibvirtError(error, ErrorCode.storageVolExist)) throw await asNoSpace(at, error);
    const found = await client.lookupVolume(pool, name);
    if (!found) throw error;
    return found;
  }
}

/** What qemu-img met stands in no number: where the pool is full, that is what it met. */
async function asNoSpace(at: PoolAt, error: unknown): Promise<unknown> {
  if (!(error instanceof LibvirtError) || saysNoSpace(error) || !(await looksFull(at))) return error;
  return new PoolFullError(error.message, { cause: error });
}
