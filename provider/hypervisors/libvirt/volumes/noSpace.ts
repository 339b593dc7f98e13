import { randomBytes } from "node:crypto";
import { volumeXml } from "../xml/domainXml";
import { volumeName, type VolumeScope } from "./names";
import { poolRoom } from "./poolRoom";
import type { PoolAt } from "../rpc/poolAt";
import { LibvirtError } from "../rpc/errors";

/**
 * "Is it for want of room?" is answered here and nowhere else, by numbers and facts: daemons say it in the language
 * they were started in, and QEMU tells a reached quota from no error of any sort.
 */

/** Of Linux, which libvirt's hosts run: the disk, or somebody's quota on it, is full. */
const NO_ROOM_ERRNOS: readonly number[] = [28, 122];

/** Left in a pool on which a write failed for want of room: less than one write. */
const FULL_BELOW_BYTES = 64 << 20;

/** Of a pool: ext4 keeps 5 % for root unless told otherwise, which libvirt counts as free and QEMU's user cannot have. */
const RESERVED_SHARE = 0.06;

/** What a full quota does not take any more. */
const PROBE_BYTES = 32 << 20;

/** libvirt itself says so, by the system's own number. */
export const saysNoSpace = (error: unknown): boolean =>
  error instanceof PoolFullError || (error instanceof LibvirtError && error.errno !== undefined && NO_ROOM_ERRNOS.includes(error.errno));

/** What failed in a pool failed for want of room, as the pool's own state shows. */
export class PoolFullError extends Error {}

/** By its figures alone. */
export async function looksFull(at: PoolAt): Promise<boolean> {
  const room = await poolRoom(at, 0);
  return "freeBytes" in room && room.freeBytes < FULL_BELOW_BYTES;
}

/** What is left there may be root's alone; nobody can tell from here. Undefined: it is more than that. */
export async function perhapsReserved(at: PoolAt): Promise<number | undefined> {
  const room = await poolRoom(at, 0);
  return "freeBytes" in room && room.freeBytes < RESERVED_SHARE * room.capacityBytes ? room.freeBytes : undefined;
}

/**
 * Something could not be written to the pool: is the pool to blame? By its figures, else by trying to allocate a little
 * in it, since a quota shows in no figures. The file that is tried bears the name of a copy's map, so that one left
 * behind is a leftover as any other. False where nobody can tell.
 */
export async function isPoolFull(at: PoolAt, scope: VolumeScope): Promise<boolean> {
  if (await looksFull(at)) return true;
  const { client, pool } = at;
  const name = volumeName(scope, { kind: "map", id: randomBytes(8).toString("hex") });
  try {
    await client.deleteVolume(await client.createVolume(pool, volumeXml(name, PROBE_BYTES, "raw", undefined, PROBE_BYTES)));
    return false;
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    return saysNoSpace(error);
  }
}
