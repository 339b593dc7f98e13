import type { FleetSpec, GuestNews, HostSpec, Learned } from "../../fleet/model";
import {
  ForeignNameError, HostUnreachableError, InUseError, NoSpaceError, TemplateChangedError, UnansweredError,
  type Abilities, type CallContext, type Costs, type FleetIdentity, type Hypervisor,
} from "../../hypervisors/hypervisor";
import { linkSignals } from "../../async/abort";
import type { Failures } from "./failures";
import type { HostBook } from "./hosts";
import type { Ledger } from "./ledger";
import type { Limiter } from "../../async/limiter";
import type { ProgressMeter } from "../progress/meter";
import type { ReadProfiles } from "../distribution/reads";
import type { Room } from "../distribution/room";
import type { Tasks } from "../../async/tasks";
import type { Turns } from "./turns";
import type { Clock } from "../../async/clock";

/** What every part of one run shares. */
export interface RunContext {
  spec: FleetSpec;
  fleet: FleetIdentity;
  hypervisor: Hypervisor;
  /** What the hypervisor can do beyond what all can, found when the run began. */
  abilities: Abilities;
  /** What it says that things cost besides moving bytes. */
  costs: Costs;
  clock: Clock;
  /** Cancelled by the user, or the lock was lost. */
  signal: AbortSignal;
  /** Declared hosts and those of the recorded state that are no longer declared. */
  hosts: HostSpec[];
  hostBook: HostBook;
  operations: Limiter;
  /** Merges last long: in the operations' limiter, new members would wait behind them. */
  merges: Limiter;
  /** Members between their start and the moment that their guest is ready. */
  configuring: Limiter;
  turns: Turns;
  tasks: Tasks;
  failures: Failures;
  meter: ProgressMeter;
  ledger: Ledger;
  /** What was heard of guests in this run, by member on its host. */
  guests: Map<string, GuestNews>;
  /** What guests read when they boot, so far. */
  reads: ReadProfiles;
  /** What earlier runs taught the time model, against the rates declared now. */
  learned?: Learned;
  /** Of the stores that copies are made in. Absent until the run knows what it makes. */
  room?: Room;
  /** Something was done, and not all as it was planned. */
  onNotice?: (notice: string) => void;
  /** A preview: what is no copy costs nothing there and is taken as done. */
  copiesOnly?: boolean;
}

const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 8000;

/** Half a second, doubled each time, eight at most. */
export function backoffMs(attempt: number): number {
  return Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** attempt);
}

/** Errors that trying again cannot mend. */
export function isFinal(error: unknown): boolean {
  return error instanceof ForeignNameError || error instanceof InUseError || error instanceof NoSpaceError ||
    error instanceof TemplateChangedError || error instanceof HostUnreachableError;
}

const hostSignals = new WeakMap<RunContext, Map<string, AbortSignal>>();

/** Aborts when the run is cancelled or the host is given up. One for each host: there are very many calls. */
export function signalFor(context: RunContext, host: string): AbortSignal {
  let signals = hostSignals.get(context);
  if (!signals) hostSignals.set(context, signals = new Map());
  let signal = signals.get(host);
  if (!signal) signals.set(host, signal = linkSignals(context.signal, context.hostBook.signal(host)).signal);
  return signal;
}

/**
 * One operation on one host (define, start, consolidate, destroy): within the fleet's limit, tried again up to
 * `limits.retries` times, over at once when the host is given up or the run is cancelled.
 * @throws the last error; HostUnreachableError gives the host up
 */
export async function operate<T>(
  context: RunContext, host: string, call: (context: CallContext) => Promise<T>, limiter = context.operations,
): Promise<T> {
  const { hostBook, clock, signal, spec } = context;
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    hostBook.check(host);
    const hostSignal = signalFor(context, host);
    context.ledger.worked.add(host);
    try {
      return await limiter.run(() => call({ signal: hostSignal, ...(context.onNotice && { onNotice: context.onNotice }) }), hostSignal);
    } catch (error) {
      if (signal.aborted) throw error;
      if (error instanceof HostUnreachableError) hostBook.giveUp(error);
      hostBook.check(host);
      // What copies fill they may give back.
      const roomChanges = error instanceof NoSpaceError && attempt < spec.limits.retries ? context.room?.nextEnd(host) : undefined;
      if (roomChanges) {
        await roomChanges;
        continue;
      }
      // A guest that hangs would hang again, and each try takes as long as the call may.
      if (isFinal(error) || error instanceof UnansweredError || attempt >= spec.limits.retries) throw error;
    }
    await clock.sleep(backoffMs(attempt), signal);
  }
}
