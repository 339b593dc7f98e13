import type { CloneTrace, FleetPlan, FleetSpec, FleetState, Learned, Observation, PolicyName, RunSummary } from "../fleet/model";
import type { Clock } from "../async/clock";
import type { Hypervisor, Traits } from "../hypervisors/hypervisor";

export type { CloneTrace } from "../fleet/model";

export type Phase = "lock" | "observe" | "cleanup" | "destroy" | "upload" | "clone" | "define" | "configure" | "consolidate" | "done";

/** Live progress of one run; throttled by the sink, the last one always delivered. */
export interface Progress {
  phase: Phase;
  membersDone: number;
  membersTotal: number;
  bytesDone: number;
  bytesTotal: number;
  bytesPerSecond: number;
  /** Absent until there is something to go by. */
  etaSeconds?: number;
  /** What was just done or is being waited for, in words. */
  note?: string;
}

export type ProgressSink = (progress: Progress) => void;

export interface RunRequest {
  spec: FleetSpec;
  fleetId: string;
  incarnation: string;
  /** Recorded state of the last run; absent at first create. */
  previous?: FleetState;
  /** What runs before this one taught the time model. @default previous.learned */
  learned?: Learned;
  hypervisor: Hypervisor;
  clock: Clock;
  /** Names this run to others that wait for its lock. */
  holder: string;
  onProgress?: ProgressSink;
  /** Something was done, and not all as it was planned: in words that name the member. */
  onNotice?: (notice: string) => void;
  /** What the run is about to do, told once, before anything is touched. */
  onPlan?: (plan: FleetPlan, observation: Observation) => void;
  signal?: AbortSignal;
}

export interface RunResult {
  state: FleetState;
  plan: FleetPlan;
  clones: CloneTrace[];
  summary: RunSummary;
}

/** Some of it failed: `state` is what exists now, `reasons` say what failed where and what the next `up` will do. */
export class FleetRunError extends Error {
  /** What was copied nevertheless. */
  readonly clones: readonly CloneTrace[];

  constructor(readonly reasons: string[], readonly state: FleetState, options: { cause?: unknown; clones?: readonly CloneTrace[] } = {}) {
    super(reasons.join("\n"), "cause" in options ? { cause: options.cause } : undefined);
    this.name = "FleetRunError";
    this.clones = options.clones ?? [];
  }
}

/** Refused before anything was touched. */
export class FleetRefusedError extends Error {
  constructor(readonly problems: { path: string; message: string }[]) {
    super(problems.map((p) => (p.path ? `${p.path}: ${p.message}` : p.message)).join("\n"));
    this.name = "FleetRefusedError";
  }
}

/** A plan run on the simulated hypervisor: what preview prints. */
export interface Preview {
  plan: FleetPlan;
  policy: PolicyName | "none";
  summary: RunSummary;
  clones: CloneTrace[];
  /** `+12 VMs on 4 hosts in 2 racks, 2.1 GB across racks, about 38 s, policy rounds` */
  text: string;
  /** False: no host could be asked, planned from the inputs and the recorded state alone. */
  observed: boolean;
}

/**
 * The four doors of the engine, exported by engine/index.ts:
 *   applyFleet(request): Promise<RunResult>            create and update: lock, observe, reconcile, run; idempotent
 *   removeFleet(request): Promise<void>                delete: this incarnation only
 *   refreshFleet(request): Promise<FleetState | null>  read: what the hosts hold now; null: nothing of the fleet
 *   previewFleet({spec, fleetId, incarnation, previous, observation?}): Promise<Preview>   pure but for the virtual clock
 */
export type PreviewRequest = Pick<RunRequest, "spec" | "fleetId" | "incarnation" | "previous" | "learned"> & {
  observation?: Observation;
  /** Instead of the spec's. */
  policy?: PolicyName;
  /** `unit`: every copy takes one second and nothing is contended. @default "network" */
  time?: "network" | "unit";
  /**
   * What the hypervisor can do that the simulator stands in for, and what things cost there.
   * @default it can do all there is, and nothing but moving bytes takes time
   */
  traits?: Traits;
};
