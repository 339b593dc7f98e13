/** What must be done. */
import type { Image } from "./image";
import type { MemberId, SlotId } from "./member";
import type { Leftover } from "./observation";
import type { CloneKind, Problem } from "./spec";

/** Every entry of a plan that changes a member says when. */
export interface InWave {
  /**
   * From 0. Members of one wave may change at the same time; a later wave waits until this one is ready (DESIGN.md
   * section 12). Plans have one wave today, and the engine refuses more.
   */
  wave: number;
}

export interface PlannedCreate extends MemberId, InWave {
  name: string;
  host: string;
  rack: string;
  kind: CloneKind;
  /** What the member is made of. */
  image: Image;
  /** Data disks that were kept of its slot and are given to it, by their labels. @default none */
  reattach?: { label: string; disk: string }[];
  reason: string;
}

export interface PlannedDestroy extends MemberId, InWave {
  name: string;
  host: string;
  reason: string;
}

/** A member of which there is one, whatever becomes of it. */
export interface PlannedMember extends SlotId {
  name: string;
  host: string;
  reason: string;
}

export interface PlannedMove extends SlotId {
  name: string;
  from: string;
  to: string;
  /** Always says that data is lost. */
  reason: string;
}

/** What of a machine's hardware can change while it runs. */
export type LivePart = "cpus" | "memory" | "networks";

export type Reconfiguration =
  | { kind: "power"; to: "running" | "stopped" }
  /** `live`: what of it a running member takes at once; all else is there from its next start. @default nothing */
  | { kind: "hardware"; numCpus: number; memory: number; networks: string[]; live?: LivePart[] }
  /** Of the disk that was cloned; with a label, of a data disk. */
  | { kind: "grow"; label?: string; sizeBytes: number }
  /** What its guest is told. */
  | { kind: "guest" };

export interface PlannedReconfigure extends SlotId, InWave {
  name: string;
  host: string;
  changes: Reconfiguration[];
  reason: string;
}

/**
 * What one run must do. Every entry has its reason in words. A slot stands in exactly one of create, keep, adopt,
 * reconfigure, destroy, lost, except that an adopted member may need reconfiguring as well (it stands in both), and that
 * a replaced or moved slot stands in destroy (older generation) and in create; a move is a note about such a pair on two
 * hosts.
 */
export interface FleetPlan {
  fleetId: string;
  /**
   * Content of the seeds: frozen bases and replicas of it are kept for later members, whether or not this plan makes any.
   * "": no template was ever seen.
   */
  seedContentId: string;
  create: PlannedCreate[];
  adopt: PlannedMember[];
  keep: PlannedMember[];
  reconfigure: PlannedReconfigure[];
  /** Members, kept otherwise, whose frozen or half-merged base an earlier run left for this one to merge. */
  consolidate: PlannedMember[];
  /**
   * Members, kept otherwise, that an earlier run started before their disk was there and did not get to the end with:
   * what is missing is fetched, their guests go on. `base` says how far a member came: of a base that has arrived nothing
   * is copied any more, so its image has no disks, and may be another than that of new members.
   */
  complete: (PlannedCreate & { base: "arriving" | "arrived" })[];
  /** Members, kept otherwise, whose guests were started by an earlier run and not ready when it ended: they are waited for. */
  awaiting: PlannedMember[];
  move: PlannedMove[];
  destroy: PlannedDestroy[];
  lost: PlannedMember[];
  /** Leftovers to remove first. */
  cleanup: { host: string; leftover: Leftover; reason: string }[];
  /** Replicas and uploads nobody will need once the plan is done, removed last. */
  removeReplicas: { host: string; contentId: string; purpose: "replica" | "template"; reason: string }[];
  /** Members, after the plan, per declared host. */
  placement: Record<string, number>;
  /** What makes the plan impossible or refused; empty: may run. */
  problems: Problem[];
  /** Things the user should know that stop nothing. */
  warnings: string[];
}
