import { posix } from "node:path";
import type { TemplateDisks, TemplateProblem } from "../../../fleet/model";
import { MAX_IMAGE_DISKS } from "../volumes/contentId";
import { isImage } from "../guard/domainImages";
import { mayName, type DomainText, type ImageUser } from "../guard/imageUse";
import { MAX_CHAIN } from "./chain";
import type { LibvirtClient } from "../rpc/client";
import type { Pool, Volume } from "../rpc/handles";
import type { PoolAt } from "../rpc/poolAt";
import { LibvirtError } from "../rpc/errors";
import { all, at, parseXml, text, type ParsedXml } from "../xml/xml";
import type { VolumeFacts } from "../volumes/volumes";

/** Why the declared template is none. */
export class TemplateProblemError extends Error {
  constructor(readonly problem: TemplateProblem) {
    super(problem.message);
  }
}

export type TemplateProperty = NonNullable<TemplateProblem["property"]>;

export function refuse(property: TemplateProperty, message: string): never {
  throw new TemplateProblemError({ property, message });
}

const COPY_IT = "copy it into a pool of files (qemu-img convert -O qcow2), and name that volume (template.volume)";

/** A file that came without the daemon is seen after one refresh. @throws TemplateProblemError */
export async function volumeOf(client: LibvirtClient, host: string, poolName: string, name: string, of: { pool: TemplateProperty; volume: TemplateProperty }): Promise<Volume> {
  const pool = await client.lookupPool(poolName);
  if (!pool) return refuse(of.pool, `expected a storage pool of host ${host}, got ${JSON.stringify(poolName)}, which it does not have`);
  await assertActive(client, host, pool, of.pool);
  const volume = await client.lookupVolume(pool, name) ?? await refreshed({ client, pool }, () => client.lookupVolume(pool, name));
  return volume ?? refuse(of.volume, `expected a volume of pool ${poolName} on host ${host}, got ${JSON.stringify(name)}, which it does not have`);
}

/** Null: no active pool of the host has it, not after a refresh either. */
export async function volumeAt(client: LibvirtClient, path: string): Promise<Volume | null> {
  const found = await client.lookupVolumeByPath(path);
  if (found) return found;
  const pool = await poolAt(client, posix.dirname(path));
  return pool && await client.poolIsActive(pool) ? refreshed({ client, pool }, () => client.lookupVolumeByPath(path)) : null;
}

/** One that is refused (a job is under way in it) sees nothing new, and says nothing. */
async function refreshed({ client, pool }: PoolAt, look: () => Promise<Volume | null>): Promise<Volume | null> {
  try {
    await client.refreshPool(pool);
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
  }
  return look();
}

async function poolAt(client: LibvirtClient, directory: string): Promise<Pool | undefined> {
  for (const pool of await client.listPools()) {
    const path = text(parseXml(await client.poolXml(pool)), "pool", "target", "path");
    if (path !== undefined && posix.normalize(`${path}/`) === posix.normalize(`${directory}/`)) return pool;
  }
  return undefined;
}

async function assertActive(client: LibvirtClient, host: string, pool: Pool, property: TemplateProperty): Promise<void> {
  if (await client.poolIsActive(pool)) return;
  refuse(property, `expected an active storage pool, but ${pool.name} on ${host} is not started: virsh pool-start ${pool.name}`);
}

/** What a definition says of a disk's image. */
export interface DeclaredDisk {
  /** The driver's, which holds whatever the image's first bytes look like. */
  format: string;
  /** What it stands on, where the definition says so; empty: on nothing. */
  chain?: { path?: string; format?: string }[];
}

/** Whether a template's disk is cloned: one that its guest only reads is no part of what it wrote. */
const isCloned = (disk: unknown): boolean => (text(disk, "@device") ?? "disk") === "disk" && at(disk, "readonly") === undefined;

/**
 * The disks of a template's domain that are cloned, in its order.
 * @param which all that its guest can write to, or the first alone
 * @throws TemplateProblemError
 */
export async function disksOfTemplate(
  client: LibvirtClient, host: string, domain: string, domainXml: string, which: TemplateDisks,
): Promise<{ volume: Volume; declared: DeclaredDisk }[]> {
  const every = all(parseXml(domainXml), "domain", "devices", "disk");
  const first = every.find((disk) => (text(disk, "@device") ?? "disk") === "disk");
  if (first === undefined) return refuse("domain", `expected the first disk of ${domain} to be a volume of an active storage pool, got none: the domain has no disk`);
  const rest = which === "all" ? every.filter((disk) => disk !== first && isCloned(disk)) : [];
  if (rest.length >= MAX_IMAGE_DISKS) return refuse("domain", `expected at most ${MAX_IMAGE_DISKS} disks of ${domain}, got ${rest.length + 1}: detach some, or set template.disks to "first"`);
  const found = [await diskOf(client, host, first, `the first disk of ${domain}`, "")];
  const only = ', or clone the first disk alone (template.disks: "first")';
  for (const disk of rest) found.push(await diskOf(client, host, disk, `the disk ${text(disk, "target", "@dev") ?? ""} of ${domain}`, only));
  const twice = found.find(({ volume }, index) => found.findIndex((one) => one.volume.key === volume.key) < index);
  if (twice) return refuse("domain", `expected each disk of ${domain} to be another volume, got ${twice.volume.name} twice`);
  return found;
}

async function diskOf(client: LibvirtClient, host: string, disk: unknown, what: string, wayOut: string): Promise<{ volume: Volume; declared: DeclaredDisk }> {
  const property = "domain";
  const expected = `expected ${what} to be a volume of an active storage pool`;
  const source = at(disk, "source");
  if (at(disk, "encryption") !== undefined || at(source, "encryption") !== undefined) {
    return refuse(property, `${expected} that members can open, got an encrypted one: copy it to a plain one (qemu-img convert), and name that volume (template.volume)${wayOut}`);
  }
  if (at(source, "slices") !== undefined) return refuse(property, `${expected}, got a part of a file (slices): ${COPY_IT}${wayOut}`);
  const declared = declaredOf(disk);
  const [pool, name] = [text(source, "@pool"), text(source, "@volume")];
  if (pool !== undefined && name !== undefined) return { volume: await volumeOf(client, host, pool, name, { pool: property, volume: property }), declared };
  const file = text(source, "@file");
  if (file === undefined) return refuse(property, `${expected}, got ${described(disk)}: ${COPY_IT}${wayOut}`);
  const volume = await volumeAt(client, file);
  if (volume) return { volume, declared };
  const there = await poolAt(client, posix.dirname(file));
  if (there) await assertActive(client, host, there, property);
  return refuse(property, there
    ? `${expected}, got ${file}, which pool ${there.name} on ${host} does not have`
    : `${expected}, got ${file}, whose directory is no pool of ${host}: make it one (virsh pool-create-as NAME dir --target ${posix.dirname(file)}), or move the file to one${wayOut}`);
}

/** What a disk's source is that is no file. */
function described(disk: unknown): string {
  const source = at(disk, "source");
  const kind = text(disk, "@type") ?? "";
  const device = text(source, "@dev");
  const protocol = text(source, "@protocol");
  if (device !== undefined) return `the block device ${device}`;
  if (protocol !== undefined) return `an image over the network (${protocol}${text(source, "@name") === undefined ? "" : ` ${text(source, "@name")}`})`;
  if (kind === "nvme") return "an NVMe disk of the host";
  if (text(source, "@dir") !== undefined) return `the directory ${text(source, "@dir")}`;
  return kind === "" || kind === "file" ? "no file" : `a disk of type ${kind}`;
}

function declaredOf(disk: unknown): DeclaredDisk {
  const format = text(disk, "driver", "@type") ?? "raw";
  if (at(disk, "backingStore") === undefined) return { format };
  const chain: { path?: string; format?: string }[] = [];
  for (let under = at(disk, "backingStore"); at(under, "source") !== undefined && chain.length < MAX_CHAIN; under = at(under, "backingStore")) {
    chain.push({ path: text(under, "source", "@file"), format: text(under, "format", "@type") });
  }
  return { format, chain };
}

/** A domain's disk that names a volume, by a path or pool of its own where it is not certain. */
export interface Declaration extends Pick<ImageUser, "domain" | "uuid" | "certain" | "path"> {
  format: string;
  pool?: string;
}

/**
 * As what the host's domains have a volume that is named by itself: a guest that has it as a raw disk can write whatever
 * it likes into its first bytes.
 */
export function declarations(texts: readonly DomainText[], image: Pick<VolumeFacts, "path" | "pool" | "volume">): Declaration[] {
  const found: Declaration[] = [];
  for (const { domain, live, defined, saved } of texts) {
    for (const xml of [live, defined, saved]) {
      if (xml === undefined || !mayName(xml, image)) continue;
      for (const disk of all(parsed(xml), "domain", "devices", "disk")) {
        const source = at(disk, "source");
        const named = { path: text(source, "@file") ?? text(source, "@dev"), pool: text(source, "@pool"), volume: text(source, "@volume") };
        const match = isImage({ how: "disk", writes: true, ...named }, image);
        if (!match) continue;
        found.push({
          domain: domain.name, uuid: domain.uuid.toString("hex"), certain: match === "same", path: named.path, pool: named.pool,
          format: text(disk, "driver", "@type") ?? "raw",
        });
      }
    }
  }
  return found;
}

/** Nothing of one that cannot be read: it says nothing. */
function parsed(xml: string): ParsedXml | undefined {
  try {
    return parseXml(xml);
  } catch {
    return undefined;
  }
}
