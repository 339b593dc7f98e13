import { within } from "../../../async/within";
import { formatBytes } from "../../../fleet";
import { NoSpaceError, type CallContext, type MemberRef } from "../../hypervisor";
import { inPlace, type Here, type Place } from "../connection/place";
import { assertUnused, deleteVolume } from "../guard/guard";
import { Helper, type HelperSettings } from "../helper/helper";
import { isActive, refuseSaved, setTag } from "./member";
import { findMember } from "../look/memberDomain";
import { volumeName } from "../volumes/names";
import { assertOwnDisk, firstDiskName, rootDisk } from "../look/domainDisks";
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
  const of = { slot: order.slot, generation: order.generation };
  const deltaName = volumeName(place.scope, { kind: "delta", ...of });
  const baseName = volumeName(place.scope, { kind: "base", ...of });
  await inPlace(place, "consolidate", async (here) => {
    const { client, scope } = here;
    const found = await findMember(client, order);
    if (!found) throw new Error(`${order.name} is gone`);
    if (found.tag.kind !== "full") throw new Error(`${order.name} is a linked clone: its delta stays over the host's replica`);
    const { domain } = found;
    await refuseSaved(client, domain, order.name);
    for (let disk = await rootDisk(client, domain); ; disk = await rootDisk(client, domain)) {
      context.signal?.throwIfAborted();
      for (const file of [disk.current, disk.persistent]) assertOwnDisk(scope, file, [baseName, deltaName], `the disk of ${order.name}`);
      if (disk.current === baseName && disk.persistent === baseName) break;
      // The base is about to be written, and the delta to go: whoever else has them must not find them so.
      await assertUnused(here, [baseName, deltaName], domain.uuid);
      if (found.tag.base === "frozen") {
        await setTag(client, domain, { ...found.tag, base: "consolidating" });
        found.tag.base = "consolidating";
      }
      if (isActive(await client.domainState(domain))) await commitLive(here, domain, deltaName, context);
      else await commitStopped(here, domain, { deltaName, baseName, path: disk.persistentPath! }, settings, context);
    }
    await setTag(client, domain, { ...found.tag, base: "consolidated" });
    await deleteVolume(here, deltaName);
    // A guest whose write found the pool full, perhaps in an earlier merge, stands still and waits for this.
    if (await client.isStoppedByDisk(domain)) await client.resumeDomain(domain);
  });
}

/** Returns when the job has ended, one way or another; the caller looks at what the disk is now. */
async function commitLive(here: Here, domain: Domain, deltaName: string, context: CallContext): Promise<void> {
  const { client } = here;
  const disk = await firstDiskName(client, domain);
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

/** Wakes whoever waits for the job's next event, or after POLL_MS: an event may have come before we listened. */
/** One disk of a domain, by libvirt's name of it. */
interface DomainDisk {
  domain: Domain;
  disk: string;
}

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
      if (isActive(await client.domainState(domain)) && (await rootDisk(client, domain)).current === topName) {
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
  here: Here, domain: Domain, names: { deltaName: string; baseName: string; path: string }, settings: HelperSettings, context: CallContext,
): Promise<void> {
  const { client } = here;
  const basePath = await diskPath(here, names.baseName);
  const helper = await Helper.start(here.session, settings, [{
    path: names.path, format: "qcow2", backing: { kind: "file", path: basePath, format: "qcow2", backing: null },
  }]);
  try {
    await commitLive({ ...here, client: helper.client }, helper.domain, names.deltaName, context);
    await client.destroyDomain(helper.domain, Flag.destroyGraceful, LONG_CALL_MS);
  } catch (error) {
    await helper.stop();
    throw error;
  }
  const xml = await client.domainXml(domain, Flag.xmlInactive | Flag.xmlSecure);
  await client.defineDomain(xml.replaceAll(names.deltaName, names.baseName));
}
