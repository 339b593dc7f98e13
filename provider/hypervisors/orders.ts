/** What the port's calls take and give back (hypervisor.ts). */
import type { CloneKind, FleetSpec, GuestIdentity, HostSpec, Image, Leftover, LivePart, VmSpec } from "../fleet/model";
import type { NoSpaceError, SourceLostError } from "./errors";

/** Who runs: goes into every tag. */
export interface FleetIdentity {
  fleetId: string;
  incarnation: string;
  namePrefix: string;
}

export interface CallContext {
  signal?: AbortSignal;
  /** Monotonic; called from time to time and always once at the end. `total` may grow. */
  onProgress?: (bytesDone: number, bytesTotal: number) => void;
  /**
   * Of `clone`, where the hypervisor is `Relaying`: the source died or sends nothing more. The answer is another source, from
   * which only what is missing is fetched; null ends the copy with the error.
   */
  onSourceLost?: (error: SourceLostError) => Promise<ImageRef | null>;
  /**
   * Of `clone`: the target's store is full, and the copy stands still with all it has. True: there is room again, or may
   * be, so it tries once more; false: it ends with this error and gives back what it took.
   */
  onNoSpace?: (error: NoSpaceError) => Promise<boolean>;
  /** Of `reconfigure`: something that was done, and not all as was ordered; in words that name the member. */
  onNotice?: (notice: string) => void;
  /** Of `clone`: called once before it rejects, if it had begun, with what it moved over the network nevertheless. */
  onBroken?: (moved: Pick<CloneResult, "bytesMoved" | "bytesResent">) => void;
}

/** Something that holds exactly the template's content. */
export type ImageRef = TemplateRef | CopyRef;

/** The declared template where it lives; a local file (host null) is read by the provider and uploaded. */
export interface TemplateRef {
  kind: "template";
  host: string | null;
}

/** What a copy made, or makes. */
export type CopyRef = ReplicaRef | BaseRef;

/** The upload of a local file (purpose template) or the base under linked clones (purpose replica). */
export interface ReplicaRef {
  kind: "replica";
  purpose: "replica" | "template";
  host: string;
  contentId: string;
}

/** A full member's base. */
export interface BaseRef {
  kind: "base";
  host: string;
  slot: number;
  generation: number;
}

/** What a copy is to make. A base says whose it is: where the copy is the member already, it bears the member's name from the start. */
export type CloneTarget = ReplicaRef | (BaseRef & { name: string });

export interface CloneOrder {
  fleet: FleetIdentity;
  /** What the source holds and the target is to hold, all its disks. */
  image: Image;
  source: ImageRef;
  /** A replica is whole (marked) when clone() resolves; a base is partial until its member is defined. */
  target: CloneTarget;
}

export interface CloneResult {
  /** Bytes that came over the network: what was read within the host does not count, whatever it was begun from. */
  bytesMoved: number;
  /** Of these, bytes that had arrived before and were fetched again, after a source was replaced or a run resumed. */
  bytesResent?: number;
  /** It went on from what an earlier attempt had left. @default false */
  resumed?: boolean;
}

export interface MemberRef {
  fleet: FleetIdentity;
  /** Its home: where it was made, and its disks are. One that the hypervisor moved by itself since has drifted (`displaced`). */
  host: string;
  slot: number;
  name: string;
  generation: number;
}

/** Freeze: put a delta disk over each disk of the member's base. */
export interface SnapshotOrder extends Omit<MemberRef, "name"> {
  /** Of the image that the base holds. */
  contentId: string;
  /** What the first delta is to hold at least, as a guest sees it. @default as the base */
  diskBytes?: number;
}

/**
 * Define the member (it is whole from then on) or bring an existing one to this shape; never starts it. Its UUID follows
 * from fleet and slot (memberUuid of fleet/members/identity); the addresses of its network cards are the adapter's.
 */
export interface ReconfigureOrder extends MemberRef {
  kind: CloneKind;
  contentId: string;
  vm: VmSpec;
  autostart: boolean;
  /**
   * Of a new member: data disks that were kept of its slot on this host, which it is given instead of new ones, by their
   * labels. They are made as large as is declared. @throws where one is gone, used by somebody or larger. @default none
   */
  reattach?: readonly { label: string; disk: string }[];
  /**
   * Of a running member: what of its hardware is changed at once, too. Where the machine refuses that after all, it is
   * there from its next start, and `onNotice` is told. @default nothing
   */
  live?: readonly LivePart[];
  /** What its guest is told, from its next start on. Absent: nothing, and what an earlier order told goes. */
  guest?: GuestIdentity;
  /** Of a new member: its guest is to be waited for, which whoever looks is told until `markConfiguring`. @default false */
  configuring?: true;
}

export interface PowerOrder extends MemberRef {
  to: "running" | "stopped";
  /** How long a guest that is to stop may take before it is stopped. */
  shutdownMs: number;
}

export type DestroyOrder =
  | ({ kind: "member"; shutdownMs: number } & MemberRef)
  | { kind: "replica"; fleet: FleetIdentity; host: string; contentId: string; purpose: "replica" | "template" }
  | { kind: "leftover"; fleet: FleetIdentity; host: string; leftover: Leftover };

export interface ObserveRequest {
  fleetId: string;
  namePrefix: string;
  /** Hosts to look at: the declared ones and those of the state that are no longer declared. */
  hosts: HostSpec[];
  spec: FleetSpec;
  /** How long the whole look may take; hosts that did not answer by then are unreachable. */
  deadlineMs: number;
  /** Also check that each host is fit to receive clones (Observation … problems). */
  preflight: boolean;
  /**
   * A local template whose content is still being read at the deadline is left out (`templateUnread`). Otherwise it is waited for: the deadline is the hosts'.
   */
  impatient?: boolean;
}

/** What an adapter gives new members by itself, as far as that is known before they are made. */
export interface Identities {
  /** Addresses of a member's network cards, in their order; none where the hypervisor chooses them as it makes the member. */
  cardAddresses(fleetId: string, slot: number, cards: number): string[];
}

/** One run per fleet (DESIGN.md section 4). */
export interface FleetLock {
  release(): Promise<void>;
  /** Aborts when the lock was lost (its host or connection died). */
  readonly lost: AbortSignal;
  /** Names, as in the request, of the hosts that are locked; silent ones are passed over. Absent: all. */
  readonly lockedHosts?: readonly string[];
}

export interface LockRequest {
  fleetId: string;
  /** Each machine is locked once, whatever its names; hosts that do not answer are passed over. */
  hosts: HostSpec[];
  /** Who we are, for the one who has to wait: `pid 123 on ci-7 since 12:00:03`. */
  holder: string;
  /** @throws LockTimeoutError naming the holder after this long. */
  timeoutMs: number;
  signal?: AbortSignal;
  onWait?: (holder: string) => void;
}
