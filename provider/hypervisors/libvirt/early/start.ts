import { randomBytes } from "node:crypto";
import type { CallContext, EarlyOrder } from "../../hypervisor";
import { abortable } from "../../../async/abortable";
import type { Copy } from "../copy/copies";
import type { DiskXml } from "../xml/domainXml";
import { memberDefinition, type TemplateMachine } from "../xml/memberDefinition";
import { inPlace, type Here, type Place } from "../connection/place";
import { deleteVolume } from "../guard/guard";
import { tellGuest } from "../identity/volume";
import { dataDisks, dropPending, makeDataDisks } from "../members/dataDisks";
import { configuringTag, hardwareTag, isActive, keepingHardware, likeWhat, refuseSaved, standingChannel } from "../members/member";
import { putVariables } from "../members/variables";
import { resumeStopped } from "../members/resume";
import { findMember } from "../look/memberDomain";
import { memberImage } from "../volumes/images";
import { deviceOf, diskNodes, openExport, reopenOver, type NbdExport } from "../helper/nodes";
import { Boot, READING_BYTES } from "./boot";
import type { LibvirtClient } from "../rpc/client";
import type { Domain } from "../rpc/handles";
import { ErrorCode, LONG_CALL_MS } from "../rpc/protocol";
import { ConnectionLostError, isLibvirtError, QmpError } from "../rpc/errors";
import type { MemberTag } from "../xml/tags";
import { diskPath, ensureVolume, volumeFacts } from "../volumes/volumes";

const LOOK_MS = 200;
const NODE_PREFIX = "vmfleet-early-";

/**
 * Starts a member before its disk is there (docs/adr/0050): its writes go to an overlay of its own, what it reads comes
 * through the copy-on-read filter of the helper that brings the image to this very host. The overlay's header names no
 * backing and the export dies with the helper, so the definition cannot be started by anyone until it is settled: what
 * a guest does not have yet must never be read as zeros.
 */
export async function startEarly(
  order: EarlyOrder, place: Place, copies: readonly Copy[], machine: () => Promise<TemplateMachine | undefined>, context: CallContext = {},
): Promise<void> {
  const served = await Promise.all(copies.map(async (copy, disk): Promise<Served> => {
    const { capacityBytes } = await abortable(copy.facts.wait(), context.signal);
    return { copy, capacityBytes, ...await abortable(copy.serveGuest(disk === 0), context.signal) };
  }));
  await inPlace(place, "start early", async (here) => {
    const { client, scope } = here;
    const found = await findMember(client, order);
    if (found && found.tag.generation !== order.generation) throw new Error(`${order.name} is of generation ${found.tag.generation}, expected ${order.generation}`);
    if (found && found.tag.base !== "arriving") throw new Error(`${order.name} has its disk already`);
    if (found) await refuseSaved(client, found.domain, order.name);
    if (found && isActive(await client.domainState(found.domain))) {
      const disks: MindedDisk[] = [];
      for (const [disk, one] of served.entries()) disks.push({ ...one, path: await diskPath(here, memberImage(scope, "early", order, disk)) });
      for (const { path, at } of disks) await feedGuest(client, found.domain, path, at);
      await resumeStopped(client, found.domain);
      void mind(client, found.domain, disks);
      return;
    }
    const { image, extra } = await earlyDisks(here, order, served, found?.domain);
    const told = await tellGuest(here, order, order, found ?? undefined);
    const tag: MemberTag = found ? { ...found.tag, guest: order.guest?.hash } : {
      purpose: "member", fleetId: order.fleet.fleetId, incarnation: order.fleet.incarnation, slot: order.slot, generation: order.generation,
      kind: order.kind, contentId: order.contentId, base: "arriving", guest: order.guest?.hash, ...hardwareTag(order), ...configuringTag(order),
    };
    const kept = keepingHardware(order, found?.tag);
    const parts = { tag, image, extra: [...extra, ...told.disks], ignition: told.ignition, ...(found && await standingChannel(client, found.domain)) };
    const like = await likeWhat(client, kept, found?.domain, machine);
    const defined = await client.defineDomain(memberDefinition(kept, { ...parts, ...await putVariables(here, order, like) }, like));
    await dropPending(here, order);
    await client.startDomain(defined, LONG_CALL_MS);
    void mind(client, defined, served.map((one, disk) => ({ ...one, path: image[disk]!.path })));
  });
}

/** What a guest reads one of its disks from. */
type Served = { copy: Copy; capacityBytes: number } & Awaited<ReturnType<Copy["serveGuest"]>>;

/** And the overlay that takes its writes. */
interface MindedDisk extends Pick<Served, "copy" | "epoch" | "recording" | "at"> {
  path: string;
}

async function earlyDisks(
  here: Here, order: EarlyOrder, served: readonly Served[], found: Domain | undefined,
): Promise<{ image: DiskXml[]; extra: (DiskXml & { label: string })[] }> {
  const { client, pool, scope } = here;
  const of = { slot: order.slot, generation: order.generation };
  const image: DiskXml[] = [];
  for (const [disk, { capacityBytes, at }] of served.entries()) {
    const name = memberImage(scope, "early", of, disk);
    if (!found) await deleteVolume(here, name); // of a run that did not get to the member
    else if (!(await client.lookupVolume(pool, name))) throw new Error(`the disk ${name} is gone`);
    const volume = await ensureVolume(here, name, Math.max(capacityBytes, disk === 0 ? order.vm.rootDisk?.sizeBytes ?? 0 : 0), "qcow2");
    image.push({ path: (await volumeFacts(client, volume)).path, format: "qcow2", stopOnError: true, backing: { kind: "nbd", ...at } });
  }
  const extra = found ? await dataDisks(here, of, found) : await makeDataDisks(here, of, order);
  return { image, extra };
}

/**
 * Puts a running guest's overlay, the file at `path`, over another export. The one it stood over may be dead.
 * @throws where none of its disks is that file
 */
async function feedGuest(client: LibvirtClient, domain: Domain, path: string, at: NbdExport): Promise<void> {
  const qmp = <T = unknown>(command: string, args?: Record<string, unknown>, timeoutMs?: number): Promise<T> => client.qmp<T>(domain, command, args, timeoutMs);
  const overlay = await diskNodes(qmp, path);
  const name = `${NODE_PREFIX}${randomBytes(4).toString("hex")}`;
  const nodes = await qmp<{ "node-name"?: string }[]>("query-named-block-nodes", { flat: true });
  await openExport(qmp, name, at);
  await reopenOver(qmp, overlay, name);
  // libvirt's own node of the first export stays: it takes that away itself when the disk moves. Those of other disks are in use.
  for (const node of nodes) {
    const old = node["node-name"];
    if (!old?.startsWith(NODE_PREFIX)) continue;
    await qmp("blockdev-del", { "node-name": old }).catch((error: unknown) => {
      if (!(error instanceof QmpError)) throw error;
    });
  }
}

/**
 * Keeps an early guest going until its copy ends: one that stands still because a read failed is resumed when the copy
 * has a source again, over another export where the helper is another; and while it reads, the copy leaves it the way.
 * Ends with its connection: so does the copy.
 */
async function mind(client: LibvirtClient, domain: Domain, disks: readonly MindedDisk[]): Promise<void> {
  const minded = disks.map((disk) => ({ ...disk, readBytes: 0 }));
  const [first] = minded as [(typeof minded)[number]];
  const boot = new Boot();
  let asked = false;
  /** Over an export that records nothing. */
  const feedAnew = async (disk: (typeof minded)[number]): Promise<void> => {
    const served = await disk.copy.serveGuest();
    await feedGuest(client, domain, disk.path, served.at);
    disk.epoch = served.epoch;
    const { recording } = disk;
    delete disk.recording;
    await recording?.finish();
  };
  while (minded.some(({ copy }) => !copy.ended)) {
    await client.clock.sleep(LOOK_MS);
    try {
      if (await client.isStoppedByDisk(domain)) {
        first.recording?.spoil();
        for (const disk of minded) {
          if (disk.copy.ended) continue;
          await disk.copy.whenFed();
          if (disk.copy.epoch !== disk.epoch || disk.recording) await feedAnew(disk);
        }
        await client.resumeDomain(domain);
      } else {
        let isReading = false;
        for (const disk of minded) {
          const now = await bytesRead(client, domain, disk.path);
          isReading ||= now - disk.readBytes > READING_BYTES;
          disk.readBytes = now;
        }
        // Its disks share the way: whatever it reads, all of them leave it.
        if (isReading) for (const { copy } of minded) copy.guestsWait();
        if (first.recording && !asked && boot.hasEnded(first.readBytes, client.clock.nowMs())) {
          asked = true; // where it does not work the record ends with the copy
          await feedAnew(first);
        }
      }
    } catch (error) {
      if (error instanceof ConnectionLostError || isLibvirtError(error, ErrorCode.noDomain)) return;
      // It does not run now, or the export went once more: looked at again.
    }
  }
}

/** From the disk that is the file at `path`. */
async function bytesRead(client: LibvirtClient, domain: Domain, path: string): Promise<number> {
  try {
    const device = await deviceOf((command) => client.qmp(domain, command), path);
    const stats = await client.qmp<{ qdev?: string; stats: { rd_bytes: number } }[]>(domain, "query-blockstats");
    return stats.find(({ qdev }) => qdev === device)?.stats.rd_bytes ?? 0;
  } catch (error) {
    if (error instanceof QmpError) return 0;
    throw error;
  }
}
