/**
 * What some hypervisors can do and others cannot: an interface for each ability, which an adapter has or has not. Found
 * once when a run begins. What a fleet asks for and no ability serves is refused by property path before anything is
 * touched.
 */
import type { ByteRange, GuestNews, Image } from "../fleet/model";
import type { CallContext, CloneOrder, CloneResult, CopyRef, FleetIdentity, ImageRef, MemberRef, ReconfigureOrder, ReplicaRef, SnapshotOrder } from "./orders";

export interface Abilities {
  readonly relaying?: Relaying;
  readonly linksClones?: LinksClones;
  readonly startsEarly?: StartsEarly;
  readonly findsSharedStores?: FindsSharedStores;
  readonly reportsReadiness?: ReportsReadiness;
}

/**
 * A copy still arriving can serve as a source: `clone` takes a source whose own `clone` has not resolved yet, waits for
 * it where it has nothing yet, and asks `onSourceLost` for another when its own dies.
 */
export interface Relaying {
  /** Seconds a relay's reader begins after the relay itself (connecting, hop by hop). */
  readonly hopSeconds: number;
  /**
   * Feeds a copy under way from another source; what has arrived stays. For a source that lags. Resolves when the copy
   * reads from the new source; rejects when there is no such copy.
   */
  refeed(order: RefeedOrder, context?: CallContext): Promise<void>;
}

export interface RefeedOrder {
  fleet: FleetIdentity;
  /** What the copy is of, and the source holds. */
  image: Image;
  /** The target of the clone under way. */
  target: CopyRef;
  source: ImageRef;
}

/** Members whose disk stands over an image that others share. */
export interface LinksClones {
  /** Puts a delta disk over the host's replica, for a member that `reconfigure` then defines. */
  link(order: LinkOrder, context?: CallContext): Promise<void>;
}

export interface LinkOrder extends SnapshotOrder {
  /** On the member's host. */
  replica: ReplicaRef;
}

/** Members can run before their disk is there. */
export interface StartsEarly {
  /** As the port's `clone`, with hints about the guests that will run over the image while it arrives. */
  clone(order: HintedCloneOrder, context?: CallContext): Promise<HintedCloneResult>;
  /**
   * Starts a member over an image that still arrives, as soon as that image's copy is connected; what the guest reads is
   * fetched first and stays. Until the copy ends the adapter keeps the guest going: where a read fails for want of a
   * source, the guest stands still, sees no error, and goes on when there is one. A member found so from an earlier run
   * is given this copy to read from, and started if it does not run.
   * Resolves when the guest runs; rejects when no copy to `base` is under way, or it fails before that.
   */
  startEarly(order: EarlyOrder, context?: CallContext): Promise<void>;
  /**
   * Its image is whole and nothing writes it. Puts the member over it, the guest running or not: it is then as `snapshot`
   * (or `link`) and `reconfigure` would have made it. Finishes one found half-way. A member that was not started early,
   * or is settled, or is not there, is left as it is.
   */
  settle(order: EarlyOrder, context?: CallContext): Promise<void>;
}

export interface EarlyOrder extends ReconfigureOrder {
  /** What its disk will stand over: the image that a `clone` under way makes on the same host. */
  base: CopyRef;
}

/** Hints only: what is whole in the end does not depend on them. */
export interface HintedCloneOrder extends CloneOrder {
  /** These ranges are fetched before all else. @default none */
  readFirst?: readonly ByteRange[];
  /** Write down what the first guest that `startEarly` puts over it reads. @default false */
  recordReads?: boolean;
}

export interface HintedCloneResult extends CloneResult {
  /** Where `recordReads`: what that guest read until it first rested, ascending. Absent: it could not be told. */
  readProfile?: ByteRange[];
}

export interface FindsSharedStores {
  /**
   * Which of these hosts keep their images in one and the same store. Called under the fleet's lock; may write there, and
   * leaves nothing.
   * @returns the groups of more than one
   */
  sharedStores(request: { fleetId: string; hosts: readonly string[] }, context?: CallContext): Promise<string[][]>;
}

/** Guests can be asked whether they are there, beyond being switched on. */
export interface ReportsReadiness {
  /**
   * Asks a member's guest once. Bounded in time, a few seconds whatever the guest does, and in what is taken of its answer; a guest
   * that says nothing gives an answer that says so. Holds up nothing else on its host.
   */
  askGuest(order: GuestOrder, context?: CallContext): Promise<GuestAnswer>;
  /** Writes down where the member stands whether its guest is to be waited for, for whoever looks next (ObservedMember). */
  markConfiguring(order: MarkOrder, context?: CallContext): Promise<void>;
}

export interface GuestOrder extends MemberRef {
  /** news: what it says of itself, whatever else there is to be known. */
  question: { kind: "guestAgent" } | { kind: "news" } | { kind: "tcpPort"; port: number; /** Beside those it is heard to have. */ addresses: readonly string[] };
}

export interface GuestAnswer {
  /** none: nobody can ask it, for want of a channel. off: the machine does not run. */
  agent: "answers" | "silent" | "none" | "off";
  /** Clean (fleet/guest/news.ts). Absent: it was not asked for. */
  news?: GuestNews;
  /** Absent: it was not asked for. */
  tcpPortOpen?: boolean;
}

export interface MarkOrder extends MemberRef {
  configuring: boolean;
}

/** Figures of the time model, for what is no moving of bytes. */
export interface Costs {
  /** Seconds each copy costs besides moving its bytes. @default 0 */
  copyStartupSeconds?: number;
  /**
   * Seconds that each member takes of its host once its image is there; members of one host take turns. Learned by the
   * fleet's own runs. @default nothing, and nothing is learned
   */
  memberSeconds?: number;
  /**
   * Seconds from a guest's start until it is ready, where that is waited for. Learned by the fleet's own runs.
   * @default 30
   */
  guestSeconds?: number;
  /** Copies within a host move no bytes (reflink, native snapshot). @default false */
  freeLocalCopies?: boolean;
}

type Figures<T> = { readonly [K in keyof T as T[K] extends (...given: never[]) => unknown ? never : K]: T[K] };

/**
 * What can be said of a hypervisor without calling it: which abilities it has, and its figures. All that whoever stands
 * in for it in a preview has to know. Every hypervisor is one.
 */
export interface Traits {
  readonly abilities: { readonly [Name in keyof Abilities]: Figures<NonNullable<Abilities[Name]>> };
  readonly costs: Costs;
}
