import type { DiskInfo } from "../../fleet/model";
import type { LibvirtClient, Pool, Volume } from "./rpc/client";
import { isLibvirtError } from "./rpc/errors";
import { ErrorCode } from "./rpc/protocol";
import { volumeXml } from "./domainXml";
import { at, parseXml, text } from "./xml";

export interface VolumeFacts extends DiskInfo {
  key: string;
  /** Seconds and nanoseconds as libvirt prints them. */
  mtime: string;
  backingPath?: string;
}

export async function volumeFacts(client: LibvirtClient, volume: Volume): Promise<VolumeFacts> {
  const node = at(parseXml(await client.volumeXml(volume)), "volume");
  return {
    volume: volume.name,
    key: text(node, "key") ?? volume.key,
    path: text(node, "target", "path") ?? volume.key,
    format: text(at(node, "target", "format"), "@type") ?? "raw",
    capacityBytes: Number(text(node, "capacity") ?? 0),
    allocationBytes: Number(text(node, "allocation") ?? 0),
    mtime: text(node, "target", "timestamps", "mtime") ?? "",
    backingPath: text(node, "backingStore", "path"),
  };
}

/** @throws where the pool has none of that name */
export async function diskPath(client: LibvirtClient, pool: Pool, name: string): Promise<string> {
  const volume = await client.lookupVolume(pool, name);
  if (!volume) throw new Error(`the disk ${name} is gone`);
  return (await volumeFacts(client, volume)).path;
}

/** Makes the volume, or takes the one that is there. */
export async function ensureVolume(
  client: LibvirtClient, pool: Pool, name: string, capacityBytes: number, format: "qcow2" | "raw",
  backing?: { path: string; format: string },
): Promise<Volume> {
  try {
    return await client.createVolume(pool, volumeXml(name, capacityBytes, format, backing));
  } catch (error) {
    if (!isLibvirtError(error, ErrorCode.storageVolExist)) throw error;
    const found = await client.lookupVolume(pool, name);
    if (!found) throw error;
    return found;
  }
}
