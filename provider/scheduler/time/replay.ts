/** What the time model makes of a run that was: the same copies, started when they were. */
import { FlowNetwork, type Flow } from "./flows";
import type { Image } from "../../fleet/model";
import type { Topology } from "../types";

export interface ReplayedCopy {
  /** Host indices. */
  sourceHost: number;
  targetHost: number;
  startSeconds: number;
  /** The copy of the same run that it read from while that one was still arriving, by its index. @default none: a whole source */
  upstream?: number;
}

/**
 * @param copies in the order they started; a copy stands behind the one it reads from
 * @returns when each would have ended, in seconds; Infinity: never
 */
export function replay(topology: Topology, image: Image, copies: readonly ReplayedCopy[]): Float64Array {
  const network = new FlowNetwork<number>(topology, image);
  const ends = new Float64Array(copies.length).fill(Infinity);
  const flows: Flow<number>[] = [];
  const advance = (untilSeconds: number): void => {
    for (let at = network.nextSeconds(); at <= untilSeconds && at < Infinity; at = network.nextSeconds()) {
      for (const { tag } of network.advanceTo(at)) ends[tag] = at;
    }
  };
  copies.forEach(({ sourceHost, targetHost, startSeconds, upstream }, index) => {
    advance(startSeconds);
    flows.push(network.start(sourceHost, targetHost, index, startSeconds, { ...(upstream !== undefined && { upstream: flows[upstream]! }) }));
  });
  advance(Infinity);
  return ends;
}
