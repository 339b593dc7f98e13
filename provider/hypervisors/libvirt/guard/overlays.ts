import type { ImageFacts } from "./domainImages";
import { parseVolumeName, type VolumeName, type VolumeScope } from "../volumes/names";
import type { LibvirtClient } from "../rpc/client";
import type { Pool, Volume } from "../rpc/handles";
import type { PoolAt } from "../rpc/poolAt";
import { LibvirtError } from "../rpc/errors";
import { factsUnlessGone, type VolumeFacts } from "../volumes/volumes";

/** An image that stands on another. */
export interface Overlay extends ImageFacts {
  pool: string;
  volume: string;
  /** Absent: it is there and cannot be read, so what it stands on, and whether on anything, nobody can say. */
  backingPath?: string;
  /** Of this fleet: it says nothing by itself, only who uses it. */
  ours: boolean;
}

/**
 * What stands on anything in the active pools of a host, as far as its name and place let it. Ours is a guest's disk in the
 * fleet's own pool, or the same file by way of another pool. In the own pool what cannot be read is told of; a pool of
 * somebody's that is broken is passed over, or it would stop every delete for as long as it is (ADR 0061).
 */
export async function overlaysOf({ client, pool: own }: PoolAt, scope: VolumeScope): Promise<Overlay[]> {
  const isOwn = (pool: Pool): boolean => pool.name === own.name;
  const pools = await client.listActivePools();
  const listed = await Promise.all(pools.map(async (pool) => (await volumesOf({ client, pool }, isOwn(pool))).map((volume) => ({ pool, volume, name: parseVolumeName(scope, volume.name) }))));
  const asked = listed.flat().filter(({ pool, name }) => !isOwn(pool) || mayStand(name));
  const read = await Promise.all(asked.map(async (one) => ({ ...one, facts: await factsOf(client, one.volume, isOwn(one.pool)) })));
  const disks = new Map(read.flatMap(({ pool, volume, name, facts }) => (isOwn(pool) && isGuests(name) && typeof facts === "object" ? [[volume.name, facts]] : [])));
  return read.flatMap(({ pool, volume, name, facts }): Overlay[] => {
    if (facts === "gone") return [];
    if (facts === "unread") return [{ pool: pool.name, volume: volume.name, path: volume.key, ours: isGuests(name) }];
    if (facts.backingPath === undefined) return [];
    const ours = isGuests(name) && (isOwn(pool) || isSameFile(disks.get(volume.name), facts));
    return [{ pool: pool.name, volume: volume.name, path: facts.path, backingPath: facts.backingPath, ours }];
  });
}

/** Of ours only a guest's first disk stands on anything; what reads as a data disk and does, too, is somebody's snapshot of one. */
const isGuests = (own: VolumeName | null): boolean => own?.kind === "delta" || own?.kind === "early";
const mayStand = (own: VolumeName | null): boolean => own === null || own.kind === "disk" || isGuests(own);

/** A copy has times of its own. */
const isSameFile = (one: VolumeFacts | undefined, other: VolumeFacts): boolean => one !== undefined &&
  (one.path === other.path || (Boolean(one.ctime) && one.ctime === other.ctime && one.fileBytes === other.fileBytes));

/** A pool that is being stopped has nothing more to say. */
async function volumesOf({ client, pool }: PoolAt, isOwn: boolean): Promise<Volume[]> {
  try {
    return await client.listVolumes(pool);
  } catch (error) {
    if (isOwn || !(error instanceof LibvirtError)) throw error;
    return [];
  }
}

async function factsOf(client: LibvirtClient, volume: Volume, isOwn: boolean): Promise<VolumeFacts | "gone" | "unread"> {
  try {
    return await factsUnlessGone(client, volume) ?? "gone";
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    return isOwn ? "unread" : "gone";
  }
}
