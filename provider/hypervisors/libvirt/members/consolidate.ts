import { within } from "../../../async/within";
import { formatBytes } from "../../../fleet";
import { NoSpaceError, type CallContext, type MemberRef } from "../../hypervisor";
import { inPlace, type Here, type Place } from "../connection/place";
import { assertUnused, deleteVolume } from "../guard/guard";
import { Helper, type HelperSettings } from "../helper/helper";
import { isActive, refuseSaved, setTag } from "./member";
import { resumeStopped } from "./resume";
import { findMember, type FoundMember } from "../look/memberDomain";
import { disksOf } from "../volumes/contentId";
import { memberImage } from "../volumes/images";
import { FIRST_DISK } from "../xml/domainXml";
import { assertOwnImage, fileOfDisk, memberDisk, memberDisks } from "../look/domainDisks";
import { isPoolFull, perhapsReserved } from "../volumes/noSpace";
import type { BlockJobInfo, LibvirtClient } from "../rpc/client";
import type { Domain } from "../rpc/handles";
import { BlockJobType, ErrorCode, Flag, LONG_CALL_MS } from "../rpc/protocol";
import { isLibvirtError, LibvirtError } from "../rpc/errors";
import { diskPath } from "../volumes/volumes";
import { all, at as xmlAt, parseXml, text } from "../xml/xml";

const POLL_MS = 100;

/**
 * Merges a member's delta into its base in one pass, the guest running (active block commit) or, stopped, by a
 * helper. The tag says `consolidating` before the first byte is written to the base, so that nobody ever takes a
 * half-merged base for a source. Safe to repeat from any point: until the pivot the delta holds everything.
 */
export async function consolidateMember(order: MemberRef, place: Place, settings: HelperSettings, context: CallContext = {}): Promise<void> {
  await inPlace(place, "consolidate", async (here) => {
    const { client } = here;
    const found = await findMember(client, order);
    if (!found) throw new Error(`${order.name} is gone`);
    if (found.tag.kind !== "full") throw new Error(`${order.name} is a linked clone: its delta stays over the host's replica`);
    const { domain } = found;
    await refuseSaved(client, domain, order.name);
    const disks = disksOf(found.tag.contentId);
    // Before the first byte of the first: somebody's snapshot stays, and whoever else has one of them must not find it written.
    for (const { place: disk, current, persistent } of await memberDisks(client, domain, found.tag)) {
      for (const file of [current, persistent]) assertOwnImage(here.scope, found.tag, disk, file, ["base", "delta"], order.name);
    }
    await assertUnused(here, disks.flatMap((disk) => imagesOf(here, found, disk)), domain.uuid);
    const reports = new MergeProgress(disks.length, context);
    for (const disk of disks) await consolidateDisk(here, found, disk, order.name, settings, { ...context, onProgress: reports.of(disk) });
    await setTag(client, domain, { ...found.tag, base: "consolidated" });
    for (const disk of disks) await deleteVolume(here, memberImage(here.scope, "delta", found.tag, disk));
    // A guest whose write found the pool full, perhaps in an earlier merge, stands still and waits for this.
    await resumeStopped(client, domain);
  });
}

/** One after the other: what a disk has moved, of what is known to be moved in all. */
class MergeProgress {
  private readonly parts: { done: number; total: number }[];

  constructor(disks: number, private readonly context: CallContext) {
    this.parts = Array.from({ length: disks }, () => ({ done: 0, total: 0 }));
  }

  of(disk: number): NonNullable<CallContext["onProgress"]> {
    return (done, total) => {
      this.parts[disk] = { done, total };
      this.context.onProgress?.(this.parts.reduce((sum, part) => sum + part.done, 0), this.parts.reduce((sum, part) => sum + part.total, 0));
    };
  }
}

/** One of its disks: its base, in the end, with nothing over it. */
async function consolidateDisk(here: Here, found: FoundMember, place: number, name: string, settings: HelperSettings, context: CallContext): Promise<void> {
  const { client, scope } = here;
  const { domain, tag } = found;
  const [baseName, deltaName] = imagesOf(here, found, place);
  for (let disk = await memberDisk(client, domain, tag, place); ; disk = await memberDisk(client, domain, tag, place)) {
    context.signal?.throwIfAborted();
    for (const file of [disk.current, disk.persistent]) assertOwnImage(scope, tag, place, file, ["base", "delta"], name);
    if (disk.current === baseName && disk.persistent === baseName) break;
    // The base is about to be written, and the delta to go: whoever else has them must not find them so.
    await assertUnused(here, [baseName, deltaName], domain.uuid);
    await refuseSaved(client, domain, name); // one made since another disk was merged names this delta
    if (tag.base === "frozen") {
      await setTag(client, domain, { ...tag, base: "consolidating" });
      tag.base = "consolidating";
    }
    const merge: Merge = { domain, device: disk.device, deltaName };
    if (isActive(await client.domainState(domain))) await commitLive(here, merge, context);
    else await commitStopped(here, merge, { baseName, path: disk.persistentPath! }, settings, context);
  }
}

const imagesOf = ({ scope }: Here, { tag }: FoundMember, place: number): [base: string, delta: string] =>
  [memberImage(scope, "base", tag, place), memberImage(scope, "delta", tag, place)];

interface Merge {
  domain: Domain;
  /** What libvirt calls the disk. */
  device: string;
  deltaName: string;
}

/** Returns when the job has ended, one way or another; the caller looks at what the disk is now. */
async function commitLive(here: Here, { domain, device: disk, deltaName }: Merge, context: CallContext): Promise<void> {
  const { client } = here;
  const under = await jobInfo(client, domain, disk);
  if (under !== null && under.type !== BlockJobType.activeCommit) throw new Error("another block job of its disk is under way: end it first (virsh blockjob)");
  if (under === null) {
    try {
      await client.blockCommitActive(domain, disk);
    } catch (error) {
      // The guest may have powered off between the look and the call.
      if (error instanceof LibvirtError && !isActive(await client.domainState(domain))) return;
      throw error;
    }
  }
  const news = await jobNews(client, domain, disk);
  try {
    await followJob(here, { domain, disk }, deltaName, news, context);
  } finally {
    news.end();
  }
}

/** One disk of a domain, by libvirt's name of it. */
interface DomainDisk {
  domain: Domain;
  disk: string;
}

/** Wakes whoever waits for the job's next event, or after POLL_MS: an event may have come before we listened. */
export async function jobNews(client: LibvirtClient, domain: Domain, disk: string): Promise<{ next(): Promise<void>; end(): void }> {
  const uuid = domain.uuid.toString("hex");
  let wake = (): void => undefined;
  const end = await client.events.onBlockJob((event) => {
    if (event.disk === disk && event.domain.uuid.toString("hex") === uuid) wake();
  });
  return { next: () => within(client.clock, POLL_MS, new Promise<void>((resolve) => { wake = resolve; })), end };
}

export async function followJob(
  here: Here, { domain, disk }: DomainDisk, topName: string, news: { next(): Promise<void> }, context: CallContext,
): Promise<void> {
  const { client } = here;
  for (;;) {
    context.signal?.throwIfAborted();
    const job = await jobInfo(client, domain, disk);
    if (job === null) {
      if (isActive(await client.domainState(domain)) && (await fileOfDisk(client, domain, disk)) === topName) {
        throw await unpivoted(here);
      }
      return;
    }
    context.onProgress?.(job.current, job.end);
    if (job.current === job.end && (await pivot(client, { domain, disk }))) return;
    await news.next();
  }
}

/** libvirt keeps no reason of a job that failed; what wanted room met a pool that has none. */
async function unpivoted(here: Here): Promise<Error> {
  const { name, own } = here.session;
  const stays = "the member's disk stays in two parts, in use and whole";
  if (await isPoolFull(here, here.scope)) return new NoSpaceError(name, "merge", `storage pool ${own.pool} is full; ${stays}`);
  const left = await perhapsReserved(here);
  if (left === undefined) return new Error("the block job ended without its pivot");
  return new NoSpaceError(name, "merge", `the block job ended without its pivot; storage pool ${own.pool} is full, or as good as: of the ${formatBytes(left)} left there a file system may keep all for root; ${stays}`);
}

/** False: the job is not ready yet, however its numbers look, or is there no more. */
async function pivot(client: LibvirtClient, { domain, disk }: DomainDisk): Promise<boolean> {
  try {
    await client.blockJobPivot(domain, disk);
    return true;
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    if (!isActive(await client.domainState(domain))) return true;
    if (isLibvirtError(error, ErrorCode.blockCopyActive)) return false;
    // It has ended by itself, or other versions say otherwise that it is not ready.
    if ((await jobInfo(client, domain, disk)) === null || !(await isReady(client, { domain, disk }))) return false;
    throw error;
  }
}

/** Whether the disk's job can be ended by its pivot, by what libvirt keeps of it. */
async function isReady(client: LibvirtClient, { domain, disk }: DomainDisk): Promise<boolean> {
  const disks = all(parseXml(await client.domainXml(domain)), "domain", "devices", "disk");
  const mirror = xmlAt(disks.find((one) => text(one, "target", "@dev") === disk), "mirror");
  return text(mirror, "@ready") === "yes";
}

export async function jobInfo(client: LibvirtClient, domain: Domain, disk: string): Promise<BlockJobInfo | null> {
  try {
    return await client.blockJobInfo(domain, disk);
  } catch (error) {
    if (error instanceof LibvirtError && !isActive(await client.domainState(domain))) return null;
    throw error;
  }
}

/** Nobody runs: a helper opens the delta with its chain, the same commit runs there, then the definition follows. */
async function commitStopped(
  here: Here, { domain, deltaName }: Merge, { baseName, path }: { baseName: string; path: string }, settings: HelperSettings, context: CallContext,
): Promise<void> {
  const { client } = here;
  const basePath = await diskPath(here, baseName);
  const helper = await Helper.start(here.session, settings, [{
    path, format: "qcow2", backing: { kind: "file", path: basePath, format: "qcow2", backing: null },
  }]);
  try {
    await commitLive({ ...here, client: helper.client }, { domain: helper.domain, device: FIRST_DISK, deltaName }, context);
    await client.destroyDomain(helper.domain, Flag.destroyGraceful, LONG_CALL_MS);
  } catch (error) {
    await helper.stop();
    throw error;
  }
  const xml = await client.domainXml(domain, Flag.xmlInactive | Flag.xmlSecure);
  await client.defineDomain(xml.replaceAll(deltaName, baseName));
}
