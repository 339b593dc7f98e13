/** Hardware of simulated members: data disks made, given again, grown and left; CPUs and memory as they will start, and as they run. */
import type { DiskInfo, ExtraDiskSpec, HostOwn, KeptDisk, ObservedMember, VmSpec } from "../../../fleet/model";
import { diskStore } from "../../../fleet/own";
import { HypervisorError, type ReconfigureOrder } from "../../hypervisor";
import type { ByHand } from "../byHand";

type Disk = ObservedMember["disks"][number];
type Member = Pick<ObservedMember, "slot" | "generation" | "disks">;

/** What of a host they are about. */
interface Ground {
  readonly name: string;
  kept: ({ fleetId: string } & KeptDisk)[];
  readonly own: HostOwn | undefined;
  readonly byHand: ByHand;
  disk(volume: string, capacityBytes: number, allocationBytes: number): DiskInfo;
}

/**
 * Before a member is defined: those that it is to be given are as they were left.
 * @throws HypervisorError
 */
export function assertKept(host: Ground, order: ReconfigureOrder, step: string): void {
  for (const { label, disk } of order.reattach ?? []) {
    const kept = keptDisk(host, order, disk);
    const declared = order.vm.disks.find((one) => one.label === label);
    if (!kept?.disk || !declared || kept.label !== label || kept.slot !== order.slot) throw new HypervisorError(host.name, step, `the kept disk ${disk} is gone`);
    if (kept.disk.capacityBytes > declared.sizeBytes) throw new HypervisorError(host.name, step, `the kept disk ${disk} is larger than declared`);
    host.byHand.assertUnused(host.name, step, [disk], "somebody's disk given to a member");
  }
}

const keptDisk = (host: Ground, { fleet }: ReconfigureOrder, name: string) => host.kept.find((one) => one.fleetId === fleet.fleetId && one.name === name);

/** Of a member once it is defined. A redefinition takes none away and adds none; disks grow, and never shrink. */
export function disksOf(host: Ground, order: ReconfigureOrder, old: Member | undefined): Disk[] {
  if (old?.generation !== order.generation) return order.vm.disks.map((disk) => made(host, order, disk));
  return old.disks.map((disk) => ({ ...disk, capacityBytes: Math.max(disk.capacityBytes, order.vm.disks.find(({ label }) => label === disk.label)?.sizeBytes ?? 0) }));
}

function made(host: Ground, order: ReconfigureOrder, { label, sizeBytes, onDelete, own }: ExtraDiskSpec): Disk {
  const name = order.reattach?.find((one) => one.label === label)?.disk;
  const kept = name === undefined ? undefined : keptDisk(host, order, name);
  if (kept) host.kept = host.kept.filter((one) => one !== kept);
  const store = host.own && diskStore(own, host.own);
  return {
    ...host.disk(name ?? `${order.fleet.fleetId}-${order.slot}-${order.generation}-${label}`, Math.max(sizeBytes, kept?.disk?.capacityBytes ?? 0), 0),
    label, onDelete, ...(store !== undefined && { store }),
  };
}

/** What stays of a member that goes. */
export const leftBy = ({ slot, generation, disks }: Member): KeptDisk[] => disks.filter(({ onDelete }) => onDelete === "keep").map(
  ({ label, name, capacityBytes, store }) => ({ slot, generation, label, name, disk: { capacityBytes, ...(store !== undefined && { store }) } }));

/** As a look shows it. */
export function shown({ slot, generation, label, name, disk }: KeptDisk, users: readonly string[]): KeptDisk {
  return { slot, generation, label, name, ...(disk && { disk: { ...disk, ...(users.length > 0 && { users: users.map((user) => `the domain ${user} has it`) }) } }) };
}

type Size = Pick<ObservedMember, "numCpus" | "memory" | "atFirst">;
type Running = Pick<ObservedMember, "running">;

/** As a definition has it. */
export function sizeOf({ numCpus, memory, maxCpus, maxMemory }: VmSpec, old: Size): Size {
  const has = { numCpus: numCpus ?? (maxCpus === undefined ? old.numCpus : old.atFirst?.numCpus ?? old.numCpus), memory: memory ?? (maxMemory === undefined ? old.memory : old.atFirst?.memory ?? old.memory) };
  const most = { numCpus: Math.max(has.numCpus, maxCpus ?? 0), memory: Math.max(has.memory, maxMemory ?? 0) };
  return { ...most, ...(most.numCpus > has.numCpus || most.memory > has.memory ? { atFirst: has } : {}) };
}

const started = ({ numCpus, memory, atFirst }: Size): NonNullable<ObservedMember["running"]> => (
  { numCpus: atFirst?.numCpus ?? numCpus, maxCpus: numCpus, maxMemory: memory, hasBalloon: true });

/** What runs stays as it is, but for what is ordered at once. */
export function asItRuns(old: (Size & Running & Pick<ObservedMember, "power">) | undefined, { vm, live = [] }: ReconfigureOrder): Running {
  if (old?.power !== "running") return {};
  const running = old.running ?? started(old);
  return { running: { ...running, ...(live.includes("cpus") && vm.numCpus !== undefined && { numCpus: vm.numCpus }) } };
}

/** As a look shows it. */
export const runningNow = (member: Size & Running & Pick<ObservedMember, "power">): Running =>
  (member.power === "running" ? { running: member.running ?? started(member) } : {});
