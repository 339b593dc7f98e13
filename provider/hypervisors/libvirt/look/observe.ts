import type { DiskInfo, HostProblem, ObservedMember, Leftover, ObservedReplica, PowerState, ReachableHost, StoreRoom } from "../../../fleet/model";
import { isUnarrived } from "../../../fleet/members/arrival";
import { namesOf } from "../../../fleet/members/changes";
import { compare } from "../../../fleet/words/problems";
import type { ObserveRequest } from "../../hypervisor";
import { dataStores, keptDisks, mayComeBack, NO_OTHERS, otherPools, withUsers } from "./dataDisks";
import { attachedDisks, baseName, imagePaths } from "./domainDisks";
import { asLeftovers, hostUp } from "../volumes/arrivals";
import { isMark, lookAround, looksLikeMark, type HostLook } from "../guard/guard";
import { isMarkerOf, leftoverVolumes, type Owner, type OwnVolume } from "./leftovers";
import { toldBy } from "../identity/volume";
import { ownDataDisks } from "../members/dataDisks";
import { isActive } from "../members/member";
import { disksOf } from "../volumes/contentId";
import { memberImage } from "../volumes/images";
import { heldGeneration, isHelperDomain, parseVolumeName, type VolumeName, type VolumeScope } from "../volumes/names";
import { memberTagOf, standing, strangeness, uuidText } from "./ownership";
import { knownRoom, poolRoom, type PoolRoom } from "../volumes/poolRoom";
import { preflightHost } from "./preflight";
import type { LibvirtClient } from "../rpc/client";
import type { Domain } from "../rpc/handles";
import { DomainState, Flag } from "../rpc/protocol";
import type { HostSession, PoolFacts } from "../connection/session";
import { parseTag, TAG_URI, tagFleetId, type MemberTag } from "../xml/tags";
import { cardPlaces } from "../xml/cards";
import { hasAgentChannel } from "../xml/channels";
import { all, at, parseXml, text } from "../xml/xml";
import { WORDS } from "../words";
import { factsUnlessGone, volumeAt, type VolumeFacts } from "../volumes/volumes";

/**
 * All of one fleet on one host. Any error but a volume that vanished meanwhile fails the whole look: a host half seen
 * must never pass for a host with less on it, or its disks would look like leftovers.
 */
export async function observeHost(session: HostSession, request: ObserveRequest): Promise<ReachableHost> {
  const uuid = await session.uuid();
  const scope: VolumeScope = { fleetId: request.fleetId, hostUuid: uuid };
  const pool = await session.poolFacts();
  return session.run("observe", async (client) => {
    const problems = request.preflight ? await preflightHost(client, session, pool, request) : [];
    const usable = pool !== null && (await client.poolIsActive(pool.pool)) ? pool : null;
    // Before the volumes are listed: a pool that is too busy to be looked at shows what libvirt saw last.
    const room = usable ? request.preflight ? await poolRoom({ client, pool: usable.pool }, PREFLIGHT_BUSY_MS) : await knownRoom({ client, pool: usable.pool }) : null;
    const domains = await ownDomains(client, request);
    if (!usable && (domains.members.length > 0 || !request.preflight)) {
      throw new Error(`its storage pool ${session.own.pool} is ${pool ? "not active: virsh pool-start it" : "not there"}, so what this fleet has in it cannot be seen`);
    }
    const volumes = usable ? await ownVolumes(client, usable, scope) : NO_VOLUMES;
    const others = usable ? await otherPools(client, usable.pool, scope, request.spec) : NO_OTHERS;
    const data = usable ? await dataStores(client, { name: session.name, home: usable.pool.name }, request.spec, request.preflight ? PREFLIGHT_BUSY_MS : 0) : undefined;
    if (data && request.preflight && isDeclared(request, session.name)) problems.push(...data.problems);
    const looked = await Promise.all(domains.members.map((m) => observeMember(client, m, volumes, usable, scope)));
    const seen = looked.flatMap((one) => ("member" in one ? [one] : []));
    const strangers = [...domains.strangers, ...looked.flatMap((one) => ("stranger" in one ? [one.stranger] : []))];
    const owners = seen.map(({ member, flat, told }): Owner => ({ ...member, flat, unarrived: isUnarrived(member), told }));
    const members = seen.map(({ member }) => member).sort((a, b) => a.slot - b.slot || a.generation - b.generation);
    const found = leftoverVolumes(volumes.own, owners);
    const whole = replicas(volumes.own, members);
    const kept = keptDisks([...volumes.own, ...others.own], owners);
    const isBack = request.preflight && mayComeBack(kept, request.spec);
    // Who uses what is asked where something may be removed, merged or copied from, and else not at all.
    const toMerge = seen.filter(({ member }) => member.base === "frozen" || member.base === "consolidating");
    const look = usable && (isBack || found.length + toMerge.length > 0 || whole.some(({ users }) => request.preflight || users.length === 0))
      ? await lookAround({ client, pool: usable.pool, session, scope }) : undefined;
    const leftovers = look ? found.filter(({ facts }) => look.usersOf(inPool(usable!, info(facts))).length === 0) : found;
    if (look) for (const one of toMerge) leaveToOthers(one, look, usable!);
    if (look && request.preflight) problems.push(...writtenReplicas(whole, members, look, usable!, session.name, request));
    return {
      status: "reachable",
      name: session.name,
      uuid,
      hypervisorVersion: versionText(await client.libVersion()),
      words: WORDS,
      members,
      replicas: look ? whole.map((replica) => told(replica, look, usable!, domains.members)) : whole,
      leftovers: [
        ...asLeftovers(leftovers, leftovers.some(({ name }) => name.kind === "arriving") ? await hostUp(client) : null),
        ...domains.helpers.map((d): Leftover => ({ kind: "domain", name: d.name, bytes: 0 })),
      ],
      kept: look && isBack ? withUsers(kept, [...volumes.own, ...others.own], look, usable!.pool.name) : kept,
      strangers: strangers.sort((a, b) => compare(a.name, b.name)),
      takenUuids: takenUuids(domains.all, members),
      heldGenerations: [...volumes.held, ...others.held],
      foreignNames: domains.foreign.sort(),
      ...(request.preflight && withMemory(await client.memory())),
      room: roomOf(room),
      ...(usable?.store !== undefined && { store: usable.store }),
      ...(data && data.stores.length > 0 && { dataStores: data.stores }),
      problems,
    };
  });
}

/** Of the time one look has, while the pool is busy: its last figures will have to do then. */
const PREFLIGHT_BUSY_MS = 2_000;

const roomOf = (room: PoolRoom | null): StoreRoom => room ?? { freeBytes: 0 };

const inPool = ({ pool }: Pick<PoolFacts, "pool">, { name, path }: Pick<DiskInfo, "name" | "path">) => ({ volume: name, path, pool: pool.name });

const isDeclared = ({ spec }: Pick<ObserveRequest, "spec">, host: string): boolean => spec.hosts.some(({ name }) => name === host);

/** A frozen base that somebody has, or that something of somebody's stands on, is no source, and nothing is merged into it. */
function leaveToOthers({ member, domain }: SeenMember, look: HostLook, pool: PoolFacts): void {
  if (member.chain.some((disk) => look.usersOf(inPool(pool, disk), domain.uuid).length > 0)) member.base = "consolidated";
}

/** Members are about to be made on it or copied from it: who runs and may write to it is named, and it is not trusted. */
export function writtenReplicas(
  whole: readonly ObservedReplica[], members: readonly ObservedMember[], look: Pick<HostLook, "domainsOf">, pool: Pick<PoolFacts, "pool">, host: string, { spec }: Pick<ObserveRequest, "spec">,
): HostProblem[] {
  if (!isDeclared({ spec }, host)) return [];
  return whole.flatMap(({ disk: first, others = [], users }) => [first, ...others].flatMap((disk) => {
    // One whose definition cannot be read says nothing of what it writes to.
    const writers = look.domainsOf(inPool(pool, disk)).filter((user) => user.writes && user.now && user.how !== "unreadable");
    return [...new Set(writers.map(({ domain }) => domain))].map((domain) => ({
      property: "pool" as const,
      message: `expected ${disk.name} on ${host} to be written by nobody, got the running domain ${domain}, which has it as a disk of its own: ` +
        `shut it down and take the disk from it; ${afterWriting(members.filter(({ slot }) => users.includes(slot)))}`,
    }));
  }));
}

/** Whoever stands on it has what was written, and without it nothing at all. */
const afterWriting = (standing: readonly ObservedMember[]): string => (standing.length === 0
  ? "what it wrote is in every machine that is cloned from there, so remove the volume, too (virsh vol-delete), and it is copied anew"
  : `what it wrote is in ${namesOf(standing)} as well, which cannot be without the volume: leave it in its place, look at what they hold, and replace them if it is not right`);

/** Members stand on it as `users` says; who else does is told by name. */
function told(replica: ObservedReplica, look: HostLook, pool: PoolFacts, members: readonly OwnDomain[]): ObservedReplica {
  const own = new Set(members.map(({ domain }) => domain.uuid.toString("hex")));
  const named = [replica.disk, ...replica.others ?? []].flatMap((disk) => (replica.users.length > 0
    ? look.domainsOf(inPool(pool, disk)).filter(({ uuid }) => !own.has(uuid)).map(({ domain }) => `the domain ${domain} uses it`)
    : look.usersOf(inPool(pool, disk))));
  const others = [...new Set(named)];
  return others.length === 0 ? replica : { ...replica, strangers: others };
}

/** Of the kind that members' are (version 5), which hardly anything else makes. */
function takenUuids(domains: readonly Domain[], members: readonly ObservedMember[]): ReachableHost["takenUuids"] {
  const own = new Set(members.map(({ uuid }) => uuid));
  return domains.map(({ name, uuid }) => ({ uuid: uuidText(uuid), name })).filter(({ uuid }) => uuid[14] === "5" && !own.has(uuid));
}


const versionText = (n: number): string => `libvirt ${Math.floor(n / 1_000_000)}.${Math.floor(n / 1_000) % 1_000}.${n % 1_000}`;

interface OwnDomain {
  domain: Domain;
  tag: MemberTag;
}

async function ownDomains(
  client: LibvirtClient, request: ObserveRequest,
): Promise<{ all: Domain[]; members: OwnDomain[]; strangers: ReachableHost["strangers"]; helpers: Domain[]; foreign: string[] }> {
  const every = await client.listDomains();
  const members: OwnDomain[] = [];
  const strangers: ReachableHost["strangers"] = [];
  const helpers: Domain[] = [];
  const foreign: string[] = [];
  await Promise.all(every.map(async (domain) => {
    const xml = await client.getMetadata(domain, TAG_URI);
    const tag = xml === null ? null : parseTag(xml);
    if (xml !== null && tag === null && tagFleetId(xml) === request.fleetId) {
      throw new Error(`${domain.name} bears a tag of this fleet that this version does not understand: use the version that made it, or a newer one`);
    }
    if (tag?.fleetId === request.fleetId) {
      const own = memberTagOf(domain, tag, request.fleetId);
      if (own) members.push({ domain, tag: own });
      else if (tag.purpose === "member") strangers.push({ name: domain.name, reason: strangeness(domain, tag)! });
      else if (tag.purpose === "helper" && isHelperDomain(request.fleetId, domain.name)) helpers.push(domain);
    } else if (domain.name.startsWith(`${request.namePrefix}-`)) foreign.push(domain.name);
  }));
  return { all: every, members, strangers, helpers: helpers.sort((a, b) => (a.name < b.name ? -1 : 1)), foreign };
}

interface OwnVolumes {
  own: OwnVolume[];
  held: ReachableHost["heldGenerations"];
  /** Names of all that the pool has. */
  names: ReadonlySet<string>;
}
const NO_VOLUMES: OwnVolumes = { own: [], held: [], names: new Set() };

/** Ours, with their facts; a file that has a mark's very name and is none is somebody's. */
async function ownVolumes(client: LibvirtClient, { pool }: PoolFacts, scope: VolumeScope): Promise<OwnVolumes> {
  const listed = await client.listVolumes(pool);
  const own = await Promise.all(listed.map(async (volume) => {
    const name = parseVolumeName(scope, volume.name);
    const facts = name ? await factsUnlessGone(client, volume) : null;
    return name && facts && (!isMark(name) || looksLikeMark(facts)) ? { name, facts } : null;
  }));
  return {
    own: own.filter((v) => v !== null).sort((a, b) => compare(a.facts.volume, b.facts.volume)),
    held: listed.flatMap(({ name }) => heldGeneration(scope, name) ?? []),
    names: new Set(listed.map(({ name }) => name)),
  };
}

interface SeenMember {
  member: ObservedMember;
  domain: Domain;
  flat: boolean;
  /** Volumes that tell its guest who it is, by its definitions. */
  told: string[];
}

async function observeMember(
  client: LibvirtClient, { domain, tag }: OwnDomain, { own: volumes, names }: OwnVolumes, home: PoolFacts | null, scope: VolumeScope,
): Promise<SeenMember | { stranger: ReachableHost["strangers"][number] }> {
  const state = await client.domainState(domain);
  const texts = [await client.domainXml(domain), await client.domainXml(domain, Flag.xmlInactive)];
  const live = parseXml(texts[0]!);
  // What it will start with: that is what a change is made to, and what a change is compared with.
  const defined = parseXml(texts[1]!);
  const [running, starting] = [imagePaths(live, tag), imagePaths(defined, tag)];
  const stands = standing(tag, [...running, ...starting], scope, isActive(state), (volume) => names.has(volume));
  if (typeof stands === "object") return { stranger: { name: domain.name, reason: stands.reason } };
  const node = at(defined, "domain");
  const chains = running.map((path) => chainOf(path ?? "", volumes));
  const chain = chains[0]?.length === 0 ? [] : chains.flat(); // what stands first is the first disk's
  const isAt = (kind: "base" | "delta") => (path: string | undefined, disk: number): boolean => baseName(path) === memberImage(scope, kind, tag, disk);
  const flat = tag.kind === "full" && [running, starting].every((paths) => paths.every(isAt("base")));
  const isKnown = [running, starting].every((paths) => paths.every((path, disk) => isAt("base")(path, disk) || isAt("delta")(path, disk)));
  const [toldLive, toldDefined] = [toldBy(live, scope, tag), toldBy(defined, scope, tag)];
  const isTold = tag.guest !== undefined && toldDefined.some((volume) => names.has(volume));
  const attached = ownDataDisks(scope, tag, [live, defined].flatMap(attachedDisks));
  const disks = (await Promise.all(attached.map(async ({ volume, path, label, onDelete }) => {
    const facts = volumes.find((one) => one.facts.volume === volume)?.facts;
    // What is listed here under that name is not it where its file is another pool's.
    const isHere = facts !== undefined && (path === undefined || facts.path === path);
    const elsewhere = isHere || !home ? null : await volumeAt({ client, pool: home.pool }, volume, path);
    const found = elsewhere?.facts ?? facts;
    return found ? [{ ...info(found), label, onDelete, ...(elsewhere && elsewhere.pool.name !== home!.pool.name && { store: elsewhere.pool.name }) }] : [];
  }))).flat();
  const member: ObservedMember = {
    ...(stands === "displaced" && { displaced: true }),
    slot: tag.slot,
    name: domain.name,
    uuid: text(node, "uuid") ?? "",
    kind: tag.kind,
    generation: tag.generation,
    incarnation: tag.incarnation,
    contentId: tag.contentId,
    cardAddresses: all(node, "devices", "interface").map((nic) => text(nic, "mac", "@address") ?? ""),
    power: powerOf(state),
    base: baseState(tag, flat, isKnown),
    chain,
    disks,
    numCpus: Number(text(node, "vcpu") ?? 1),
    memory: memoryIn(node, "memory"),
    ...atFirst(node),
    ...(powerOf(state) === "running" && { running: runningHardware(at(live, "domain")) }),
    networks: cardPlaces(node),
    ...(tag.hardware === "template" && { inherits: true }),
    ...(isTold && { guest: tag.guest }),
    ...(tag.configuring && { configuring: true }),
    agentChannel: hasAgentChannel(node),
  };
  return { member, domain, flat, told: [...toldLive, ...toldDefined] };
}

/**
 * The tag, corrected by what the disk shows. A member on a disk that is neither its base nor its delta (somebody's
 * snapshot or copy) counts as merged: its base is no source, and nothing of it is merged by us.
 */
function baseState(tag: MemberTag, flat: boolean, isKnown: boolean): ObservedMember["base"] {
  if (tag.base === "arriving" || tag.base === "arrived") return tag.base;
  if (tag.kind === "linked") return "replica";
  return flat || !isKnown ? "consolidated" : tag.base;
}

const memoryIn = (domain: unknown, name: "memory" | "currentMemory"): number => toMebibytes(Number(text(domain, name) ?? 0), text(at(domain, name), "@unit") ?? "KiB");
const cpusIn = (domain: unknown): number => Number(text(domain, "vcpu") ?? 1);

function atFirst(domain: unknown): Pick<ObservedMember, "atFirst"> {
  const numCpus = Number(text(domain, "vcpu", "@current") ?? cpusIn(domain));
  const memory = at(domain, "currentMemory") === undefined ? memoryIn(domain, "memory") : memoryIn(domain, "currentMemory");
  return numCpus < cpusIn(domain) || memory < memoryIn(domain, "memory") ? { atFirst: { numCpus, memory } } : {};
}

/** Of the definition that it runs with. */
const runningHardware = (domain: unknown): NonNullable<ObservedMember["running"]> => ({
  numCpus: Number(text(domain, "vcpu", "@current") ?? cpusIn(domain)), maxCpus: cpusIn(domain), maxMemory: memoryIn(domain, "memory"),
  hasBalloon: (text(domain, "devices", "memballoon", "@model") ?? "none") !== "none",
});

const toMebibytes = (amount: number, unit: string): number =>
  Math.round(unit === "MiB" ? amount : unit === "GiB" ? amount * 1024 : unit === "KiB" ? amount / 1024 : amount / 1_048_576);

export function powerOf(state: number): PowerState {
  if (state === DomainState.paused || state === DomainState.pmsuspended) return "paused";
  return isActive(state) ? "running" : "stopped";
}

const info = ({ volume, path, format, capacityBytes, allocationBytes }: VolumeFacts): DiskInfo => ({ name: volume, path, format, capacityBytes, allocationBytes });

/** Follows the images' own headers from the disk the domain has; by last names, since a pool's path may have aliases. */
function chainOf(path: string, volumes: OwnVolume[]): DiskInfo[] {
  const chain: DiskInfo[] = [];
  const byName = new Map(volumes.map((v) => [v.facts.volume, v.facts]));
  for (let facts = byName.get(baseName(path) ?? ""); facts && chain.length < 16; facts = byName.get(baseName(facts.backingPath) ?? "")) {
    chain.push(info(facts));
  }
  return chain;
}

function replicas(volumes: OwnVolume[], members: ObservedMember[]): ObservedReplica[] {
  return volumes.flatMap(({ name, facts }) => {
    if ((name.kind !== "replica" && name.kind !== "template") || name.disk !== undefined) return [];
    const marker = volumes.find((v) => isMarkerOf(v.name, name))?.name;
    if (marker?.kind !== "complete") return [];
    const others = otherDisks(volumes, name, marker.contentId);
    if (!others) return []; // somebody took one of its disks away
    // By its tag too: a member that somebody took a snapshot of shows no chain of ours, and stands on it all the same.
    const users = members.filter((m) => (name.kind === "replica" && m.kind === "linked" && m.contentId === marker.contentId) ||
      m.chain.some((disk) => disk.name === facts.volume)).map((m) => m.slot);
    return [{ contentId: marker.contentId, purpose: name.kind, disk: info(facts), ...(others.length > 0 && { others: others.map(info) }), users }];
  });
}

/** Of an image beside its first. Undefined: one is not there. */
function otherDisks(volumes: readonly OwnVolume[], first: Extract<VolumeName, { kind: "replica" | "template" }>, contentId: string): VolumeFacts[] | undefined {
  const found = disksOf(contentId).slice(1).map((disk) => volumes.find(({ name }) => (
    name.kind === first.kind && name.disk === disk && name.contentPrefix === first.contentPrefix && name.format === first.format))?.facts);
  return found.every((facts) => facts !== undefined) ? found : undefined;
}

const withMemory = (memory: ReachableHost["memory"]): Pick<ReachableHost, "memory"> => (memory ? { memory } : {});
