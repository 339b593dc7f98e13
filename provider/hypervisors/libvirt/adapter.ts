import { hostname } from "node:os";
import { isUnarrived } from "../../fleet/members/arrival";
import { memberMacs } from "../../fleet/members/addresses";
import type { FleetSpec, HostSpec, Observation } from "../../fleet/model";
import {
  HostUnreachableError, HypervisorError, TemplateChangedError, UnansweredError,
  type Abilities, type CallContext, type CloneOrder, type Costs, type DestroyOrder, type EarlyOrder, type FleetLock, type HintedCloneOrder,
  type HintedCloneResult, type Hypervisor, type ImageRef, type LockRequest, type MemberRef, type ObserveRequest, type PowerOrder,
  type ReconfigureOrder, type RefeedOrder, type SnapshotOrder,
} from "../hypervisor";
import { realClock, type Clock } from "../../async/clock";
import { abortable } from "../../async/abortable";
import { discardArrivals, missingDisks } from "./volumes/arrivals";
import { disksOf } from "./volumes/contentId";
import { cloneDisk, copyKey, markComplete, sourceFacts, uploadTemplate } from "./copy/clone";
import { Copies } from "./copy/copies";
import { ImageCopy, type CloneDisk, type DiskOrder } from "./copy/imageCopy";
import { costsOf, RELAY_HOP_SECONDS } from "./costs";
import { worthScanningSeconds } from "./holes/extents";
import { Exporters, type Resolved, type Source } from "./copy/feeds";
import { DeadlineError, deadlineAfter } from "../../async/deadline";
import { startEarly } from "./early/start";
import { settleMember } from "./early/settle";
import { consolidateMember } from "./members/consolidate";
import type { HelperSettings } from "./helper/helper";
import { targetVolumeName, type TargetRef } from "./volumes/images";
import { IMPATIENT_MEASURE_MS } from "./template/lookedAt";
import { lockFleet } from "./connection/lock";
import type { LockTime } from "./connection/lease";
import { adoptMember, destroyMember, powerMember, reconfigureMember } from "./members/member";
import { LibvirtGuests } from "./guests/guests";
import { putDeltas } from "./members/images";
import { findMember } from "./look/memberDomain";
import { observeHost } from "./look/observe";
import { preflightHardware } from "./look/preflight";
import { Pacer } from "./copy/rates";
import { removeLeftover, removeReplica } from "./members/removal";
import { inPlace, type Place } from "./connection/place";
import { helperMachine, libvirts } from "./own";
import { HostSession } from "./connection/session";
import { sharedStores } from "./look/sharedStores";
import { findTemplate } from "./template/find";
import { Machines } from "./template/machines";
import { uploadFacts, uploadHost } from "./template/uploaded";
import { SILENT, TemplateWatch } from "./template/watch";

export interface LibvirtOptions {
  spec: FleetSpec;
  /** Named in the tags of helpers and locks. @default `pid N on HOST` */
  holder?: string;
  /** @default realClock */
  clock?: Clock;
  /** What locks are counted by. @default `clock`, and how long this machine is up */
  lockTime?: LockTime;
}

/** Of one copy: members that start over the same replica while it arrives. */
const MAX_EARLY_GUESTS = 1024;

/** A hypervisor with every ability that libvirt has. */
export type Libvirt = Hypervisor & { readonly abilities: Required<Abilities> };

export const createLibvirt = (options: LibvirtOptions): Libvirt => new LibvirtHypervisor(options);

/** The port over libvirt's RPC. One connection a host; made for one run and closed after it. */
export class LibvirtHypervisor implements Hypervisor {
  readonly name = "libvirt";
  readonly abilities: Required<Abilities>;
  readonly costs: Costs;
  readonly identities = { cardAddresses: memberMacs };
  private readonly sessions = new Map<string, HostSession>();
  private readonly spec: FleetSpec;
  private readonly holder: string;
  private readonly lockTime: LockTime | undefined;
  private readonly template: TemplateWatch;
  private readonly clock: Clock;
  private readonly copies: Copies;
  private readonly exporters = new Exporters();
  private readonly pacer: Pacer;
  /** Of all NICs, uplinks and limits. */
  private readonly slowestBitsPerSecond: number;
  /** By the key of what is copied. */
  private readonly running = new Map<string, ImageCopy>();
  private readonly machines: Machines;
  /** Members of an earlier run were seen that wait for their disks. */
  private hasEarly = false;

  constructor(options: LibvirtOptions) {
    this.spec = options.spec;
    this.clock = options.clock ?? realClock;
    this.copies = new Copies(this.clock);
    this.template = new TemplateWatch(options.spec, (name) => this.byName(name), this.clock);
    this.machines = new Machines({
      template: this.template, sessions: () => [...this.sessions.values()], session: (name) => this.byName(name), helperSettings: (fleetId) => this.helperSettings(fleetId),
    });
    this.pacer = new Pacer(options.spec);
    const { hosts, racks } = options.spec;
    this.slowestBitsPerSecond = Math.min(
      ...[...hosts, ...racks].map(({ transferRateBitsPerSecond = Infinity }) => transferRateBitsPerSecond),
      ...hosts.map(({ nicBitsPerSecond }) => nicBitsPerSecond), ...racks.map(({ uplinkBitsPerSecond }) => uplinkBitsPerSecond),
    );
    this.costs = costsOf(options.spec);
    this.abilities = {
      relaying: { hopSeconds: RELAY_HOP_SECONDS, refeed: (order) => this.refeed(order) },
      linksClones: { link: async (order) => putDeltas(order.replica, order, await this.place(order.host, order.fleet.fleetId)) },
      startsEarly: {
        clone: (order, context) => this.clone(order, context),
        startEarly: (order, context) => this.startEarly(order, context),
        settle: async (order, context) => (
          settleMember(order, await this.place(order.host, order.fleet.fleetId), this.helperSettings(order.fleet.fleetId), context)
        ),
      },
      reportsReadiness: new LibvirtGuests((order) => this.place(order.host, order.fleet.fleetId)),
      findsSharedStores: { sharedStores: ({ fleetId, hosts }) => sharedStores(fleetId, hosts.map((name) => this.byName(name))) },
    };
    this.lockTime = options.lockTime;
    this.holder = options.holder ?? `pid ${process.pid} on ${hostname()}`;
    for (const host of options.spec.hosts) this.session(host);
  }

  private session(host: HostSpec): HostSession {
    let session = this.sessions.get(host.name);
    const { uri, pool } = libvirts(host.own);
    if (session?.own.uri !== uri || session.own.pool !== pool) {
      void session?.close();
      session = new HostSession(host, {
        callTimeoutMs: this.spec.timeouts.callMs, connectTimeoutMs: this.spec.timeouts.connectMs,
        allowUnauthenticatedTcp: libvirts(this.spec.own).allowUnauthenticatedTcp, clock: this.clock,
      });
      this.sessions.set(host.name, session);
    }
    return session;
  }

  private byName(name: string): HostSession {
    const session = this.sessions.get(name);
    if (!session) throw new HypervisorError(name, "look up", "no host of that name was declared or observed");
    return session;
  }

  private async place(host: string, fleetId: string): Promise<Place> {
    const session = this.byName(host);
    return { session, scope: { fleetId, hostUuid: await session.uuid() } };
  }

  private helperSettings(fleetId: string): HelperSettings {
    const { vm, own, start } = this.spec;
    const { domainType, arch } = helperMachine(libvirts(vm.own));
    return {
      fleetId, holder: this.holder, domainType, arch, tlsDirectories: libvirts(own).transferTls?.directories,
      ...((start === "immediately" || this.hasEarly) && { guests: MAX_EARLY_GUESTS }),
    };
  }

  async lock(request: LockRequest): Promise<FleetLock> {
    const { domainType: type, arch } = helperMachine(libvirts(this.spec.vm.own));
    return lockFleet(request, request.hosts.map((host) => this.session(host)), () => ({ type, arch }), this.clock, this.lockTime);
  }

  async observe(request: ObserveRequest, { signal }: CallContext = {}): Promise<Observation> {
    signal?.throwIfAborted();
    const deadline = deadlineAfter(this.clock, request.deadlineMs);
    const looks = Promise.all([
      Promise.all(request.hosts.map((host) => this.observeOne(host, request, deadline.expired))),
      this.observeTemplate(request, deadline.expired, signal),
    ]);
    const [hosts, template] = await abortable(looks, signal).finally(() => deadline.cancel());
    const observation: Observation = { hosts, ...template };
    const like = request.preflight ? this.template.located?.like : undefined;
    if (like) await preflightHardware(like.sample, hosts, request.spec, (name) => this.byName(name));
    this.hasEarly ||= hosts.some((host) => host.status === "reachable" && host.members.some(isUnarrived));
    const upload = uploadHost(observation);
    if (observation.template && this.spec.template.kind === "file" && upload) observation.template.host = upload;
    return observation;
  }

  private async observeOne(host: HostSpec, request: ObserveRequest, expired: Promise<never>): Promise<Observation["hosts"][number]> {
    try {
      return await Promise.race([observeHost(this.session(host), request), expired]);
    } catch (error) {
      // What of it could not be looked at nobody knows: it counts as it was recorded.
      if (error instanceof HostUnreachableError || error instanceof UnansweredError || error instanceof DeadlineError) {
        return { status: "unreachable", name: host.name, reason: error instanceof DeadlineError ? `no answer within ${request.deadlineMs / 1000} s` : error.message };
      }
      throw error;
    }
  }

  private async observeTemplate(request: ObserveRequest, expired: Promise<never>, signal: AbortSignal | undefined): Promise<Pick<Observation, "template" | "templateProblem" | "templateUnread">> {
    try {
      // A local file is read for its hash, however long that takes: the deadline is the hosts'. A preview does not wait.
      const finding = await (request.spec.template.kind === "file" && !request.impatient
        ? findTemplate(request.spec, (name) => this.byName(name), { signal })
        : Promise.race([findTemplate(request.spec, (name) => this.byName(name), { signal, ...(request.impatient && { measureMs: IMPATIENT_MEASURE_MS }) }), expired]));
      if ("problem" in finding) return { templateProblem: finding.problem };
      this.template.located = finding.found;
      return { template: { ...finding.found.observed } };
    } catch (error) {
      if (!(error instanceof HypervisorError) && !(error instanceof DeadlineError)) throw error;
      if (error instanceof DeadlineError && request.spec.template.kind === "file") {
        return { templateUnread: true };
      }
      return { templateProblem: { message: `cannot be looked at: ${error.message}` } };
    }
  }

  /** With hints or without. */
  async clone(order: HintedCloneOrder, context: CallContext = {}): Promise<HintedCloneResult> {
    if (order.source.kind === "template" && this.spec.template.kind === "file") {
      return uploadTemplate(order, this.spec.template.file, await this.place(order.target.host, order.fleet.fleetId), context);
    }
    // Before anything is awaited: a copy that is to read from this one may be ordered in the same breath.
    const { fleet: { fleetId }, target, image: { contentId } } = order;
    const key = copyKey(fleetId, target);
    const keys = disksOf(contentId).map((disk) => copyKey(fleetId, { ...target, disk }));
    const copies = keys.map((each) => this.copies.begin(each, target.host));
    const running = new ImageCopy(order);
    this.running.set(key, running);
    let result: HintedCloneResult | undefined;
    try {
      const place = await this.place(target.host, fleetId);
      const settings = { ...this.helperSettings(fleetId), stallMs: this.spec.timeouts.stallMs };
      const cloneOne: CloneDisk = (one, started, call) => {
        const parts = { clock: this.clock, exporters: this.exporters, pacer: this.pacer, resolve: (ref: ImageRef) => this.resolve(ref, one) };
        return cloneDisk(one, place, copies[one.disk]!, parts, settings, started, call);
      };
      context.signal?.throwIfAborted();
      const missing = await missingDisks(place, target, contentId);
      for (const [disk, each] of keys.entries()) if (!missing.includes(disk)) this.copies.end(each);
      result = await running.run(place, missing, copies, cloneOne, context);
      // What an earlier attempt left came from the template too, perhaps.
      if (result.resumed || running.needsTemplate) await this.template.assertUnchanged(order, place);
      await markComplete(order, place);
      for (const each of keys) this.copies.end(each);
      return result;
    } catch (error) {
      for (const each of keys) this.copies.end(each, error as Error);
      if (result) context.onBroken?.(result); // of a copy that was brought here and then found not to count
      // What failed to be opened or read may be no fault of hosts or wires.
      const trouble = running.readsTemplate && !context.signal?.aborted && !(error instanceof TemplateChangedError) ? await this.template.trouble(order) : undefined;
      if (trouble === undefined || trouble === SILENT) throw error;
      await this.place(target.host, fleetId).then((place) => discardArrivals(place, target, contentId)).catch(() => undefined);
      throw new TemplateChangedError(target.host, "clone", trouble, { cause: error });
    } finally {
      this.running.delete(key);
    }
  }

  private async refeed(order: RefeedOrder): Promise<void> {
    const copy = this.running.get(copyKey(order.fleet.fleetId, order.target));
    if (!copy) throw new HypervisorError(order.target.host, "change source", "no such copy is under way");
    await copy.redirect(order.source);
  }

  private async resolve(ref: ImageRef, { disk, ...order }: DiskOrder): Promise<Resolved> {
    if (ref.kind === "template") return { kind: "finished", source: await this.templateDisk(disk, order), local: false };
    const { fleetId } = order.fleet;
    const copy = this.copies.get(copyKey(fleetId, { ...ref, disk }));
    return copy ? { kind: "arriving", copy, local: false } : { kind: "finished", source: await this.finished({ ...ref, disk }, order), local: false };
  }

  private async templateDisk(disk: number, order: CloneOrder): Promise<Source> {
    const { files, observed } = await this.template.look(order);
    const [file, facts] = [files?.[disk], observed.disks[disk]];
    if (!file || !facts || observed.host === undefined) throw new TemplateChangedError(order.target.host, "clone", "the template is on no host");
    const { format, capacityBytes, bytes } = facts;
    return this.sourceOf(this.byName(observed.host), file.path, { format, capacityBytes, allocationBytes: bytes }, file.backing);
  }

  private async finished(ref: TargetRef, order: CloneOrder): Promise<Source> {
    const endedWhole = this.copies.endedWhole(copyKey(order.fleet.fleetId, ref));
    const place = await this.place(ref.host, order.fleet.fleetId);
    const name = await this.imageName(place, ref);
    const facts = await sourceFacts(place, ref, name, endedWhole, order.target.host);
    return this.sourceOf(place.session, facts.path, { ...facts, ...(ref.kind === "replica" && ref.purpose === "template" && uploadFacts(ref, name, this.template.located?.observed)) });
  }

  private sourceOf(
    session: HostSession, path: string, { format, capacityBytes, allocationBytes }: Pick<Source, "format" | "capacityBytes" | "allocationBytes">,
    backing: Source["backing"] = null,
  ): Source {
    return { session, path, format, backing, capacityBytes, allocationBytes, scanSeconds: worthScanningSeconds({ capacityBytes, allocationBytes }, this.slowestBitsPerSecond) };
  }

  /** An upload keeps its file's format; everything that was cloned is qcow2. */
  private async imageName(place: Place, ref: TargetRef): Promise<string> {
    if (ref.kind === "base" || ref.purpose === "replica") return targetVolumeName(place.scope, ref);
    const raw = targetVolumeName(place.scope, ref, "raw");
    return inPlace(place, "look at source", async ({ client, pool }) => ((await client.lookupVolume(pool, raw)) ? raw : targetVolumeName(place.scope, ref)));
  }

  async snapshot(order: SnapshotOrder): Promise<void> {
    const { host, slot, generation } = order;
    await putDeltas({ kind: "base", host, slot, generation }, order, await this.place(host, order.fleet.fleetId));
  }

  async reconfigure(order: ReconfigureOrder, context?: CallContext): Promise<void> {
    await reconfigureMember(order, await this.place(order.host, order.fleet.fleetId), () => this.machines.forMember(order), context);
  }

  private async startEarly(order: EarlyOrder, context?: CallContext): Promise<void> {
    // Before anything is awaited: the copy was ordered in the same breath, and may fail before we look.
    const copies = disksOf(order.contentId).map((disk) => this.copies.get(copyKey(order.fleet.fleetId, { ...order.base, disk })));
    if (!copies.every((copy) => copy !== undefined)) throw new HypervisorError(order.host, "start early", `no copy is under way that ${order.name} could read from`);
    await startEarly(order, await this.place(order.host, order.fleet.fleetId), copies, () => this.machines.forMember(order), context);
  }

  async consolidate(order: MemberRef, context?: CallContext): Promise<void> {
    await consolidateMember(order, await this.place(order.host, order.fleet.fleetId), this.helperSettings(order.fleet.fleetId), context);
  }

  async power(order: PowerOrder, context?: CallContext): Promise<void> {
    await powerMember(order, await this.place(order.host, order.fleet.fleetId), context);
  }

  async adopt(order: MemberRef): Promise<void> {
    await adoptMember(order, await this.place(order.host, order.fleet.fleetId));
  }

  async destroy(order: DestroyOrder, context?: CallContext): Promise<void> {
    const place = await this.place(order.host, order.fleet.fleetId);
    if (order.kind === "member") return destroyMember(order, place, context);
    return order.kind === "replica" ? removeReplica(order, place) : removeLeftover(order, place);
  }

  async inspect(order: MemberRef): Promise<Awaited<ReturnType<Hypervisor["inspect"]>>> {
    const { session } = await this.place(order.host, order.fleet.fleetId);
    const request: ObserveRequest = { fleetId: order.fleet.fleetId, namePrefix: order.fleet.namePrefix, hosts: [session.spec], spec: this.spec, deadlineMs: 0, preflight: false };
    const found = await session.run("inspect", (client) => findMember(client, order));
    if (!found || found.tag.generation !== order.generation) return null;
    const member = (await observeHost(session, request)).members.find((m) => m.slot === order.slot && m.generation === order.generation);
    return member ? { power: member.power, base: member.base, chain: member.chain.map((disk) => disk.name) } : null;
  }

  async close(): Promise<void> {
    await Promise.all([...this.sessions.values()].map((session) => session.close()));
  }
}
