/** Hosts, racks, sources and copies as the time model and the policies see them: plain data; ids are indices for speed. */

export interface SchedulerHost {
  index: number;
  name: string;
  rack: number;
  /** What copies may use of the card. */
  nicBytesPerSecond: number;
  /** Where copies may not use all of it. */
  nicLimit?: LinkLimit;
  /** Index of the store where its images lie. */
  store: number;
  maxConcurrent: number;
}

/** A store: the hosts that reach it share its rate. Each host has a store of its own today. */
export interface SchedulerStore {
  index: number;
  name: string;
  /** It reads this much, and writes this much beside that. */
  bytesPerSecond: number;
}

export interface SchedulerRack {
  index: number;
  name: string;
  /** What copies may use of the uplink. */
  uplinkBytesPerSecond: number;
  /** Where copies may not use all of it. */
  uplinkLimit?: LinkLimit;
}

/** A link's own rate and what is allowed of it: what is learned of the one does not move the other. */
export interface LinkLimit {
  ofBytesPerSecond: number;
  bytesPerSecond: number;
}

/** The fixed part of one run. */
export interface Topology {
  racks: SchedulerRack[];
  hosts: SchedulerHost[];
  stores: SchedulerStore[];
  /** Seconds each copy costs before its first byte (helper start). */
  startupSeconds: number;
  /** `unit`: every clone takes one second and nothing is contended: the patent's rounds. */
  time: "network" | "unit";
  /** Same-host copies cost nothing. */
  freeLocalCopies: boolean;
  /** Seconds a relay's reader begins after the relay itself (connecting hop by hop). @default 0 */
  hopSeconds?: number;
}

/** Something that holds exactly the template's content. id is unique in a run and never reused. */
export interface Source {
  id: number;
  host: number;
  kind: "template" | "base" | "replica";
  /** Copies it feeds now. */
  serving: number;
  /** A copy under way that serves what it has (cut-through). It keeps its id when it is whole. */
  arriving?: boolean;
}

export interface Transfer {
  source: number;
  sourceHost: number;
  targetHost: number;
  /** Source.id of what it makes, where that is among the arriving. */
  madeId?: number;
  startedAtSeconds: number;
  /** What was expected of it when it was decided on. */
  bytesPerSecond?: number;
  /** 0..1 as last reported. */
  done: number;
  /** Set by the engine when the copy lags its estimate: policies must not wait for it. */
  straggling: boolean;
}

/** How far each host is. Arrays are indexed by host index. */
export interface HostCounts {
  /** Base images wanted on each host in this run, those that exist already included (template not included). */
  readonly targets: readonly number[];
  /** Base images made and not failed, whether or not still sources; the template not included. */
  readonly made: readonly number[];
  /** In flight. */
  readonly making: readonly number[];
  /** Hosts that failed: neither source nor target. */
  readonly excluded: readonly boolean[];
}

/** Bases that the host still wants started. */
export const remainingAt = ({ targets, made, making, excluded }: HostCounts, host: number): number =>
  (excluded[host] ? 0 : Math.max(0, targets[host]! - made[host]! - making[host]!));
