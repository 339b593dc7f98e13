import { setTimeout as sleep } from "node:timers/promises";
import {
  ForeignNameError, type CallContext, type MemberRef, type ReconfigureOrder, type SnapshotOrder,
} from "../hypervisor";
import { endArrival } from "./arrivals";
import { assertOwnDisk, baseName, rootDisk } from "./domainDisks";
import { memberXml, type DiskXml } from "./domainXml";
import { parseVolumeName, volumeName, type VolumeScope } from "./names";
import type { Domain, LibvirtClient, Pool } from "./rpc/client";
import { CallTimeoutError, LibvirtError } from "./rpc/errors";
import { DomainState, Flag } from "./rpc/protocol";
import type { HostSession } from "./session";
import { parseTag, TAG_KEY, TAG_URI, tagXml, type MemberTag } from "./tags";
import { targetVolumeName } from "./images";
import { deleteVolume, diskPath, ensureVolume, volumeFacts } from "./volumes";
import { all, parseXml, text } from "./xml";

const POLL_MS = 200;
/** Starting QEMU is slow on a loaded host. */
export const START_DEADLINE_MS = 120_000;

export interface Place {
  session: HostSession;
  scope: VolumeScope;
}

/** Freeze: the writes go to a delta from now on; the base is never written again until it is consolidated. */
export async function snapshotMember(order: SnapshotOrder, at: Place): Promise<void> {
  const { pool } = await at.session.pool();
  await at.session.run("freeze", async (client) => {
    const base = await client.lookupVolume(pool, targetVolumeName(at.scope, order.base));
    if (await ownedBy(client, order)) return; // done before: what stands there has been written
    if (!base) throw new Error(`the base ${targetVolumeName(at.scope, order.base)} is gone`);
    const facts = await volumeFacts(client, base);
    const delta = volumeName(at.scope, { kind: "delta", slot: order.slot, generation: order.generation });
    await deleteVolume(client, pool, delta); // of a run that did not get to the member: over another base, perhaps
    await ensureVolume(client, pool, delta, facts.capacityBytes, "qcow2", { path: facts.path, format: "qcow2" });
  });
}

/** Whether a domain of this slot and generation exists on the host. */
async function ownedBy(client: LibvirtClient, { fleet, slot, generation }: SnapshotOrder): Promise<boolean> {
  for (const domain of await client.listDomains()) {
    const xml = await client.getMetadata(domain, TAG_URI);
    const tag = xml === null ? null : parseTag(xml);
    if (tag?.purpose === "member" && tag.fleetId === fleet.fleetId && tag.slot === slot && tag.generation === generation) return true;
  }
  return false;
}

/** The domain of that name if it is this member. Null: none. @throws ForeignNameError when the name is not ours. */
export async function findMember(client: LibvirtClient, order: Pick<MemberRef, "fleet" | "host" | "slot" | "name">): Promise<{ domain: Domain; tag: MemberTag } | null> {
  const domain = await client.lookupDomain(order.name);
  if (!domain) return null;
  const xml = await client.getMetadata(domain, TAG_URI);
  const tag = xml === null ? null : parseTag(xml);
  if (!tag || tag.purpose !== "member" || tag.fleetId !== order.fleet.fleetId || tag.slot !== order.slot) {
    throw new ForeignNameError(order.host, "look up", `a domain named ${order.name} exists that is not of this fleet: rename it or choose another namePrefix`);
  }
  return { domain, tag };
}

/** Defines the member, or brings its definition to this shape; what runs takes it at its next start. */
export async function reconfigureMember(order: ReconfigureOrder, at: Place): Promise<void> {
  const { pool } = await at.session.pool();
  await at.session.run("define", async (client) => {
    const found = await findMember(client, order);
    if (found && found.tag.generation !== order.generation) {
      throw new Error(`${order.name} is of generation ${found.tag.generation}, expected ${order.generation}`);
    }
    const of = { slot: order.slot, generation: order.generation };
    const deltaName = volumeName(at.scope, { kind: "delta", ...of });
    const flatName = volumeName(at.scope, { kind: "base", ...of });
    if (found && (found.tag.base === "arriving" || found.tag.base === "arrived")) throw new Error(`the disk of ${order.name} is still arriving`);
    const disk = found ? await rootDisk(client, found.domain) : undefined;
    if (disk) assertOwnDisk(disk.persistent, [flatName, deltaName], `the disk of ${order.name}`);
    const flat = disk?.persistent === flatName;
    const path = await diskPath(client, pool, flat ? flatName : deltaName);
    const extra = found ? await dataDisks(client, pool, at.scope, of, found.domain) : await makeDataDisks(client, pool, at.scope, of, order);
    const tag: MemberTag = found ? { ...found.tag, ...(flat && found.tag.kind === "full" ? { base: "consolidated" as const } : {}) } : {
      purpose: "member", fleetId: order.fleet.fleetId, incarnation: order.fleet.incarnation, ...of, kind: order.kind,
      contentId: order.contentId, base: order.kind === "linked" ? "replica" : "frozen",
    };
    const xml = memberXml(order, tag, { path, format: "qcow2" }, extra);
    // Before it is a member's: what a guest may have written is no copy to go on with.
    if (!found && order.kind === "full") await endArrival(client, pool, at.scope, { kind: "base", ...of });
    const domain = await client.defineDomain(xml);
    if (order.autostart || found) await client.setAutostart(domain, order.autostart);
    await dropPending(client, at, order);
  });
}

/** The member exists: its disks to keep need their marks no more. */
export async function dropPending(client: LibvirtClient, at: Place, { slot, generation, vm }: ReconfigureOrder): Promise<void> {
  const { pool } = await at.session.pool();
  for (const { label } of vm.disks) await deleteVolume(client, pool, volumeName(at.scope, { kind: "pending", slot, generation, label }));
}

type Slot = { slot: number; generation: number };
type DataDisk = DiskXml & { label: string };

/** A new member's data disks. One that is to be kept bears its mark until the member exists. */
export async function makeDataDisks(client: LibvirtClient, pool: Pool, scope: VolumeScope, of: Slot, order: ReconfigureOrder): Promise<DataDisk[]> {
  const made: DataDisk[] = [];
  for (const disk of order.vm.disks) {
    const name = volumeName(scope, { kind: "disk", ...of, label: disk.label, onDelete: disk.onDelete });
    const pending = volumeName(scope, { kind: "pending", ...of, label: disk.label });
    const unused = disk.onDelete === "delete" || (await client.lookupVolume(pool, pending)) !== null;
    if (!unused && (await client.lookupVolume(pool, name))) throw new Error(`the disk ${name} of an earlier member is there: it is kept, move it away first`);
    if (disk.onDelete === "keep") await ensureVolume(client, pool, pending, 1, "raw");
    await deleteVolume(client, pool, name); // of a run that did not get to the member
    const volume = await ensureVolume(client, pool, name, disk.sizeBytes, "qcow2");
    made.push({ path: (await volumeFacts(client, volume)).path, format: "qcow2", label: disk.label });
  }
  return made;
}

/** The disks a member has, in its own order, whatever is declared by now: a redefinition takes none away. */
export async function dataDisks(client: LibvirtClient, pool: Pool, scope: VolumeScope, of: Slot, domain: Domain): Promise<DataDisk[]> {
  const attached = all(parseXml(await client.domainXml(domain, Flag.xmlInactive)), "domain", "devices", "disk")
    .map((disk) => baseName(text(disk, "source", "@file")));
  const place = (name: string): number => (attached.includes(name) ? attached.indexOf(name) : attached.length);
  const own = (await client.listVolumes(pool)).flatMap((volume) => {
    const name = parseVolumeName(scope, volume.name);
    return name?.kind === "disk" && name.slot === of.slot && name.generation === of.generation ? [{ volume, label: name.label }] : [];
  });
  own.sort((a, b) => place(a.volume.name) - place(b.volume.name) || (a.volume.name < b.volume.name ? -1 : 1));
  return Promise.all(own.map(async ({ volume, label }) => ({ path: (await volumeFacts(client, volume)).path, format: "qcow2", label })));
}

export async function setTag(client: LibvirtClient, domain: Domain, tag: MemberTag): Promise<void> {
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

export async function adoptMember(order: MemberRef, at: Place): Promise<void> {
  await at.session.run("adopt", async (client) => {
    const found = await findMember(client, order);
    if (!found) throw new Error(`${order.name} is gone`);
    await setTag(client, found.domain, { ...found.tag, incarnation: order.fleet.incarnation });
  });
}

export const isActive = (state: number): boolean =>
  state === DomainState.running || state === DomainState.blocked || state === DomainState.paused ||
  state === DomainState.shutdown || state === DomainState.pmsuspended;

export async function powerMember(
  order: MemberRef & { to: "running" | "stopped"; shutdownMs: number }, at: Place, context: CallContext = {},
): Promise<void> {
  await at.session.run(order.to === "running" ? "start" : "stop", async (client) => {
    const found = await findMember(client, order);
    if (!found) throw new Error(`${order.name} is gone`);
    const state = await client.domainState(found.domain);
    const active = isActive(state);
    if (order.to === "running" && !active) await client.startDomain(found.domain, START_DEADLINE_MS);
    if (order.to === "running" && state === DomainState.paused) await client.resumeDomain(found.domain);
    if (order.to === "stopped" && active) await shutdown(client, found.domain, order.shutdownMs, context.signal);
  });
}

/** ACPI first, then force when the guest has not gone within `shutdownMs`. */
async function shutdown(client: LibvirtClient, domain: Domain, shutdownMs: number, signal?: AbortSignal): Promise<void> {
  const deadline = performance.now() + shutdownMs;
  const state = await client.domainState(domain);
  if (shutdownMs > 0 && (state === DomainState.running || state === DomainState.blocked)) {
    try {
      await client.shutdownDomain(domain);
      while (performance.now() < deadline) {
        signal?.throwIfAborted();
        if (!isActive(await client.domainState(domain))) return;
        await sleep(POLL_MS);
      }
    } catch (error) {
      if (!(error instanceof LibvirtError || error instanceof CallTimeoutError)) throw error; // a guest that cannot be asked is ended
    }
  }
  if (isActive(await client.domainState(domain))) await client.destroyDomain(domain, 0, START_DEADLINE_MS);
}

/** Stops, undefines, then removes its volumes; a crash in between leaves partials, which the next run removes. */
export async function destroyMember(order: MemberRef & { shutdownMs: number }, at: Place, context: CallContext = {}): Promise<void> {
  const { pool } = await at.session.pool();
  await at.session.run("destroy", async (client) => {
    // A domain of that name without our tag is somebody's: nothing of this member is there to destroy.
    const found = await findMember(client, order).catch(ignoreForeign);
    if (found) {
      if (found.tag.generation !== order.generation) throw new Error(`${order.name} is of generation ${found.tag.generation}, expected ${order.generation}`);
      await assertOwnDisks(client, found.domain, pool, at, order);
      await shutdown(client, found.domain, order.shutdownMs, context.signal);
      await client.undefineDomain(found.domain);
    }
    await deleteOwnVolumes(client, pool, at.scope, order);
  });
}

/**
 * Without its domain a disk would be nobody's. So before anything is touched: the disks must be this fleet's, in this
 * pool, and nothing of somebody else's (a snapshot) may stand on them.
 */
async function assertOwnDisks(client: LibvirtClient, domain: Domain, pool: Pool, { session, scope }: Place, of: Slot): Promise<void> {
  if (!(await client.poolIsActive(pool))) throw new Error(`its storage pool ${pool.name} is not active: virsh pool-start it on ${session.name}`);
  const { current, persistent } = await rootDisk(client, domain);
  const own = (["base", "delta", "early"] as const).map((kind) => volumeName(scope, { kind, slot: of.slot, generation: of.generation }));
  for (const file of [current, persistent]) {
    assertOwnDisk(file, own, "its disk");
    if (!(await client.lookupVolume(pool, file))) throw new Error(`its disk ${file} is not in the pool ${pool.name}: put hosts[].pool back`);
  }
}

function ignoreForeign(error: unknown): null {
  if (error instanceof ForeignNameError) return null;
  throw error;
}

async function deleteOwnVolumes(
  client: LibvirtClient, pool: Pool, scope: VolumeScope, of: { slot: number; generation: number },
): Promise<void> {
  for (const volume of await client.listVolumes(pool)) {
    const name = parseVolumeName(scope, volume.name);
    if (!name || !("slot" in name) || name.slot !== of.slot || name.generation !== of.generation) continue;
    if (name.kind === "disk" && name.onDelete === "keep") continue;
    await deleteVolume(client, pool, volume.name);
  }
}

