import { memberMacs } from "../../fleet/members/addresses";
import { memberUuid } from "../../fleet/members/identity";
import { imageBytes } from "../../fleet/images";
import type { BaseState, Observation, PowerState } from "../../fleet/model";
import type { Topology } from "../../scheduler/types";
import {
  ForeignNameError, HostUnreachableError, HypervisorError, NoSpaceError, SourceLostError, TemplateChangedError,
  type Abilities, type CallContext, type CloneOrder, type CloneResult, type CopyRef, type Costs, type DestroyOrder, type FleetLock, type Hypervisor, type ImageRef,
  type LinkOrder, type LockRequest, type MemberRef, type ObserveRequest, type PowerOrder, type ReconfigureOrder, type RefeedOrder, type SnapshotOrder, type Traits,
} from "../hypervisor";
import type { VirtualClock } from "./clock";
import { Copies, type CopyOrder, type CopySource } from "./copies";
import { assertKept } from "./members/hardware";
import { EarlyStarts, guestsOver } from "./members/early";
import { armFaults } from "./faults";
import { SimulatedGuests } from "./members/guests";
import { baseKey, ImageUnderWay, sourceKeyOf } from "./images";
import { Locks } from "./locks";
import { observeTemplate, type SimulatedTemplate } from "./template";
import { UNBOUNDED, type SimulatedCosts, type SimulatedOptions } from "./options";
import { replicaKey, SimulatedHost, slotKey, volumeKey, type SimulatedMember } from "./world";

const NO_COSTS: SimulatedCosts = {
  defineSeconds: 0, startSeconds: 0, snapshotSeconds: 0, consolidateSeconds: 0, destroySeconds: 0, refeedSeconds: 0, bootSeconds: 0,
};

/**
 * Hosts in memory on a virtual clock: the port's promises (whole and partial, idempotence, aborts) without a byte
 * moved. Stricter than a real host where the engine must not err: it refuses to exceed maxConcurrent, to copy what a
 * guest writes, and to consolidate or remove what is being copied or stood upon.
 */
export class SimulatedHypervisor implements Hypervisor {
  readonly name = "simulated";
  readonly abilities: Abilities;
  readonly costs: Costs;
  readonly identities = { cardAddresses: memberMacs };
  readonly hosts = new Map<string, SimulatedHost>();
  readonly guests: SimulatedGuests;
  private readonly copies: Copies;
  private readonly locks: Locks;
  private readonly seconds: SimulatedCosts;
  private readonly imageBytes: number;
  private templateChanged = false;

  constructor(
    readonly clock: VirtualClock,
    private readonly topology: Topology,
    private readonly template: SimulatedTemplate,
    options: SimulatedOptions = {},
  ) {
    this.imageBytes = imageBytes(template);
    this.seconds = { ...NO_COSTS, ...options.costs };
    this.guests = new SimulatedGuests({
      clock, seconds: this.seconds, step: (...call) => this.step(...call), member: (...of) => this.member(...of),
    });
    this.costs = { freeLocalCopies: topology.freeLocalCopies, copyStartupSeconds: topology.startupSeconds, ...options.traits?.costs };
    this.abilities = this.abilitiesLike(options.traits?.abilities ?? { ...UNBOUNDED.abilities, relaying: { hopSeconds: topology.hopSeconds ?? 0 } });
    this.copies = new Copies(topology, template, clock, this.abilities.relaying !== undefined, options.faults ?? [], options.progressSeconds);
    this.locks = new Locks(clock);
    for (const { name } of topology.hosts) this.host(name);
    armFaults(options.faults ?? [], clock, {
      takeDown: (host) => this.takeDown(host),
      bringUp: (host) => this.bringUp(host),
      slow: (...how) => this.copies.slow(...how),
      changeTemplate: () => { this.templateChanged = true; },
      loseLocks: () => this.loseLocks(),
    });
  }

  private abilitiesLike({ relaying, linksClones, startsEarly, reportsReadiness }: Traits["abilities"]): Abilities {
    return {
      ...(relaying && { relaying: { hopSeconds: relaying.hopSeconds, refeed: (order) => this.refeed(order) } }),
      ...(linksClones && { linksClones: { link: (order, context) => this.link(order, context) } }),
      ...(reportsReadiness && { reportsReadiness: this.guests }),
      ...(startsEarly && { startsEarly: new EarlyStarts({
        imageBytes: this.imageBytes,
        startupSeconds: this.topology.startupSeconds,
        seconds: this.seconds,
        host: (name) => this.host(name),
        step: (host, step, seconds, context) => this.step(host, step, seconds, context),
        checkName: (host, order, step) => this.checkName(host, order, step),
        clone: (order, context) => this.clone(order, context),
        isUnderWay: (key) => this.copies.isUnderWay(key),
        started: (...of) => this.guests.started(...of),
      }) }),
    };
  }

  /** A host outside the topology may be looked at and emptied; nothing is copied to it. */
  host(name: string): SimulatedHost {
    let host = this.hosts.get(name);
    if (!host) {
      host = new SimulatedHost(name);
      this.hosts.set(name, host);
    }
    return host;
  }

  /** The host stops answering now, and what it sends or receives breaks off. */
  takeDown(name: string, reason = "connection refused (simulated)"): void {
    this.host(name).down = reason;
    this.copies.breakHost(name);
  }

  bringUp(name: string): void {
    this.host(name).down = undefined;
  }

  /** Of the template as it is now. */
  get contentId(): string {
    return this.template.contentId;
  }

  /** Somebody rewrites the template: what is copied from now on must be of this content. */
  rewriteTemplate(contentId: string): void {
    this.template.contentId = contentId;
  }

  /** Whoever holds the fleet's lock loses it. */
  loseLocks(): void {
    this.locks.loseAll();
  }

  lock(request: LockRequest): Promise<FleetLock> {
    return this.locks.acquire(request, (host) => this.hosts.get(host)?.down === undefined);
  }

  async observe(request: ObserveRequest, context: CallContext = {}): Promise<Observation> {
    context.signal?.throwIfAborted();
    const hosts = request.hosts.map(({ name }) =>
      this.host(name).observe(request.fleetId, request.namePrefix, request.preflight));
    return { hosts, ...observeTemplate({ template: this.template, hosts: this.hosts }, request.fleetId, request.spec) };
  }

  async clone(order: CloneOrder, context: CallContext = {}): Promise<CloneResult> {
    context.signal?.throwIfAborted();
    const host = this.reachable(order.target.host, "clone");
    const image = new ImageUnderWay(order, host, this.imageBytes);
    const copy = this.copyInto(image, host, order, context);
    if (!copy) return { bytesMoved: 0 };
    try {
      const result = await this.copies.run(copy);
      image.finish();
      return result;
    } catch (error) {
      host.freeBytes += this.imageBytes - image.bytes;
      if (!context.signal?.aborted && !(error instanceof SourceLostError) && !(error instanceof HostUnreachableError)) image.spoil();
      // Guests that read from it stand still.
      for (const member of guestsOver(host, order)) member.power = "paused";
      throw error;
    }
  }

  /** Takes the room for it. undefined: it is whole. @throws the typed errors of the port */
  private copyInto(image: ImageUnderWay, host: SimulatedHost, order: CloneOrder, context: CallContext): CopyOrder | undefined {
    const { source, target } = order;
    const { imageBytes } = this;
    // A whole replica is only read; a base that somebody's domain names is neither trusted nor overwritten.
    if (!image.whole || target.kind === "base") host.byHand.assertUnused(target.host, "clone", [image.volume], "a copy into somebody's disk");
    if (image.whole) return undefined;
    const first = this.sourceOf(order, source);
    const neededBytes = imageBytes - image.arrivedBytes;
    if (host.freeBytes < neededBytes) {
      throw new NoSpaceError(target.host, "clone", `the pool has ${host.freeBytes} bytes free, the copy needs ${neededBytes}`);
    }
    host.freeBytes -= imageBytes;
    image.begin();
    return {
      source: first, sourceOf: (ref) => this.sourceOf(order, ref),
      targetHost: target.host, targetKey: sourceKeyOf(order.fleet.fleetId, target), slot: target.kind === "base" ? target.slot : undefined,
      arrivedBytes: image.arrivedBytes, context, image,
    };
  }

  private async refeed({ fleet, target, source, image }: RefeedOrder): Promise<void> {
    this.reachable(target.host, "change source");
    this.sourceOf({ fleet, target, image }, source);
    await this.copies.refeed(sourceKeyOf(fleet.fleetId, target), target.host, source, this.seconds.refeedSeconds);
  }

  snapshot(order: SnapshotOrder, context?: CallContext): Promise<void> {
    const { host, slot, generation } = order;
    return this.putOver({ kind: "base", host, slot, generation }, order, context);
  }

  private link(order: LinkOrder, context?: CallContext): Promise<void> {
    return this.putOver(order.replica, order, context);
  }

  private async putOver(base: CopyRef, order: SnapshotOrder, context: CallContext = {}): Promise<void> {
    const host = await this.step(order.host, "snapshot", this.seconds.snapshotSeconds, context);
    const { slot, generation } = order;
    const { fleetId } = order.fleet;
    const key = volumeKey(fleetId, slot, generation);
    host.byHand.assertUnused(order.host, "snapshot", host.members.has(slotKey(fleetId, slot)) ? [] : host.volumesOf(fleetId, slot, generation), "a delta over somebody's disk");
    if (host.deltas.has(key)) return;
    if (base.host !== order.host || !host.holdsContent(fleetId, base)) {
      throw new HypervisorError(order.host, "snapshot", `no whole, unwritten base for slot ${slot}`);
    }
    const disk = host.disk(`${fleetId}-${slot}-${generation}-delta`, this.imageBytes, 0);
    host.deltas.set(key, { fleetId, slot, generation, disk, over: base.kind });
  }

  async reconfigure(order: ReconfigureOrder, context: CallContext = {}): Promise<void> {
    const host = await this.step(order.host, "reconfigure", this.seconds.defineSeconds, context);
    const { fleetId, incarnation } = order.fleet;
    const key = volumeKey(fleetId, order.slot, order.generation);
    this.checkName(host, order, "reconfigure");
    host.byHand.assertBare(order.host, "reconfigure", slotKey(fleetId, order.slot), order.name);
    if (!host.members.has(slotKey(fleetId, order.slot))) host.byHand.assertUnused(order.host, "reconfigure", host.volumesOf(fleetId, order.slot, order.generation));
    if (host.early.has(key)) throw new HypervisorError(order.host, "reconfigure", `the disk of slot ${order.slot} is still arriving`);
    if (host.members.get(slotKey(fleetId, order.slot))?.generation !== order.generation) assertKept(host, order, "reconfigure");
    const hasDisk = order.kind === "linked" ? host.deltas.get(key)?.over === "replica" : host.bases.get(key)?.whole;
    if (!hasDisk) throw new HypervisorError(order.host, "reconfigure", `slot ${order.slot} has no disk yet`);
    host.define(order, fleetId, incarnation);
  }

  async consolidate(order: MemberRef, context: CallContext = {}): Promise<void> {
    const host = this.reachable(order.host, "consolidate");
    const key = volumeKey(order.fleet.fleetId, order.slot, order.generation);
    const base = host.bases.get(key);
    if (!base) throw new HypervisorError(order.host, "consolidate", `slot ${order.slot} has no base of its own`);
    if (base.state === "consolidated") return;
    host.byHand.assertBare(order.host, "consolidate", slotKey(order.fleet.fleetId, order.slot), order.name);
    host.byHand.assertUnused(order.host, "consolidate", host.volumesOf(order.fleet.fleetId, order.slot, order.generation));
    if (this.copies.isRead(baseKey(order.host, key))) {
      throw new HypervisorError(order.host, "consolidate", `the base of slot ${order.slot} still feeds clones`);
    }
    base.state = "consolidating";
    await this.step(order.host, "consolidate", this.seconds.consolidateSeconds, context);
    base.state = "consolidated";
    host.deltas.delete(key);
  }

  async power(order: PowerOrder, context: CallContext = {}): Promise<void> {
    const host = await this.step(order.host, "power", order.to === "running" ? this.seconds.startSeconds : 0, context);
    const member = this.member(host, order, "power");
    const key = volumeKey(order.fleet.fleetId, order.slot, order.generation);
    if (order.to === "running" && host.early.has(key)) throw new HypervisorError(order.host, "power", `the disk of slot ${order.slot} is still arriving`);
    if (order.to === "running" && member.power === "stopped") this.guests.started(order.host, order.fleet.fleetId, order.slot);
    if (member.power === "stopped" || order.to === "stopped") delete member.running; // it starts with what its definition says
    member.power = order.to;
    const base = host.bases.get(key);
    // A guest without a delta writes its base.
    if (order.to === "running" && base && !host.deltas.has(key)) {
      base.state = "consolidated";
      this.copies.breakSource(baseKey(order.host, key));
    }
  }

  async adopt(order: MemberRef, context: CallContext = {}): Promise<void> {
    const host = await this.step(order.host, "adopt", 0, context);
    this.member(host, order, "adopt").incarnation = order.fleet.incarnation;
  }

  async destroy(order: DestroyOrder, context: CallContext = {}): Promise<void> {
    const host = await this.step(order.host, "destroy", this.seconds.destroySeconds, context);
    const { fleetId } = order.fleet;
    if (order.kind === "leftover") {
      host.byHand.assertUnused(order.host, "destroy", [order.leftover.name], "a leftover's removal");
      return host.removeLeftover(fleetId, order.leftover.name);
    }
    if (order.kind === "member") {
      host.byHand.assertBare(order.host, "destroy", slotKey(fleetId, order.slot), order.name);
      host.byHand.assertUnused(order.host, "destroy", host.volumesOf(fleetId, order.slot, order.generation));
      host.removeMember(order);
      return this.copies.breakSource(baseKey(order.host, volumeKey(fleetId, order.slot, order.generation)));
    }
    const users = order.purpose === "replica" ? host.usersOf(fleetId, order.contentId) : [];
    if (users.length > 0) {
      throw new HypervisorError(order.host, "destroy", `slots ${users.join(", ")} stand over this replica`);
    }
    const replica = host.replicas.get(replicaKey(fleetId, order.purpose, order.contentId));
    host.byHand.assertUnused(order.host, "destroy", replica ? [replica.disk.name] : []);
    host.removeReplica(replicaKey(fleetId, order.purpose, order.contentId));
    this.copies.breakSource(sourceKeyOf(fleetId, { ...order, kind: "replica" }));
  }

  async inspect(
    order: MemberRef, context: CallContext = {},
  ): Promise<{ power: PowerState; base: BaseState; chain: string[] } | null> {
    const host = await this.step(order.host, "inspect", 0, context);
    const member = host.members.get(slotKey(order.fleet.fleetId, order.slot));
    if (!member || member.generation !== order.generation) return null;
    return {
      power: member.power,
      base: host.baseStateOf(member),
      chain: host.chainOf(member).map((disk) => disk.name),
    };
  }

  async close(): Promise<void> {}

  private async step(name: string, step: string, seconds: number, context: CallContext): Promise<SimulatedHost> {
    context.signal?.throwIfAborted();
    this.reachable(name, step);
    if (seconds > 0) await this.clock.sleep(seconds * 1000, context.signal);
    return this.reachable(name, step);
  }

  private reachable(name: string, step: string): SimulatedHost {
    const host = this.host(name);
    if (host.down !== undefined) throw new HostUnreachableError(name, step, host.down);
    return host;
  }

  private checkName(host: SimulatedHost, { fleet, name, slot }: ReconfigureOrder, step: string): void {
    host.byHand.assertFree(host.name, step, { name, uuid: memberUuid(fleet.fleetId, slot) });
    const taken = host.foreignNames.includes(name)
      || [...host.members.values()].some((m) => m.name === name && (m.fleetId !== fleet.fleetId || m.slot !== slot));
    if (taken) throw new ForeignNameError(host.name, step, `the name ${name} is taken by a domain without our tag`);
  }

  private member(host: SimulatedHost, order: MemberRef, step: string): SimulatedMember {
    const member = host.members.get(slotKey(order.fleet.fleetId, order.slot));
    if (!member) throw new HypervisorError(order.host, step, `no member in slot ${order.slot}`);
    return member;
  }

  /** @throws SourceLostError, TemplateChangedError when this cannot be read */
  private sourceOf(order: Omit<RefeedOrder, "source">, source: ImageRef): CopySource {
    const key = sourceKeyOf(order.fleet.fleetId, source);
    this.checkSource(order, source, key);
    return { host: source.host, key };
  }

  private checkSource(order: Omit<RefeedOrder, "source">, source: ImageRef, key: string): void {
    const { target } = order;
    if (source.kind === "template") {
      if (this.templateChanged || this.template.contentId !== order.image.contentId) {
        throw new TemplateChangedError(source.host ?? target.host, "clone", "the template is not what it was when the run began");
      }
    }
    if (source.host === null) return;
    const host = this.host(source.host);
    if (host.down !== undefined) throw new SourceLostError(source.host, target.host, `${source.host} does not answer`);
    if (source.kind === "template") {
      if (source.host !== this.template.host) throw new SourceLostError(source.host, target.host, `the template is not on ${source.host}`);
    } else if (this.abilities.relaying && this.copies.isUnderWay(key)) {
      return;
    } else if (!host.holdsContent(order.fleet.fleetId, source)) {
      throw new SourceLostError(source.host, target.host, `no whole, unwritten ${source.kind} to copy on ${source.host}`);
    }
  }
}
