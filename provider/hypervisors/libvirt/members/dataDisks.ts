/**
 * Data disks of members: made empty, or given again to their slot's next member; each in the pool that it is declared for.
 * Of a member that exists its definition says which they are (ADR 0062).
 */
import { asMade, DISK_BUSES } from "../../../fleet";
import type { ExtraDiskSpec } from "../../../fleet/model";
import type { ReconfigureOrder } from "../../hypervisor";
import { atPool, type Here } from "../connection/place";
import { assertUnused, deleteUnused, deleteVolume } from "../guard/guard";
import { toldNames } from "../identity/volume";
import { isMemberImage } from "./images";
import { attachedDisks, type AttachedDisk } from "../look/domainDisks";
import { libvirts } from "../own";
import type { LibvirtClient } from "../rpc/client";
import type { Domain, Pool } from "../rpc/handles";
import { Flag } from "../rpc/protocol";
import { heldGeneration, parseVolumeName, poolKey, volumeName, type VolumeName, type VolumeScope } from "../volumes/names";
import { ensureVolume, volumeAt, volumeFacts } from "../volumes/volumes";
import type { DataDisk } from "../xml/memberDefinition";
import { at as xmlAt, parseXml, text } from "../xml/xml";

type Slot = { slot: number; generation: number };
type DiskName = Extract<VolumeName, { kind: "disk" }>;

/** A data disk as a definition names it. */
export type OwnDataDisk = DiskName & Omit<AttachedDisk, "file"> & { volume: string };

/** Of the disks that a member's definition names, those that are its data disks: also one that was kept of an earlier member of its slot. */
export function ownDataDisks(scope: VolumeScope, of: Slot, disks: readonly AttachedDisk[]): OwnDataDisk[] {
  const own = new Map<string, OwnDataDisk>();
  for (const { file, ...as } of disks) {
    const name = parseVolumeName(scope, file);
    if (name?.kind === "disk" && isOf(name, of) && !own.has(file)) own.set(file, { ...name, ...as, volume: file });
  }
  return [...own.values()].sort((a, b) => a.generation - b.generation); // an older one that somebody attached beside it is not the one in use
}

const isOf = ({ slot, generation, onDelete }: DiskName, of: Slot): boolean =>
  slot === of.slot && (generation === of.generation || (generation < of.generation && onDelete === "keep"));

/** The pool that a disk is declared to be in. @throws where the host has none of that name */
async function poolFor(here: Here, { own }: ExtraDiskSpec): Promise<Here> {
  const wanted = own && libvirts(own).pool;
  if (wanted === undefined || wanted === here.pool.name) return here;
  const pool = await here.client.lookupPool(wanted);
  if (!pool) throw new Error(`no storage pool named ${JSON.stringify(wanted)}`);
  return atPool(here, pool);
}

const markName = (here: Here, { slot, generation }: Slot, label: string, pool: Pool): string => (
  volumeName(here.scope, { kind: "pending", slot, generation, label, ...(pool.name !== here.pool.name && { pool: poolKey(pool.name) }) }));

/** A new member's data disks, in the order in which they are declared. */
export async function makeDataDisks(here: Here, of: Slot, order: ReconfigureOrder): Promise<DataDisk[]> {
  const made: DataDisk[] = [];
  for (const disk of order.vm.disks) {
    const kept = order.reattach?.find(({ label }) => label === disk.label)?.disk;
    const path = kept === undefined ? await makeDisk(here, of, disk) : await takeKept(here, of, disk, kept);
    made.push({ path, format: "qcow2", label: disk.label, ...(disk.own && { bus: libvirts(disk.own).bus }) });
  }
  return made;
}

/**
 * An empty one. It bears its mark until a member's definition names it: without either a volume that looks like one of
 * ours may be somebody's copy, and is left alone.
 * @returns its path
 */
async function makeDisk(here: Here, of: Slot, disk: ExtraDiskSpec): Promise<string> {
  const { client, pool, scope } = here;
  const there = await poolFor(here, disk);
  const name = volumeName(scope, { kind: "disk", ...of, label: disk.label, onDelete: disk.onDelete });
  const pending = markName(here, of, disk.label, there.pool);
  const unused = (await client.lookupVolume(pool, pending)) !== null;
  if (!unused && (await client.lookupVolume(there.pool, name))) {
    throw new Error(disk.onDelete === "keep" ? `the disk ${name} of an earlier member is there: it is kept, move it away first` : `a volume named ${name} is there already, and nothing says that it is ours: move it away first`);
  }
  await ensureVolume(here, pending, 1, "raw");
  await deleteVolume(there, name); // of a run that did not get to the member
  return (await volumeFacts(client, await ensureVolume(there, name, disk.sizeBytes, "qcow2"))).path;
}

/**
 * One that was kept of an earlier member of the slot, with all that is on it. It gets no mark: whatever becomes of this
 * run, it is one to be kept.
 * @returns its path
 * @throws where it is not there as it was left, or somebody uses it
 */
async function takeKept(here: Here, of: Slot, disk: ExtraDiskSpec, name: string): Promise<string> {
  const { client, pool, scope } = here;
  const parsed = parseVolumeName(scope, name);
  if (parsed?.kind !== "disk" || parsed.label !== disk.label || parsed.onDelete !== "keep" || !isOf(parsed, of)) throw new Error(`${name} is no disk ${disk.label} that was kept of slot ${of.slot}`);
  const there = await poolFor(here, disk);
  const volume = await client.lookupVolume(there.pool, name);
  if (!volume) throw new Error(`the kept disk ${name} is gone from the pool ${there.pool.name}; the next \`pulumi up\` makes a new one`);
  const facts = await volumeFacts(client, volume);
  if (facts.format !== "qcow2" || facts.backingPath !== undefined) throw new Error(`the kept disk ${name} is not as it was left (${facts.format}${facts.backingPath === undefined ? "" : `, over ${facts.backingPath}`}): move it away for a new one`);
  if (facts.capacityBytes > asMade(disk.sizeBytes)) throw new Error(`the kept disk ${name} is larger than the ${disk.sizeBytes} bytes that are declared: disks never shrink`);
  if (await client.lookupVolume(pool, markName(here, parsed, disk.label, there.pool))) throw new Error(`${name} is no kept disk: the mark beside it says that no member ever had it`);
  await assertUnused(there, [name]);
  if (facts.capacityBytes < disk.sizeBytes) await client.resizeVolume(volume, disk.sizeBytes);
  return facts.path;
}

/** The member exists, and its definition names its disks: they need their marks no more. */
export async function dropPending(here: Here, { slot, generation, vm, reattach = [] }: ReconfigureOrder): Promise<void> {
  for (const disk of vm.disks) {
    if (reattach.some(({ label }) => label === disk.label)) continue;
    const wanted = disk.own && libvirts(disk.own).pool;
    await deleteVolume(here, markName(here, { slot, generation }, disk.label, { ...here.pool, ...(wanted !== undefined && { name: wanted }) }));
  }
}

/**
 * The disks that a member's definition names, in its order, as it names them, whatever is declared by now: a redefinition
 * takes none away, and adds none. @throws where one of them is a snapshot, which a redefinition would take away
 */
export async function dataDisks(here: Here, of: Slot, domain: Domain): Promise<DataDisk[]> {
  const { client, scope } = here;
  const attached = attachedDisks(parseXml(await client.domainXml(domain, Flag.xmlInactive)));
  await assertNoSnapshot(here, of, attached, domain.name);
  return Promise.all(ownDataDisks(scope, of, attached).map(async ({ volume, label, path, device, bus }) => {
    const found = await volumeAt(here, volume, path);
    if (!found) throw new Error(`the disk ${volume} is gone`);
    const known = DISK_BUSES.find((one) => one === bus);
    return { path: found.facts.path, format: "qcow2", label, ...(known && device !== undefined && { device, bus: known }) };
  }));
}

/**
 * A snapshot of a data disk takes its name from the disk, and stands on it, while nothing of ours does but a cloned disk.
 * @throws where one of the disks that a member's definition names is such
 */
export async function assertNoSnapshot(here: Here, of: Slot, attached: readonly AttachedDisk[], name: string): Promise<void> {
  const { scope } = here;
  const data = new Map(ownDataDisks(scope, of, attached).map((disk) => [disk.volume, disk]));
  const told = toldNames(scope, of);
  for (const { file } of attached) {
    const held = heldGeneration(scope, file);
    if (held?.slot !== of.slot || held.generation > of.generation || isMemberImage(scope, of, file) || told.includes(file)) continue;
    const own = data.get(file);
    // Of an earlier member, and none that was kept: somebody attached it by hand.
    if (!own && held.generation < of.generation && parseVolumeName(scope, file)) continue;
    const found = own ? await volumeAt(here, file, own.path) : null;
    const isOwn = own !== undefined && (!found || found.facts.backingPath === undefined);
    if (!isOwn) throw new Error(`${name} has the disk ${file}, not one of this fleet's but named after one: merge or remove the snapshot first`);
  }
}

/**
 * Makes a member's data disks as large as they are declared; those that are larger stay so.
 * @param canGrow asked before the first one: whether its guest runs, and is told of it. It throws where none may grow now
 */
export async function growDataDisks(here: Here, { vm }: Pick<ReconfigureOrder, "vm">, of: Slot, domain: Domain, canGrow: () => Promise<boolean>): Promise<void> {
  const { client, scope } = here;
  if (vm.disks.length === 0) return;
  const read = async (flags: number): Promise<OwnDataDisk[]> => ownDataDisks(scope, of, attachedDisks(parseXml(await client.domainXml(domain, flags))));
  const defined = await read(Flag.xmlInactive);
  for (const { label, sizeBytes } of vm.disks) {
    const disk = defined.filter((one) => one.label === label).at(-1);
    const found = disk && await volumeAt(here, disk.volume, disk.path);
    if (!found || found.facts.capacityBytes >= sizeBytes) continue;
    const live = await canGrow() ? await read(0) : [];
    const device = live.find(({ volume }) => volume === disk.volume)?.device;
    if (device === undefined) {
      await assertUnused(atPool(here, found.pool), [disk.volume], domain.uuid);
      await client.resizeVolume(found.volume, sizeBytes);
    } else await client.resizeDisk(domain, device, sizeBytes);
  }
}

/** Data disks as a member runs with them and as it will start, each where it lies. */
export async function namedDisks(here: Here, domain: Domain, of: Slot): Promise<(OwnDataDisk & { pool: Pool })[]> {
  const { client, scope } = here;
  const xmls = await Promise.all([client.domainXml(domain), client.domainXml(domain, Flag.xmlInactive)]);
  return Promise.all(ownDataDisks(scope, of, xmls.flatMap((xml) => attachedDisks(parseXml(xml)))).map(async (disk) => {
    const found = await volumeAt(here, disk.volume, disk.path);
    if (!found && disk.path !== undefined) await assertReachable(client, disk.path);
    return { ...disk, pool: found?.pool ?? here.pool };
  }));
}

/** What no active pool has is gone, unless its pool is none that is active. */
async function assertReachable(client: LibvirtClient, path: string): Promise<void> {
  for (const pool of await client.listPools()) {
    if (await client.poolIsActive(pool)) continue;
    const directory = text(xmlAt(parseXml(await client.poolXml(pool)), "pool"), "target", "path");
    if (directory !== undefined && path.startsWith(`${directory}/`)) throw new Error(`its disk ${path} is in the storage pool ${pool.name}, which is not active: virsh pool-start it`);
  }
}

/**
 * Before a member that goes loses its definition, which is the one thing that says whose its disks are: from then on the marks say it.
 * @param marks that there are of the member's generation
 * @returns those of what goes with it
 */
export async function markLeaving(here: Here, named: readonly (OwnDataDisk & { pool: Pool })[], marks: readonly string[]): Promise<string[]> {
  const going = new Set(marks);
  for (const disk of named) {
    const mark = markName(here, disk, disk.label, disk.pool);
    if (disk.onDelete === "delete") {
      await ensureVolume(here, mark, 1, "raw");
      going.add(mark);
      continue;
    }
    // One to be kept was a member's: a mark that a killed run left beside it says nothing any more.
    going.delete(mark);
    await deleteVolume(here, mark);
  }
  return [...going];
}

export async function pendingMarks({ client, pool, scope }: Here, of: Slot): Promise<string[]> {
  return (await client.listVolumes(pool)).map(({ name }) => name).filter((volume) => {
    const name = parseVolumeName(scope, volume);
    return name?.kind === "pending" && name.slot === of.slot && name.generation === of.generation;
  });
}

/**
 * The disk that it marks goes first, unless somebody has it: without its mark nobody would know it for ours.
 * @throws where it is in a pool that is not active
 */
export async function deletePending(here: Here, mark: string): Promise<void> {
  const name = parseVolumeName(here.scope, mark);
  if (name?.kind !== "pending") throw new Error(`${mark} is no mark of a disk`);
  const { slot, generation, label } = name;
  const there = name.pool === undefined ? here : await poolOfKey(here, name.pool);
  // Null: the host has that pool no more, so that nobody knows what was in it.
  if (there) await deleteUnused(there, (["delete", "keep"] as const).map((onDelete) => volumeName(here.scope, { kind: "disk", slot, generation, label, onDelete })));
  await deleteVolume(here, mark);
}

async function poolOfKey(here: Here, key: string): Promise<Here | null> {
  const pool = (await here.client.listPools()).find(({ name }) => poolKey(name) === key);
  if (!pool) return null;
  if (!(await here.client.poolIsActive(pool))) throw new Error(`the storage pool ${pool.name}, which a disk of an earlier run is in, is not active: virsh pool-start it`);
  return atPool(here, pool);
}
