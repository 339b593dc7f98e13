import { setTimeout as sleep } from "node:timers/promises";
import {
  ForeignNameError, type CallContext, type MemberRef, type ReconfigureOrder, type SnapshotOrder,
} from "../hypervisor";
import { memberXml } from "./domainXml";
import { parseVolumeName, volumeName, type VolumeScope } from "./names";
import type { Domain, LibvirtClient, Pool } from "./rpc/client";
import { LibvirtError } from "./rpc/errors";
import { DomainState, Flag } from "./rpc/protocol";
import type { HostSession } from "./session";
import { parseTag, TAG_KEY, TAG_URI, tagXml, type MemberTag } from "./tags";
import { targetVolumeName } from "./images";
import { deleteVolume, ensureVolume, volumeFacts } from "./volumes";
import { all, parseXml, text } from "./xml";

const POLL_MS = 200;
/** Starting QEMU is slow on a loaded host. */
const START_DEADLINE_MS = 120_000;

export interface Place {
  session: HostSession;
  scope: VolumeScope;
}

/** Freeze: the writes go to a delta from now on; the base is never written again until it is consolidated. */
export async function snapshotMember(order: SnapshotOrder, at: Place): Promise<void> {
  const { pool } = await at.session.pool();
  await at.session.run("freeze", async (client) => {
    const base = await client.lookupVolume(pool, targetVolumeName(at.scope, order.base));
    if (!base) throw new Error(`the base ${targetVolumeName(at.scope, order.base)} is gone`);
    const facts = await volumeFacts(client, base);
    const delta = volumeName(at.scope, { kind: "delta", slot: order.slot, generation: order.generation });
    await ensureVolume(client, pool, delta, facts.capacityBytes, "qcow2", { path: facts.path, format: facts.format });
  });
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
    const baseName = volumeName(at.scope, { kind: "base", ...of });
    const flat = found?.tag.base === "consolidated";
    const top = await client.lookupVolume(pool, flat ? baseName : deltaName);
    if (!top) throw new Error(`the disk ${flat ? baseName : deltaName} is gone`);
    const extra = [];
    for (const disk of order.vm.disks) {
      const name = volumeName(at.scope, { kind: "disk", ...of, label: disk.label, onDelete: disk.onDelete });
      const pending = volumeName(at.scope, { kind: "pending", ...of, label: disk.label });
      if (disk.onDelete === "keep" && !found) await ensureVolume(client, pool, pending, 1, "raw");
      const volume = await ensureVolume(client, pool, name, disk.sizeBytes, "qcow2");
      extra.push({ path: (await volumeFacts(client, volume)).path, format: "qcow2", label: disk.label });
    }
    const tag: MemberTag = found?.tag ?? {
      purpose: "member", fleetId: order.fleet.fleetId, incarnation: order.fleet.incarnation, ...of, kind: order.kind,
      contentId: order.contentId, base: order.kind === "linked" ? "replica" : "frozen",
    };
    const xml = memberXml(order, tag, { path: (await volumeFacts(client, top)).path, format: "qcow2" }, extra);
    const domain = await client.defineDomain(xml);
    if (order.autostart) await client.setAutostart(domain, true);
    for (const disk of order.vm.disks) await deleteVolume(client, pool, volumeName(at.scope, { kind: "pending", ...of, label: disk.label }));
  });
}

export async function setTag(client: LibvirtClient, domain: Domain, tag: MemberTag): Promise<void> {
  const live = isActive(await client.domainState(domain));
  await client.setMetadata(domain, TAG_URI, TAG_KEY, tagXml(tag), live);
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
    const active = isActive(await client.domainState(found.domain));
    if (order.to === "running" && !active) await client.startDomain(found.domain, START_DEADLINE_MS);
    if (order.to === "stopped" && active) await shutdown(client, found.domain, order.shutdownMs, context.signal);
  });
}

/** ACPI first, then force when the guest has not gone within `shutdownMs`. */
async function shutdown(client: LibvirtClient, domain: Domain, shutdownMs: number, signal?: AbortSignal): Promise<void> {
  const deadline = Date.now() + shutdownMs;
  const state = await client.domainState(domain);
  if (shutdownMs > 0 && (state === DomainState.running || state === DomainState.blocked)) {
    try {
      await client.shutdownDomain(domain);
      while (Date.now() < deadline) {
        signal?.throwIfAborted();
        if (!isActive(await client.domainState(domain))) return;
        await sleep(POLL_MS);
      }
    } catch (error) {
      if (!(error instanceof LibvirtError)) throw error; // a guest that cannot be asked is ended
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
      await assertOwnDisks(client, found.domain, pool, at);
      await shutdown(client, found.domain, order.shutdownMs, context.signal);
      await client.undefineDomain(found.domain);
    }
    await deleteOwnVolumes(client, pool, at.scope, order);
  });
}

/** Without its domain a disk in another pool would be nobody's: before anything is touched, its pool must be this one. */
async function assertOwnDisks(client: LibvirtClient, domain: Domain, pool: Pool, at: Place): Promise<void> {
  for (const disk of all(parseXml(await client.domainXml(domain, Flag.xmlInactive)), "domain", "devices", "disk")) {
    const path = text(disk, "source", "@file");
    const name = path?.split("/").at(-1);
    if (path === undefined || name === undefined || !parseVolumeName(at.scope, name)) continue;
    const volume = await client.lookupVolumeByPath(path);
    if (volume && volume.pool !== pool.name) {
      throw new Error(`its disk ${name} is in the pool ${volume.pool}, not in ${pool.name}: put hosts[].pool back`);
    }
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

