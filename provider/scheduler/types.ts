/**
 * What a policy sees and says. A policy is an online decision (DESIGN.md section 6): the engine asks again at every
 * event, and there is no fixed schedule to go stale. Everything here is plain data; ids are indices for speed.
 */
import type { PolicyName } from "../fleet/model";
import type { HostIndex } from "./hostIndex";

export interface SchedulerHost {
  index: number;
  name: string;
  rack: number;
  /** What copies may use of the card. */
  nicBytesPerSecond: number;
  /** Where copies may not use all of it. */
  nicLimit?: LinkLimit;
  diskBytesPerSecond: number;
  maxConcurrent: number;
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
  /** What one copy moves. */
  imageBytes: number;
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

/** The state at one instant. Arrays are indexed by host index. */
export interface PoolView {
  nowSeconds: number;
  topology: Topology;
  /** Base images wanted on each host in this run, those that exist already included (template not included). */
  targets: number[];
  /** Base images made and not failed, whether or not still sources; the template not included. */
  made: number[];
  /** In flight. */
  making: number[];
  sources: Source[];
  /** Copies under way, each serves what it has. Absent: the hypervisor cannot relay. */
  arriving?: Source[];
  transfers: Transfer[];
  /** The same by host, and where something happened since the last decision. */
  index?: HostIndex;
  /** Hosts that failed: neither source nor target. */
  excluded: boolean[];
  /** More copies that may start now over the whole fleet. */
  freeSlots: number;
}

export interface Decision {
  /** Source.id, or the copy that an earlier decision of the same batch starts, by its index in the batch. */
  source: number | { decision: number };
  targetHost: number;
  /** What the policy expects of it; stands in the transfer then. */
  bytesPerSecond?: number;
}

export interface Policy {
  name: PolicyName;
  /** A copy keeps the source it was given, however slow, unless that is lost. @default false */
  keepsSources?: boolean;
  /**
   * The copies to start now. Must never exceed targets (made + making + decided), maxConcurrent or freeSlots.
   * Empty with nothing in flight and targets open: the engine reports the remaining targets as failed.
   */
  next(view: PoolView): Decision[];
}
