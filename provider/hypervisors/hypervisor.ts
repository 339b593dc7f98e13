/**
 * The port: the only thing engine/ knows of a hypervisor (DESIGN.md section 5). What only some can do stands in
 * abilities.ts, what calls take and give back in orders.ts, what goes wrong in errors.ts.
 *
 * Rules for every adapter, proven by the one contract suite (test/hypervisors/contract.ts):
 * - Every long call takes an AbortSignal and reports bytes done; aborting leaves either a finished, tagged object
 *   or something that the next `observe` lists as a leftover and `destroy` removes.
 * - Calls are idempotent: doing again what is done succeeds.
 * - Whatever bears no tag of this fleet is never touched.
 * - An adapter holds no policy: which source, which order, how many at once is the engine's.
 */
import type { BaseState, Observation, PowerState } from "../fleet/model";
import type { Abilities, Costs } from "./abilities";
import type {
  CallContext, CloneOrder, CloneResult, DestroyOrder, FleetLock, Identities, LockRequest, MemberRef, ObserveRequest, PowerOrder, ReconfigureOrder, SnapshotOrder,
} from "./orders";

export type * from "./abilities";
export * from "./errors";
export type * from "./orders";

export interface Hypervisor {
  readonly name: "libvirt" | "vsphere" | "simulated";
  readonly abilities: Abilities;
  readonly costs: Costs;
  readonly identities: Identities;
  lock(request: LockRequest): Promise<FleetLock>;
  observe(request: ObserveRequest, context?: CallContext): Promise<Observation>;
  clone(order: CloneOrder, context?: CallContext): Promise<CloneResult>;
  snapshot(order: SnapshotOrder, context?: CallContext): Promise<void>;
  reconfigure(order: ReconfigureOrder, context?: CallContext): Promise<void>;
  /** Merge the delta into the base, one flat disk, the guest running or not. Finishes one found half-way. */
  consolidate(order: MemberRef, context?: CallContext): Promise<void>;
  power(order: PowerOrder, context?: CallContext): Promise<void>;
  /** Rewrites a member's incarnation. */
  adopt(order: MemberRef, context?: CallContext): Promise<void>;
  destroy(order: DestroyOrder, context?: CallContext): Promise<void>;
  /** One member as it is now, or null; cheaper than observe. */
  inspect(order: MemberRef, context?: CallContext): Promise<{ power: PowerState; base: BaseState; chain: string[] } | null>;
  close(): Promise<void>;
}
