/**
 * The port: the only thing engine/ knows of a hypervisor (DESIGN.md section 5).
 *
 * Rules for every adapter, proven by the one contract suite (test/hypervisors/contract.ts):
 * - Every long call takes an AbortSignal and reports bytes done; aborting leaves either a finished, tagged object
 *   or something that the next `observe` lists as partial and `destroy` removes.
 * - Calls are idempotent: doing again what is done succeeds.
 * - Whatever bears no tag of this fleet is never touched.
 * - An adapter holds no policy: which source, which order, how many at once is the engine's.
 */
import type {
  ByteRange, CloneKind, FleetSpec, HostSpec, Observation, ObservedPartial, VmSpec, BaseState, PowerState,
} from "../fleet/model";

export interface Capabilities {
  /**
   * A copy still arriving can serve as a source: `clone` takes a source whose own `clone` has not resolved yet, waits
   * for it where it has nothing yet, and `resource` works.
   */
  relay: boolean;
  linked: boolean;
  instant: boolean;
  liveMigration: boolean;
  /** Members can run before their disk is there: `startEarly` and `settle` work. @default false */
  immediate?: boolean;
  /** Same-host copies cost nothing (reflink, native snapshot). */
  freeLocalCopies: boolean;
  /** Seconds each copy costs besides moving its bytes: the time model's start-up, here and in previews. @default 0 */
  copyStartupSeconds?: number;
  /** Where `relay`: seconds a relay's reader begins after the relay itself (connecting, hop by hop). @default 0 */
  relayHopSeconds?: number;
  /**
   * Seconds that each member takes of its host once its image is there; members of one host take turns. Learned by the
   * fleet's own runs. @default nothing, and nothing is learned
   */
  memberSeconds?: number;
}

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
   * Of `clone`, where `capabilities.relay`: the source died or sends nothing more. The answer is another source, from
   * which only what is missing is fetched; null ends the copy with the error.
   */
  onSourceLost?: (error: SourceLostError) => Promise<ImageRef | null>;
  /**
   * Of `clone`: the target's store is full, and the copy stands still with all it has. True: there is room again, or may
   * be, so it tries once more; false: it ends with this error and gives back what it took.
   */
  onNoSpace?: (error: NoSpaceError) => Promise<boolean>;
  /** Of `clone`: called once before it rejects, if it had begun, with what it moved over the network nevertheless. */
  onBroken?: (moved: Pick<CloneResult, "bytesMoved" | "bytesResent">) => void;
}

/** Something that holds exactly the template's content. */
export type ImageRef =
  /** The declared template where it lives; a local file is read by the provider and uploaded. */
  | { kind: "template"; host: string | null }
  /** The upload of a local file (purpose template) or the base under linked clones (purpose replica). */
  | { kind: "replica"; purpose: "replica" | "template"; host: string; contentId: string }
  /** A full member's base. */
  | { kind: "base"; host: string; slot: number; generation: number };

export interface CloneOrder {
  fleet: FleetIdentity;
  contentId: string;
  source: ImageRef;
  /** A replica is whole (marked) when clone() resolves; a base is partial until its member is defined. */
  target: Extract<ImageRef, { kind: "replica" | "base" }>;
  /** A hint, where `capabilities.immediate`: these ranges are fetched before all else. @default none */
  readFirst?: readonly ByteRange[];
  /** Where `capabilities.immediate`: write down what the first guest that `startEarly` puts over it reads. @default false */
  recordReads?: boolean;
}

export interface CloneResult {
  /** Bytes that came over the network: what was read within the host does not count, whatever it was begun from. */
  bytesMoved: number;
  /** Of these, bytes that had arrived before and were fetched again, after a source was replaced or a run resumed. */
  bytesResent?: number;
  /** It went on from what an earlier attempt had left. @default false */
  resumed?: boolean;
  /** Where `recordReads`: what that guest read until it first rested, ascending. Absent: it could not be told. */
  readProfile?: ByteRange[];
}

/** Feeds a copy under way from another source; what has arrived stays. For a source that lags. */
export interface ResourceOrder {
  fleet: FleetIdentity;
  contentId: string;
  /** The target of the clone under way. */
  target: CloneOrder["target"];
  source: ImageRef;
}

/** Freeze: put a delta disk over the base (full) or over the host's replica (linked). */
export interface SnapshotOrder {
  fleet: FleetIdentity;
  host: string;
  slot: number;
  generation: number;
  base: Extract<ImageRef, { kind: "replica" | "base" }>;
}

/** Define the member (it is whole from then on) or bring an existing one to this shape; never starts it. */
export interface ReconfigureOrder {
  fleet: FleetIdentity;
  host: string;
  slot: number;
  name: string;
  uuid: string;
  macs: string[];
  kind: CloneKind;
  generation: number;
  contentId: string;
  vm: VmSpec;
  autostart: boolean;
}

/** A member that runs before its disk is there. */
export interface EarlyOrder extends ReconfigureOrder {
  /** What its disk will stand over: the image that a `clone` under way makes on the same host. */
  base: SnapshotOrder["base"];
}

export interface MemberRef {
  fleet: FleetIdentity;
  host: string;
  slot: number;
  name: string;
  generation: number;
}

export type DestroyOrder =
  | ({ kind: "member"; shutdownMs: number } & MemberRef)
  | { kind: "replica"; fleet: FleetIdentity; host: string; contentId: string; purpose: "replica" | "template" }
  | { kind: "partial"; fleet: FleetIdentity; host: string; partial: ObservedPartial };

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

export interface Hypervisor {
  readonly name: "libvirt" | "vsphere" | "simulated";
  readonly capabilities: Capabilities;
  lock(request: LockRequest): Promise<FleetLock>;
  observe(request: ObserveRequest, context?: CallContext): Promise<Observation>;
  clone(order: CloneOrder, context?: CallContext): Promise<CloneResult>;
  snapshot(order: SnapshotOrder, context?: CallContext): Promise<void>;
  reconfigure(order: ReconfigureOrder, context?: CallContext): Promise<void>;
  /** Merge the delta into the base, one flat disk, the guest running or not. Finishes one found half-way. */
  consolidate(order: MemberRef, context?: CallContext): Promise<void>;
  power(order: MemberRef & { to: "running" | "stopped"; shutdownMs: number }, context?: CallContext): Promise<void>;
  /** Where `capabilities.relay`. Resolves when the copy reads from the new source; rejects when there is no such copy. */
  resource?(order: ResourceOrder): Promise<void>;
  /**
   * Where `capabilities.immediate`. Starts a member over an image that still arrives, as soon as that image's copy is
   * connected; what the guest reads is fetched first and stays. Until the copy ends the adapter keeps the guest going:
   * where a read fails for want of a source, the guest stands still, sees no error, and goes on when there is one.
   * A member found so from an earlier run is given this copy to read from, and started if it does not run.
   * Resolves when the guest runs; rejects when no copy to `base` is under way, or it fails before that.
   */
  startEarly?(order: EarlyOrder, context?: CallContext): Promise<void>;
  /**
   * Where `capabilities.immediate`; its image is whole and nothing writes it. Puts the member over it, the guest running
   * or not: it is then as `snapshot` and `reconfigure` would have made it. Finishes one found half-way. A member that
   * was not started early, or is settled, or is not there, is left as it is.
   */
  settle?(order: EarlyOrder, context?: CallContext): Promise<void>;
  /** Rewrites a member's incarnation. */
  adopt(order: MemberRef, context?: CallContext): Promise<void>;
  destroy(order: DestroyOrder, context?: CallContext): Promise<void>;
  /** One member as it is now, or null; cheaper than observe. */
  inspect(order: MemberRef, context?: CallContext): Promise<{ power: PowerState; base: BaseState; chain: string[] } | null>;
  /**
   * Where an adapter can tell: which of these hosts have their pools in one and the same store. Called under the fleet's
   * lock; may write there, and leaves nothing.
   * @returns the groups of more than one
   */
  sharedStores?(request: { fleetId: string; hosts: readonly string[] }): Promise<string[][]>;
  close(): Promise<void>;
}

// ---------------------------------------------------------------- errors, told apart by type

export class HypervisorError extends Error {
  constructor(
    readonly host: string,
    readonly step: string,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(`${host}: ${step}: ${message}`, options);
    this.name = new.target.name;
  }
}
/** The host does not answer, or its connection died. */
export class HostUnreachableError extends HypervisorError {}
/** One call was not answered within its deadline, by a host that answers others: a guest hangs, or its disk. */
export class UnansweredError extends HypervisorError {}
/** The source of a copy died or stopped sending: another source may do. */
export class SourceLostError extends HypervisorError {
  constructor(readonly sourceHost: string, host: string, message: string, options?: { cause?: unknown }) {
    super(host, "clone", message, options);
  }
}
/** The target's pool is full: another source does not help. */
export class NoSpaceError extends HypervisorError {}
/** A name is taken by something without our tag. */
export class ForeignNameError extends HypervisorError {}
/** Somebody uses what was to be removed or overwritten: nothing was done to it, and nothing will be until they let it go. */
export class InUseError extends HypervisorError {}
/** The template changed or vanished during the run. */
export class TemplateChangedError extends HypervisorError {}
export class LockTimeoutError extends Error {
  constructor(readonly fleetId: string, readonly host: string, readonly holder: string, waitedMs: number) {
    super(
      `another run of fleet ${fleetId} holds the lock on ${host} (${holder}); waited ${Math.round(waitedMs / 1000)} s. ` +
      "Wait for it to end, or end that process, then run `pulumi up` again.",
    );
    this.name = "LockTimeoutError";
  }
}
