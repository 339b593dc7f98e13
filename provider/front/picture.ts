/** `timelineFile`: the picture of what a run really did. */
import { racksOf } from "../engine";
import type { CloneTrace, FleetSpec, FleetState } from "../fleet/model";
import { runSvg } from "../picture";
import type { FrontDependencies } from "./dependencies";
import { resourceLog } from "./resourceLog";

/** Writes the picture where one is asked for and something was copied. That it cannot is told, and fails nothing. */
export async function writePicture(
  resource: string, spec: FleetSpec, { timeline }: FleetState, clones: readonly CloneTrace[], dependencies: FrontDependencies,
): Promise<void> {
  const { timelineFile, namePrefix } = spec;
  if (timelineFile === undefined || clones.length === 0 || !timeline) return;
  const { imageBytes, policy } = timeline;
  try {
    const svg = runSvg({ imageBytes, racks: racksOf(spec, clones), clones: [...clones], leftOut: 0 }, `${namePrefix}: as it was, ${policy}`);
    await dependencies.writeFile(timelineFile, svg);
  } catch (error) {
    const log = resourceLog(dependencies.otherSide, resource);
    log.warn(`timelineFile: ${timelineFile} cannot be written (${(error as Error).message}); the timeline output holds what it would show`);
    await log.settled();
  }
}
