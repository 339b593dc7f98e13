import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { Clock } from "../../../async/clock";
import { imagesIn, lastName, type ImageFacts, type NamedImage, type UseKind } from "./domainImages";
import { ImageIndex } from "./imageIndex";
import { isHelperDomain } from "../volumes/names";
import type { LibvirtClient } from "../rpc/client";
import type { Domain } from "../rpc/handles";
import { CallTimeoutError, isLibvirtError, LibvirtError } from "../rpc/errors";
import { ErrorCode, Flag } from "../rpc/protocol";
import { TAG_URI } from "../xml/tags";

/** A domain that names an image. */
export interface ImageUser {
  domain: string;
  /** As 32 hex digits. */
  uuid: string;
  /** unreadable: its definition could not be read, and nobody can say that it does not. */
  how: UseKind | "unreadable";
  /** As it runs it may write to it; one that is not running may once it is started. */
  writes: boolean;
  running: boolean;
  /** What runs has it now; else only the definition it will start with, or its saved state, has. */
  now: boolean;
  managedSave: boolean;
  /** By path, or by pool and volume. False: by the last name alone, at another place that may be the same. */
  certain: boolean;
  /** As the domain names it. */
  path?: string;
}

/** What one domain says of itself: as it runs, as it will start, and as it was saved. */
export interface DomainText {
  domain: Pick<Domain, "name" | "uuid" | "id">;
  live?: string;
  defined?: string;
  saved?: string;
  managedSave: boolean;
  /** Why not all of it could be had. */
  unreadable?: string;
}

/** What definitions name, by a digest of their text: most of them read the same at the next look. Undefined: they are no XML. */
export type ReadDefinitions = ReadonlyMap<string, readonly NamedImage[] | undefined>;

/** So long at most nothing else is done by this process: the fleet's lock wants its signs of life meanwhile. */
const SLICE_MS = 20;

/** One definition of a domain, or, without a text, all that is not known of it. */
interface Definition {
  of: DomainText;
  as: "live" | "defined" | "saved";
  xml?: string;
  order: number;
}

/** Who uses which image of a host: the one place that knows every way in which a domain can name one. */
export class ImageUse {
  private readonly index = new ImageIndex<Definition>();
  /** Those that could not be had, and those that are no XML. */
  private readonly unread: Definition[] = [];
  private readonly read = new Map<string, readonly NamedImage[] | undefined>();
  private size = 0;

  /** Reads all definitions in one go. For those of a whole host there is `ImageUse.of`. */
  constructor(texts: readonly DomainText[]) {
    for (const each of texts) this.add(each);
  }

  /**
   * Reads each definition once, and lets other things be done in between.
   * @param known what an earlier look has read: what is still the same is not read again
   */
  static async of(texts: readonly DomainText[], clock: Pick<Clock, "nowMs">, known?: ReadDefinitions): Promise<ImageUse> {
    const use = new ImageUse([]);
    let startedMs = clock.nowMs();
    for (const each of texts) {
      use.add(each, known);
      if (clock.nowMs() - startedMs < SLICE_MS) continue;
      await setImmediate();
      startedMs = clock.nowMs();
    }
    return use;
  }

  get definitions(): ReadDefinitions {
    return this.read;
  }

  /** Every use of the image, one entry a domain, way and path. @param compared is told with how many uses it was compared */
  usersOf(image: ImageFacts, compared?: (count: number) => void): ImageUser[] {
    const users = new Map<string, ImageUser>();
    const found = [
      ...this.unread.filter(({ xml }) => xml === undefined || mayName(xml, image)).map((definition) =>
        ({ definition, how: "unreadable" as const, writes: true, certain: false, path: undefined })),
      ...this.index.find(image, compared).map(({ named: { how, writes, path }, of: definition, match }) =>
        ({ definition, how, writes, certain: match === "same", path })),
    ].sort((a, b) => a.definition.order - b.definition.order);
    for (const { definition: { of: { domain, managedSave }, as }, ...use } of found) {
      const uuid = domain.uuid.toString("hex");
      const user = { ...use, now: as === "live" };
      const key = `${uuid} ${user.how} ${use.path ?? ""}`; // two paths may be two names of one file, or two files
      const before = users.get(key);
      users.set(key, before
        ? { ...before, writes: before.writes || user.writes, now: before.now || user.now, certain: before.certain || user.certain }
        : { domain: domain.name, uuid, running: domain.id >= 0, managedSave, ...user });
    }
    return [...users.values()];
  }

  private add(of: DomainText, known?: ReadDefinitions): void {
    if (of.unreadable !== undefined) this.unread.push({ of, as: of.domain.id >= 0 ? "live" : "defined", order: this.size++ });
    for (const as of ["live", "defined", "saved"] as const) {
      const xml = of[as];
      if (xml === undefined) continue;
      const definition = { of, as, xml, order: this.size++ };
      const named = this.imagesOf(xml, known);
      if (named) for (const one of named) this.index.add(one, definition);
      else this.unread.push(definition);
    }
  }

  /** Undefined: it cannot be read. */
  private imagesOf(xml: string, known?: ReadDefinitions): readonly NamedImage[] | undefined {
    const digest = createHash("sha256").update(xml).digest("base64");
    if (this.read.has(digest)) return this.read.get(digest);
    const images = known?.has(digest) ? known.get(digest) : readImages(xml);
    this.read.set(digest, images);
    return images;
  }
}

function readImages(xml: string): NamedImage[] | undefined {
  try {
    return imagesIn(xml);
  } catch {
    return undefined;
  }
}

/** Of one that is no XML: it may name an image if it has its last name in it, as it is or escaped; or its directory. */
export function mayName(xml: string, { path, volume }: ImageFacts): boolean {
  const isPlain = (name: string): boolean => !/\p{Cc}/u.test(name); // libvirt writes what is not as a number
  return [lastName(path), volume].some((name) => name !== undefined && (!isPlain(name) || xml.includes(name) || xml.includes(escaped(name)))) || xml.includes(" dir=");
}
const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;", "\"": "&quot;" };
const escaped = (name: string): string => name.replace(/[&<>'"]/g, (each) => ENTITIES[each]!);

/** A helper of this fleet: it works for us, and ends with the run that made it. */
export const isOwnHelper = (fleetId: string, { domain, live }: DomainText): boolean =>
  isHelperDomain(fleetId, domain.name) && (live?.includes(TAG_URI) ?? false);

/**
 * What all domains of the host say of themselves, now. One or two calls a domain.
 * @param domains @default all of them
 */
export async function domainTexts(client: LibvirtClient, domains?: readonly Domain[]): Promise<DomainText[]> {
  const [every, saved] = await Promise.all([domains ?? client.listDomains(), client.listDomains(Flag.listManagedSave)]);
  const withState = new Set(saved.map(({ uuid }) => uuid.toString("hex")));
  const texts = await Promise.all(every.map((domain) => textOf(client, domain, withState.has(domain.uuid.toString("hex")))));
  return texts.filter((each) => each !== null);
}

/** One that is gone or damaged: nobody can go on with what it does not say. Its domain's definition still counts. */
function damagedState(error: unknown): undefined {
  if (!(error instanceof LibvirtError) || isLibvirtError(error, ErrorCode.noDomain)) throw error;
  return undefined;
}

/** Null: gone meanwhile; it uses nothing. */
async function textOf(client: LibvirtClient, domain: Domain, managedSave: boolean): Promise<DomainText | null> {
  try {
    const [live, defined, saved] = await Promise.all([
      domain.id >= 0 ? client.domainXml(domain) : undefined,
      client.domainXml(domain, Flag.xmlInactive),
      managedSave ? client.managedSaveXml(domain).catch(damagedState) : undefined,
    ]);
    return { domain, managedSave, live, defined, saved };
  } catch (error) {
    if (isLibvirtError(error, ErrorCode.noDomain)) return null;
    if (!(error instanceof LibvirtError) && !(error instanceof CallTimeoutError)) throw error;
    return { domain, managedSave, unreadable: error.message };
  }
}

/** Who uses the images of this host. @param domains @default all of them */
export async function imageUse(client: LibvirtClient, domains?: readonly Domain[]): Promise<ImageUse> {
  return ImageUse.of(await domainTexts(client, domains), client.clock);
}
