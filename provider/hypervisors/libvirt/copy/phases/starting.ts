import type { Extent } from "../../holes/extents";
import { GUESTS_IN_FLIGHT_BYTES, type Copying } from "./copying";
import type { PhaseOf, PullSoFar, Reading, Rig } from "./phase";

/** What a guest will ask for at once. A hint: where it does not work, the copy begins as any other. */
export async function startFirst(copying: Copying, rig: Rig, reading: Reading, extents: PullSoFar["extents"]): Promise<PhaseOf<"pulling"> | undefined> {
  const { first, facts, forGuests } = copying;
  if (!first) return undefined;
  try {
    await rig.pull.startFirst(await first.attach(rig.helper), facts.capacityBytes, forGuests ? GUESTS_IN_FLIGHT_BYTES : undefined);
  } catch {
    await first.detach(rig.helper).catch(() => undefined);
    return undefined; // a helper that is gone is noticed by whatever comes next
  }
  return begun(copying, rig, reading, { of: "first", extents });
}

/** Of all the image. */
export async function startAll(copying: Copying, rig: Rig, reading: Reading, extents: readonly Extent[] | undefined): Promise<PhaseOf<"pulling">> {
  const { facts, forGuests, copy } = copying;
  if (forGuests) await rig.pull.startSlowable(facts.capacityBytes, GUESTS_IN_FLIGHT_BYTES);
  else await rig.pull.start(facts.capacityBytes);
  copy.isPulling.pass();
  return begun(copying, rig, reading, { of: "all", extents });
}

const begun = ({ clock }: Copying, rig: Rig, reading: Reading, what: Pick<PullSoFar, "of" | "extents">): PhaseOf<"pulling"> =>
  ({ name: "pulling", rig, reading, soFar: { ...what, startedAtMs: clock.nowMs(), lastOffset: -1, failures: 0 } });

/** A new helper's. */
export const start = (copying: Copying, { rig, reading, extents }: PhaseOf<"starting">): Promise<PhaseOf<"pulling">> =>
  startAll(copying, rig, reading, extents);

export async function startRest(copying: Copying, { rig, reading, extents, isThere }: PhaseOf<"startingRest">): Promise<PhaseOf<"pulling">> {
  if (isThere) await rig.pull.cancel();
  await copying.first!.detach(rig.helper);
  return startAll(copying, rig, reading, extents);
}
