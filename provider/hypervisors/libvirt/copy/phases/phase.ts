/** The phases of a copy, each with what it needs: a phase is a value, and the function of its name makes the next of it. */
import type { ImageRef, SourceLostError } from "../../../hypervisor";
import type { Helper } from "../../helper/helper";
import type { Extent } from "../../holes/extents";
import type { Feed, Resolved } from "../feeds";
import type { Pull } from "../pull";
import type { SourceOrder } from "./sourceOrders";

/** The copy's own QEMU, and how it fetches. One that is gone is replaced by another. */
export interface Rig {
  helper: Helper;
  pull: Pull;
}

/** Where a copy reads from, or was to: of some source none could be opened. */
export interface Origin {
  ref: ImageRef;
  feed?: Feed;
}

/** What a copy reads from. */
export interface Reading extends Origin {
  feed: Feed;
  /** As limited now; undefined: not limited. */
  bytesPerSecond?: number;
}

/** A pull as far as it came, for whoever goes on with it. */
export interface PullSoFar {
  /** `first`: it is of what is wanted first, and another of all the rest follows. */
  of: "first" | "all";
  /** Where the image's data is; undefined: nobody says, or the helper has no map. */
  extents: readonly Extent[] | undefined;
  startedAtMs: number;
  /** Of the job. -1: not looked at yet. */
  lastOffset: number;
  /** Of its source in a row, without a byte between. */
  failures: number;
}

/** What a copy goes on with when it reads again. */
export type Resumption =
  /** It just began. `opened`: its readers have their exports, unless something `arrived` earlier: that is looked at first. */
  | { name: "takingStock"; opened: Promise<readonly Extent[] | undefined>; arrived: Promise<number | undefined> }
  | { name: "starting"; extents: readonly Extent[] | undefined }
  | { name: "resuming"; soFar: PullSoFar };

/** It is to read from another source. */
export interface Switching {
  name: "switching";
  rig: Rig;
  origin: Origin;
  ref: ImageRef;
  /** What the reference stands for, where the helper was started over that. */
  resolved?: Resolved;
  /** From 1 on: a relay that just changed is looked up again. */
  attempt: number;
  /** Who ordered it, where somebody did. */
  order?: SourceOrder;
  then: Resumption;
}

/** The other source is opened. */
export interface Connecting extends Omit<Switching, "name" | "ref" | "origin" | "resolved"> {
  name: "connecting";
  reading: Reading;
  from: Resolved;
}

export type Phase =
  | { name: "opening"; ref: ImageRef }
  | { name: "joining"; rig: Rig; reading: Reading; then: Extract<Resumption, { name: "takingStock" }> }
  | Resumption & { rig: Rig; reading: Reading }
  /** What was wanted first is there (`isThere`), or could not be had: the rest is next. */
  | { name: "startingRest"; rig: Rig; reading: Reading; extents: PullSoFar["extents"]; isThere: boolean }
  | { name: "pulling"; rig: Rig; reading: Reading; soFar: PullSoFar }
  | { name: "recovering"; rig: Rig; reading: Reading; soFar: PullSoFar; why: string; isSilent: boolean }
  | { name: "exchanging"; rig: Rig; reading: Reading; soFar: PullSoFar; order: SourceOrder }
  | { name: "searching"; rig: Rig; origin: Origin; failure: SourceLostError; then: Resumption }
  | Switching
  | Connecting
  | { name: "replacing"; rig: Rig; origin: Origin }
  | { name: "returning"; rig: Rig; origin: Origin; resolved: PromiseSettledResult<Resolved> }
  | { name: "lettingGo"; rig: Rig; reading: Reading }
  | { name: "closing"; rig: Rig; feed?: Feed }
  | { name: "done" };

export type PhaseOf<Name extends Phase["name"]> = Extract<Phase, { name: Name }>;

/** What a copy in this phase keeps open. */
export function heldIn(phase: Phase): { rig?: Rig; feed?: Feed } {
  switch (phase.name) {
    case "opening":
    case "done":
      return {};
    case "closing":
      return phase;
    case "searching":
    case "switching":
    case "replacing":
    case "returning":
      return { rig: phase.rig, feed: phase.origin.feed };
    default:
      return { rig: phase.rig, feed: phase.reading.feed };
  }
}

/**
 * Where the copy's own QEMU dies in this phase, the copy goes on with another.
 * @returns undefined: it fails. It has only begun, or has all and is about to end
 */
export function withoutHelper(phase: Phase): PhaseOf<"replacing"> | undefined {
  switch (phase.name) {
    case "starting":
    case "startingRest":
    case "resuming":
    case "pulling":
    case "recovering":
    case "exchanging":
      return { name: "replacing", rig: phase.rig, origin: phase.reading };
    case "replacing":
    case "returning":
      return { name: "replacing", rig: phase.rig, origin: phase.origin };
    case "searching":
    case "switching":
      return phase.then.name === "takingStock" ? undefined : { name: "replacing", rig: phase.rig, origin: phase.origin };
    case "connecting":
      return phase.then.name === "takingStock" ? undefined : { name: "replacing", rig: phase.rig, origin: phase.reading };
    default:
      return undefined;
  }
}
