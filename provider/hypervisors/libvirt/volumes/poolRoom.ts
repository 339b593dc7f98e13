import type { Clock } from "../../../async/clock";
import type { PoolAt } from "../rpc/poolAt";
import { LibvirtError } from "../rpc/errors";

/**
 * libvirt looks at a pool's directory only when it is told to, and refuses to while anything is made in the pool, be it
 * somebody's clone of a volume that takes an hour. Every refresh of this adapter is asked for here.
 */

/** How long a busy pool is waited for before its refresh is done without. */
export const BUSY_POOL_MS = 10_000;
const FIRST_PAUSE_MS = 100;
const MOST_PAUSE_MS = 1_000;

type PoolClock = Pick<Clock, "nowMs" | "sleep">;

/**
 * @param withinMs how long a pool that is busy is asked again. 0: asked once
 * @returns false: libvirt refused each time though the pool works, so what it knows of the pool may be old
 * @throws what the refresh met where the pool does not work any more
 */
export async function refreshPool(at: PoolAt, withinMs: number, clock: PoolClock = at.client.clock): Promise<boolean> {
  const until = clock.nowMs() + withinMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(MOST_PAUSE_MS, 2 * pauseMs)) {
    try {
      await at.client.refreshPool(at.pool);
      return true;
    } catch (error) {
      // A pool that is busy has no error code of its own. One that could not be read is stopped by libvirt.
      if (!(error instanceof LibvirtError) || !(await works(at))) throw error;
    }
    if (clock.nowMs() + pauseMs > until) return false;
    await clock.sleep(pauseMs);
  }
}

async function works({ client, pool }: PoolAt): Promise<boolean> {
  try {
    if (!(await client.poolIsActive(pool))) return false;
    await client.poolInfo(pool);
    return true;
  } catch (error) {
    if (error instanceof LibvirtError) return false;
    throw error;
  }
}

export type PoolRoom = { freeBytes: number; capacityBytes: number } | { unknown: string };

/**
 * What is free in a pool, after a refresh where one is to be had. libvirt keeps book of what it deletes by itself, and
 * its books can go below zero, which on the wire is a number of 2^64: such figures are said to be unknown, never to be
 * full or free.
 * @param withinMs as of refreshPool
 */
export async function poolRoom(at: PoolAt, withinMs: number, clock: PoolClock = at.client.clock): Promise<PoolRoom> {
  return knownRoom(at, await refreshPool(at, withinMs, clock));
}

/** As libvirt has it in its books. */
export async function knownRoom({ client, pool }: PoolAt, isFresh = true): Promise<PoolRoom> {
  const { capacity, allocation, available } = await client.poolInfo(pool);
  if (capacity > 0 && available <= capacity && allocation <= capacity) return { freeBytes: available, capacityBytes: capacity };
  return { unknown: `libvirt says ${available} bytes are free of ${capacity}, ${allocation} taken${isFresh ? "" : ", and is too busy there to look again"}` };
}
