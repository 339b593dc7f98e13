/**
 * Does anybody use it? Asked here, right before every delete and every overwrite, and nowhere else: the client's own
 * `deleteVolume` has no other caller (a test says so). What a domain of the host names in any way is used, and so is what
 * another image stands on, in any active pool of the host. Of what bears our name these users do not count:
 * - helpers of this fleet, which work for us and end with their run; one that still writes to it is ended first;
 * - the one domain that a call is made for (`asked.by`), where it says so: a member's own, while its disks are merged or
 *   about to be removed;
 * - our own overlays that no domain names: what a run that was killed left over a base or replica.
 */
import { isImage, type ImageFacts } from "./domainImages";
import { GuardError } from "./guardError";
import { ImageIndex } from "./imageIndex";
import { domainTexts, ImageUse, isOwnHelper, type DomainText, type ImageUser, type ReadDefinitions } from "./imageUse";
import { parseVolumeName, type VolumeName } from "../volumes/names";
import { overlaysOf, type Overlay } from "./overlays";
import { BUSY_POOL_MS, refreshPool } from "../volumes/poolRoom";
import type { Domain, Pool, Volume } from "../rpc/handles";
import { ErrorCode, LONG_CALL_MS } from "../rpc/protocol";
import { isLibvirtError, LibvirtError } from "../rpc/errors";
import { atHome, type Here } from "../connection/place";
import type { HostSession } from "../connection/session";
import { parseTag, TAG_URI } from "../xml/tags";
import { volumeFacts, type VolumeFacts } from "../volumes/volumes";

/** A pool is asked anew for files that nobody told it of when its answer is older. */
const REFRESH_MS = 5_000;

/** What the domains and the pools of a host said at one time. */
export class HostLook {
  private readonly overlays = new ImageIndex<Overlay>();
  private readonly unread: readonly Overlay[];

  /** @param helpers who of our own helpers uses what */
  constructor(private readonly use: ImageUse, private readonly helpers: ImageUse, overlays: readonly Overlay[]) {
    for (const one of overlays) if (one.backingPath !== undefined) this.overlays.add({ how: "backing", writes: false, path: one.backingPath }, one);
    this.unread = overlays.filter(({ backingPath }) => backingPath === undefined);
  }

  /** Domains that name it. @param by the uuid of one that does not count */
  domainsOf(image: ImageFacts, by?: Buffer): ImageUser[] {
    const own = by?.toString("hex");
    return this.use.usersOf(image).filter(({ uuid }) => uuid !== own);
  }

  /** Our own helpers that may write to it: what was given up, or answered too late, may still be at work. */
  writingHelpers(image: ImageFacts): ImageUser[] {
    return this.helpers.usersOf(image).filter(({ how, writes }) => writes && how !== "medium");
  }

  /** Overlays of ours that stand on it, in words, with a domain of this host or without. */
  overlaysOn(image: ImageFacts): string[] {
    return this.overlays.find(image).flatMap(({ of: { volume, pool, ours } }) => (ours ? [`the volume ${volume} of the pool ${pool} stands on it`] : []));
  }

  /**
   * Who uses it, in words: domains that name it, and overlays of somebody's. One of ours that stands on it says nothing by
   * itself, only who uses that.
   * @param by the uuid of a domain that does not count
   */
  usersOf(image: ImageFacts, by?: Buffer): string[] {
    const users = new Set<string>();
    const under = new Set<Overlay>();
    const seen = new Set<Overlay>();
    const visit = (at: ImageFacts): void => {
      for (const user of this.domainsOf(at, by)) users.add(words(user));
      for (const { of: one } of this.overlays.find(at)) {
        if (!one.ours) users.add(`the volume ${one.volume} of the pool ${one.pool} stands on it`);
        else if (under.has(one)) users.add("images that stand on each other stand on it");
        else if (!seen.has(one)) {
          seen.add(one);
          under.add(one);
          visit(one);
          under.delete(one);
        }
      }
    };
    visit(image);
    for (const one of this.unread) {
      if (isImage({ how: "backing", writes: false, path: one.path }, image) !== undefined) continue; // itself
      if (!one.ours) users.add(`the volume ${one.volume} of the pool ${one.pool} cannot be read, so nobody can say that it does not stand on it`);
      else for (const user of this.domainsOf(one, by)) users.add(`${words(user)}: the disk ${one.volume}, which cannot be read and may stand on it`);
    }
    return [...users];
  }
}

const AS: Record<Exclude<ImageUser["how"], "unreadable">, string> = {
  disk: "as a disk", medium: "as a medium", backing: "under a disk", mirror: "as the target of a block copy", commit: "as what a disk is merged into",
  nvram: "as its firmware's variables", loader: "as its firmware", boot: "to boot from", memory: "as memory", other: "as a file",
};

function words({ domain, how, running, now, managedSave }: ImageUser): string {
  if (how === "unreadable") return `the definition of the domain ${domain} cannot be read, so nobody can say that it does not use it`;
  const which = running && now ? "the running domain" : managedSave ? "the saved domain" : "the domain";
  return `${which} ${domain} has it ${AS[how]}`;
}

/** Looks at one host for one fleet. Whoever asks gets one that began after he asked; who asks meanwhile shares the next. */
class Watch {
  private next: Promise<HostLook> | undefined;
  private last: Promise<unknown> = Promise.resolve();
  private refreshedAt = -Infinity;
  /** By the look before. */
  private read: ReadDefinitions | undefined;

  look(here: Here): Promise<HostLook> {
    this.next ??= this.last.catch(() => undefined).then(() => {
      this.next = undefined;
      const look = this.take(here);
      this.last = look;
      return look;
    });
    return this.next;
  }

  private async take(here: Here): Promise<HostLook> {
    const { client, scope } = here;
    const { clock } = client;
    if (clock.nowMs() - this.refreshedAt > REFRESH_MS) {
      // A wish: a pool with a job under way refuses it.
      await refreshPool(here, 0).catch(ignoreLibvirt);
      this.refreshedAt = clock.nowMs();
    }
    const [texts, overlays] = await Promise.all([domainTexts(client), overlaysOf(here, scope)]);
    const isHelper = (each: DomainText): boolean => isOwnHelper(scope.fleetId, each);
    const use = await ImageUse.of(texts.filter((each) => !isHelper(each)), clock, this.read);
    this.read = use.definitions;
    return new HostLook(use, await ImageUse.of(texts.filter(isHelper), clock), overlays);
  }
}

const ignoreLibvirt = (error: unknown): null => {
  if (!(error instanceof LibvirtError)) throw error;
  return null;
};

const watches = new WeakMap<HostSession, Map<string, Watch>>();

/** What the host's domains and pools say, asked after this call. */
export function lookAround(here: Here): Promise<HostLook> {
  const { session, scope } = here;
  const ofSession = watches.get(session) ?? new Map<string, Watch>();
  watches.set(session, ofSession);
  const watch = ofSession.get(scope.fleetId) ?? new Watch();
  ofSession.set(scope.fleetId, watch);
  return watch.look(atHome(here));
}

/** As the pool's listing knows it: of the file pools that we use a volume's key is its path. */
export const imageOf = (pool: Pool, { name, key }: Volume): ImageFacts => ({ path: key, pool: pool.name, volume: name });

/**
 * Ends our own helpers that may still write to an image: what was given up as unanswered may have been done all the same.
 * @returns whether there was one
 * @throws where one does not end
 */
export async function endWriters({ client, scope }: Here, look: HostLook, image: ImageFacts): Promise<boolean> {
  const writers = look.writingHelpers(image);
  for (const { domain: name, uuid } of writers) {
    const helper: Domain = { name, uuid: Buffer.from(uuid, "hex"), id: -1 };
    try {
      const xml = await client.getMetadata(helper, TAG_URI);
      const tag = xml === null ? null : parseTag(xml);
      if (tag?.purpose !== "helper" || tag.fleetId !== scope.fleetId) throw new GuardError(`the domain ${name} writes to ${image.path}: it is called as our helpers are, and is none`);
      await client.destroyDomain(helper, 0, LONG_CALL_MS);
    } catch (error) {
      if (!isLibvirtError(error, ErrorCode.noDomain, ErrorCode.operationInvalid)) throw error; // gone is gone
    }
  }
  return writers.length > 0;
}

/**
 * Nobody uses them; our own helpers that may still write to them are ended.
 * @param names of volumes in the place's pool; those that are not there nobody uses
 * @param by the uuid of the domain that this is done for
 * @throws GuardError
 */
export function assertUnused(here: Here, names: readonly string[], by?: Buffer): Promise<void> {
  return assertNone(here, names, (look, image) => look.usersOf(image, by));
}

/**
 * As assertUnused; and no overlay of ours stands on it either, whoever uses that. Of a base, what a killed run left over it
 * says nothing. A replica goes last, when all such leftovers are gone: what stands on it then is the disk of a linked member
 * that may run on another host, where hosts share a pool.
 * @throws GuardError
 */
export function assertBare(here: Here, names: readonly string[]): Promise<void> {
  return assertNone(here, names, (look, image) => [...look.usersOf(image), ...look.overlaysOn(image)]);
}

async function assertNone(here: Here, names: readonly string[], usersOf: (look: HostLook, image: ImageFacts) => string[]): Promise<void> {
  const { pool } = here;
  const volumes = await present(here, names);
  if (volumes.length === 0) return;
  const look = await lookAround(here);
  for (const volume of volumes) {
    const error = useError(volume, usersOf(look, imageOf(pool, volume)));
    if (error) throw error;
  }
  for (const volume of volumes) await endWriters(here, look, imageOf(pool, volume));
}

const present = async ({ client, pool }: Here, names: readonly string[]): Promise<Volume[]> =>
  (await Promise.all(names.map((name) => client.lookupVolume(pool, name)))).filter((volume) => volume !== null);

function useError({ name }: Volume, users: readonly string[]): GuardError | undefined {
  if (users.length === 0) return undefined;
  return new GuardError(`${name} is in use, and nothing was done to it: ${users.join("; ")}. Take it from there first (virsh undefine, or another disk), then run again`);
}

/** What one look has said holds for so long, no longer than it takes to remove a member's volumes one after another. */
const LOOK_HOLDS_MS = 1_000;

/**
 * Removes those of a member's or a replica's images that nobody uses, by one look for all. What a look was asked for
 * before does not count: it begins after this call.
 * @returns why which of them stays
 */
export async function deleteUnused(here: Here, names: readonly string[], nowMs = (): number => here.client.clock.nowMs()): Promise<Map<string, GuardError>> {
  const { pool, scope } = here;
  const staying = new Map<string, GuardError>();
  let look: { said: HostLook; atMs: number } | undefined;
  for (const volume of await present(here, names)) {
    const own = parseVolumeName(scope, volume.name);
    if (!own || isMark(own)) throw new Error(`${volume.name} is no image of this fleet on this host`);
    if (!look || nowMs() - look.atMs > LOOK_HOLDS_MS) look = { said: await lookAround(here), atMs: nowMs() };
    const error = useError(volume, look.said.usersOf(imageOf(pool, volume)));
    if (error) staying.set(volume.name, error);
    else {
      await endWriters(here, look.said, imageOf(pool, volume));
      await remove(here, volume);
    }
  }
  return staying;
}

const MARKS: ReadonlySet<VolumeName["kind"]> = new Set(["complete", "pending", "arriving"]);
export const isMark = ({ kind }: VolumeName): boolean => MARKS.has(kind);
/** A mark is one raw byte; as much room as a file system gives to one. */
const MARK_BYTES = 4096;
/** Not a file of somebody's that has a mark's very name. */
export const looksLikeMark = ({ format, capacityBytes }: Pick<VolumeFacts, "format" | "capacityBytes">): boolean => format === "raw" && capacityBytes <= MARK_BYTES;

/**
 * The one way in which a volume is removed; none of that name is none to remove.
 * @throws GuardError where somebody uses it
 */
export async function deleteVolume(here: Here, name: string): Promise<void> {
  const { client, pool, scope } = here;
  const volume = await client.lookupVolume(pool, name);
  if (!volume) return;
  const own = parseVolumeName(scope, name);
  if (!own) throw new GuardError(`${name} is no volume of this fleet on this host: it was left alone`);
  if (!isMark(own)) await assertUnused(here, [name]);
  else {
    const facts = await volumeFacts(client, volume).catch(ignoreLibvirt);
    if (facts && !looksLikeMark(facts)) throw new GuardError(`${name} is a file of somebody's, larger than a mark of ours: move it away`);
  }
  await remove(here, volume);
}

/** Of a map, or another small file that bears a map's name, which this very process made under a name of chance: nobody else can know it. */
export async function deleteOwnMap(here: Here, name: string): Promise<void> {
  const { client, pool, scope } = here;
  if (parseVolumeName(scope, name)?.kind !== "map") throw new Error(`${name} is no map`);
  const volume = await client.lookupVolume(pool, name);
  if (volume) await remove(here, volume);
}

/** Also where the pool lists it but the file is gone. */
async function remove(here: Here, volume: Volume): Promise<void> {
  const { client, pool } = here;
  try {
    await client.deleteVolume(volume);
  } catch (error) {
    if (isLibvirtError(error, ErrorCode.noStorageVol)) return;
    if (!(error instanceof LibvirtError)) throw error;
    if (!(await refreshPool(here, BUSY_POOL_MS))) throw error;
    const still = await client.lookupVolume(pool, volume.name);
    if (still) await client.deleteVolume(still);
  }
}
