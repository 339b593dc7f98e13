import type { HostSpec, Observation } from "../fleet/model";
import { HostUnreachableError, type FleetLock } from "../hypervisors/hypervisor";
import { linkSignals } from "./abort";
import type { RunContext } from "./context";
import { Failures } from "./failures";
import { undeclaredHosts, withoutRenamed } from "./fleetHosts";
import { HostBook } from "./hosts";
import { Limiter } from "./limiter";
import { lockReachable } from "./locking";
import { ProgressMeter } from "./meter";
import { Tasks } from "./tasks";
import { FleetRefusedError, type RunRequest } from "./types";

/** One run between taking the fleet's lock and giving it back. */
export interface Session {
  context: RunContext;
  observation: Observation;
  /** Why the run's signal aborted, in words for the user; undefined while it did not. */
  interrupted(): string | undefined;
  /** The lock was lost: another run may be at work, so nothing more may be touched. */
  lockLost(): boolean;
  close(): Promise<void>;
}

/** Everything one run shares; `signal` is the run's own. */
export function contextOf(request: RunRequest, signal: AbortSignal): RunContext {
  const { spec, fleetId, incarnation, hypervisor, clock, previous } = request;
  return {
    spec, hypervisor, clock, signal,
    fleet: { fleetId, incarnation, namePrefix: spec.namePrefix },
    hosts: [...spec.hosts, ...undeclaredHosts(spec, previous)],
    book: new HostBook(),
    operations: new Limiter(spec.limits.maxConcurrentOperations),
    tasks: new Tasks(),
    failures: new Failures(),
    meter: new ProgressMeter(clock, request.onProgress),
    touched: false,
  };
}

/** One look at all hosts of the run; each has the time to connect and to answer one call. */
export async function observe(context: RunContext, preflight: boolean, signal: AbortSignal): Promise<Observation> {
  const { hypervisor, fleet, spec, hosts } = context;
  const observation = await hypervisor.observe({
    fleetId: fleet.fleetId, namePrefix: fleet.namePrefix, hosts, spec, preflight,
    deadlineMs: spec.timeouts.connectMs + spec.timeouts.callMs,
  }, { signal });
  return withoutRenamed(observation, spec);
}

/**
 * Locks the fleet, then looks. Hosts that are no longer declared are locked second, once it is known that they are
 * not declared ones under another name (two locks on one host would wait for each other).
 * @throws LockTimeoutError; FleetRefusedError when cancelled before anything was touched
 */
export async function openSession(request: RunRequest, preflight: boolean): Promise<Session> {
  const run = linkSignals(request.signal);
  const context = contextOf(request, run.signal);
  const locks: FleetLock[] = [];
  const close = async () => {
    run.unlink();
    await Promise.all(locks.splice(0).map((lock) => lock.release().catch(() => undefined)));
  };
  const lock = async (hosts: HostSpec[]): Promise<boolean> => {
    let waited = false;
    const taken = await lockReachable(context.hypervisor, {
      fleetId: request.fleetId, hosts, holder: request.holder, timeoutMs: request.spec.timeouts.lockMs, signal: run.signal,
      onWait: (holder) => {
        waited = true;
        context.meter.enter("lock", `waiting for another run of this fleet (${holder})`);
      },
    });
    if (taken) {
      locks.push(taken);
      taken.lost.addEventListener("abort", () => run.abort(taken.lost.reason), { once: true });
      if (taken.lost.aborted) run.abort(taken.lost.reason);
    }
    return waited;
  };
  try {
    context.meter.enter("lock");
    await lock(request.spec.hosts);
    context.meter.enter("observe");
    let observation = await observe(context, preflight, run.signal);
    const declared = new Set(request.spec.hosts.map((h) => h.name));
    const others = context.hosts.filter((host) => (
      !declared.has(host.name) && observation.hosts.some((h) => h.name === host.name && h.status === "reachable")
    ));
    if (others.length > 0 && await lock(others)) observation = await observe(context, preflight, run.signal);
    for (const host of observation.hosts) {
      if (host.status === "unreachable") context.book.giveUp(new HostUnreachableError(host.name, "connect", host.reason));
    }
    const lockLost = () => locks.some((l) => l.lost.aborted);
    return {
      context, observation, close, lockLost,
      interrupted: () => !run.signal.aborted ? undefined : lockLost() ? "the fleet's lock was lost" : "cancelled",
    };
  } catch (error) {
    await close();
    if (!request.signal?.aborted) throw error;
    throw new FleetRefusedError([{ path: "", message: "cancelled before anything was touched" }]);
  }
}
