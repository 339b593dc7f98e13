import { hostsToObserve } from "../../fleet";
import type { Observation } from "../../fleet/model";
import { HostUnreachableError, type FleetLock } from "../../hypervisors/hypervisor";
import { linkSignals } from "../../async/abort";
import type { RunContext } from "./context";
import { Failures } from "./failures";
import { HostBook } from "./hosts";
import { learnedFor } from "../record/lessons";
import { Ledger } from "./ledger";
import { Limiter } from "../../async/limiter";
import { ProgressMeter } from "../progress/meter";
import { ReadProfiles } from "../distribution/reads";
import { Tasks } from "../../async/tasks";
import { Turns } from "./turns";
import { FleetRefusedError, type RunRequest } from "../types";

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
  const learned = request.learned ?? learnedFor(spec, previous);
  return {
    spec, hypervisor, clock, signal,
    abilities: hypervisor.abilities,
    costs: hypervisor.costs,
    fleet: { fleetId, incarnation, namePrefix: spec.namePrefix },
    hosts: hostsToObserve(spec, previous),
    hostBook: new HostBook(),
    operations: new Limiter(spec.limits.maxConcurrentOperations),
    merges: new Limiter(spec.limits.maxConcurrentOperations),
    configuring: new Limiter(spec.limits.maxConfiguring),
    turns: new Turns(),
    tasks: new Tasks(),
    failures: new Failures(),
    meter: new ProgressMeter(clock, request.onProgress),
    ledger: new Ledger(),
    guests: new Map(),
    reads: new ReadProfiles(previous?.readProfiles),
    ...(learned && { learned }),
    ...(request.onNotice && { onNotice: request.onNotice }),
  };
}

/** One look at all hosts of the run; each has the time to connect and to answer one call. */
export async function observe(context: RunContext, preflight: boolean, signal: AbortSignal): Promise<Observation> {
  const { hypervisor, fleet, spec, hosts } = context;
  return hypervisor.observe({
    fleetId: fleet.fleetId, namePrefix: fleet.namePrefix, hosts, spec, preflight,
    deadlineMs: spec.timeouts.connectMs + spec.timeouts.callMs,
  }, { signal });
}

/** How often the fleet is locked anew because a host was silent then and answered when it was looked at. */
const LOCK_ATTEMPTS = 3;

/** Hosts that answer and are not locked: another run may be at work there. A machine is locked under one of its names. */
function unlockedHosts({ lockedHosts }: FleetLock, { hosts }: Observation): string[] {
  if (!lockedHosts) return [];
  const answering = hosts.filter((host) => host.status === "reachable");
  const locked = new Set(lockedHosts);
  const machines = new Set(answering.filter((host) => locked.has(host.name)).map((host) => host.uuid));
  return answering.filter((host) => !machines.has(host.uuid)).map((host) => host.name);
}

const unlockedMessage = (names: readonly string[]) =>
  `expected hosts that can be locked while they answer, got ${names.join(", ")}, silent each of ${LOCK_ATTEMPTS} times the fleet was locked ` +
  "and answering right after; run `pulumi up` again when the way there is steady";

/**
 * Locks the fleet, then looks.
 * @throws LockTimeoutError; FleetRefusedError when cancelled before anything was touched
 */
export async function openSession(request: RunRequest, preflight: boolean): Promise<Session> {
  const run = linkSignals(request.signal);
  const context = contextOf(request, run.signal);
  const { meter, hypervisor } = context;
  let lock: FleetLock | undefined;
  const close = async () => {
    run.unlink();
    await lock?.release().catch(() => undefined);
  };
  try {
    let observation: Observation;
    for (let attempt = 1; ; attempt++) {
      meter.enter("lock");
      lock = await hypervisor.lock({
        fleetId: request.fleetId, hosts: context.hosts, holder: request.holder,
        timeoutMs: request.spec.timeouts.lockMs, signal: run.signal,
        onWait: (holder) => meter.enter("lock", `waiting for another run of this fleet (${holder})`),
      });
      meter.enter("observe");
      observation = await observe(context, preflight, run.signal);
      const unlocked = unlockedHosts(lock, observation);
      if (unlocked.length === 0) break;
      // Silent when the others were locked, and back by now: once more, with all of them.
      await lock.release().catch(() => undefined);
      lock = undefined;
      if (attempt === LOCK_ATTEMPTS) throw new FleetRefusedError([{ path: "hosts", message: unlockedMessage(unlocked) }]);
    }
    const { lost } = lock;
    const onLost = () => run.abort(lost.reason);
    if (lost.aborted) onLost();
    lost.addEventListener("abort", onLost, { once: true });
    for (const host of observation.hosts) {
      if (host.status === "unreachable") context.hostBook.giveUp(new HostUnreachableError(host.name, "connect", host.reason));
    }
    const lockLost = () => lost.aborted;
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
