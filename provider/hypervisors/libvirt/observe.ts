import type { DiskInfo, ObservedMember, ObservedPartial, ObservedReplica, PowerState, ReachableHost } from "../../fleet/model";
import { isUnarrived } from "../../fleet/arrival";
import { UNKNOWN_ROOM_BYTES } from "../../fleet/room";
import type { ObserveRequest } from "../hypervisor";
import { baseName, filesInUse, isOwnDisk, rootPath } from "./domainDisks";
import { asPartials, hostUp } from "./arrivals";
import { isMarkerOf, keptDisks, leftoverVolumes, type Owner, type OwnVolume } from "./leftovers";
import { isActive } from "./member";
import { heldGeneration, isHelperDomain, parseVolumeName, volumeName, type VolumeScope } from "./names";
import { knownRoom, poolRoom, type PoolRoom } from "./poolRoom";
import { preflightHost } from "./preflight";
import type { Domain, LibvirtClient } from "./rpc/client";
import { isLibvirtError, LibvirtError } from "./rpc/errors";
import { DomainState, ErrorCode, Flag } from "./rpc/protocol";
import type { HostSession, PoolFacts } from "./session";
import { parseTag, TAG_URI, tagFleetId, type MemberTag } from "./tags";
import { all, at, parseXml, text, type ParsedXml } from "./xml";
import { volumeFacts, type VolumeFacts } from "./volumes";

/**
 * All of one fleet on one host. Any error but a volume that vanished meanwhile fails the whole look: a host half seen
 * must never pass for a host with less on it, or its disks would look like leftovers.
 */
export async function observeHost(session: HostSession, request: ObserveRequest): Promise<ReachableHost> {
  const uuid = await session.uuid();
  const scope: VolumeScope = { fleetId: request.fleetId, hostUuid: uuid };
  const pool = await session.poolFacts();
  return session.run("observe", async (client) => {
    const problems = request.preflight ? await preflightHost(client, session.spec, pool, request) : [];
    const usable = pool !== null && (await client.poolIsActive(pool.pool)) ? pool : null;
    // Before the volumes are listed: a pool that is too busy to be looked at shows what libvirt saw last.
    const room = usable ? request.preflight ? await poolRoom(client, usable.pool, PREFLIGHT_BUSY_MS) : await knownRoom(client, usable.pool) : null;
    const domains = await ownDomains(client, request);
    if (!usable && (domains.members.length > 0 || !request.preflight)) {
      throw new Error(`its storage pool ${session.spec.pool} is ${pool ? "not active: virsh pool-start it" : "not there"}, so what this fleet has in it cannot be seen`);
    }
    const volumes = usable ? await ownVolumes(client, usable, scope) : { own: [], held: [], foreignBackings: () => Promise.resolve(new Set<string>()) };
    const seen = await Promise.all(domains.members.map((m) => observeMember(client, m, volumes.own, scope)));
    const owners = seen.map(({ member, flat }): Owner => ({ ...member, flat, unarrived: isUnarrived(member) }));
    const members = seen.map(({ member }) => member).sort((a, b) => a.slot - b.slot || a.generation - b.generation);
    const leftovers = await unreferenced(client, leftoverVolumes(volumes.own, owners), domains.all, volumes.foreignBackings);
    return {
      status: "reachable",
      name: session.name,
      uuid,
      hypervisorVersion: versionText(await client.libVersion()),
      members,
      replicas: replicas(volumes.own, members),
      partials: [
        ...asPartials(leftovers, leftovers.some(({ name }) => name.kind === "arriving") ? await hostUp(client) : null),
        ...domains.helpers.map((d): ObservedPartial => ({ kind: "domain", name: d.name, bytes: 0 })),
      ],
      kept: keptDisks(volumes.own, owners),
      strangers: [],
      heldGenerations: volumes.held,
      foreignNames: domains.foreign.sort(),
      ...roomOf(room),
      ...(usable?.store !== undefined && { store: usable.store }),
      problems,
    };
  });
}

/** Of the time one look has, while the pool is busy: its last figures will have to do then. */
const PREFLIGHT_BUSY_MS = 2_000;

function roomOf(room: PoolRoom | null): Pick<ReachableHost, "poolFreeBytes" | "poolCapacityBytes" | "roomUnknown"> {
  if (room === null) return { poolFreeBytes: 0 };
  if ("unknown" in room) return { poolFreeBytes: UNKNOWN_ROOM_BYTES, roomUnknown: room.unknown };
  return { poolFreeBytes: room.freeBytes, poolCapacityBytes: room.capacityBytes };
}

const versionText = (n: number): string => `libvirt ${Math.floor(n / 1_000_000)}.${Math.floor(n / 1_000) % 1_000}.${n % 1_000}`;

interface OwnDomain {
  domain: Domain;
  tag: MemberTag;
}

async function ownDomains(
  client: LibvirtClient, request: ObserveRequest,
): Promise<{ all: Domain[]; members: OwnDomain[]; helpers: Domain[]; foreign: string[] }> {
  const every = await client.listDomains();
  const members: OwnDomain[] = [];
  const helpers: Domain[] = [];
  const foreign: string[] = [];
  await Promise.all(every.map(async (domain) => {
    const xml = await client.getMetadata(domain, TAG_URI);
    const tag = xml === null ? null : parseTag(xml);
    if (xml !== null && tag === null && tagFleetId(xml) === request.fleetId) {
      throw new Error(`${domain.name} bears a tag of this fleet that this version does not understand: use the version that made it, or a newer one`);
    }
    if (tag?.fleetId === request.fleetId) {
      if (tag.purpose === "member") members.push({ domain, tag });
      else if (tag.purpose === "helper" && isHelperDomain(request.fleetId, domain.name)) helpers.push(domain);
    } else if (domain.name.startsWith(`${request.namePrefix}-`)) foreign.push(domain.name);
  }));
  return { all: every, members, helpers: helpers.sort((a, b) => (a.name < b.name ? -1 : 1)), foreign };
}

/** Ours, with their facts; and a way to ask, where it matters, what other images of the pool stand on. */
async function ownVolumes(client: LibvirtClient, { pool }: PoolFacts, scope: VolumeScope): Promise<{ own: OwnVolume[]; held: ReachableHost["heldGenerations"]; foreignBackings(): Promise<Set<string>> }> {
  const listed = await client.listVolumes(pool);
  const named = listed.map((volume) => ({ volume, name: parseVolumeName(scope, volume.name) }));
  const own = await Promise.all(named.map(async ({ volume, name }) => {
    const facts = name ? await factsOf(client, volume) : null;
    return name && facts ? { name, facts } : null;
  }));
  return {
    own: own.filter((v) => v !== null).sort((a, b) => (a.facts.volume < b.facts.volume ? -1 : 1)),
    held: listed.flatMap(({ name }) => heldGeneration(scope, name) ?? []),
    foreignBackings: async () => {
      const others = await Promise.all(named.filter(({ name }) => !name).map(({ volume }) => factsOf(client, volume)));
      return new Set(others.flatMap((facts) => baseName(facts?.backingPath) ?? []));
    },
  };
}

/** Of Linux, as libvirt passes it on. */
const ENOENT = 2;

/** Null: listed, but its file is gone. */
async function factsOf(client: LibvirtClient, volume: Parameters<typeof volumeFacts>[1]): Promise<VolumeFacts | null> {
  try {
    return await volumeFacts(client, volume);
  } catch (error) {
    if (isLibvirtError(error, ErrorCode.noStorageVol) || (error instanceof LibvirtError && error.errno === ENOENT)) return null;
    throw error;
  }
}

/** The last guard: whatever any domain of the host names, or any other image stands on, is in use, whoever made it so. */
async function unreferenced(
  client: LibvirtClient, leftovers: OwnVolume[], domains: Domain[], foreignBackings: () => Promise<Set<string>>,
): Promise<OwnVolume[]> {
  if (leftovers.length === 0) return [];
  const inUse = await filesInUse(client, domains.filter((d) => !d.name.startsWith("vmfleet-helper-")));
  const backings = await foreignBackings();
  return leftovers.filter(({ facts }) => !inUse.has(facts.volume) && !backings.has(facts.volume));
}

async function observeMember(
  client: LibvirtClient, { domain, tag }: OwnDomain, volumes: OwnVolume[], scope: VolumeScope,
): Promise<{ member: ObservedMember; flat: boolean }> {
  const state = await client.domainState(domain);
  const live = parseXml(await client.domainXml(domain));
  // What it will start with: that is what a change is made to, and what a change is compared with.
  const defined = parseXml(await client.domainXml(domain, Flag.xmlInactive));
  const node = at(defined, "domain");
  const chain = chainOf(rootPath(live) ?? "", volumes);
  const own = volumeName(scope, { kind: "base", slot: tag.slot, generation: tag.generation });
  const flat = tag.kind === "full" && [live, defined].every((xml) => baseName(rootPath(xml)) === own);
  const disks = volumes.flatMap(({ name, facts }) =>
    name.kind === "disk" && name.slot === tag.slot && name.generation === tag.generation
      ? [{ ...info(facts), label: name.label, onDelete: name.onDelete }]
      : []);
  const member: ObservedMember = {
    slot: tag.slot,
    name: domain.name,
    uuid: text(node, "uuid") ?? "",
    kind: tag.kind,
    generation: tag.generation,
    incarnation: tag.incarnation,
    contentId: tag.contentId,
    macs: all(node, "devices", "interface").map((nic) => text(nic, "mac", "@address") ?? ""),
    power: powerOf(state),
    base: baseState(tag, flat, [live, defined], scope),
    chain,
    disks,
    numCpus: Number(text(node, "vcpu") ?? 1),
    memory: toMebibytes(Number(text(node, "memory") ?? 0), text(at(node, "memory"), "@unit") ?? "KiB"),
    networks: all(node, "devices", "interface").map((nic) => text(nic, "source", "@network") ?? ""),
  };
  return { member, flat };
}

/**
 * The tag, corrected by what the disk shows. A member on a disk that is neither its base nor its delta (somebody's
 * snapshot or copy) counts as merged: its base is no source, and nothing of it is merged by us.
 */
function baseState(tag: MemberTag, flat: boolean, xmls: ParsedXml[], scope: VolumeScope): ObservedMember["base"] {
  if (tag.base === "arriving" || tag.base === "arrived") return tag.base;
  if (tag.kind === "linked") return "replica";
  const delta = volumeName(scope, { kind: "delta", slot: tag.slot, generation: tag.generation });
  const base = volumeName(scope, { kind: "base", slot: tag.slot, generation: tag.generation });
  const known = xmls.every((xml) => isOwnDisk(baseName(rootPath(xml)), [base, delta]));
  return flat || !known ? "consolidated" : tag.base;
}

const toMebibytes = (amount: number, unit: string): number =>
  Math.round(unit === "MiB" ? amount : unit === "GiB" ? amount * 1024 : unit === "KiB" ? amount / 1024 : amount / 1_048_576);

export function powerOf(state: number): PowerState {
  if (state === DomainState.paused || state === DomainState.pmsuspended) return "paused";
  return isActive(state) ? "running" : "stopped";
}

const info = ({ volume, path, format, capacityBytes, allocationBytes }: DiskInfo): DiskInfo => ({ volume, path, format, capacityBytes, allocationBytes });

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
    if (name.kind !== "replica" && name.kind !== "template") return [];
    const marker = volumes.find((v) => isMarkerOf(v.name, name))?.name;
    if (marker?.kind !== "complete") return [];
    // By its tag too: a member that somebody took a snapshot of shows no chain of ours, and stands on it all the same.
    const users = members.filter((m) => (name.kind === "replica" && m.kind === "linked" && m.contentId === marker.contentId) ||
      m.chain.some((disk) => disk.volume === facts.volume)).map((m) => m.slot);
    return [{ contentId: marker.contentId, purpose: name.kind, disk: info(facts), users }];
  });
}
