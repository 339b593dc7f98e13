import type { Observation, ReachableHost } from "../fleet/model";
import type { RunContext } from "./context";
import { observe } from "./session";

/**
 * What exists after the run. A cancelled or failed run leaves partial copies: they are removed where their host lets
 * us, so that nothing of ours stays that no state mentions. Never throws: a host that vanished is told as it was last seen.
 *
 * @param tidy false when the lock was lost: another run may own what looks like a leftover
 */
export async function lookAgain(context: RunContext, before: Observation, tidy: boolean): Promise<Observation> {
  const { hypervisor, fleet, spec } = context;
  // Not the run's signal: that one may have aborted, and looking is still right.
  const deadline = AbortSignal.timeout(2 * (spec.timeouts.connectMs + spec.timeouts.callMs));
  let after: Observation;
  try {
    after = await observe(context, false, deadline);
  } catch {
    return before;
  }
  const seen = new Map(before.hosts.map((host) => [host.name, host]));
  const hosts = await Promise.all(after.hosts.map(async (host) => {
    if (host.status === "unreachable") return seen.get(host.name) ?? host;
    return tidy ? removePartials(host) : host;
  }));
  return { ...after, hosts };

  async function removePartials(host: ReachableHost): Promise<ReachableHost> {
    const partials = [];
    for (const partial of host.partials) {
      try {
        await hypervisor.destroy({ kind: "partial", fleet, host: host.name, partial }, { signal: deadline });
      } catch {
        partials.push(partial); // the next run's plan removes it first
      }
    }
    return { ...host, partials };
  }
}
