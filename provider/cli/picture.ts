/** `vmfleet picture`: what a run really did, from the `timeline` output of a fleet. */
import { timelineSchema, type RunTimeline } from "../fleet";
import { runSvg } from "../picture";
import { InputError, readValue, writeText } from "./input";
import type { Output } from "./plan";

export interface PictureOptions {
  /** File that receives it. @default standard output */
  svg?: string;
}

/** A stack's export holds its fleets so deep. */
const DEEPEST = 8;

/** @throws InputError */
export function picture(file: string, { svg }: PictureOptions): Output {
  const found = timelinesIn(readValue(file), DEEPEST);
  const [timeline] = found;
  if (!timeline) throw new InputError(`${file}: expected the timeline output of a fleet, found none; \`pulumi stack output timeline\` or \`pulumi stack export\` tell it once a run has cloned something`);
  if (found.length > 1) throw new InputError(`${file}: expected the timeline of one fleet, got ${found.length}; give one, such as that of \`pulumi stack output timeline\``);
  const text = runSvg(timeline, `As it was, ${timeline.policy}`);
  if (svg === undefined) return { stdout: text, stderr: "" };
  writeText(svg, text);
  return { stdout: "", stderr: "" };
}

/** Wherever they stand in it. */
function timelinesIn(value: unknown, depth: number): RunTimeline[] {
  if (typeof value !== "object" || value === null || depth < 0) return [];
  const timeline = timelineSchema.safeParse(value);
  if (timeline.success) return [timeline.data];
  return Object.values(value).flatMap((one) => timelinesIn(one, depth - 1));
}
