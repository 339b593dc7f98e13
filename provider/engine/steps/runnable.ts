/** What the engine can run of all that a plan can say: one wave, and copies of one image. */
import type { FleetPlan, Image, Problem } from "../../fleet/model";
import { FleetRefusedError } from "../types";

/**
 * Every run of a plan begins here. Nothing of a plan is run where a part of it would be left out in silence.
 * @throws FleetRefusedError, when nothing was touched, where the plan has a second wave or copies a second image
 */
export function refuseUnrunnable(plan: FleetPlan): void {
  const waves = wavesOf(plan);
  const images = copiedImages(plan);
  const problems: Problem[] = [];
  if (waves.length > 1) problems.push(beyond("one wave", `waves ${waves.join(" and ")}`));
  if (images.length > 1) problems.push(beyond("copies of one image", `copies of ${images.map(({ contentId }) => contentId || "one that was never seen").join(" and ")}`));
  if (problems.length > 0) throw new FleetRefusedError(problems);
}

const beyond = (most: string, seen: string): Problem => ({
  path: "", message: `expected a plan with ${most}, got ${seen}; this version runs no such plan, and nothing was touched`,
});

function wavesOf({ create, complete, destroy, reconfigure }: FleetPlan): number[] {
  const waves = new Set<number>();
  for (const bucket of [create, complete, destroy, reconfigure]) for (const { wave } of bucket) waves.add(wave);
  return [...waves].sort((a, b) => a - b);
}

/** What the plan's new members are made of, and those that still arrive: each image once. */
export function copiedImages({ create, complete }: Pick<FleetPlan, "create" | "complete">): Image[] {
  const images = new Map<string, Image>();
  const meet = (image: Image): void => { if (!images.has(image.contentId)) images.set(image.contentId, image); };
  for (const { image } of create) meet(image);
  for (const { image, base } of complete) if (base === "arriving") meet(image);
  return [...images.values()];
}
