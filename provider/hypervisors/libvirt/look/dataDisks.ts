/** Data disks that no member has, in the fleet's own pool and in those that data disks are declared for; and these pools themselves. */
import type { DataStore, FleetSpec, HostProblem, KeptDisk, ReachableHost } from "../../../fleet/model";
import { factsOfPool, POOL_TYPES } from "../connection/session";
import type { HostLook } from "../guard/guard";
import { libvirts } from "../own";
import type { LibvirtClient } from "../rpc/client";
import { LibvirtError } from "../rpc/errors";
import type { Pool, Volume } from "../rpc/handles";
import { heldGeneration, parseVolumeName, poolKey, type VolumeScope } from "../volumes/names";
import { knownRoom, poolRoom } from "../volumes/poolRoom";
import { factsUnlessGone } from "../volumes/volumes";
import { isPending, type Owner, type OwnVolume } from "./leftovers";

/** A volume of this fleet's in another pool than its own. */
interface OtherVolume extends OwnVolume {
  pool: string;
}

export interface OtherPools {
  own: OtherVolume[];
  held: ReachableHost["heldGenerations"];
}
export const NO_OTHERS: OtherPools = { own: [], held: [] };

type DiskSpecs = Pick<FleetSpec, "vm">;

const declaredPools = ({ vm }: DiskSpecs, home: string): string[] =>
  [...new Set(vm.disks.flatMap(({ own }) => (own && libvirts(own).pool) ?? []))].filter((name) => name !== home);

/**
 * Data disks of this fleet's in all active pools of the host but its own: also in one that the program named once, so that
 * no name is used again. Where no data disks are declared, nobody asks.
 */
export async function otherPools(client: LibvirtClient, home: Pool, scope: VolumeScope, spec: DiskSpecs): Promise<OtherPools> {
  if (spec.vm.disks.length === 0) return NO_OTHERS;
  const pools = (await client.listActivePools()).filter(({ name }) => name !== home.name);
  // A pool that the program names is seen whole, or not at all: what is not seen in it would be made anew beside it.
  const declared = new Set(declaredPools(spec, home.name));
  const inPool = <T>(pool: string, ask: () => Promise<T>, otherwise: T): Promise<T> => (declared.has(pool) ? ask() : unlessStopped(ask, otherwise));
  const listed = (await Promise.all(pools.map((pool) => inPool(pool.name, () => client.listVolumes(pool), [])))).flat();
  const own = await Promise.all(listed.map(async (volume): Promise<OtherVolume | null> => {
    const name = parseVolumeName(scope, volume.name);
    const facts = name?.kind === "disk" ? await inPool(volume.pool, () => factsUnlessGone(client, volume), null) : null;
    return name && facts ? { name, facts, pool: volume.pool } : null;
  }));
  return { own: own.filter((one) => one !== null), held: listed.flatMap(({ name }: Volume) => heldGeneration(scope, name) ?? []) };
}

/** A pool of somebody's that is being stopped has nothing more to say. */
async function unlessStopped<T>(ask: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    return otherwise;
  }
}

/** What looks like a data disk of a member that is no more, and was to be kept or bears no mark that says it is ours to remove. */
export function keptDisks(volumes: readonly (OwnVolume & { pool?: string })[], owners: readonly Owner[]): KeptDisk[] {
  const marks = volumes.map(({ name }) => name);
  const used = new Set(owners.flatMap(({ disks }) => disks.map(({ path }) => path)));
  return volumes.flatMap(({ name, facts, pool }): KeptDisk[] => {
    if (name.kind !== "disk" || isPending(name, marks, pool && poolKey(pool)) || used.has(facts.path)) return [];
    if (owners.some((m) => m.slot === name.slot && m.generation === name.generation)) return [];
    const { slot, generation, label } = name;
    const standsAlone = name.onDelete === "keep" && facts.format === "qcow2" && facts.backingPath === undefined && (facts.kind ?? "file") === "file";
    const disk = { capacityBytes: facts.capacityBytes, ...(pool !== undefined && { store: pool }) };
    const unfit = name.onDelete === "keep" && !standsAlone && { unfit: facts.backingPath === undefined ? facts.kind ?? facts.format : `over ${facts.backingPath}` };
    return [{ slot, generation, label, name: facts.volume, ...(standsAlone && { disk }), ...unfit }];
  });
}

/** Whether any of them may be given to a new member, so that it is worth knowing who uses it. */
export const mayComeBack = (kept: readonly KeptDisk[], { vm }: DiskSpecs): boolean =>
  kept.some(({ label, disk }) => disk && vm.disks.some((one) => one.reattach && one.label === label));

/** With who uses them. @param home name of the fleet's own pool */
export function withUsers(kept: readonly KeptDisk[], volumes: readonly (OwnVolume & { pool?: string })[], look: Pick<HostLook, "usersOf">, home: string): KeptDisk[] {
  return kept.map((one) => {
    if (!one.disk) return one;
    const { store } = one.disk;
    const path = volumes.find(({ facts, pool }) => facts.volume === one.name && pool === store)!.facts.path;
    const users = look.usersOf({ volume: one.name, path, pool: store ?? home });
    return users.length === 0 ? one : { ...one, disk: { ...one.disk, users } };
  });
}

/**
 * The pools that data disks are declared for, and what is wrong with them.
 * @param withinMs as of poolRoom; 0: as libvirt has it in its books
 */
export async function dataStores(
  client: LibvirtClient, host: { name: string; home: string }, spec: DiskSpecs, withinMs: number,
): Promise<{ stores: DataStore[]; problems: HostProblem[] }> {
  const found = await Promise.all(declaredPools(spec, host.home).map(async (name): Promise<{ store?: DataStore; problem?: string }> => {
    const which = `vm.disks[${spec.vm.disks.findIndex(({ own }) => own && libvirts(own).pool === name)}].pool`;
    const pool = await client.lookupPool(name);
    if (!pool) return { problem: `expected a storage pool of host ${host.name} for ${which}, got ${JSON.stringify(name)}, which it does not have` };
    if (!(await client.poolIsActive(pool))) return { problem: `expected an active storage pool for ${which}, but ${name} on ${host.name} is not started: virsh pool-start ${name}` };
    const { type, store } = await factsOfPool(client, pool);
    if (!POOL_TYPES.includes(type)) return { problem: `expected a pool of type ${POOL_TYPES.join(", ")} for ${which}, but ${name} on ${host.name} is of type ${type}` };
    const at = { client, pool };
    return { store: { name, room: withinMs > 0 ? await poolRoom(at, withinMs) : await knownRoom(at), ...(store !== undefined && { store }) } };
  }));
  return { stores: found.flatMap(({ store }) => store ?? []), problems: found.flatMap(({ problem }) => (problem === undefined ? [] : [{ message: problem }])) };
}
