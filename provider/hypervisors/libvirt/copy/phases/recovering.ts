import { abortable } from "../../../../async/abortable";
import { within } from "../../../../async/within";
import { lost, openToReaders, POLL_MS, startRig, type Copying } from "./copying";
import type { Phase, PhaseOf } from "./phase";
import { searchAfter } from "./sources";

/** Failures in a row, without a byte between, after which a source that still answers is given up. */
const MAX_FAILURES = 5;
/** A relay that answers, if only with an error, lives and is looking for another source itself. */
const RELAY_PATIENCE_MS = 60_000;

/**
 * A read failed or hangs. Behind a relay it is often the relay's own source that went: then the relay finds another,
 * and the copy only goes on. Else it looks for another itself.
 */
export async function recover(copying: Copying, { rig, reading, soFar, why, isSilent }: PhaseOf<"recovering">): Promise<Phase> {
  const { copy, context, clock } = copying;
  const { upstream, epoch } = reading.feed;
  copy.lostSource();
  if (upstream && !upstream.ended && !isSilent) {
    await clock.sleep(POLL_MS * 2); // the relay sees its own trouble within one look
    const fed = await within(clock, RELAY_PATIENCE_MS, abortable(upstream.whenFed(), context.signal).then(() => true, () => false));
    context.signal?.throwIfAborted();
    const failures = soFar.failures + 1;
    if (fed && failures <= MAX_FAILURES) {
      const then = { name: "resuming" as const, soFar: { ...soFar, failures } };
      if (upstream.epoch !== epoch) return { name: "switching", rig, origin: reading, ref: reading.ref, attempt: 1, then };
      copy.isFed();
      return { ...then, rig, reading };
    }
  }
  await rig.pull.yank();
  return searchAfter(copying, { rig, origin: reading, then: { name: "resuming", soFar } }, lost(copying, reading, why));
}

/** Another source was ordered. */
export async function exchange(copying: Copying, { rig, reading, soFar, order }: PhaseOf<"exchanging">): Promise<Phase> {
  const then = { name: "resuming" as const, soFar };
  copying.copy.lostSource();
  try {
    await rig.pull.yank();
  } catch (error) {
    order.failed(error);
    return searchAfter(copying, { rig, origin: reading, then }, error);
  }
  return { name: "switching", rig, origin: reading, ref: order.ref, attempt: 1, order, then };
}

/** It reads again, and the pull goes on from where it stands. */
export async function resume(_: Copying, { rig, reading, soFar }: PhaseOf<"resuming">): Promise<Phase> {
  await rig.pull.resume();
  return { name: "pulling", rig, reading, soFar };
}

/** The copy's own QEMU died: its disk keeps what was flushed; a new one goes on from there. */
export async function replaceHelper(copying: Copying, { rig, origin }: PhaseOf<"replacing">): Promise<Phase> {
  copying.copy.lostHelper();
  copying.yielding.reset();
  await rig.helper.stop(); // it may only have failed to answer, and nobody else may write its disk
  const [resolved] = await Promise.allSettled([copying.resolve(origin.ref)]);
  return { name: "returning", rig: await startRig(copying, resolved.status === "fulfilled" ? resolved.value : undefined), origin, resolved };
}

/** The new one serves those that read from the copy, and reads from where the old one did, where that can be read. */
export async function returnToSource(copying: Copying, { rig, origin, resolved }: PhaseOf<"returning">): Promise<Phase> {
  const extents = await openToReaders(copying, rig);
  const then = { name: "starting" as const, extents };
  if (resolved.status === "rejected") return searchAfter(copying, { rig, origin, then }, resolved.reason);
  return { name: "switching", rig, origin, ref: origin.ref, resolved: resolved.value, attempt: 1, then };
}
