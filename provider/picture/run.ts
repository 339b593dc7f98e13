import type { RunTimeline } from "../fleet/model";
import { timelineSvg } from "./timeline";

/** The picture of a run, planned or real. */
export function runSvg({ racks, clones, imageBytes, leftOut }: Omit<RunTimeline, "policy">, title: string): string {
  const hosts = racks.flatMap(({ name, hosts: names }) => names.map((host) => ({ name: host, rack: name })));
  return timelineSvg(clones, { hosts, imageBytes, title: leftOut > 0 ? `${title} (${leftOut} more copies are not shown)` : title });
}
