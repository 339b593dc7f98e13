/** One run of a fleet: a door of the engine with its hypervisor, its signal, its live text and its end around it. */
import { FleetRunError, type RunRequest } from "../engine/types";
import { throttled } from "../engine";
import { adoptionWarning } from "../fleet";
import type { CloneTrace, FleetPlan, FleetSpec, FleetState } from "../fleet/model";
import { withBegun } from "./begun";
import type { FrontDependencies } from "./dependencies";
import { writePicture } from "./picture";
import { hasWork } from "./preview";
import { progressText } from "./progressText";
import { resourceLog } from "./resourceLog";
import type { Runs } from "./runs";

export interface FleetRun {
  /** What the front calls the resource: where what is said of the run goes. */
  resource: string;
  spec: FleetSpec;
  fleetId: string;
  incarnation: string;
  /** What the last run recorded. Absent: this is the first. */
  previous?: FleetState;
}

/**
 * Makes the fleet what `run.spec` says.
 * @throws FleetRefusedError when nothing was touched
 * @throws FleetRunError when some of it failed: its `state` is to be recorded as what the run came to
 */
export async function applyRun(run: FleetRun, dependencies: FrontDependencies, runs: Runs): Promise<FleetState> {
  const picture = (state: FleetState, clones: readonly CloneTrace[]) => writePicture(run.resource, run.spec, state, clones, dependencies);
  try {
    const { state, clones } = await throughDoor(run, dependencies.fleetDoors.applyFleet, APPLY, dependencies, runs);
    await picture(state, clones);
    return state;
  } catch (error) {
    if (error instanceof FleetRunError) await picture(error.state, error.clones);
    throw error;
  }
}

/** Looks at what the hosts hold now. @returns null when nothing of the fleet is left */
export function refreshRun(run: FleetRun, dependencies: FrontDependencies, runs: Runs): Promise<FleetState | null> {
  return throughDoor(run, dependencies.fleetDoors.refreshFleet, REFRESH, dependencies, runs);
}

/**
 * Removes what the recorded incarnation made.
 * @throws FleetRefusedError when nothing was touched
 * @throws FleetRunError when something is left
 */
export function removeRun(run: FleetRun, dependencies: FrontDependencies, runs: Runs): Promise<void> {
  return throughDoor(run, dependencies.fleetDoors.removeFleet, REMOVE, dependencies, runs);
}

interface DoorKind {
  /** The plan's warnings that are said when the run begins to work. */
  warningsOf(plan: FleetPlan): string[];
  /** What is begun there is noted until it has an end that is recorded. */
  isNoted: boolean;
  /** What the other side records: what the run had begun needs no note any more. @param failure absent: it went well */
  isRecorded(failure?: unknown): boolean;
}

const APPLY: DoorKind = { warningsOf: adoptionWarning, isNoted: true, isRecorded: (failure) => failure === undefined || failure instanceof FleetRunError };
// A look plans nothing.
const REFRESH: DoorKind = { warningsOf: () => [], isNoted: false, isRecorded: () => false };
// Nobody previews what a removal leaves; the resource that could tell of it later is gone then.
const REMOVE: DoorKind = { warningsOf: (plan) => plan.warnings, isNoted: false, isRecorded: (failure) => failure === undefined };

async function throughDoor<T>(
  run: FleetRun, door: (request: RunRequest) => Promise<T>, kind: DoorKind, dependencies: FrontDependencies, runs: Runs,
): Promise<T> {
  const { begun } = dependencies;
  // A run that was aborted because nobody is left has nobody who records what it came to.
  let isOrphaned = false;
  const ended = (failure?: unknown) => { if (!isOrphaned && kind.isRecorded(failure)) begun.forget(run.fleetId); };
  const inside = async (signal: AbortSignal): Promise<T> => {
    const { resource, ...question } = withBegun(run, begun.hostsOf(run.fleetId));
    const log = resourceLog(dependencies.otherSide, resource);
    const progress = throttled((event) => log.live(progressText(event)), dependencies.clock, dependencies.progressIntervalMs);
    const holder = dependencies.holder();
    const hypervisor = dependencies.createHypervisor({ spec: run.spec, holder });
    const onPlan: RunRequest["onPlan"] = (plan, observation) => {
      kind.warningsOf(plan).forEach(log.warn);
      if (kind.isNoted && hasWork(plan)) begun.note({ ...question, observation });
    };
    try {
      return await door({ ...question, hypervisor, clock: dependencies.clock, holder, onProgress: progress, onNotice: log.warn, onPlan, signal });
    } finally {
      progress.flush();
      await hypervisor.close().catch(() => undefined);
      await log.settled();
      isOrphaned = signal.aborted;
    }
  };
  try {
    const result = await runs.run(inside);
    ended();
    return result;
  } catch (error) {
    ended(error);
    throw error;
  }
}
