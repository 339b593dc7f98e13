import { plural } from "../../fleet";
import type { FleetPlan, PlannedDestroy } from "../../fleet/model";
import { operate, type RunContext } from "../run/context";
import type { FoundMembers } from "../run/found";
import { replicaLabel } from "../distribution/sources";

export interface Cleared {
  destroyed: number;
  /** Slots whose old member could not be taken away: nothing may be made there. */
  stuck: Set<number>;
}

/** Leftovers, adoption, then what must go; each to its end before the next, and all before anything is made. */
export async function clear(context: RunContext, plan: FleetPlan, found: FoundMembers): Promise<Cleared> {
  const { hypervisor, fleet, meter, spec, ledger } = context;
  const { cleanup, adopt, destroy } = plan;
  if (cleanup.length > 0) meter.enter("cleanup", `removing ${plural(cleanup.length, "leftover")}`);
  await each(context, cleanup, "remove leftovers", (e) => e.leftover.name, ({ host, leftover }) => (
    operate(context, host, (call) => hypervisor.destroy({ kind: "leftover", fleet, host, leftover }, call))
  ));
  await each(context, adopt, "adopt", (e) => e.name, (planned) => {
    const { host, slot, name } = planned;
    const generation = found.at(host, planned)?.generation ?? 0;
    ledger.adopting(host, { slot, generation });
    return operate(context, host, (call) => hypervisor.adopt({ fleet, host, slot, name, generation }, call));
  });
  if (destroy.length > 0) meter.enter("destroy", `removing ${plural(destroy.length, "member")}`);
  const { shutdownMs } = spec.timeouts;
  const gone = new Set<PlannedDestroy>();
  await each(context, destroy, "destroy", (e) => e.name, async (planned) => {
    const { host, slot, name, generation } = planned;
    await operate(context, host, (call) => (
      hypervisor.destroy({ kind: "member", fleet, host, slot, name, generation, shutdownMs }, call)
    ));
    ledger.destroyed(host, planned);
    gone.add(planned);
  });
  return { destroyed: gone.size, stuck: new Set(destroy.filter((e) => !gone.has(e)).map((e) => e.slot)) };
}

/** Last, and only what no member that failed in this run will want in the next. */
export async function removeReplicas(context: RunContext, plan: FleetPlan): Promise<void> {
  const { hypervisor, fleet, failures } = context;
  const removable = plan.removeReplicas.filter(({ host, contentId }) => (
    contentId === plan.seedContentId ? failures.all.length === 0 : !failures.all.some((f) => f.host === host)
  ));
  await each(context, removable, "remove replica", (e) => replicaLabel(e.host), ({ host, contentId, purpose }) => (
    operate(context, host, (call) => hypervisor.destroy({ kind: "replica", fleet, host, contentId, purpose }, call))
  ));
}

/** All at once, within the limits; errors are recorded. @throws only the signal's reason */
async function each<T extends { host: string }>(
  { signal, failures }: RunContext, items: T[], step: string, nameOf: (item: T) => string, act: (item: T) => Promise<void>,
): Promise<void> {
  signal.throwIfAborted();
  await Promise.all(items.map(async (item) => {
    try {
      await act(item);
    } catch (error) {
      if (!signal.aborted) failures.add({ host: item.host, name: nameOf(item), step, error, next: "tries it again" });
    }
  }));
  signal.throwIfAborted();
}
