import { bytesThere } from "../copyProgress";
import { IN_FLIGHT_BYTES } from "../pull";
import type { MirrorJob } from "../../helper/mirror";
import { lost, POLL_MS, type Copying } from "./copying";
import type { Phase, PhaseOf, PullSoFar, Reading } from "./phase";

/** Near its end a copy is looked at more often: those behind it wait for its end. */
const LAST_POLLS_MS = 10;

/** Looks at the pull until it is ready, or something is to be done about its source. */
export async function pull(copying: Copying, { rig, reading, soFar }: PhaseOf<"pulling">): Promise<Phase> {
  const { context, copy, clock, flushing, forGuests, orders, room, yielding } = copying;
  const { host, upstream } = reading.feed;
  const { of, extents, startedAtMs } = soFar;
  let { lastOffset, failures } = soFar;
  const now = (): PullSoFar => ({ of, extents, startedAtMs, lastOffset, failures });
  for (let lastMoveMs = clock.nowMs(); ;) {
    context.signal?.throwIfAborted();
    const job = await rig.pull.job();
    if (of === "first" && (!job || job.ready)) return { name: "startingRest", rig, reading, extents, isThere: job !== undefined };
    // Only while bytes come: a flush waits for the reads under way, and QEMU answers nothing until then.
    if (job && job.offset !== lastOffset) await flushing.look(rig.helper);
    if (!job) throw lost(copying, reading, "the copy ended before it was complete");
    report(copying, job, soFar);
    if (job.ready) return { name: "lettingGo", rig, reading };
    const isSlow = forGuests && of === "all" && await yielding.look((speed) => rig.pull.setSpeed(speed));
    if (isSlow) lastMoveMs = clock.nowMs(); // because we said so
    if (job["io-status"] !== "ok" && await room.settled(job, upstream, () => rig.pull.resume())) {
      lastMoveMs = clock.nowMs();
      continue;
    }
    if (job.offset !== lastOffset) {
      if (job.offset > lastOffset) failures = 0;
      lastOffset = job.offset;
      lastMoveMs = copy.movedAtMs = clock.nowMs();
    }
    const order = orders.take();
    if (order) return { name: "exchanging", rig, reading, soFar: now(), order };
    if (job["io-status"] !== "ok") return { name: "recovering", rig, reading, soFar: now(), why: `reading from ${host} failed`, isSilent: false };
    const silentMs = clock.nowMs() - lastMoveMs;
    if (silentMs > patienceMs(copying, reading) + slownessMs(reading)) {
      return { name: "recovering", rig, reading, soFar: now(), why: `no byte from ${host} for ${Math.round(silentMs / 1000)} s`, isSilent: true };
    }
    await clock.sleep(untilNextLook(copying, job, soFar));
  }
}

function report({ account, facts, first, forGuests = false, context }: Copying, job: MirrorJob, { of, extents }: PullSoFar): void {
  account.there(bytesThere(job, { facts, forGuests, extents, ...(of === "first" && { firstBytes: first!.bytes }) }));
  context.onProgress?.(account.bytesThere, facts.allocationBytes);
}

/**
 * Of a silent line of relays the first one looks for another source, and the others go on behind it: each has a little
 * more patience than the one it reads from.
 */
function patienceMs({ copy, stallMs, clock }: Copying, { feed: { upstream } }: Reading): number {
  const isStill = upstream && !upstream.ended && clock.nowMs() - upstream.movedAtMs > stallMs / 2;
  copy.patienceMs = isStill ? Math.max(stallMs, upstream.patienceMs) + stallMs / 4 : stallMs;
  return copy.patienceMs;
}

/** How long a copy may move nothing only because it is limited: all that is under way is let through at its rate. */
const slownessMs = ({ bytesPerSecond }: Reading): number => bytesPerSecond === undefined ? 0 : (1000 * IN_FLIGHT_BYTES) / bytesPerSecond;

/** Half of what is left of the time, by how fast it went so far. */
function untilNextLook({ clock, facts }: Copying, { offset, len }: MirrorJob, { of, startedAtMs }: PullSoFar): number {
  const total = of === "first" ? len : facts.capacityBytes; // `len` may be of what is under way only
  const leftMs = offset > 0 ? ((total - offset) / offset) * (clock.nowMs() - startedAtMs) : POLL_MS;
  return Math.min(POLL_MS, Math.max(LAST_POLLS_MS, leftMs / 2));
}
