/** `timelineFile`: the picture of what a run really did. */
import { racksOf } from "../engine";
import type { CloneTrace, FleetSpec, FleetState } from "../fleet/model";
import { runSvg } from "../picture";
import type { Dependencies } from "./dependencies";
import { rowOf } from "../pulumi/dynamic/row";

/** Writes the picture where one is asked for and something was copied. That it cannot is told, and fails nothing. */
export async function writePicture(
  urn: string, spec: FleetSpec, { timeline }: FleetState, clones: readonly CloneTrace[], dependencies: Dependencies,
): Promise<void> {
  const { timelineFile, namePrefix } = spec;
  if (timelineFile === undefined || clones.length === 0 || !timeline) return;
  const { imageBytes, policy } = timeline;
  try {
    const svg = runSvg({ imageBytes, racks: racksOf(spec, clones), clones: [...clones], leftOut: 0 }, `${namePrefix}: as it was, ${policy}`);
    await dependencies.writeFile(timelineFile, svg);
  } catch (error) {
    const row = rowOf(dependencies.link, urn);
    row.warn(`timelineFile: ${timelineFile} cannot be written (${(error as Error).message}); the timeline output holds what it would show`);
    await row.settled();
  }
}
