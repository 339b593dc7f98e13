/** Data disks of a plan: those that were kept and come back, those that would have to shrink, and the room where they lie. */
import { namesOf } from "../members/changes";
import { groupBy, groupOf } from "../groups";
import { asMade } from "../images";
import { missedMembers } from "../hosts/leftovers";
import type { KnownHost } from "../hosts/table";
import { memberKeyOn, slotKeyOn } from "../members/keys";
import type { ExtraDiskSpec, FleetPlan, FleetSpec, KeptDisk, ObservedMember, PlannedCreate, Problem, ReachableHost } from "../model";
import { diskStore } from "../own";
import { compare, formatBytes, plural } from "../words/problems";
import type { PlanContext } from "./context";

const isWanted = ({ reattach, onDelete }: ExtraDiskSpec): boolean => reattach === true && onDelete === "keep";

/** What was, or will be, kept of a declared disk. */
interface Found {
  kept: KeptDisk;
  host: KnownHost;
  disk: ExtraDiskSpec;
  /** A member that had it, on record there and seen nowhere: it may run where other machines reach the store. */
  missed?: string;
}

type Ground = Pick<PlanContext, "spec" | "table" | "previous">;

/**
 * By slot: on each host the disk of each label that was in use last, which is that of the latest member.
 * @param destroy members that go: what they leave is kept by the time that others are made
 */
function keptBySlot({ spec, table, previous }: Ground, destroy: FleetPlan["destroy"]): Map<number, Found[]> {
  const wanted = new Map(spec.vm.disks.filter(isWanted).map((disk) => [disk.label, disk]));
  if (wanted.size === 0) return new Map();
  const going = new Set(destroy.map((one) => memberKeyOn(one.host, one)));
  const missed = missedMembers(table, previous);
  const latest = new Map<string, Found>();
  for (const host of table.hosts) {
    const left = (host.seen?.members ?? []).filter((member) => going.has(memberKeyOn(host.name, member))).flatMap(leftBy);
    for (const kept of [...host.seen?.kept ?? [], ...left]) {
      const disk = wanted.get(kept.label);
      if (!disk || (!kept.disk && kept.unfit === undefined)) continue;
      const key = `${slotKeyOn(host.name, kept)} ${kept.label}`;
      const absent = missed.get(host)?.find(({ slot, generation }) => slot === kept.slot && generation === kept.generation)?.name;
      const found: Found = { kept, host, disk, ...(absent !== undefined && { missed: absent }) };
      const before = latest.get(key);
      if (!before || isLater(found, before)) latest.set(key, found);
    }
  }
  return groupBy([...latest.values()], ({ kept }) => kept.slot);
}

/** Of two of one generation, one lies where the program wants it: the other is somebody's copy. */
const isLater = (one: Found, other: Found): boolean => one.kept.generation > other.kept.generation ||
  (one.kept.generation === other.kept.generation && (isInPlace(one) || !isInPlace(other)));

/** Data disks that stay when a member goes. */
const leftBy = ({ slot, generation, disks }: ObservedMember): KeptDisk[] => disks.filter(({ onDelete }) => onDelete === "keep").map(
  ({ label, name, capacityBytes, store }) => ({ slot, generation, label, name, disk: { capacityBytes, ...(store !== undefined && { store }) } }));

const isInPlace = ({ kept, host, disk }: Found): boolean =>
  kept.disk !== undefined && host.declared !== undefined && kept.disk.store === diskStore(disk.own, host.declared.spec.own);

const isFree = (found: Found): boolean => found.missed === undefined && (found.kept.disk?.users ?? []).length === 0 && isInPlace(found);

/** Of its slot and label nothing newer is kept on another host: what is older may not be what its guest wrote last. */
const newerThan = ({ kept }: Found, all: readonly Found[]): Found | undefined =>
  all.find((other) => other.kept.label === kept.label && other.kept.generation > kept.generation);

/** Of a slot, the hosts that hold a disk which its next member can be given; the latest disk's first. */
export function homesOf(context: Ground): (slot: number) => string[] {
  const kept = keptBySlot(context, []);
  return (slot) => groupOf(kept, slot).filter((found, _, all) => isFree(found) && !newerThan(found, all)).sort((a, b) => b.kept.generation - a.kept.generation).map(({ host }) => host.name);
}

/** Members to be made, with the disks that were kept for them, or that a member leaves which they replace. */
export function withKeptDisks(context: PlanContext, create: readonly PlannedCreate[], destroy: FleetPlan["destroy"]): PlannedCreate[] {
  const kept = keptBySlot(context, destroy);
  return create.map((one) => {
    const reattach = groupOf(kept, one.slot).filter((found, _, all) => found.host.name === one.host && isFree(found) && !newerThan(found, all) && found.kept.generation < one.generation)
      .map(({ kept: { label, name } }) => ({ label, disk: name })).sort((a, b) => compare(a.label, b.label));
    if (reattach.length === 0) return one;
    const names = reattach.map(({ label, disk }) => `${label} (${disk})`).join(", ");
    return { ...one, reattach, reason: `${one.reason}; its kept ${reattach.length === 1 ? `disk ${names} is` : `disks ${names} are`} attached again` };
  });
}

/** Disks that were kept of a slot and that its new member does not get: never without a word, for somebody may look for what is on them. */
export function keptWarnings(context: PlanContext, plan: FleetPlan): string[] {
  const kept = keptBySlot(context, plan.destroy);
  if (kept.size === 0) return [];
  return plan.create.flatMap((one) => {
    const given = new Set((one.reattach ?? []).map(({ disk }) => disk));
    return groupOf(kept, one.slot).filter(({ kept: { name } }) => !given.has(name)).map((found, _, all) => {
      const { host, kept: { name, unfit, disk: { store, users = [] } = {} }, disk, missed } = found;
      const where = store === undefined ? "the store that clones are made in" : JSON.stringify(store);
      const newer = newerThan(found, all);
      const why = host.name !== one.host ? `it is on ${host.name}`
        : unfit !== undefined ? `it is not as it was left (${unfit})`
        : missed !== undefined ? `${missed} is seen nowhere, and may run with it where other machines reach the ${host.seen?.words.store ?? "store"}`
        : users.length > 0 ? users.join("; ")
        : newer ? `${newer.kept.name} on ${newer.host.name} is newer`
        : isFree(found) ? "it is no older than the member" : `it is in ${where}, and vm.disks wants the disk elsewhere`;
      const isOther = (one.reattach ?? []).some(({ label }) => label === disk.label);
      if (isOther) return `${one.name} on ${one.host} gets another kept disk ${disk.label}, and not ${name}: ${why}`;
      return `${one.name} on ${one.host} gets a new disk ${disk.label}, and not ${name}, which was kept of its slot: ${why}`;
    });
  });
}

/** Disks never shrink: what a guest wrote beyond the new end would be gone. */
export function dataDiskProblems(context: PlanContext, plan: FleetPlan): Problem[] {
  const { spec } = context;
  const kept = plan.create.some(({ reattach }) => reattach) ? keptBySlot(context, plan.destroy) : new Map<number, Found[]>();
  return spec.vm.disks.flatMap((disk, index): Problem[] => {
    const refused = (bytes: number, whose: string, more = ""): Problem[] => [{
      path: `vm.disks[${index}].sizeBytes`,
      message: `expected at least the ${bytes} bytes that the disk ${whose}, got ${disk.sizeBytes}; disks never shrink: raise it${more}`,
    }];
    const [larger] = spec.defaultsVersion > 2 ? largerThan(context, plan, disk) : [];
    if (larger) return refused(larger.bytes, `${disk.label} of ${larger.name} has`);
    for (const { slot, name, host, reattach = [] } of plan.create) {
      if (!reattach.some(({ label }) => label === disk.label)) continue;
      const found = groupOf(kept, slot).find((each) => each.disk === disk && each.host.name === host)!.kept;
      if (found.disk!.capacityBytes > asMade(disk.sizeBytes)) return refused(found.disk!.capacityBytes, `${found.name} has, which was kept for ${name}`, ", or set reattach to false for a new disk beside it");
    }
    return [];
  });
}

/** Members that stay, whose disk is larger than is declared; the largest first. */
function largerThan({ census }: PlanContext, plan: FleetPlan, { label, sizeBytes }: ExtraDiskSpec): { name: string; bytes: number }[] {
  const staying = new Set([...plan.keep, ...plan.adopt, ...plan.reconfigure].map((one) => slotKeyOn(one.host, one)));
  return census.present.flatMap(({ slot, name, host, member }) => {
    const bytes = Math.max(0, ...(member?.disks ?? []).filter((disk) => disk.label === label).map(({ capacityBytes }) => capacityBytes));
    return bytes > asMade(sizeBytes) && staying.has(slotKeyOn(host.name, { slot })) ? [{ name, bytes }] : [];
  }).sort((a, b) => b.bytes - a.bytes);
}

/** Fleets of before were never asked to fit: told, and not refused. */
export function largerDiskWarnings(context: PlanContext, plan: FleetPlan): string[] {
  if (context.spec.defaultsVersion > 2) return [];
  return context.spec.vm.disks.flatMap((disk) => {
    const larger = largerThan(context, plan, disk);
    return larger.length === 0 ? [] : [`vm.disks: the disk ${disk.label} of ${namesOf(larger)} is larger than the ${formatBytes(disk.sizeBytes)} that are declared, and stays so: disks never shrink`];
  });
}

/** An empty disk's file: its tables, rounded up. */
const EMPTY_DISK_BYTES = 262_144;

/** What the new data disks of a host's new members take in each of its stores. Undefined: in the one that copies are made in. */
export function newDiskBytes(spec: FleetSpec, creates: readonly PlannedCreate[], host: string): Map<string | undefined, number> {
  const declared = spec.hosts.find(({ name }) => name === host);
  const bytes = new Map<string | undefined, number>();
  for (const { reattach = [] } of creates) {
    for (const { label, own } of spec.vm.disks) {
      if (reattach.some((kept) => kept.label === label)) continue;
      const store = declared && diskStore(own, declared.own);
      bytes.set(store, (bytes.get(store) ?? 0) + EMPTY_DISK_BYTES);
    }
  }
  return bytes;
}

/** Stores for data disks that have no room for the new ones; what several hosts reach as one counts once. */
export function dataStoreProblems(spec: FleetSpec, hosts: readonly ReachableHost[], plan: FleetPlan): Problem[] {
  if (!hosts.some(({ dataStores = [] }) => dataStores.length > 0)) return [];
  const created = groupBy(plan.create, ({ host }) => host);
  const wanted = hosts.flatMap((host) => {
    const bytes = newDiskBytes(spec, groupOf(created, host.name), host.name);
    return (host.dataStores ?? []).flatMap((at) => (bytes.has(at.name) && !("unknown" in at.room)
      ? [{ host: host.name, name: at.name, key: at.store ?? `${host.name}/${at.name}`, needed: bytes.get(at.name)!, free: at.room.freeBytes }] : []));
  });
  return [...groupBy(wanted, ({ key }) => key).values()].flatMap((store) => {
    const needed = store.reduce((sum, one) => sum + one.needed, 0);
    const free = Math.min(...store.map((one) => one.free));
    if (needed <= free) return [];
    const [{ name, host: first }] = store as [typeof store[number]];
    const declared = spec.hosts.find((host) => host.name === first)!;
    const index = spec.vm.disks.findIndex(({ own }) => diskStore(own, declared.own) === name);
    const where = store.map(({ host }) => host).join(", ");
    return [{
      path: `vm.disks[${index}].pool`,
      message: `expected a store with ${formatBytes(needed)} free for the new disks of ${plural(store.reduce((sum, { host }) => sum + groupOf(created, host).length, 0), "new member")}, got ${JSON.stringify(name)} on ${where} with ${formatBytes(free)} free; make room there`,
    }];
  });
}
