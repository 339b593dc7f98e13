/** What the simulated hosts hold, and how they look from outside. No time passes here. */
import { cardPlace } from "../../fleet/own";
import { inheriting } from "../../fleet/members/changes";
import { createHash } from "node:crypto";
import { memberKey, slotKey as keyOfSlot } from "../../fleet/members/keys";
import { memberMacs } from "../../fleet/members/addresses";
import { memberUuid } from "../../fleet/members/identity";
import type {
  BaseState, DiskInfo, HostOwn, KeptDisk, ObservedMember, Leftover, ReachableHost, UnreachableHost,
} from "../../fleet/model";
import type { CopyRef, DestroyOrder, ReconfigureOrder } from "../hypervisor";
import { SIMULATED_WORDS } from "./words";
import { ByHand } from "./byHand";
import { asItRuns, disksOf, leftBy, runningNow, shown, sizeOf } from "./members/hardware";

export interface SimulatedBase {
  fleetId: string;
  slot: number;
  generation: number;
  disk: DiskInfo;
  /** All of it is there. */
  whole: boolean;
  /** Not whole, but what is there can be gone on from: the content it is of. */
  arriving?: string;
  state: Extract<BaseState, "frozen" | "consolidating" | "consolidated">;
}

export interface SimulatedDelta {
  fleetId: string;
  slot: number;
  generation: number;
  disk: DiskInfo;
  over: "base" | "replica";
}

/** Of a member that runs before its image is there: what its guest writes. */
export interface SimulatedEarly {
  fleetId: string;
  slot: number;
  generation: number;
  disk: DiskInfo;
  state: Extract<BaseState, "arriving" | "arrived">;
}

export interface SimulatedReplica {
  fleetId: string;
  contentId: string;
  purpose: "replica" | "template";
  disk: DiskInfo;
  whole: boolean;
  /** As a base's. */
  arriving?: string;
}

export type SimulatedMember = Omit<ObservedMember, "base" | "chain"> & { fleetId: string };

/** What members are like that inherit their hardware: a template here is an image alone. */
const TEMPLATE_MACHINE = { numCpus: 1, memory: 1024, networks: [] };

/** Keys join by a character that no fleet id has. */
export const slotKey = (fleetId: string, slot: number): string => `${fleetId}/${keyOfSlot({ slot })}`;
export const volumeKey = (fleetId: string, slot: number, generation: number): string => `${fleetId}/${memberKey({ slot, generation })}`;
export const replicaKey = (fleetId: string, purpose: string, contentId: string): string =>
  `${fleetId}/${purpose}/${contentId}`;

export class SimulatedHost {
  readonly members = new Map<string, SimulatedMember>();
  readonly bases = new Map<string, SimulatedBase>();
  /** Of members' first disks, where they were declared larger than the image. */
  private readonly grownBytes = new Map<string, number>();
  readonly deltas = new Map<string, SimulatedDelta>();
  readonly early = new Map<string, SimulatedEarly>();
  readonly replicas = new Map<string, SimulatedReplica>();
  /** Found at the start: leftovers of other runs that this world knows only by name. */
  leftovers: { fleetId: string; leftover: Leftover }[] = [];
  kept: ({ fleetId: string } & KeptDisk)[] = [];
  /** What is its hypervisor's own, as it was declared. */
  own: HostOwn | undefined;
  dataStores: ReachableHost["dataStores"];
  foreignNames: string[] = [];
  /** What an administrator made or left beside the provider. */
  byHand = new ByHand();
  strangers: ReachableHost["strangers"] = [];
  /** Found at the start, beside what this world knows by itself. */
  heldGenerations: ReachableHost["heldGenerations"] = [];
  freeBytes = Infinity;
  uuid: string;
  hypervisorVersion = "simulated";
  problems: ReachableHost["problems"] = [];
  /** Why it does not answer; undefined: it does. */
  down: string | undefined;

  constructor(readonly name: string) {
    const hash = createHash("sha256").update(`simulated host ${name}`).digest("hex");
    this.uuid = [hash.slice(0, 8), hash.slice(8, 12), hash.slice(12, 16), hash.slice(16, 20), hash.slice(20, 32)].join("-");
  }

  disk(volume: string, imageBytes: number, allocationBytes: number): DiskInfo {
    return { name: volume, path: `/simulated/${volume}`, format: "qcow2", capacityBytes: imageBytes, allocationBytes };
  }

  /** Fills the host from what a real one showed. */
  restore(fleetId: string, found: ReachableHost | UnreachableHost): void {
    if (found.status === "unreachable") {
      this.down = found.reason;
      return;
    }
    this.uuid = found.uuid;
    this.hypervisorVersion = found.hypervisorVersion;
    this.freeBytes = "unknown" in found.room ? Infinity : found.room.freeBytes;
    this.problems = found.problems;
    this.foreignNames = [...found.foreignNames];
    this.strangers = [...found.strangers];
    this.heldGenerations = [...found.heldGenerations];
    this.kept = found.kept.map((kept) => ({ fleetId, ...kept }));
    this.dataStores = found.dataStores;
    for (const leftover of found.leftovers) this.restoreLeftover(fleetId, leftover);
    for (const { contentId, purpose, disk } of found.replicas) {
      this.replicas.set(replicaKey(fleetId, purpose, contentId), { fleetId, contentId, purpose, disk, whole: true });
    }
    for (const { base, chain, ...member } of found.members) {
      const { slot, generation } = member;
      this.members.set(slotKey(fleetId, slot), { fleetId, ...member });
      const key = volumeKey(fleetId, slot, generation);
      const top = chain[0];
      // A record may not know the volumes.
      const bottom = chain[chain.length - 1] ?? this.disk(`unknown-${slot}`, 0, 0);
      if (base === "arriving" || base === "arrived") {
        this.early.set(key, { fleetId, slot, generation, disk: top ?? this.disk(`unknown-${slot}`, 0, 0), state: base });
        if (member.kind === "full") {
          this.bases.set(key, { fleetId, slot, generation, disk: this.disk(`unknown-${slot}-base`, 0, 0), whole: base === "arrived", state: "frozen" });
        }
        continue;
      }
      if (base === "replica") {
        if (top) this.deltas.set(key, { fleetId, slot, generation, disk: top, over: "replica" });
        continue;
      }
      this.bases.set(key, { fleetId, slot, generation, disk: bottom, whole: true, state: base });
      if (top && top !== bottom) this.deltas.set(key, { fleetId, slot, generation, disk: top, over: "base" });
    }
  }

  private restoreLeftover(fleetId: string, leftover: Leftover): void {
    const { name, slot, generation, bytes } = leftover;
    const arriving = leftover.resumable?.contentId;
    const unfinished = { fleetId, disk: this.disk(name, bytes, bytes), whole: false, arriving };
    if (arriving === undefined) this.leftovers.push({ fleetId, leftover });
    else if (slot === undefined) this.replicas.set(replicaKey(fleetId, "replica", arriving), { ...unfinished, contentId: arriving, purpose: "replica" });
    else this.bases.set(volumeKey(fleetId, slot, generation ?? 0), { ...unfinished, slot, generation: generation ?? 0, state: "frozen" });
  }

  observe(fleetId: string, namePrefix: string, preflight: boolean): ReachableHost | UnreachableHost {
    if (this.down !== undefined) return { status: "unreachable", name: this.name, reason: this.down };
    const ours = <T extends { fleetId: string }>(all: Iterable<T>): T[] => [...all].filter((x) => x.fleetId === fleetId);
    const members = ours(this.members.values()).sort((a, b) => a.slot - b.slot);
    const isOwned = (slot: number, generation: number): boolean =>
      this.members.get(slotKey(fleetId, slot))?.generation === generation;
    const isFree = ({ disk }: { disk: DiskInfo }): boolean => !this.byHand.isUsed(disk.name);
    const volumes = [...ours(this.bases.values()), ...ours(this.deltas.values()), ...ours(this.early.values())];
    const partialVolumes = [
      ...ours(this.bases.values()).filter((base) => !isOwned(base.slot, base.generation)),
      ...ours(this.deltas.values()).filter((delta) => !isOwned(delta.slot, delta.generation)),
      ...ours(this.early.values()).filter((early) => !isOwned(early.slot, early.generation)),
    ].filter(isFree).map((volume): Leftover => ({
      kind: "volume", name: volume.disk.name, slot: volume.slot, generation: volume.generation, bytes: volume.disk.allocationBytes,
      ...("arriving" in volume && resumable(volume.arriving)),
    }));
    const partialReplicas = ours(this.replicas.values()).filter((replica) => !replica.whole && isFree(replica))
      .map(({ disk, arriving }): Leftover => ({ kind: "volume", name: disk.name, bytes: disk.allocationBytes, ...resumable(arriving) }));
    const leftovers = [...partialVolumes, ...partialReplicas, ...ours(this.leftovers).map((l) => l.leftover).filter((p) => !this.byHand.isUsed(p.name))]
      .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    const kept = ours(this.kept).map((one) => shown(one, this.byHand.usersOf(one.name)));
    const otherNames = [...this.members.values()].filter((m) => m.fleetId !== fleetId).map((m) => m.name);
    return {
      status: "reachable",
      name: this.name,
      uuid: this.uuid,
      hypervisorVersion: this.hypervisorVersion,
      words: SIMULATED_WORDS,
      members: members.map((member) => this.observeMember(member)),
      replicas: ours(this.replicas.values()).filter((replica) => replica.whole).map(({ contentId, purpose, disk }) => ({
        contentId, purpose, disk: { ...disk }, users: purpose === "replica" ? this.usersOf(fleetId, contentId) : [],
        ...(this.byHand.isUsed(disk.name) && { strangers: this.byHand.usersOf(disk.name) }),
      })),
      leftovers,
      kept,
      ...(this.byHand.domains.size > 0 && { takenUuids: this.byHand.takenUuids() }),
      strangers: [...this.strangers, ...this.byHand.strangersOf(fleetId)],
      heldGenerations: distinct([...this.heldGenerations, ...members, ...volumes, ...leftovers, ...kept, ...this.byHand.heldBy(fleetId)]),
      foreignNames: [...this.foreignNames, ...otherNames, ...this.byHand.untagged(fleetId)].filter((name) => name.startsWith(namePrefix)).sort(),
      room: { freeBytes: this.freeBytes },
      ...(this.dataStores && { dataStores: this.dataStores }),
      problems: preflight ? this.problems : [],
    };
  }

  usersOf(fleetId: string, contentId: string): number[] {
    return [...this.members.values()]
      .filter((m) => m.fleetId === fleetId && m.kind === "linked" && m.contentId === contentId)
      .map((m) => m.slot).sort((a, b) => a - b);
  }

  baseStateOf(member: SimulatedMember): BaseState {
    const early = this.early.get(volumeKey(member.fleetId, member.slot, member.generation));
    if (early) return early.state;
    if (member.kind === "linked") return "replica";
    // No source any more, and nothing of it is merged by us.
    if (this.byHand.overlays.has(slotKey(member.fleetId, member.slot))) return "consolidated";
    return this.bases.get(volumeKey(member.fleetId, member.slot, member.generation))!.state;
  }

  /** Empty: none of its images can be known, as somebody's snapshot stands over them. */
  chainOf(member: SimulatedMember): DiskInfo[] {
    if (this.byHand.overlays.has(slotKey(member.fleetId, member.slot))) return [];
    const key = volumeKey(member.fleetId, member.slot, member.generation);
    const early = this.early.get(key);
    if (early) return [{ ...early.disk }];
    const delta = this.deltas.get(key)?.disk;
    const bottom = member.kind === "linked"
      ? this.replicas.get(replicaKey(member.fleetId, "replica", member.contentId))?.disk
      : this.bases.get(key)!.disk;
    const [top, ...under] = [delta, bottom].filter((disk) => disk !== undefined).map((disk) => ({ ...disk }));
    return top ? [{ ...top, capacityBytes: Math.max(top.capacityBytes, this.grownBytes.get(key) ?? 0) }, ...under] : [];
  }

  /** What may be copied: whole, and written by nobody. */
  holdsContent(fleetId: string, ref: CopyRef): boolean {
    if (ref.kind === "replica") return this.replicas.get(replicaKey(fleetId, ref.purpose, ref.contentId))?.whole ?? false;
    const base = this.bases.get(volumeKey(fleetId, ref.slot, ref.generation));
    return base !== undefined && base.whole && base.state === "frozen";
  }

  define(order: ReconfigureOrder, fleetId: string, incarnation: string): void {
    const key = slotKey(fleetId, order.slot);
    const old = this.members.get(key);
    const disk = volumeKey(fleetId, order.slot, order.generation);
    const isAgain = old?.generation === order.generation;
    this.grownBytes.set(disk, Math.max(order.vm.rootDisk?.sizeBytes ?? 0, this.grownBytes.get(disk) ?? 0));
    const inherits = order.vm.hardware === "template" || (isAgain && old.inherits === true);
    const vm = inherits ? inheriting(order.vm) : order.vm;
    const cards = vm.networks?.map(cardPlace) ?? old?.networks ?? TEMPLATE_MACHINE.networks;
    this.members.set(key, {
      fleetId,
      slot: order.slot,
      name: order.name,
      uuid: memberUuid(fleetId, order.slot),
      kind: order.kind,
      generation: order.generation,
      incarnation,
      contentId: order.contentId,
      cardAddresses: memberMacs(fleetId, order.slot, cards.length),
      power: old?.power ?? "stopped",
      disks: disksOf(this, order, old),
      ...sizeOf(vm, old ?? TEMPLATE_MACHINE),
      ...asItRuns(old, order),
      networks: cards,
      ...(inherits && { inherits }),
      ...(order.guest && { guest: order.guest.hash }),
      // Of a new member: what is said of one that is there goes on.
      ...((isAgain ? old?.configuring : order.configuring) && { configuring: true }),
      ...((isAgain ? old?.agentChannel : order.vm.agentChannel) && { agentChannel: true }),
    });
  }

  /** Removing what is not there succeeds. Returns the volumes' references that are gone. */
  removeMember(order: Extract<DestroyOrder, { kind: "member" }>): void {
    const { fleetId } = order.fleet;
    const member = this.members.get(slotKey(fleetId, order.slot));
    if (member && member.generation === order.generation) {
      this.members.delete(slotKey(fleetId, order.slot));
      this.kept.push(...leftBy(member).map((kept) => ({ fleetId, ...kept })));
    }
    this.removeVolumes(volumeKey(fleetId, order.slot, order.generation));
  }

  removeLeftover(fleetId: string, name: string): void {
    this.leftovers = this.leftovers.filter((l) => l.fleetId !== fleetId || l.leftover.name !== name);
    const isPartial = (x: SimulatedBase | SimulatedDelta | SimulatedEarly): boolean => x.fleetId === fleetId && x.disk.name === name
      && this.members.get(slotKey(fleetId, x.slot))?.generation !== x.generation;
    for (const [key, base] of this.bases) if (isPartial(base)) this.removeBase(key);
    for (const [key, delta] of this.deltas) if (isPartial(delta)) this.deltas.delete(key);
    for (const [key, early] of this.early) if (isPartial(early)) this.early.delete(key);
    for (const [key, replica] of this.replicas) {
      if (replica.fleetId === fleetId && !replica.whole && replica.disk.name === name) this.removeReplica(key);
    }
  }

  removeReplica(key: string): void {
    const replica = this.replicas.get(key);
    if (!replica) return;
    this.replicas.delete(key);
    this.freeBytes += replica.disk.allocationBytes;
  }

  /** Volume names of a slot's generation, whoever uses them by now. */
  volumesOf(fleetId: string, slot: number, generation: number): string[] {
    const key = volumeKey(fleetId, slot, generation);
    const member = this.members.get(slotKey(fleetId, slot));
    const data = member?.generation === generation ? member.disks.filter((disk) => disk.onDelete === "delete").map((disk) => disk.name) : [];
    const images = [this.bases.get(key), this.deltas.get(key), this.early.get(key)].flatMap((one) => one?.disk.name ?? []);
    return [...images, ...data];
  }

  private removeVolumes(key: string): void {
    this.removeBase(key);
    this.deltas.delete(key);
    this.early.delete(key);
  }

  private removeBase(key: string): void {
    const base = this.bases.get(key);
    if (!base) return;
    this.bases.delete(key);
    this.freeBytes += base.disk.allocationBytes;
  }

  private observeMember(member: SimulatedMember): ObservedMember {
    const { fleetId: _fleetId, running: _running, ...rest } = member;
    const base = this.baseStateOf(member);
    const chain = this.chainOf(member);
    // As on a real host: what somebody has, or stands on, is no source, and nothing is merged into it.
    const isLeft = (base === "frozen" || base === "consolidating") && chain.some((disk) => this.byHand.isUsed(disk.name));
    return {
      ...rest,
      cardAddresses: [...rest.cardAddresses],
      disks: rest.disks.map((disk) => ({ ...disk })),
      ...runningNow(member),
      base: isLeft ? "consolidated" : base,
      chain,
    };
  }
}

const resumable = (contentId: string | undefined): Pick<Leftover, "resumable"> => (contentId === undefined ? {} : { resumable: { contentId } });

function distinct(held: readonly { slot?: number; generation?: number }[]): ReachableHost["heldGenerations"] {
  const bySlot = new Map(held.flatMap(({ slot, generation }) => (
    slot === undefined || generation === undefined ? [] : [[memberKey({ slot, generation }), { slot, generation }] as const]
  )));
  return [...bySlot.values()].sort((a, b) => a.slot - b.slot || a.generation - b.generation);
}
