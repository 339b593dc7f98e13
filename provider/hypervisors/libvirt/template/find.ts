import { createHash } from "node:crypto";
import type { FleetSpec, LibvirtTemplate, ObservedTemplate, TemplateDisk, TemplateProblem } from "../../../fleet/model";
import type { BackingXml } from "../xml/domainXml";
import { domainTexts, ImageUse } from "../guard/imageUse";
import { describeFile } from "./localFile";
import { headerOf, writtenByClone, type MeasureOptions } from "./lookedAt";
import type { LibvirtClient } from "../rpc/client";
import type { Domain, Volume } from "../rpc/handles";
import { DomainState, Flag } from "../rpc/protocol";
import { libvirts } from "../own";
import { likeTemplate, UnfitMachineError, type LikeTemplate, type TemplateMachine } from "../xml/memberDefinition";
import type { HostSession } from "../connection/session";
import { readChain, type ChainFile } from "./chain";
import { diskOwner, formatsOf, writerOf, writerText } from "./use";
import { declarations, disksOfTemplate, refuse, TemplateProblemError, volumeAt, volumeOf, type DeclaredDisk, type TemplateProperty } from "./volume";
import { firmwareVariables } from "../look/domainDisks";
import { at, parseXml, text } from "../xml/xml";
import { UnfitImageError } from "../qcow2/unfitImage";
import { imageContentId } from "../volumes/contentId";
import { volumeFacts, type VolumeFacts } from "../volumes/volumes";

/** Where a template's bytes are, and that nobody writes them. */
export interface LocatedTemplate {
  observed: ObservedTemplate;
  /** Of each of its disks. Absent: a local file, not on any host yet. */
  files?: readonly LocatedDisk[];
  /** Where members inherit its hardware. */
  machine?: TemplateMachine;
  like?: LikeTemplate;
}

export interface LocatedDisk {
  path: string;
  /** What it stands on, as it was looked at. */
  backing: BackingXml | null;
}

export type TemplateFinding = { found: LocatedTemplate } | { problem: TemplateProblem };

export interface LookOptions extends MeasureOptions {
  /** It was looked at before in this run: domains that neither run nor have a saved state are not asked again, nor what members inherit. @default false */
  again?: boolean;
  /** Ends the reading of a local file. */
  signal?: AbortSignal | undefined;
}

/** As what the host's domains had a volume when they were asked. */
const declaredOnce = new Map<string, ReadonlyMap<string, string>>();

/**
 * Looks the declared template up: all the files that it consists of, that nobody writes to one of them, that they are
 * what was declared or can be told for what they are, and what a clone of it writes.
 */
export async function findTemplate(spec: FleetSpec, session: (name: string) => HostSession, options: LookOptions = {}): Promise<TemplateFinding> {
  if (spec.template.kind === "file") return findFile(spec.template.file, options.signal);
  const template = libvirts(spec.template);
  const host = session(template.host);
  const property = template.kind;
  const uuid = await host.uuid();
  return host.run("look at template", async (client) => {
    try {
      const texts = await domainTexts(client, options.again ? await busyDomains(client) : undefined);
      const { disks, machine } = template.kind === "volume"
        ? { disks: [{ volume: await volumeOf(client, host.name, template.pool, template.volume, { pool: "pool", volume: property }), declared: undefined }], machine: undefined }
        : await machineOf(client, host.name, template);
      const looker = new Looker(client, host.name, uuid, property, await ImageUse.of(texts, client.clock));
      const found: SeenDisk[] = [];
      for (const { volume, declared } of disks) {
        const facts = await volumeFacts(client, volume);
        await looker.assertUnwritten(facts);
        const key = `${uuid} ${facts.key}`;
        const formats = (options.again ? declaredOnce.get(key) : undefined) ?? await formatsOf(client, declarations(texts, facts), facts);
        declaredOnce.set(key, formats);
        found.push(await looker.disk(await looker.chain({ volume, facts }, declared, formats), options));
      }
      const located = locatedAs(found, host.name);
      return { found: options.again ? located : inherited(located, machine, spec) };
    } catch (error) {
      if (error instanceof TemplateProblemError) return { problem: error.problem };
      throw error;
    }
  });
}

/** Those that can write to an image as they are. */
async function busyDomains(client: LibvirtClient): Promise<Domain[]> {
  const [every, saved] = await Promise.all([client.listDomains(), client.listDomains(Flag.listManagedSave)]);
  const withState = new Set(saved.map(({ uuid }) => uuid.toString("hex")));
  return every.filter(({ id, uuid }) => id >= 0 || withState.has(uuid.toString("hex")));
}

/** @throws TemplateProblemError */
async function machineOf(
  client: LibvirtClient, host: string, { domain: name, disks }: Extract<LibvirtTemplate, { kind: "domain" }>,
): Promise<{ disks: { volume: Volume; declared: DeclaredDisk }[]; machine: TemplateMachine }> {
  const domain = await client.lookupDomain(name);
  if (!domain) return refuse("domain", `expected a domain of host ${host}, got ${JSON.stringify(name)}, which it does not have`);
  const state = await client.domainState(domain);
  if (state !== DomainState.shutoff) {
    return refuse("domain", `expected a domain that does not run, but ${name} on ${host} does: shut it down, a disk that changes cannot be copied`);
  }
  if (await client.hasManagedSave(domain)) {
    return refuse("domain", `expected a domain that was shut down, but ${name} on ${host} has a saved state, and half of what it wrote is in there: start it and shut it down (virsh start, virsh shutdown), or drop the state (virsh managedsave-remove)`);
  }
  const xml = await client.domainXml(domain, Flag.xmlInactive | Flag.xmlSecure);
  return { disks: await disksOfTemplate(client, host, name, xml, disks), machine: { xml, disks, ...variablesOf(xml) } };
}

/** Where libvirt's system daemon keeps what no definition gives a place: older versions write it into none. */
const VARIABLES = "/var/lib/libvirt/qemu/nvram";

/** Where its firmware's variables are, if it has any yet; of a format that QEMU has to translate nobody makes copies. */
function variablesOf(xml: string): Pick<TemplateMachine, "variablesAt"> {
  const domain = parseXml(xml);
  const os = at(domain, "domain", "os");
  const isEfi = text(os, "@firmware") === "efi" || text(os, "loader", "@type") === "pflash";
  if (!isEfi || (text(os, "nvram", "@format") ?? "raw") !== "raw" || (text(os, "nvram", "@type") ?? "file") !== "file") return {};
  return { variablesAt: firmwareVariables(xml) || `${VARIABLES}/${text(domain, "domain", "name") ?? ""}_VARS.fd` };
}

/** One of its disks, as it was looked at. */
interface SeenDisk extends LocatedDisk {
  contentId: string;
  seen: TemplateDisk;
}

const locatedAs = (disks: readonly SeenDisk[], host: string): LocatedTemplate => ({
  files: disks.map(({ path, backing }) => ({ path, backing })),
  observed: { contentId: imageContentId(disks.map(({ contentId }) => contentId)), host, disks: disks.map(({ seen }) => seen) },
});

/** @throws TemplateProblemError where members cannot be like it */
function inherited(found: LocatedTemplate, machine: TemplateMachine | undefined, { vm }: FleetSpec): LocatedTemplate {
  if (!machine || vm.hardware !== "template") return found;
  try {
    const like = likeTemplate(machine, vm);
    return { ...found, machine, like, observed: { ...found.observed, hardware: { cards: like.cards, memory: like.memory, agentChannel: like.agentChannel, words: like.words } } };
  } catch (error) {
    if (error instanceof UnfitMachineError) return refuse("domain", `expected a machine that can be had many times: ${error.message}`);
    throw error;
  }
}

/** One look at the files of a template on one host. */
class Looker {
  constructor(
    private readonly client: LibvirtClient, private readonly host: string, private readonly hostUuid: string,
    private readonly property: TemplateProperty, private readonly use: ImageUse,
  ) {}

  /** @throws TemplateProblemError */
  async assertUnwritten(facts: VolumeFacts): Promise<void> {
    const writer = await writerOf(this.client, this.use, facts);
    if (writer) refuse(this.property, `expected an image that nobody writes, but ${writerText(writer, "it", this.host)}`);
  }

  /**
   * @param disk what the template's domain says of it
   * @param others as what the host's domains have it, and which: that counts for a volume that is named by itself
   * @throws TemplateProblemError
   */
  async chain(top: Pick<ChainFile, "volume" | "facts">, disk: DeclaredDisk | undefined, others: ReadonlyMap<string, string>): Promise<ChainFile[]> {
    return this.unfit(top, async () => {
      const declared = disk?.format ?? declaredBy(others);
      const files = await readChain(top, declared, {
        header: (file, format) => headerOf(this.client, this.hostUuid, file, format),
        at: async (path) => {
          const volume = await volumeAt(this.client, path);
          return volume && { volume, facts: await volumeFacts(this.client, volume) };
        },
        allow: (file) => this.allow(file.facts, declared !== undefined),
      });
      if (disk) assertDeclaredChain(disk, files);
      return files;
    });
  }

  /**
   * Nobody writes it; and where nobody declared the format of what names it, so that a guest may have written that name,
   * it is no other guest's disk.
   */
  private async allow(facts: VolumeFacts, isDeclared: boolean): Promise<void> {
    const writer = await writerOf(this.client, this.use, facts);
    if (writer) refuse(this.property, `expected an image that nobody writes, but ${writerText(writer, `${facts.path}, on which it stands,`, this.host)}`);
    const owner = isDeclared ? undefined : await diskOwner(this.client, this.use, facts);
    if (owner) {
      throw new UnfitImageError(`an overlay of ${facts.path}, which is the disk of the domain ${owner.domain}, and a guest could have written that name into it: flatten it first (qemu-img convert -O qcow2), or name a domain that has it (template.domain)`);
    }
  }

  /** @throws TemplateProblemError */
  async disk(files: readonly ChainFile[], options: MeasureOptions): Promise<SeenDisk> {
    const [{ facts, header }, ...under] = files as [ChainFile, ...ChainFile[]];
    const contentId = chainContentId(this.hostUuid, files);
    const bytes = await this.unfit(files[0]!, () => writtenByClone(this.client, contentId, files, options));
    return {
      contentId, path: facts.path,
      backing: under.reduceRight<BackingXml | null>((backing, file) => ({ kind: "file", path: file.facts.path, format: file.header.format, backing }), null),
      seen: { bytes, capacityBytes: header.capacityBytes, format: header.format },
    };
  }

  /** @throws TemplateProblemError in place of what an image is refused for */
  private async unfit<T>({ facts, volume }: Pick<ChainFile, "volume" | "facts">, look: () => Promise<T>): Promise<T> {
    try {
      return await look();
    } catch (error) {
      if (!(error instanceof UnfitImageError)) throw error;
      return refuse(this.property, `expected a qcow2 or raw image, got ${facts.volume} of pool ${volume.pool} on ${this.host}: ${error.message}`);
    }
  }
}

/** @throws UnfitImageError where the host's domains do not agree */
function declaredBy(formats: ReadonlyMap<string, string>): string | undefined {
  if (formats.size > 1) {
    const said = [...formats].map(([format, domain]) => `${domain} as ${format}`).join(", ");
    throw new UnfitImageError(`an image that domains have in different formats (${said}): name the domain that is right (template.domain), or undefine the others`);
  }
  return [...formats.keys()][0];
}

/** @throws UnfitImageError where a definition and the headers name different files */
function assertDeclaredChain({ chain }: DeclaredDisk, files: readonly ChainFile[]): void {
  if (!chain) return;
  const found = files.slice(1);
  const agrees = chain.length === found.length && chain.every(({ path, format }, i) => path === found[i]!.facts.path && (format ?? found[i]!.header.format) === found[i]!.header.format);
  if (agrees) return;
  const named = (paths: (string | undefined)[]): string => paths.map((path) => path ?? "something else").join(", ") || "nothing";
  throw new UnfitImageError(
    `an image that stands on ${named(found.map(({ facts }) => facts.path))} by its header, and on ${named(chain.map(({ path }) => path))} by the domain's definition: ` +
    "let the definition say nothing of it (virsh edit, backingStore), or flatten it first (qemu-img convert -O qcow2)",
  );
}

async function findFile(file: string, signal: AbortSignal | undefined): Promise<TemplateFinding> {
  try {
    const found = await describeFile(file, signal);
    return {
      found: {
        observed: {
          contentId: found.sha256, disks: [{ bytes: found.cloneBytes, capacityBytes: found.capacityBytes, format: found.format }],
        },
      },
    };
  } catch (error) {
    signal?.throwIfAborted();
    return { problem: { property: "file", message: `expected a readable qcow2 or raw image, got ${JSON.stringify(file)}: ${(error as Error).message}` } };
  }
}

/** DESIGN.md section 1, content id of a volume: anything written to it changes the mtime. */
export function volumeContentId(hostUuid: string, facts: Pick<VolumeFacts, "key" | "capacityBytes" | "mtime">): string {
  return createHash("sha256").update([hostUuid, facts.key, String(facts.capacityBytes), facts.mtime].join("\0")).digest("hex");
}

/**
 * Of an image that stands alone, that of its volume. Of one that stands on others, whatever is written to any of them
 * makes it another; and so does a declaration that it is raw, where its bytes would be taken for another image.
 */
function chainContentId(hostUuid: string, files: readonly ChainFile[]): string {
  const [{ facts, header }, ...under] = files as [ChainFile, ...ChainFile[]];
  const own = volumeContentId(hostUuid, { ...facts, capacityBytes: header.capacityBytes });
  const isAsItLooks = header.format !== "raw" || !header.looksLikeQcow2;
  if (under.length === 0 && isAsItLooks) return own;
  const rest = under.map((file) => [file.facts.key, file.header.format, file.header.capacityBytes, file.facts.mtime].join("\0"));
  return createHash("sha256").update([own, header.format, ...rest].join("\0\0")).digest("hex");
}
