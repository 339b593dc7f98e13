import { abortable } from "../../../../async/abortable";
import { drop, openFeed, openToReaders, startRig, type Copying } from "./copying";
import type { Phase, PhaseOf, Rig } from "./phase";
import { connect, searchAfter } from "./sources";
import { startAll, startFirst } from "./starting";

/** The helper is started and the source opened side by side. */
export async function open(copying: Copying, { ref }: PhaseOf<"opening">): Promise<Phase> {
  const from = await copying.resolve(ref);
  const opening = openFeed(copying, ref, from);
  copying.holes.learn(from, opening);
  const arrived = copying.arrivedBytes();
  arrived.catch(() => undefined); // the helper's start says it
  const started = startRig(copying, from);
  const opened = started.then(async (rig) => (await arrived) === undefined ? openToReaders(copying, rig) : undefined);
  opened.catch(() => undefined); // awaited when stock is taken
  const [rig, feed] = await Promise.allSettled([started, opening]);
  if (rig.status === "rejected") {
    copying.orders.fail(rig.reason); // whoever ordered a source need not wait for the feed's end
    if (feed.status === "fulfilled") await drop(copying, { feed: feed.value });
    throw rig.reason;
  }
  const then = { name: "takingStock" as const, opened, arrived };
  if (feed.status === "rejected") {
    try {
      return searchAfter(copying, { rig: rig.value, origin: { ref }, then }, feed.reason);
    } catch (error) {
      await drop(copying, { rig: rig.value }); // no phase holds it yet
      throw error;
    }
  }
  copying.account.reads(feed.value);
  return { name: "joining", rig: rig.value, reading: { ref, feed: feed.value }, then };
}

/** The first source is connected. */
export async function join(copying: Copying, { rig, reading, then }: PhaseOf<"joining">): Promise<Phase> {
  const { context, holes } = copying;
  // A helper that connects answers nobody else meanwhile: readers' exports come first, unless we are to wait for the map.
  if (holes.isWritten) await abortable(then.opened, context.signal);
  context.signal?.throwIfAborted();
  try {
    await connect(copying, rig, reading);
  } catch (error) {
    return searchAfter(copying, { rig, origin: reading, then }, error);
  }
  return { ...then, rig, reading };
}

/** Connected, and about to fetch: what an earlier attempt left is not fetched again. */
export async function takeStock(copying: Copying, { rig, reading, opened, arrived }: PhaseOf<"takingStock">): Promise<Phase> {
  let extents = await abortable(opened, copying.context.signal);
  const arrivedBytes = await arrived;
  if (arrivedBytes !== undefined) {
    await countArrived(copying, rig, arrivedBytes);
    extents = await openToReaders(copying, rig);
  }
  return await startFirst(copying, rig, reading, extents) ?? startAll(copying, rig, reading, extents);
}

/**
 * Of what an earlier attempt had fetched it may have forgotten what was not flushed. The overlay must be connected (over
 * nothing, all of it would count) and must not have its map yet (QEMU mirrors root nodes only).
 */
async function countArrived({ facts, context, holes, account }: Copying, { pull }: Rig, arrivedBytes: number): Promise<void> {
  // Holes that came as zeros are held, too.
  const held = await pull.bytesHeld(facts.capacityBytes, context.signal);
  const bytes = Math.round(held * await holes.allocatedShare(facts));
  const lost = Math.min(arrivedBytes, facts.allocationBytes) - bytes - qcow2MetadataBytes(facts.capacityBytes);
  account.found(Math.min(bytes, facts.allocationBytes), Math.max(0, lost));
}

/** At most: tables of 8 and 2 bytes for each 64 KiB, and the first clusters of each sort. */
const qcow2MetadataBytes = (capacityBytes: number): number => (1 << 20) + Math.ceil(capacityBytes / 6400);
