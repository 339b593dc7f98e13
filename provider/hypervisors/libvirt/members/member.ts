import { groupBy, groupOf, inheriting } from "../../../fleet";
import {
  ForeignNameError, type CallContext, type MemberRef, type ReconfigureOrder,
} from "../../hypervisor";
import { endArrivals } from "../volumes/arrivals";
import { disksOf } from "../volumes/contentId";
import { assertOwnDisk, attachedDisks, firmwareVariables, memberDisk, memberDisks } from "../look/domainDisks";
import { memberDefinition, type TemplateMachine } from "../xml/memberDefinition";
import { GuardError } from "../guard/guardError";
import { dropTold, tellGuest, toldNames } from "../identity/volume";
import { IMAGE_KINDS, imageNames, standingImage } from "./images";
import { atPool, inPlace, type Here, type Place } from "../connection/place";
import { assertUnused, deleteUnused, lookAround } from "../guard/guard";
import { findMember, tagOf, type FoundMember } from "../look/memberDomain";
import { memberTagOf } from "../look/ownership";
import type { LibvirtClient } from "../rpc/client";
import type { Domain } from "../rpc/handles";
import { DomainState, Flag, LONG_CALL_MS } from "../rpc/protocol";
import { CallTimeoutError, LibvirtError } from "../rpc/errors";
import { hasAgentChannel } from "../xml/channels";
import { TAG_KEY, TAG_URI, tagXml, type MemberTag } from "../xml/tags";
import { memberImage } from "../volumes/images";
import type { DiskXml } from "../xml/domainXml";
import { diskPath, volumeFacts } from "../volumes/volumes";
import { parseXml } from "../xml/xml";
import { changeLive } from "./liveHardware";
import { putVariables, variablesName } from "./variables";
import { assertNoSnapshot, dataDisks, deletePending, dropPending, growDataDisks, makeDataDisks, markLeaving, namedDisks, pendingMarks } from "./dataDisks";

const POLL_MS = 200;

type Slot = { slot: number; generation: number };

/** Defines the member, or brings its definition to this shape; what runs takes it at its next start, but for what is `live`. */
export async function reconfigureMember(order: ReconfigureOrder, place: Place, machine: () => Promise<TemplateMachine | undefined>, context: CallContext = {}): Promise<void> {
  await inPlace(place, "define", async (here) => {
    const { client, scope } = here;
    const found = await findMember(client, order);
    if (found && found.tag.generation !== order.generation) {
      throw new Error(`${order.name} is of generation ${found.tag.generation}, expected ${order.generation}`);
    }
    const of = { slot: order.slot, generation: order.generation };
    if (found && (found.tag.base === "arriving" || found.tag.base === "arrived")) throw new Error(`the disk of ${order.name} is still arriving`);
    // Whoever made a machine of these images since they were copied has them: two over one disk would destroy it.
    if (!found) await assertUnused(here, await imageNames(here, of));
    const disks = found ? await standingImage(here, found, order.name) : disksOf(order.contentId).map((disk) => memberImage(scope, "delta", of, disk));
    const flat = disks.every((name, disk) => name === memberImage(scope, "base", of, disk));
    const image: DiskXml[] = [];
    for (const name of disks) image.push({ path: await diskPath(here, name), format: "qcow2" });
    const extra = found ? await dataDisks(here, of, found.domain) : await makeDataDisks(here, of, order);
    const told = await tellGuest(here, of, order, found ?? undefined);
    const tag: MemberTag = found ? { ...found.tag, guest: order.guest?.hash, ...(flat && found.tag.kind === "full" ? { base: "consolidated" as const } : {}) } : {
      purpose: "member", fleetId: order.fleet.fleetId, incarnation: order.fleet.incarnation, ...of, kind: order.kind,
      contentId: order.contentId, base: order.kind === "linked" ? "replica" : "frozen", guest: order.guest?.hash, ...hardwareTag(order), ...configuringTag(order),
    };
    const parts = { tag, image, extra: [...extra, ...told.disks], ignition: told.ignition, ...(found && await standingChannel(client, found.domain)) };
    const kept = keepingHardware(order, found?.tag);
    const like = await likeWhat(client, kept, found?.domain, machine);
    const xml = memberDefinition(kept, { ...parts, ...await putVariables(here, of, like) }, like);
    if (found && order.live && isActive(await client.domainState(found.domain))) await changeLive(client, kept, found.domain, context);
    // Before it is a member's: what a guest may have written is no copy to go on with.
    if (!found && order.kind === "full") await endArrivals(here, { kind: "base", ...of });
    const domain = await client.defineDomain(xml);
    if (order.autostart || found) await client.setAutostart(domain, order.autostart);
    // What runs keeps its own definition, and the tag in it.
    if (found && found.tag.guest !== tag.guest) await setTag(client, domain, tag);
    if (found?.tag.guest !== undefined) await dropTold(here, of, order);
    await dropPending(here, order);
    if (!found) return;
    await growDisk(here, order, found, disks[0]!);
    await growDataDisks(here, order, of, found.domain, () => canGrow(here, order, found.domain));
  });
}

/** @returns whether its guest runs, and is told of it */
async function canGrow({ client }: Here, { name }: ReconfigureOrder, domain: Domain): Promise<boolean> {
  await refuseSaved(client, domain, name); // what it held of its disk has the old size
  return isActive(await client.domainState(domain));
}

/** Makes a member's first disk as large as it is declared; one that is larger stays so. */
async function growDisk(here: Here, order: ReconfigureOrder, { domain, tag }: FoundMember, volumeOf: string): Promise<void> {
  const { client, pool } = here;
  const wanted = order.vm.rootDisk?.sizeBytes ?? 0;
  const volume = await client.lookupVolume(pool, volumeOf);
  if (wanted === 0 || !volume || (await volumeFacts(client, volume)).capacityBytes >= wanted) return;
  if (await canGrow(here, order, domain)) await client.resizeDisk(domain, (await memberDisk(client, domain, tag, 0)).device, wanted);
  else await client.resizeVolume(volume, wanted);
}

/** A member's hardware is what it was made with, whatever is declared of others by now. */
export const keepingHardware = <Order extends ReconfigureOrder>(order: Order, tag: MemberTag | undefined): Order =>
  (tag?.hardware === "template" ? { ...order, vm: inheriting(order.vm) } : order);

export const hardwareTag = ({ vm }: ReconfigureOrder): Pick<MemberTag, "hardware"> => (vm.hardware === "template" ? { hardware: "template" } : {});

export const configuringTag = ({ configuring }: ReconfigureOrder): Pick<MemberTag, "configuring"> => (configuring ? { configuring } : {});

/** Cards and disks of a machine change their places with a channel that comes or goes: one that is there keeps what it has. */
export const standingChannel = async (client: LibvirtClient, domain: Domain): Promise<{ agentChannel: boolean }> =>
  ({ agentChannel: hasAgentChannel(parseXml(await client.domainXml(domain, Flag.xmlInactive))["domain"]) });

/** What a member's hardware is to be like: its own, where it has one. Undefined: documented defaults. */
export async function likeWhat(
  client: LibvirtClient, { vm }: Pick<ReconfigureOrder, "vm">, found: Domain | undefined, machine: () => Promise<TemplateMachine | undefined>,
): Promise<{ own: string } | { template: TemplateMachine } | undefined> {
  if (vm.hardware === "defaults") return undefined;
  if (found) return { own: await client.domainXml(found, Flag.xmlInactive | Flag.xmlSecure) };
  const template = await machine();
  return template && { template };
}

export async function setTag(client: LibvirtClient, domain: Domain, tag: MemberTag): Promise<void> {
  const own = memberTagOf(domain, await tagOf(client, domain), tag.fleetId, tag.slot);
  if (own?.generation !== tag.generation) {
    throw new Error(`${domain.name} does not bear this member's tag any more: it was taken away or given another meanwhile, and the domain was left as it is`);
  }
  const live = isActive(await client.domainState(domain));
  await client.setMetadata(domain, TAG_URI, TAG_KEY, tagXml(tag), live);
}

/**
 * A saved state names the disks that its guest had, and goes on with what it held of them in memory: neither their
 * places nor the definition may change under it. @throws when there is one
 */
export async function refuseSaved(client: LibvirtClient, domain: Domain, name: string): Promise<void> {
  if (!(await client.hasManagedSave(domain))) return;
  throw new Error(`${name} has a saved state that names its present disk: start it (virsh start) or drop the state (virsh managedsave-remove)`);
}

export async function adoptMember(order: MemberRef, place: Place): Promise<void> {
  await place.session.run("adopt", async (client) => {
    const found = await findMember(client, order);
    if (!found) throw new Error(`${order.name} is gone`);
    await setTag(client, found.domain, { ...found.tag, incarnation: order.fleet.incarnation });
  });
}

export const isActive = (state: number): boolean =>
  state === DomainState.running || state === DomainState.blocked || state === DomainState.paused ||
  state === DomainState.shutdown || state === DomainState.pmsuspended;

export async function powerMember(
  order: MemberRef & { to: "running" | "stopped"; shutdownMs: number }, place: Place, context: CallContext = {},
): Promise<void> {
  await place.session.run(order.to === "running" ? "start" : "stop", async (client) => {
    const found = await findMember(client, order);
    if (!found) throw new Error(`${order.name} is gone`);
    const state = await client.domainState(found.domain);
    const active = isActive(state);
    if (order.to === "running" && !active) await client.startDomain(found.domain, LONG_CALL_MS);
    if (order.to === "running" && state === DomainState.paused) await client.resumeDomain(found.domain);
    if (order.to === "stopped" && active) await shutdown(client, found.domain, order.shutdownMs, context.signal);
  });
}

/** ACPI first, then force when the guest has not gone within `shutdownMs`. */
async function shutdown(client: LibvirtClient, domain: Domain, shutdownMs: number, signal?: AbortSignal): Promise<void> {
  const deadline = client.clock.nowMs() + shutdownMs;
  const state = await client.domainState(domain);
  if (shutdownMs > 0 && (state === DomainState.running || state === DomainState.blocked)) {
    try {
      await client.shutdownDomain(domain);
      while (client.clock.nowMs() < deadline) {
        signal?.throwIfAborted();
        if (!isActive(await client.domainState(domain))) return;
        await client.clock.sleep(POLL_MS);
      }
    } catch (error) {
      if (!(error instanceof LibvirtError || error instanceof CallTimeoutError)) throw error; // a guest that cannot be asked is ended
    }
  }
  if (isActive(await client.domainState(domain))) await client.destroyDomain(domain, 0, LONG_CALL_MS);
}

/**
 * Stops, undefines, then removes its volumes; a crash in between leaves leftovers, which the next run removes. What
 * somebody else uses of them is found before anything is touched.
 */
export async function destroyMember(order: MemberRef & { shutdownMs: number }, place: Place, context: CallContext = {}): Promise<void> {
  await inPlace(place, "destroy", async (here) => {
    const { client, scope } = here;
    // A domain of that name that is not this member is somebody's: nothing of this member is there to destroy.
    const found = await findMember(client, order).catch(ignoreForeign);
    if (found) {
      if (found.tag.generation !== order.generation) throw new Error(`${order.name} is of generation ${found.tag.generation}, expected ${order.generation}`);
      await assertOwnDisks(here, found, order);
    }
    let marks = await pendingMarks(here, order);
    if (found) {
      const named = await namedDisks(here, found.domain, order);
      const going = groupBy(named.filter(({ onDelete }) => onDelete === "delete"), ({ pool }) => pool.name);
      await assertUnused(here, [...await imageNames(here, order), ...groupOf(going, here.pool.name).map(({ volume }) => volume)], found.domain.uuid);
      for (const [pool, disks] of going) if (pool !== here.pool.name) await assertUnused(atPool(here, disks[0]!.pool), disks.map(({ volume }) => volume), found.domain.uuid);
      await assertFirmwareUnused(here, found.domain);
      await shutdown(client, found.domain, order.shutdownMs, context.signal);
      marks = await markLeaving(here, named, marks);
      await client.undefineDomain(found.domain);
    }
    const images = (await imageNames(here, order)).reverse();
    // A copy that somebody made shares what tells a guest who it is (virt-clone copies no read-only disks): it stays as long as that.
    const staying = await deleteUnused(here, [...toldNames(scope, order), variablesName(scope, order), ...images]);
    for (const image of images) if (staying.has(image)) throw staying.get(image)!;
    for (const mark of marks) await deletePending(here, mark);
    await endArrivals(here, { kind: "base", slot: order.slot, generation: order.generation });
  });
}

/** Undefining takes the file of its firmware's variables along. */
async function assertFirmwareUnused(here: Here, domain: Domain): Promise<void> {
  const path = firmwareVariables(await here.client.domainXml(domain, Flag.xmlInactive));
  if (path === undefined) return;
  const users = (await lookAround(here)).usersOf({ path }, domain.uuid);
  if (users.length > 0) throw new GuardError(`${path}, which goes with its definition, is in use: ${users.join("; ")}. Take it from there first`);
}

/**
 * Without its domain a disk would be nobody's. So before anything is touched: the disks must be this fleet's, in this
 * pool, and nothing of somebody else's (a snapshot) may stand on them.
 */
async function assertOwnDisks(here: Here, { domain, tag }: FoundMember, of: Slot): Promise<void> {
  const { client, pool, session, scope } = here;
  if (!(await client.poolIsActive(pool))) throw new Error(`its storage pool ${pool.name} is not active: virsh pool-start it on ${session.name}`);
  for (const { place, current, persistent } of await memberDisks(client, domain, tag)) {
    for (const file of [current, persistent]) {
      if (place > 0 && file === undefined) continue; // detached by hand: its volume goes as what it is, if nobody has it
      assertOwnDisk(scope, file, IMAGE_KINDS.map((kind) => memberImage(scope, kind, of, place)), place === 0 ? "its disk" : `its disk ${place + 1}`);
      if (!(await client.lookupVolume(pool, file))) throw new Error(`its disk ${file} is not in the pool ${pool.name}: put hosts[].pool back`);
    }
  }
  for (const flags of [0, Flag.xmlInactive]) await assertNoSnapshot(here, of, attachedDisks(parseXml(await client.domainXml(domain, flags))), domain.name);
}

function ignoreForeign(error: unknown): null {
  if (error instanceof ForeignNameError) return null;
  throw error;
}
