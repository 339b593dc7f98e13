import type { FleetSpec, Learned, Observation } from "../../fleet/model";
import type { Traits } from "../hypervisor";

/** Every ability that the simulator knows, and no costs besides moving bytes. */
export const UNBOUNDED: Traits = { abilities: { relaying: { hopSeconds: 0 }, linksClones: {}, startsEarly: {}, reportsReadiness: {} }, costs: {} };

/** Seconds of what is no copy. @default 0 each */
export interface SimulatedCosts {
  defineSeconds: number;
  startSeconds: number;
  snapshotSeconds: number;
  consolidateSeconds: number;
  destroySeconds: number;
  /** Until a copy reads from the source it is given. */
  refeedSeconds: number;
  /** From a guest's start until it is ready. */
  bootSeconds: number;
}

/** Something that goes wrong. Times are seconds on the virtual clock. */
export type Fault =
  /** The next `times` (1) clones to this host (and slot) fail when this part of the image is there, 0 to 1. */
  | {
    kind: "cloneFails"; targetHost: string; slot?: number; atFraction: number; times?: number;
    error: "sourceLost" | "noSpace" | "hostUnreachable";
  }
  /** The host does not answer, and what it sends or receives breaks. */
  | { kind: "hostDown"; host: string; atSeconds: number; untilSeconds?: number }
  /** The host's disk and NIC run at this part of their rates; `out`: only when it sends. */
  | { kind: "slowHost"; host: string; factor: number; fromSeconds?: number; direction?: "out" | "both" }
  /** Clones from the template fail from then on. */
  | { kind: "templateChanges"; atSeconds: number }
  /** The fleet's lock is lost. */
  | { kind: "lockLost"; atSeconds: number };

export interface SimulatedOptions {
  /** What one copy moves: the template is one disk of so many bytes then. @default the observed template's disks, else spec.imageBytes, else 10 GB */
  imageBytes?: number;
  /** Seconds each copy costs before its first byte. @default what `traits` say */
  startupSeconds?: number;
  /** Seconds a relay's reader begins after the relay itself. @default what `traits` say */
  hopSeconds?: number;
  /** What a fleet's runs taught: rates and start-ups other than those declared. @default nothing */
  learned?: Learned;
  costs?: Partial<SimulatedCosts>;
  /** @default "network" */
  time?: "network" | "unit";
  /** The abilities it has, and what it says of itself. @default UNBOUNDED, and the truth */
  traits?: Traits;
  /** What is free in a host's store; others are unlimited. */
  freeBytes?: Record<string, number>;
  /** @default the observed template's, else 64 zeros */
  contentId?: string;
  /** Domains without our tag, by host. */
  foreignNames?: Record<string, string[]>;
  /** How often a copy reports its progress. @default and at most a tenth of the quickest copy, but half a second; Infinity: never */
  progressSeconds?: number;
  faults?: Fault[];
}

export interface SimulatedSetup {
  spec: FleetSpec;
  /** What the hosts hold at first. Absent: nothing but the template. */
  observation?: Observation;
  /** The fleet whose members `observation` lists; required with it. */
  fleetId?: string;
  options?: SimulatedOptions;
}
