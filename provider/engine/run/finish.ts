import { knowHosts, ownersOf } from "../../fleet";
import type { FleetState, Observation, ReachableHost } from "../../fleet/model";
import type { RunContext } from "./context";
import { observe } from "./session";

export interface Aftermath {
  observation: Observation;
  /** Hosts that were worked on and could not be looked at since: what stands there is known from this run alone. */
  unsettled: ReadonlySet<string>;
  /** Why nothing could be looked at; the observation is then made up from what was seen before and done since. */
  failure?: string;
}

/** Leftovers of one host. */
const AT_ONCE = 16;

/**
 * What exists after the run. A cancelled or failed run leaves partial copies: those that the next run can go on from
 * stay, their hosts recorded as unsettled; the others are removed where their host lets us. Never throws: a host that vanished is told as it was last
 * seen, with what this run did there.
 *
 * @param tidy false when the lock was lost: another run may own what looks like a leftover
 */
export async function lookAgain(
  context: RunContext, before: Observation, previous: FleetState | undefined, tidy: boolean,
): Promise<Aftermath> {
  const { hypervisor, fleet, spec, ledger } = context;
  const lastSeen = new Map(before.hosts.map((host) => [
    host.name, host.status === "reachable" ? ledger.over(host, fleet.incarnation) : host,
  ]));
  // Not the run's signal: that one may have aborted, and looking is still right.
  const deadline = AbortSignal.timeout(2 * (spec.timeouts.connectMs + spec.timeouts.callMs));
  let after: Observation;
  try {
    after = await observe(context, false, deadline);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return {
      observation: { ...before, hosts: before.hosts.map((host) => lastSeen.get(host.name)!) },
      unsettled: new Set(ledger.worked),
      failure: `the hosts could not be looked at after the run: ${why}; recorded is what this run knows, and the next \`pulumi up\` looks again`,
    };
  }
  const silent = new Set(after.hosts.filter((host) => host.status === "unreachable").map((host) => host.name));
  const told = after.hosts.map((host) => (host.status === "unreachable" ? lastSeen.get(host.name) ?? host : host));
  const unfinished = context.signal.aborted || context.failures.all.length > 0;
  // Asked of everything known, so that a volume in a shared pool is not taken for a leftover while its member is out of sight.
  const ownerOf = ownersOf(knowHosts(spec, previous, { ...after, hosts: told }), previous);
  const hosts = await Promise.all(told.map((host) => (
    tidy && host.status === "reachable" && !silent.has(host.name) ? removeLeftovers(host) : host
  )));
  return { observation: { ...after, hosts }, unsettled: new Set([...silent].filter((name) => ledger.worked.has(name))) };

  /** Several at once: a host looks once for all that ask together whether somebody uses what is to go. */
  async function removeLeftovers(host: ReachableHost): Promise<ReachableHost> {
    const left = new Set(host.leftovers);
    const doomed = host.leftovers.filter((leftover) => ownerOf(leftover, host.name) === undefined && !(unfinished && leftover.resumable));
    for (let from = 0; from < doomed.length; from += AT_ONCE) {
      await Promise.all(doomed.slice(from, from + AT_ONCE).map(async (leftover) => {
        try {
          await hypervisor.destroy({ kind: "leftover", fleet, host: host.name, leftover }, { signal: deadline });
          left.delete(leftover);
        } catch {
          // The next run's plan removes it first.
        }
      }));
    }
    return { ...host, leftovers: [...left] };
  }
}
