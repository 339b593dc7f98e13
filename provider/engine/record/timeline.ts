import type { CloneTrace, FleetSpec, PolicyName, RunTimeline } from "../../fleet/model";
import { toMilliseconds } from "./summary";

/** Copies that a state lists: some 40 KB. */
export const MOST_RECORDED_CLONES = 256;

/**
 * What the state keeps of a run's copies. Where there are too many, those between hosts stay, then the earliest: who
 * fed whom is told by them.
 * @returns undefined without copies
 */
export function timelineOf(
  spec: FleetSpec, policy: PolicyName | "none", traces: readonly CloneTrace[], imageBytes: number,
): RunTimeline | undefined {
  if (traces.length === 0) return undefined;
  const kept = [...traces].sort((a, b) => local(a) - local(b) || byTime(a, b)).slice(0, MOST_RECORDED_CLONES).sort(byTime);
  return { policy, imageBytes, racks: racksOf(spec, kept), clones: kept.map(rounded), leftOut: traces.length - kept.length };
}

/** The hosts that gave or got a copy, by rack, both as declared. */
export function racksOf({ racks, hosts }: FleetSpec, traces: readonly CloneTrace[]): RunTimeline["racks"] {
  const named = new Set(traces.flatMap(({ sourceHost, targetHost, replaced = [] }) => [sourceHost, targetHost, ...replaced.map((one) => one.sourceHost)]));
  const byRack = new Map<string, string[]>(racks.map(({ name }) => [name, []]));
  for (const { name, rack } of hosts) {
    if (!named.has(name)) continue;
    const list = byRack.get(rack);
    if (list) list.push(name);
    else byRack.set(rack, [name]);
  }
  return [...byRack].flatMap(([name, list]) => (list.length > 0 ? [{ name, hosts: list }] : []));
}

const local = ({ sourceHost, targetHost }: CloneTrace): number => (sourceHost === targetHost ? 1 : 0);

const byTime = (a: CloneTrace, b: CloneTrace): number =>
  a.startSeconds - b.startSeconds || a.endSeconds - b.endSeconds || (a.slot < b.slot ? -1 : a.slot > b.slot ? 1 : 0);

/** As they start; of those that start together, feeders before whom they feed. */
export function inOrder(clones: readonly CloneTrace[]): CloneTrace[] {
  const depths = depthsOf(clones);
  return clones.map((clone) => ({ clone, depth: depths.get(clone.slot)! }))
    .sort((a, b) => a.clone.startSeconds - b.clone.startSeconds || a.depth - b.depth || byTime(a.clone, b.clone))
    .map(({ clone }) => clone);
}

/** Hops from the template or from what was there before. */
function depthsOf(clones: readonly CloneTrace[]): Map<string, number> {
  const bySlot = new Map(clones.map((clone) => [clone.slot, clone]));
  const depths = new Map<string, number>();
  for (const clone of clones) {
    const way: string[] = [];
    let at: CloneTrace | undefined = clone;
    for (; at && !depths.has(at.slot) && way.length <= clones.length; at = bySlot.get(at.source)) way.push(at.slot);
    let depth = at ? depths.get(at.slot) ?? 0 : -1;
    for (const slot of way.reverse()) depths.set(slot, ++depth);
  }
  return depths;
}

function rounded({ replaced, ...trace }: CloneTrace): CloneTrace {
  return {
    ...trace, startSeconds: toMilliseconds(trace.startSeconds), endSeconds: toMilliseconds(trace.endSeconds),
    ...(replaced && { replaced: replaced.map((one) => ({ ...one, untilSeconds: toMilliseconds(one.untilSeconds) })) }),
  };
}
