import { PoolIndex } from "./poolIndex";
import type { Decision, Policy, PoolView, Source } from "./types";

/**
 * Every clone from the template, hosts in declared order. It exists to be compared with: as many at once as the
 * template's host allows, since they share its disk and NIC anyway; one at a time in unit time, where sharing is free.
 * Without a usable template (a grown fleet whose template is out of reach) the oldest source stands in for it.
 */
function next(view: PoolView): Decision[] {
  const single = theSource(view);
  if (!single) return [];
  // There is no other source to turn to: it serves on, whether or not one of its copies lags.
  const transfers = view.transfers.map((transfer) => ({ ...transfer, straggling: false }));
  const pool = new PoolIndex({ ...view, sources: [single], transfers });
  const oneAtATime = view.topology.time === "unit";
  for (const { index: target } of view.topology.hosts) {
    while (pool.isRemaining(target) && pool.hasRoom(single.host) && !pool.full) {
      if (oneAtATime && !pool.hasIdleSource(single.host)) return pool.decisions;
      pool.decide(single.host, target);
    }
  }
  return pool.decisions;
}

function theSource(view: PoolView): Source | undefined {
  const rank = (source: Source): number => (source.kind === "template" ? 0 : 1);
  let best: Source | undefined;
  for (const source of view.sources) {
    if (view.excluded[source.host]) continue;
    if (!best || rank(source) < rank(best) || (rank(source) === rank(best) && source.id < best.id)) best = source;
  }
  return best;
}

export const singleSource: Policy = { name: "singleSource", next };
