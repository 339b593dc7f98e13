import { createHash } from "node:crypto";
import type { Clock } from "../../../async/clock";
import { coalesce } from "../../../fleet";
import type { ByteRange } from "../../../fleet/model";
import {
  HostUnreachableError, HypervisorError, SourceLostError, TemplateChangedError, UnansweredError,
  type CallContext, type CloneOrder, type CloneResult, type CopyRef, type HintedCloneResult, type ImageRef,
} from "../../hypervisor";
import { type Arrival, beginArrival, discardArrival, endArrivals, isMarkedArriving } from "../volumes/arrivals";
import type { Copy } from "./copies";
import { openFeed, type Exporters, type Resolved } from "./feeds";
import { Helper, type HelperSettings } from "../helper/helper";
import { spoilsArrived, type DiskOrder } from "./imageCopy";
import { markerName, targetVolumeName, type TargetRef } from "../volumes/images";
import { deleteVolume, endWriters, lookAround } from "../guard/guard";
import { describeFile, fileState, uploadChunks } from "../template/localFile";
import { headerOf, writtenByClone } from "../template/lookedAt";
import { HoleMap } from "../holes/holeMap";
import { refreshPool } from "../volumes/poolRoom";
import type { Pacer } from "./rates";
import { isPoolFull } from "../volumes/noSpace";
import { Recorder } from "../early/recorder";
import { Transfer } from "./transfer";
import { inPlace, type Place } from "../connection/place";
import { contentPrefix } from "../volumes/names";
import { ensureVolume, volumeFacts, type VolumeFacts } from "../volumes/volumes";

/** How long a busy pool is asked to look at an upload that is there. */
const UPLOADED_BUSY_MS = 2_000;

export interface CloneSettings extends HelperSettings {
  stallMs: number;
}

export interface CloneParts {
  clock: Clock;
  exporters: Exporters;
  pacer: Pacer;
  resolve(ref: ImageRef): Promise<Resolved>;
}

/** Names a copy under way; needs nothing of the host, so that a copy is known from the call that makes it on. */
export const copyKey = (fleetId: string, ref: TargetRef): string =>
  [fleetId, ref.host, ref.kind, ...(ref.kind === "base" ? [ref.slot, ref.generation] : [ref.purpose, ref.contentId]), ref.disk ?? 0].join("\0");

/**
 * The copy of one disk between hosts or on one host. The source's helper exports the image over NBD (a relay's, while it still
 * arrives), the target's reads it through a copy-on-read filter; of a finished image on the same host the target's
 * helper opens the file itself. What has arrived when it fails stays for the next attempt, unless it is of no use.
 */
export async function cloneDisk(
  order: DiskOrder, place: Place, copy: Copy, parts: CloneParts, settings: CloneSettings, started: (transfer: Transfer) => void, context: CallContext,
): Promise<HintedCloneResult> {
  const { session, scope } = place;
  const target: TargetRef = { ...order.target, disk: order.disk };
  let arrival: Promise<Arrival> | undefined;
  let map: HoleMap | undefined;
  let first: { map: HoleMap; written: Promise<void> } | undefined;
  let transfer: Transfer | undefined;
  try {
    context.signal?.throwIfAborted();
    const from = await parts.resolve(order.source);
    const facts = from.kind === "arriving" ? await from.copy.facts.wait() : from.source;
    copy.facts.pass(facts);
    arrival = beginArrival(place, target, order.image.contentId, facts.capacityBytes);
    arrival.catch(() => undefined); // whoever starts a helper handles it
    const volume = arrival;
    const overNetwork = from.kind === "arriving" || from.source.session !== session;
    if (overNetwork) map = await HoleMap.make(session, scope, facts.capacityBytes, settings.arch, "cdrom");
    if (order.readFirst?.length) first = await firstOf(order.readFirst, place, facts.capacityBytes, settings.arch);
    else if (order.recordReads) copy.recorder = await Recorder.prepare(session, scope, facts.capacityBytes, settings.arch);
    const drives = [map, first?.map, copy.recorder].flatMap((each) => (each ? [each.volume.disk] : []));
    const startHelper = async (over: Resolved | undefined): Promise<Helper> => {
      const { path } = await volume;
      const local = over?.kind === "finished" && over.local ? over.source : undefined;
      const helper = await Helper.start(session, settings, [{
        path, format: "qcow2", copyOnRead: true, backing: local ? { kind: "file", path: local.path, format: local.format, backing: local.backing } : null,
      }, ...(local ? [] : drives)]); // with both, libvirt's names of the nodes would be others
      try {
        if (!local) await helper.tls("client"); // before anything looks like a lost source
        return helper;
      } catch (error) {
        await helper.stop();
        throw error;
      }
    };
    transfer = new Transfer({
      copy, facts, context, startHelper, map, pacer: parts.pacer, clock: parts.clock, targetHost: session.name, pool: session.own.pool, stallMs: settings.stallMs,
      isPoolFull: () => inPlace(place, "look at pool", (here) => isPoolFull(here, scope)),
      arrivedBytes: async () => (await volume).arrivedBytes,
      ...(first && { first: {
        bytes: order.readFirst!.reduce((sum, range) => sum + range.lengthBytes, 0),
        attach: (helper) => first!.written.then(() => first!.map.attachFirst(helper)), detach: (helper) => first!.map.detachFirst(helper),
      } }),
      forGuests: (settings.guests ?? 0) > 0,
      resolve: async (ref) => {
        const found = await parts.resolve(ref);
        return { ...found, local: found.kind === "finished" && found.source.session === session };
      },
      openFeed: (source) => openFeed(source, parts.exporters, session.name, settings),
    }, order.source);
    const running = transfer;
    started(running);
    await session.run("clone", () => running.run());
    const { arrivedBytes } = await volume;
    const { bytesMoved, bytesResent } = transfer;
    return { bytesMoved, bytesResent, ...(arrivedBytes !== undefined && { resumed: true }), ...(copy.recorder?.ranges && { readProfile: coalesce(copy.recorder.ranges) }) };
  } catch (error) {
    if (transfer) context.onBroken?.({ bytesMoved: transfer.bytesMoved, bytesResent: transfer.bytesResent });
    const begun = await arrival?.catch(() => undefined);
    if (begun && !context.signal?.aborted && (spoilsArrived(error) || await isUnfit(begun, error, place, target, settings))) await discardArrival(place, target).catch(() => undefined);
    throw error;
  } finally {
    for (const each of [map, first?.map, copy.recorder]) await each?.volume.remove();
  }
}

/**
 * Nor is what an earlier attempt left, where QEMU does not open it: it checks what it is to go on with. Why no helper
 * starts stands in words alone; if one does without that image, and none of ours that was given up still keeps it, the
 * image is to blame. After all other ends the next attempt goes on from what has arrived.
 */
async function isUnfit(begun: Arrival, error: unknown, place: Place, target: TargetRef, settings: HelperSettings): Promise<boolean> {
  const { session, scope } = place;
  if (begun.arrivedBytes === undefined || !(error instanceof HypervisorError) || error.step !== "start helper") return false;
  if (error instanceof HostUnreachableError || error instanceof UnansweredError) return false;
  try {
    const volume = targetVolumeName(scope, target);
    if (await inPlace(place, "look for helpers", async (here) => endWriters(here, await lookAround(here), { path: begun.path, pool: here.pool.name, volume }))) return false;
    const helper = await Helper.start(session, settings, []);
    await helper.stop();
    return true;
  } catch {
    return false;
  }
}

/** Never throws: it is a hint. */
async function firstOf(
  ranges: readonly ByteRange[], { session, scope }: Place, capacityBytes: number, arch: string,
): Promise<{ map: HoleMap; written: Promise<void> } | undefined> {
  const map = await HoleMap.make(session, scope, capacityBytes, arch, "floppy", true);
  if (!map) return undefined;
  const written = map.write(ranges);
  written.catch(() => undefined); // whoever needs it handles it
  return { map, written };
}

/** A local file goes up once, over a connection of its own, holes left out. */
export async function uploadTemplate(
  order: CloneOrder, file: string, place: Place, context: CallContext = {},
): Promise<CloneResult> {
  const { session, scope } = place;
  if (order.target.kind !== "replica") throw new HypervisorError(session.name, "upload", "a local file is uploaded as a template only");
  const state = await fileState(file);
  const image = await describeFile(file);
  const sent = createHash("sha256");
  const changed = (): TemplateChangedError => new TemplateChangedError(session.name, "upload", `${file} changed while it was uploaded, so what was sent of it was thrown away`);
  if (image.sha256 !== order.image.contentId) {
    throw new TemplateChangedError(session.name, "upload", `${file} changed during the run: expected content ${order.image.contentId.slice(0, 12)}, got ${image.sha256.slice(0, 12)}`);
  }
  const name = targetVolumeName(scope, order.target, image.format);
  await session.pool();
  const extra = await session.openExtra();
  let sentBytes = 0;
  try {
    const marker = markerName(scope, order.target);
    await inPlace(place, "upload", async (here) => {
      await deleteVolume(here, marker); // first: what is being rewritten is not whole
      await deleteVolume(here, name);
      // Made raw, whatever is in it: the upload replaces every byte, a qcow2 header of libvirt's own would be in the way.
      const volume = await ensureVolume(here, name, image.fileBytes, "raw");
      const chunks = uploadChunks(file, (read) => {
        sentBytes = Math.round((read / image.fileBytes) * image.allocationBytes);
        context.onProgress?.(sentBytes, image.allocationBytes);
      }, sent);
      await extra.uploadVolume(volume, image.fileBytes, chunks, context.signal);
      // So that libvirt knows what it holds. A pool that others keep busy is done without: we know it ourselves.
      await refreshPool(here, UPLOADED_BUSY_MS);
    });
    // Of what went over the wire, not of what was read for its hash before: a file can be rewritten and not show it.
    if (sent.digest("hex") !== order.image.contentId) throw changed();
    await markComplete(order, place);
  } catch (error) {
    context.onBroken?.({ bytesMoved: sentBytes });
    await inPlace(place, "clean up", (here) => deleteVolume(here, name)).catch(() => undefined);
    // One that grew, shrank or went is no fault of the host's.
    if (error instanceof HypervisorError && !(error instanceof TemplateChangedError) && !context.signal?.aborted && (await fileState(file).catch(() => "gone")) !== state) throw changed();
    throw error;
  } finally {
    extra.close();
  }
  return { bytesMoved: image.allocationBytes };
}

/** A replica is whole from the moment its marker exists; making a volume is one atomic call. */
export async function markComplete(order: CloneOrder, place: Place): Promise<void> {
  const ref = order.target;
  if (ref.kind !== "replica") return;
  await inPlace(place, "mark", async (here) => {
    await ensureVolume(here, markerName(here.scope, ref), 1, "raw");
    await endArrivals(here, { kind: ref.purpose, contentPrefix: contentPrefix(ref.contentId), format: "qcow2" });
  });
}

/**
 * @param endedWhole this adapter brought it there: a base keeps its mark until its member is defined
 * @throws SourceLostError where it is not there, or only a part of it is
 */
export async function sourceFacts(
  place: Place, ref: CopyRef, volumeName: string, endedWhole: boolean, targetHost: string,
): Promise<VolumeFacts> {
  const { session } = place;
  return inPlace(place, "look at source", async (here) => {
    const { client, pool, scope } = here;
    const volume = await client.lookupVolume(pool, volumeName);
    if (!volume) throw new SourceLostError(session.name, targetHost, `no volume ${volumeName} on ${session.name}: removed by hand?`);
    const isWhole = ref.kind === "replica"
      ? (await client.lookupVolume(pool, markerName(scope, ref))) !== null
      : endedWhole || !(await isMarkedArriving(here, { kind: "base", slot: ref.slot, generation: ref.generation }));
    if (!isWhole) throw new SourceLostError(session.name, targetHost, `the volume ${volumeName} on ${session.name} is not whole`);
    const facts = await volumeFacts(client, volume);
    // As we made it: whatever its bytes look like to libvirt, nobody is to tell us of which format it is.
    if (volumeName.endsWith(".raw")) return { ...facts, format: "raw", capacityBytes: facts.fileBytes ?? facts.capacityBytes };
    if (ref.kind === "base" || ref.purpose === "replica") return { ...facts, format: "qcow2" };
    const header = await headerOf(client, await session.uuid(), { volume, facts }, "qcow2");
    return { ...facts, format: "qcow2", allocationBytes: await writtenByClone(client, ref.contentId, [{ volume, facts, header }], {}) };
  });
}
