import type { CallContext, EarlyOrder } from "../../hypervisor";
import { endArrival } from "../volumes/arrivals";
import { followJob, jobInfo, jobNews } from "../members/consolidate";
import { assertOwnDisk, firstDiskName, rootDisk } from "../look/domainDisks";
import { blockCopyTargetXml } from "../xml/domainXml";
import { memberDefinition } from "../xml/memberDefinition";
import { inPlace, type Here, type Place } from "../connection/place";
import { deleteVolume } from "../guard/guard";
import { standingTold } from "../identity/volume";
import { Helper, type HelperSettings } from "../helper/helper";
import { targetVolumeName } from "../volumes/images";
import { dataDisks, isActive, keepingHardware, refuseSaved, setTag, standingChannel } from "../members/member";
import { findMember } from "../look/memberDomain";
import { volumeName } from "../volumes/names";
import type { Domain } from "../rpc/handles";
import { BlockJobType, Flag, LONG_CALL_MS } from "../rpc/protocol";
import type { MemberTag } from "../xml/tags";
import { diskPath, ensureVolume, volumeFacts, type VolumeFacts } from "../volumes/volumes";

const POLL_MS = 100;

/**
 * Ends an early start: the image is whole, so the member gets the delta disk over it that it would have had (ADR 0050).
 * What its guest wrote is copied from the early overlay into the delta by libvirt's own block copy, the guest running;
 * both stand on the same content, so only the overlay's own clusters move. A read that finds the helper's export gone
 * makes the guest stand still until then, and is tried again over the local file. Safe to repeat from any point: until
 * the pivot the early overlay holds everything.
 */
export async function settleMember(order: EarlyOrder, place: Place, settings: HelperSettings, context: CallContext = {}): Promise<void> {
  const of = { slot: order.slot, generation: order.generation };
  const earlyName = volumeName(place.scope, { kind: "early", ...of });
  const deltaName = volumeName(place.scope, { kind: "delta", ...of });
  await inPlace(place, "settle", async (here) => {
    const { client, pool, scope } = here;
    const found = await findMember(client, order);
    if (!found || found.tag.generation !== order.generation || (found.tag.base !== "arriving" && found.tag.base !== "arrived")) return;
    const { domain } = found;
    const tag: MemberTag = { ...found.tag, base: "arrived" };
    if (found.tag.base === "arriving") await setTag(client, domain, tag);
    if (order.base.kind === "base") await endArrival(here, { kind: "base", ...of });
    const image = await client.lookupVolume(pool, targetVolumeName(scope, order.base));
    if (!image) throw new Error(`the image ${targetVolumeName(scope, order.base)} is gone`);
    const under = await volumeFacts(client, image);
    const early = await client.lookupVolume(pool, earlyName);
    const diskBytes = Math.max(under.capacityBytes, early ? (await volumeFacts(client, early)).capacityBytes : 0);
    for (let disk = await rootDisk(client, domain); disk.current !== deltaName; disk = await rootDisk(client, domain)) {
      context.signal?.throwIfAborted();
      await refuseSaved(client, domain, order.name);
      assertOwnDisk(scope, disk.current, [earlyName], `the disk of ${order.name}`);
      if (isActive(await client.domainState(domain))) await moveLive(here, domain, { earlyName, deltaName, under, diskBytes }, context);
      else {
        await moveStopped(here, { earlyName, deltaName, under, diskBytes }, settings, context);
        await defineSettled(here, order, tag, deltaName, domain);
      }
    }
    await refuseSaved(client, domain, order.name);
    await defineSettled(here, order, tag, deltaName, domain);
    if (await client.isStoppedByDisk(domain)) await client.resumeDomain(domain);
    await deleteVolume(here, earlyName); // before the tag: who repeats this looks no further once it is set
    await setTag(client, domain, { ...tag, base: order.kind === "linked" ? "replica" : "frozen" });
  });
}

interface Move {
  earlyName: string;
  deltaName: string;
  /** What both stand on. */
  under: VolumeFacts;
  /** Of the early overlay, as its guest sees it. */
  diskBytes: number;
}

async function moveLive(here: Here, domain: Domain, move: Move, context: CallContext): Promise<void> {
  const { client } = here;
  const disk = await firstDiskName(client, domain);
  const underWay = await jobInfo(client, domain, disk);
  if (underWay !== null) {
    // Of a run that was killed: into a delta of unknown state, so once more from the start.
    if (underWay.type !== BlockJobType.copy) throw new Error("another block job of its disk is under way: end it first (virsh blockjob)");
    await client.blockJobAbort(domain, disk);
    while ((await jobInfo(client, domain, disk)) !== null) await client.clock.sleep(POLL_MS);
  }
  await deleteVolume(here, move.deltaName);
  const delta = await ensureVolume(here, move.deltaName, move.diskBytes, "qcow2", { path: move.under.path, format: "qcow2" });
  const news = await jobNews(client, domain, disk);
  try {
    await client.blockCopyTop(domain, disk, blockCopyTargetXml((await volumeFacts(client, delta)).path));
    await followJob(here, { domain, disk }, move.earlyName, news, context);
  } finally {
    news.end();
  }
}

/** Nobody runs: the same in a helper, which opens the overlay over the image itself. */
async function moveStopped(here: Here, move: Move, settings: HelperSettings, context: CallContext): Promise<void> {
  const path = await diskPath(here, move.earlyName);
  const helper = await Helper.start(here.session, settings, [{
    path, format: "qcow2", backing: { kind: "file", path: move.under.path, format: "qcow2", backing: null },
  }]);
  try {
    await moveLive({ ...here, client: helper.client }, helper.domain, move, context);
    await here.client.destroyDomain(helper.domain, Flag.destroyGraceful, LONG_CALL_MS);
  } catch (error) {
    await helper.stop();
    throw error;
  }
}

/** What it starts with next: as `reconfigure` would define it, without the error policies of an early disk. */
async function defineSettled(
  here: Here, order: EarlyOrder, tag: MemberTag, deltaName: string, domain: Domain,
): Promise<void> {
  const path = await diskPath(here, deltaName);
  const of = { slot: order.slot, generation: order.generation };
  const [data, told] = [await dataDisks(here, of, domain), await standingTold(here, of, domain)];
  const own = await here.client.domainXml(domain, Flag.xmlInactive | Flag.xmlSecure);
  await here.client.defineDomain(memberDefinition(keepingHardware(order, tag), { tag, top: { path, format: "qcow2" }, extra: [...data, ...told.disks], ignition: told.ignition, ...await standingChannel(here.client, domain) }, { own }));
  await here.client.setAutostart(domain, order.autostart);
}

