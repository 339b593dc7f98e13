import type { CallContext, EarlyOrder } from "../../hypervisor";
import { endArrivals } from "../volumes/arrivals";
import { disksOf } from "../volumes/contentId";
import { followJob, jobInfo, jobNews } from "../members/consolidate";
import { assertOwnImage, memberDisk } from "../look/domainDisks";
import { blockCopyTargetXml, FIRST_DISK, type DiskXml } from "../xml/domainXml";
import { memberDefinition, withImageAt } from "../xml/memberDefinition";
import { inPlace, type Here, type Place } from "../connection/place";
import { deleteVolume } from "../guard/guard";
import { standingTold } from "../identity/volume";
import { Helper, type HelperSettings } from "../helper/helper";
import { memberImage, targetVolumeName } from "../volumes/images";
import { dataDisks } from "../members/dataDisks";
import { isActive, keepingHardware, refuseSaved, setTag, standingChannel } from "../members/member";
import { resumeStopped } from "../members/resume";
import { findMember } from "../look/memberDomain";
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
  await inPlace(place, "settle", async (here) => {
    const { client } = here;
    const found = await findMember(client, order);
    if (!found || found.tag.generation !== order.generation || (found.tag.base !== "arriving" && found.tag.base !== "arrived")) return;
    const { domain } = found;
    const tag: MemberTag = { ...found.tag, base: "arrived" };
    if (found.tag.base === "arriving") await setTag(client, domain, tag);
    if (order.base.kind === "base") await endArrivals(here, { kind: "base", slot: order.slot, generation: order.generation });
    const moves: Move[] = [];
    for (const disk of disksOf(tag.contentId)) moves.push(await moveOf(here, order, disk));
    for (const move of moves) {
      for (let disk = await memberDisk(client, domain, tag, move.place); disk.current !== move.deltaName; disk = await memberDisk(client, domain, tag, move.place)) {
        context.signal?.throwIfAborted();
        await refuseSaved(client, domain, order.name);
        assertOwnImage(here.scope, tag, move.place, disk.current, ["early"], order.name);
        if (isActive(await client.domainState(domain))) await moveLive(here, { domain, disk: disk.device }, move, context);
        else {
          await moveStopped(here, move, settings, context);
          await defineSettled(here, order, tag, domain, move);
        }
      }
      // Should its guest power off while others move: what it starts with next is where its writes are.
      if ((await memberDisk(client, domain, tag, move.place)).persistent !== move.deltaName) await defineSettled(here, order, tag, domain, move);
    }
    await refuseSaved(client, domain, order.name);
    await defineSettled(here, order, tag, domain);
    await resumeStopped(client, domain);
    for (const { earlyName } of moves) await deleteVolume(here, earlyName); // before the tag: who repeats this looks no further once it is set
    await setTag(client, domain, { ...tag, base: order.kind === "linked" ? "replica" : "frozen" });
  });
}

/** Of one disk, what is to move where. @throws where what it is to stand on is gone */
async function moveOf({ client, pool, scope }: Here, order: EarlyOrder, place: number): Promise<Move> {
  const name = targetVolumeName(scope, { ...order.base, disk: place });
  const image = await client.lookupVolume(pool, name);
  if (!image) throw new Error(`the image ${name} is gone`);
  const under = await volumeFacts(client, image);
  const earlyName = memberImage(scope, "early", order, place);
  const early = await client.lookupVolume(pool, earlyName);
  const diskBytes = Math.max(under.capacityBytes, early ? (await volumeFacts(client, early)).capacityBytes : 0);
  return { place, earlyName, deltaName: memberImage(scope, "delta", order, place), under, diskBytes };
}

interface Move {
  /** Of the disk in its image. */
  place: number;
  earlyName: string;
  deltaName: string;
  /** What both stand on. */
  under: VolumeFacts;
  /** Of the early overlay, as its guest sees it. */
  diskBytes: number;
}

async function moveLive(here: Here, { domain, disk }: { domain: Domain; disk: string }, move: Move, context: CallContext): Promise<void> {
  const { client } = here;
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
    await moveLive({ ...here, client: helper.client }, { domain: helper.domain, disk: FIRST_DISK }, move, context);
    await here.client.destroyDomain(helper.domain, Flag.destroyGraceful, LONG_CALL_MS);
  } catch (error) {
    await helper.stop();
    throw error;
  }
}

/**
 * What it starts with next: as `reconfigure` would define it, without the error policies of early disks.
 * @param moved of its disks, while it does not run: the others stay where they are as yet. @default all of them have their deltas
 */
async function defineSettled(here: Here, order: EarlyOrder, tag: MemberTag, domain: Domain, moved?: Move): Promise<void> {
  const { client, scope } = here;
  const own = await client.domainXml(domain, Flag.xmlInactive | Flag.xmlSecure);
  if (moved && disksOf(tag.contentId).length > 1) {
    await client.defineDomain(withImageAt(own, moved.earlyName, await diskPath(here, moved.deltaName)));
    return;
  }
  const image: DiskXml[] = [];
  for (const disk of disksOf(tag.contentId)) image.push({ path: await diskPath(here, memberImage(scope, "delta", order, disk)), format: "qcow2" });
  const of = { slot: order.slot, generation: order.generation };
  const [data, told] = [await dataDisks(here, of, domain), await standingTold(here, of, domain)];
  const parts = { tag, image, extra: [...data, ...told.disks], ignition: told.ignition, ...await standingChannel(client, domain) };
  await client.defineDomain(memberDefinition(keepingHardware(order, tag), parts, { own }));
  await client.setAutostart(domain, order.autostart);
}
