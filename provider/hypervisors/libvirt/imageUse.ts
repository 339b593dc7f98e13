import { imagesIn, isImage, lastName, type ImageFacts, type NamedImage, type UseKind } from "./domainImages";
import { isHelperDomain } from "./names";
import type { Domain, LibvirtClient } from "./rpc/client";
import { CallTimeoutError, isLibvirtError, LibvirtError } from "./rpc/errors";
import { ErrorCode, Flag } from "./rpc/protocol";
import { TAG_URI } from "./tags";

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

/** Who uses which image of a host: the one place that knows every way in which a domain can name one. */
export class ImageUse {
  private readonly parsed = new Map<string, NamedImage[] | undefined>();

  constructor(private readonly texts: readonly DomainText[]) {}

  /** Every use of the image, one entry a domain, way and path. */
  usersOf(image: ImageFacts): ImageUser[] {
    const users = new Map<string, ImageUser>();
    for (const each of this.texts) {
      const { domain, managedSave } = each;
      const running = domain.id >= 0;
      const uuid = domain.uuid.toString("hex");
      const add = (user: Pick<ImageUser, "how" | "writes" | "now" | "certain" | "path">): void => {
        const key = `${uuid} ${user.how} ${user.path ?? ""}`; // two paths may be two names of one file, or two files
        const before = users.get(key);
        users.set(key, before
          ? { ...before, writes: before.writes || user.writes, now: before.now || user.now, certain: before.certain || user.certain }
          : { domain: domain.name, uuid, running, managedSave, ...user });
      };
      if (each.unreadable !== undefined) add({ how: "unreadable", writes: true, now: running, certain: false });
      for (const [as, xml] of [["live", each.live], ["defined", each.defined], ["saved", each.saved]] as const) {
        if (xml === undefined || !mayName(xml, image)) continue;
        const named = this.imagesOf(xml);
        if (!named) add({ how: "unreadable", writes: true, now: as === "live", certain: false });
        for (const one of named ?? []) {
          const match = isImage(one, image);
          if (match) add({ how: one.how, writes: one.writes, now: as === "live", certain: match === "same", path: one.path });
        }
      }
    }
    return [...users.values()];
  }

  /** Undefined: it cannot be read. */
  private imagesOf(xml: string): NamedImage[] | undefined {
    if (!this.parsed.has(xml)) {
      let images: NamedImage[] | undefined;
      try {
        images = imagesIn(xml);
      } catch {
        images = undefined;
      }
      this.parsed.set(xml, images);
    }
    return this.parsed.get(xml);
  }
}

/** Most definitions need no reading: one that names an image has its last name in it, as it is or escaped; or its directory. */
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
  return new ImageUse(await domainTexts(client, domains));
}
