import type {
  DiskInfo, ObservedMember, ObservedPartial, ObservedReplica, PowerState, ReachableHost,
} from "../../fleet/model";
import type { ObserveRequest } from "../hypervisor";
import { isActive } from "./member";
import { contentPrefix, isHelperDomain, parseVolumeName, type VolumeName, type VolumeScope } from "./names";
import { preflightHost } from "./preflight";
import type { Domain, LibvirtClient, Pool } from "./rpc/client";
import { LibvirtError } from "./rpc/errors";
import { DomainState } from "./rpc/protocol";
import type { HostSession } from "./session";
import { parseTag, TAG_URI, type MemberTag } from "./tags";
import { all, at, parseXml, text } from "./xml";
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
    const usable = pool !== null && (await client.poolIsActive(pool.pool));
    if (usable && request.preflight) await client.refreshPool(pool.pool).catch(ignoreLibvirt);
    const domains = await ownDomains(client, request);
    const volumes = usable ? await ownVolumes(client, pool.pool, scope) : [];
    const members = await Promise.all(domains.members.map((m) => observeMember(client, m, volumes)));
    return {
      status: "reachable",
      name: session.name,
      uuid,
      hypervisorVersion: versionText(await client.libVersion()),
      members: members.sort((a, b) => a.slot - b.slot || a.generation - b.generation),
      replicas: replicas(volumes, members),
      partials: [...partialVolumes(volumes, members), ...domains.helpers.map((d): ObservedPartial => ({ kind: "domain", name: d.name, bytes: 0 }))],
      kept: keptDisks(volumes, members),
      foreignNames: domains.foreign.sort(),
      poolFreeBytes: usable ? (await client.poolInfo(pool.pool)).available : 0,
      problems,
    };
  });
}

const ignoreLibvirt = (error: unknown): void => {
  if (!(error instanceof LibvirtError)) throw error; // a pool with a job under way cannot be refreshed; nor need it be
};

const versionText = (n: number): string => `libvirt ${Math.floor(n / 1_000_000)}.${Math.floor(n / 1_000) % 1_000}.${n % 1_000}`;

interface OwnDomain {
  domain: Domain;
  tag: MemberTag;
}

async function ownDomains(client: LibvirtClient, request: ObserveRequest): Promise<{ members: OwnDomain[]; helpers: Domain[]; foreign: string[] }> {
  const members: OwnDomain[] = [];
  const helpers: Domain[] = [];
  const foreign: string[] = [];
  await Promise.all((await client.listDomains()).map(async (domain) => {
    const xml = await client.getMetadata(domain, TAG_URI);
    const tag = xml === null ? null : parseTag(xml);
    if (tag?.fleetId === request.fleetId) {
      if (tag.purpose === "member") members.push({ domain, tag });
      else if (tag.purpose === "helper" && isHelperDomain(request.fleetId, domain.name)) helpers.push(domain);
    } else if (domain.name.startsWith(`${request.namePrefix}-`)) foreign.push(domain.name);
  }));
  return { members, helpers: helpers.sort((a, b) => (a.name < b.name ? -1 : 1)), foreign };
}

interface OwnVolume {
  name: VolumeName;
  facts: VolumeFacts;
}

async function ownVolumes(client: LibvirtClient, pool: Pool, scope: VolumeScope): Promise<OwnVolume[]> {
  const found = await Promise.all((await client.listVolumes(pool)).map(async (volume) => {
    const name = parseVolumeName(scope, volume.name);
    if (!name) return null;
    try {
      return { name, facts: await volumeFacts(client, volume) };
    } catch (error) {
      if (error instanceof LibvirtError) return null; // listed, but its file is gone
      throw error;
    }
  }));
  return found.filter((v) => v !== null).sort((a, b) => (a.facts.volume < b.facts.volume ? -1 : 1));
}

async function observeMember(client: LibvirtClient, { domain, tag }: OwnDomain, volumes: OwnVolume[]): Promise<ObservedMember> {
  const state = await client.domainState(domain);
  const node = at(parseXml(await client.domainXml(domain)), "domain");
  const paths = all(node, "devices", "disk").map((disk) => text(disk, "source", "@file") ?? "");
  const chain = chainOf(paths[0] ?? "", volumes);
  const disks = volumes.flatMap(({ name, facts }) =>
    name.kind === "disk" && name.slot === tag.slot && name.generation === tag.generation
      ? [{ ...info(facts), label: name.label, onDelete: name.onDelete }]
      : []);
  return {
    slot: tag.slot,
    name: domain.name,
    uuid: text(node, "uuid") ?? "",
    kind: tag.kind,
    generation: tag.generation,
    incarnation: tag.incarnation,
    contentId: tag.contentId,
    macs: all(node, "devices", "interface").map((nic) => text(nic, "mac", "@address") ?? ""),
    power: powerOf(state),
    // A chain of one is flat, whatever the tag still says after a crash between pivot and tag.
    base: tag.kind === "full" && chain.length === 1 && tag.base === "consolidating" ? "consolidated" : tag.base,
    chain,
    disks,
    numCpus: Number(text(node, "vcpu") ?? 1),
    memory: toMebibytes(Number(text(node, "memory") ?? 0), text(at(node, "memory"), "@unit") ?? "KiB"),
    networks: all(node, "devices", "interface").map((nic) => text(nic, "source", "@network") ?? ""),
  };
}

const toMebibytes = (amount: number, unit: string): number =>
  Math.round(unit === "MiB" ? amount : unit === "GiB" ? amount * 1024 : unit === "KiB" ? amount / 1024 : amount / 1_048_576);

export function powerOf(state: number): PowerState {
  if (state === DomainState.paused || state === DomainState.pmsuspended) return "paused";
  return isActive(state) ? "running" : "stopped";
}

const info = ({ volume, path, format, capacityBytes, allocationBytes }: DiskInfo): DiskInfo => ({ volume, path, format, capacityBytes, allocationBytes });

/** Follows the images' own headers from the disk the domain has. */
function chainOf(path: string, volumes: OwnVolume[]): DiskInfo[] {
  const chain: DiskInfo[] = [];
  const byPath = new Map(volumes.map((v) => [v.facts.path, v.facts]));
  for (let facts = byPath.get(path); facts && chain.length < 16; facts = byPath.get(facts.backingPath ?? "")) chain.push(info(facts));
  return chain;
}

const isMarkerOf = (marker: VolumeName, image: Extract<VolumeName, { kind: "replica" | "template" }>): boolean =>
  marker.kind === "complete" && marker.of === image.kind && contentPrefix(marker.contentId) === image.contentPrefix;

function replicas(volumes: OwnVolume[], members: ObservedMember[]): ObservedReplica[] {
  return volumes.flatMap(({ name, facts }) => {
    if (name.kind !== "replica" && name.kind !== "template") return [];
    const marker = volumes.find((v) => isMarkerOf(v.name, name))?.name;
    if (marker?.kind !== "complete") return [];
    const users = members.filter((m) => m.chain.some((disk) => disk.path === facts.path)).map((m) => m.slot);
    return [{ contentId: marker.contentId, purpose: name.kind, disk: info(facts), users }];
  });
}

/** Volumes of ours that belong to no whole thing. A disk to keep is one only while its `pending` mark exists. */
function partialVolumes(volumes: OwnVolume[], members: ObservedMember[]): ObservedPartial[] {
  const used = new Set(members.flatMap((m) => [...m.chain, ...m.disks].map((disk) => disk.volume)));
  const names = volumes.map((v) => v.name);
  const isPartial = (name: VolumeName, volume: string): boolean => {
    if (used.has(volume)) return false;
    switch (name.kind) {
      case "base":
      case "delta":
      case "pending":
        return true;
      case "disk":
        return name.onDelete === "delete" ||
          names.some((p) => p.kind === "pending" && p.slot === name.slot && p.generation === name.generation && p.label === name.label);
      case "replica":
      case "template":
        return !names.some((marker) => isMarkerOf(marker, name));
      case "complete":
        return !names.some((n) => (n.kind === "replica" || n.kind === "template") && isMarkerOf(name, n));
    }
  };
  return volumes.filter((v) => isPartial(v.name, v.facts.volume)).map(({ name, facts }) => ({
    kind: "volume", name: facts.volume, bytes: facts.allocationBytes, ...("slot" in name ? { slot: name.slot } : {}),
  }));
}

function keptDisks(volumes: OwnVolume[], members: ObservedMember[]): ReachableHost["kept"] {
  const partial = new Set(partialVolumes(volumes, members).map((p) => p.name));
  return volumes.flatMap(({ name, facts }) =>
    name.kind === "disk" && name.onDelete === "keep" && !partial.has(facts.volume) &&
    !members.some((m) => m.slot === name.slot && m.generation === name.generation)
      ? [{ slot: name.slot, generation: name.generation, label: name.label, volume: facts.volume }]
      : []);
}

