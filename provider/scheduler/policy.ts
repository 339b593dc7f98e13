/**
 * What a policy sees and says. A policy is an online decision (DESIGN.md section 6): the engine asks again at every
 * event, and there is no fixed schedule to go stale.
 */
import type { Image, PolicyName } from "../fleet/model";
import type { HostIndex } from "./hostIndex";
import type { HostCounts, Source, Topology, Transfer } from "./types";

/** The book at one instant, to be read. */
export interface BookView extends HostCounts {
  readonly nowSeconds: number;
  readonly topology: Topology;
  /** What all sources hold, and each copy brings. */
  readonly image: Image;
  readonly sources: readonly Readonly<Source>[];
  /** Copies under way, each serves what it has. Absent: the hypervisor cannot relay. */
  readonly arriving?: readonly Readonly<Source>[];
  readonly transfers: readonly Readonly<Transfer>[];
  /** The same by host, and where something happened since the last decision. */
  readonly index?: Pick<HostIndex, "sourcesAt" | "transfersAt" | "changed" | "countBare">;
  /** More copies that may start now over the whole fleet. */
  readonly freeSlots: number;
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
  next(view: BookView): Decision[];
}
