import type { FleetPlan, FleetSpec, FleetState, Observation, PolicyName, RunSummary } from "../fleet/model";
import type { Hypervisor } from "../hypervisors/hypervisor";

/** Time as the engine knows it: real, or the simulator's virtual one. */
export interface Clock {
  /** Monotonic. */
  nowMs(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export type Phase = "lock" | "observe" | "cleanup" | "destroy" | "upload" | "clone" | "define" | "consolidate" | "done";

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

/** One transfer as it happened; the simulated run of a plan and the real one give the same trace form. */
export interface CloneTrace {
  /** Slot name, or `replica@host` for a host's replica or upload. */
  slot: string;
  /** `template` or a slot name or `replica@host`. */
  source: string;
  sourceHost: string;
  targetHost: string;
  startSeconds: number;
  endSeconds: number;
  /** Sources it had before `source`, oldest first, and until when. Absent: one source all the time. */
  replaced?: { source: string; sourceHost: string; untilSeconds: number }[];
}

export interface RunRequest {
  spec: FleetSpec;
  fleetId: string;
  incarnation: string;
  /** Recorded state of the last run; absent at first create. */
  previous?: FleetState;
  hypervisor: Hypervisor;
  clock: Clock;
  /** Names this run to others that wait for its lock. */
  holder: string;
  onProgress?: ProgressSink;
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
  constructor(readonly reasons: string[], readonly state: FleetState, options?: { cause?: unknown }) {
    super(reasons.join("\n"), options);
    this.name = "FleetRunError";
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
export type PreviewRequest = Pick<RunRequest, "spec" | "fleetId" | "incarnation" | "previous"> & {
  observation?: Observation;
  /** Instead of the spec's. */
  policy?: PolicyName;
  /** `unit`: every copy takes one second and nothing is contended. @default "network" */
  time?: "network" | "unit";
  /** What each copy costs before its first byte. @default 0 */
  startupSeconds?: number;
  /** Seconds a relay's reader begins after the relay itself. @default 0 */
  relayHopSeconds?: number;
  /** Whether the hypervisor can relay (capabilities.relay). @default true */
  relay?: boolean;
};
