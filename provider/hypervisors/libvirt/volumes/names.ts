import { createHash } from "node:crypto";

/**
 * Names are libvirt's only place to keep facts about a volume, and it cannot rename one. So each volume has its final
 * name from the start: fleet id, slot, generation, purpose, separated by dots, which none of them can hold
 * (DESIGN.md section 4). A data disk's label, which stands last, may: it is all that is left. A hash of the host's uuid stands in it too: hosts may share a pool (NFS), and what one host's
 * members own must never look like another host's leftover. A hash, not a part: vendors' uuids begin alike.
 */

/** Whose volumes: a fleet's, on one host. */
export interface VolumeScope {
  fleetId: string;
  hostUuid: string;
}

/** Tells one run of a host from the next. Seconds since 1970 by our clock, and since its start by its own. */
export interface HostUp {
  bootSeconds: number;
  upSeconds: number;
}

/** Which of an image's disks, in its order. Absent: the first, whose names are as they were when images had one disk. */
export interface OfDisk {
  disk?: number;
}

/** The images that a member's cloned disks consist of. */
export type MemberImageKind = "base" | "delta" | "early";

export type VolumeName =
  /** early: what the guest writes while its base or replica is still arriving. */
  | ({ kind: MemberImageKind; slot: number; generation: number } & OfDisk)
  /** Tells the guest who it is (identity/volume.ts). */
  | { kind: "identity" | "ignition"; slot: number; generation: number }
  /** What a member's firmware keeps: boot entries, keys. */
  | { kind: "firmware"; slot: number; generation: number }
  | { kind: "disk"; slot: number; generation: number; label: string; onDelete: "delete" | "keep" }
  /**
   * Exists while a data disk has no member yet: told apart from a disk whose member was removed. It is in the fleet's own
   * pool, whatever pool (`poolKey`) the disk is in.
   */
  | { kind: "pending"; slot: number; generation: number; label: string; pool?: string }
  /** Exists while a copy is not whole: of what, and since when its host was up when it began (arrivals.ts). */
  | ({ kind: "arriving"; of: "base"; slot: number; generation: number; contentId: string; since: HostUp } & OfDisk)
  | ({ kind: "arriving"; of: "replica"; contentId: string; since: HostUp } & OfDisk)
  | ({ kind: "replica" | "template"; contentPrefix: string; format: "qcow2" | "raw" } & OfDisk)
  /** Of a sparse image, in its copy's helper. */
  | { kind: "map"; id: string }
  /** All disks of the image are whole. */
  | { kind: "complete"; of: "replica" | "template"; contentId: string };

const CONTENT_PREFIX = 16;
const HOST_HASH = 12;
const hostKey = (uuid: string): string => createHash("sha256").update(uuid.toLowerCase()).digest("hex").slice(0, HOST_HASH);
/** Of a pool of the host's beside the fleet's own: a name may hold any character. */
export const poolKey = (pool: string): string => createHash("sha256").update(pool).digest("hex").slice(0, HOST_HASH);
const prefix = (scope: VolumeScope): string => `vmfleet-${scope.fleetId}.${hostKey(scope.hostUuid)}.`;

export function volumeName(scope: VolumeScope, name: VolumeName): string {
  const head = prefix(scope);
  switch (name.kind) {
    case "base":
    case "delta":
    case "early":
      return `${head}s${name.slot}.g${name.generation}.${name.kind}${ofDisk(name)}.qcow2`;
    case "identity":
      return `${head}s${name.slot}.g${name.generation}.identity.raw`;
    case "ignition":
      return `${head}s${name.slot}.g${name.generation}.ignition.json`;
    case "firmware":
      return `${head}s${name.slot}.g${name.generation}.firmware.fd`;
    case "disk":
      return `${head}s${name.slot}.g${name.generation}.disk-${name.onDelete}.${name.label}.qcow2`;
    case "pending":
      return `${head}s${name.slot}.g${name.generation}.pending${name.pool === undefined ? "" : `-${name.pool}`}.${name.label}`;
    case "arriving": {
      const of = name.of === "base" ? `s${name.slot}.g${name.generation}` : name.of;
      return `${head}${of}.arriving${ofDisk(name)}.${name.contentId}.${name.since.bootSeconds}-${name.since.upSeconds}`;
    }
    case "replica":
    case "template":
      return `${head}${name.kind}${ofDisk(name)}.${name.contentPrefix}.${name.format}`;
    case "map":
      return `${head}map.${name.id}`;
    case "complete":
      return `${head}${name.of}.${name.contentId}.complete`;
  }
}

const ofDisk = ({ disk = 0 }: OfDisk): string => (disk === 0 ? "" : `-${disk}`);
const readDisk = (digits: string | undefined): OfDisk => (digits === undefined ? {} : { disk: Number(digits) });

export const contentPrefix = (contentId: string): string => contentId.slice(0, CONTENT_PREFIX);

/**
 * Null: not a volume of this fleet on this host. A name with our prefix that fits no pattern is nobody's and is left alone,
 * and so is one that we would write otherwise, such as `s07` for slot 7.
 */
export function parseVolumeName(scope: VolumeScope, text: string): VolumeName | null {
  const name = readVolumeName(scope, text);
  return name && volumeName(scope, name) === text ? name : null;
}

function readVolumeName(scope: VolumeScope, text: string): VolumeName | null {
  const head = prefix(scope);
  if (!text.startsWith(head)) return null;
  const rest = text.slice(head.length);
  let m = /^s(\d+)\.g(\d+)\.(base|delta|early)(?:-([1-9]\d*))?\.qcow2$/.exec(rest);
  if (m) return { kind: m[3] as MemberImageKind, slot: Number(m[1]), generation: Number(m[2]), ...readDisk(m[4]) };
  m = /^s(\d+)\.g(\d+)\.(identity\.raw|ignition\.json)$/.exec(rest);
  if (m) return { kind: m[3] === "identity.raw" ? "identity" : "ignition", slot: Number(m[1]), generation: Number(m[2]) };
  m = /^s(\d+)\.g(\d+)\.firmware\.fd$/.exec(rest);
  if (m) return { kind: "firmware", slot: Number(m[1]), generation: Number(m[2]) };
  m = /^s(\d+)\.g(\d+)\.disk-(delete|keep)\.(.+)\.qcow2$/.exec(rest);
  if (m) {
    return { kind: "disk", slot: Number(m[1]), generation: Number(m[2]), onDelete: m[3] as "delete" | "keep", label: m[4]! };
  }
  m = /^s(\d+)\.g(\d+)\.pending(?:-([0-9a-f]{12}))?\.(.+)$/.exec(rest);
  if (m) return { kind: "pending", slot: Number(m[1]), generation: Number(m[2]), label: m[4]!, ...(m[3] !== undefined && { pool: m[3] }) };
  m = /^(?:s(\d+)\.g(\d+)|replica)\.arriving(?:-([1-9]\d*))?\.([0-9a-f]+)\.(\d+)-(\d+)$/.exec(rest);
  if (m) {
    const facts = { ...readDisk(m[3]), contentId: m[4]!, since: { bootSeconds: Number(m[5]), upSeconds: Number(m[6]) } };
    if (m[1] === undefined) return { kind: "arriving", of: "replica", ...facts };
    return { kind: "arriving", of: "base", slot: Number(m[1]), generation: Number(m[2]), ...facts };
  }
  m = /^(replica|template)(?:-([1-9]\d*))?\.([0-9a-f]+)\.(qcow2|raw)$/.exec(rest);
  if (m) return { kind: m[1] as "replica" | "template", ...readDisk(m[2]), contentPrefix: m[3]!, format: m[4] as "qcow2" | "raw" };
  m = /^map\.([0-9a-f]+)$/.exec(rest);
  if (m) return { kind: "map", id: m[1]! };
  m = /^(replica|template)\.([0-9a-f]+)\.complete$/.exec(rest);
  if (m) return { kind: "complete", of: m[1] as "replica" | "template", contentId: m[2]! };
  return null;
}

/** Of whatever fleet's. @param path of its file */
export const isIgnitionVolume = (path: string): boolean => /(^|\/)vmfleet-[^/]*\.ignition\.json$/.test(path);

/** A volume of this fleet's on another host, by its name. */
export const isOtherHostsVolume = ({ fleetId, hostUuid }: VolumeScope, text: string): boolean => {
  const m = /^vmfleet-([^.]+)\.([0-9a-f]+)\./.exec(text);
  return m !== null && m[1] === fleetId && m[2] !== hostKey(hostUuid);
};

/**
 * The slot and generation that a name of this fleet's on this host begins with, whatever follows: somebody's copy of a
 * disk (`….data-clone.qcow2`) takes its name from ours, and what is made next must not meet it.
 */
export function heldGeneration(scope: VolumeScope, text: string): { slot: number; generation: number } | null {
  const head = prefix(scope);
  const m = text.startsWith(head) ? /^s(\d+)\.g(\d+)\./.exec(text.slice(head.length)) : null;
  return m && { slot: Number(m[1]), generation: Number(m[2]) };
}

export const lockDomainName = (fleetId: string): string => `vmfleet-lock-${fleetId}`;
export const helperDomainName = (fleetId: string, random: string): string => `vmfleet-helper-${fleetId}.${random}`;
export const isHelperDomain = (fleetId: string, name: string): boolean => name.startsWith(`vmfleet-helper-${fleetId}.`);
