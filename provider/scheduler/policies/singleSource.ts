import type { Source } from "../types";
import type { Decision, Policy, BookView } from "../policy";

/**
 * Every clone from the template, hosts in declared order. It exists to be compared with: as many at once as the
 * template's host allows, since they share its store and NIC anyway; one at a time in unit time, where sharing is free.
 * Without a usable template (a grown fleet whose template is out of reach) the oldest source stands in for it.
 * There is no other source to turn to, so it serves on whether or not one of its copies lags.
 */
function next(view: BookView): Decision[] {
  const { hosts, time } = view.topology;
  const decisions: Decision[] = [];
  const single = theSource(view);
  if (!single) return decisions;

  const load = new Map<number, number>();
  const use = (host: number): unknown => load.set(host, (load.get(host) ?? 0) + 1);
  for (const { sourceHost, targetHost } of view.transfers) {
    use(sourceHost);
    if (targetHost !== sourceHost) use(targetHost);
  }
  const hasRoom = (host: number): boolean => (load.get(host) ?? 0) < hosts[host]!.maxConcurrent;
  const most = Math.min(view.freeSlots, time === "unit" ? 1 - single.serving : Infinity);

  for (let target = 0; target < hosts.length && decisions.length < most && hasRoom(single.host); target++) {
    if (view.excluded[target]) continue;
    let remaining = view.targets[target]! - view.made[target]! - view.making[target]!;
    for (; remaining > 0 && decisions.length < most && hasRoom(single.host) && hasRoom(target); remaining--) {
      decisions.push({ source: single.id, targetHost: target });
      use(single.host);
      if (target !== single.host) use(target);
    }
  }
  return decisions;
}

/** The first template, else the source with the lowest id. */
function theSource(view: BookView): Source | undefined {
  let oldest: Source | undefined;
  for (const source of view.sources) {
    if (view.excluded[source.host]) continue;
    if (source.kind === "template") return source;
    if (!oldest || source.id < oldest.id) oldest = source;
  }
  return oldest;
}

export const singleSource: Policy = { name: "singleSource", keepsSources: true, next };
