/** What differs between a member as found and as declared, and can be changed without making it anew. */
import { cardsTold, guestIdentity } from "../guest/identity";
import type { ExtraDiskSpec, FleetSpec, LivePart, ObservedMember, Reconfiguration, VmSpec } from "../model";
import { cardPlace, diskInputs, machineInheriting, machineInputs } from "../own";
import { formatBytes } from "../words/problems";
import { memberMacs } from "./addresses";
import { liveParts } from "./live";

export interface Difference {
  changes: Reconfiguration[];
  reason: string;
}

/** Where a member is, by its names as declared. */
export interface At {
  fleetId: string;
  host: string;
  rack: string;
}

const PARTS: readonly LivePart[] = ["cpus", "memory", "networks"];

/** null: it is as declared. */
export function differenceOf(spec: FleetSpec, member: ObservedMember, at: At): Difference | null {
  const changes: Reconfiguration[] = [];
  const reasons: string[] = [];
  // What is inherited a member has since it was made, whatever the template machine has by now.
  const vm = member.inherits ? inheriting(spec.vm) : spec.vm;
  const { maxCpus, maxMemory } = vm;
  // Where no ceiling is declared, what it may have is what it has.
  const has = { numCpus: maxCpus === undefined ? member.numCpus : member.atFirst?.numCpus ?? member.numCpus, memory: maxMemory === undefined ? member.memory : member.atFirst?.memory ?? member.memory };
  const { numCpus = has.numCpus, memory = has.memory } = vm;
  const networks = vm.networks?.map(cardPlace) ?? member.networks;
  const parts: Record<LivePart, string | undefined> = {
    cpus: has.numCpus === numCpus ? undefined : `CPUs ${has.numCpus} → ${numCpus}`,
    memory: has.memory === memory ? undefined : `memory ${has.memory} → ${memory} MiB`,
    networks: sameList(member.networks, networks) ? undefined : `networks ${listed(member.networks)} → ${listed(networks)}`,
  };
  const ceilings = [
    ...(maxCpus === undefined || member.numCpus === Math.max(maxCpus, numCpus) ? [] : [`CPUs at most ${member.numCpus} → ${maxCpus}`]),
    ...(maxMemory === undefined || member.memory === Math.max(maxMemory, memory) ? [] : [`memory at most ${member.memory} → ${maxMemory} MiB`]),
  ];
  const differing = PARTS.filter((part) => parts[part] !== undefined);
  const live = liveParts(member, differing, { numCpus, memory, networks });
  if (differing.length + ceilings.length > 0) changes.push({ kind: "hardware", numCpus, memory, networks, ...(live.length > 0 && { live }) });
  const isTold = member.guest === toldTo(spec, member, at);
  if (!isTold) changes.push({ kind: "guest" });
  if (live.length > 0) reasons.push(`${live.map((part) => parts[part]).join(", ")}, at once`);
  const defined = [...differing.filter((part) => !live.includes(part)).map((part) => parts[part]!), ...ceilings, ...(isTold ? [] : ["guest identity"])];
  if (defined.length > 0) {
    reasons.push(`${defined.join(", ")}${member.power === "stopped" ? "" : ", in effect from its next start"}`);
  }
  const { sizeBytes } = spec.vm.rootDisk ?? {};
  const disk = member.chain[0];
  if (sizeBytes !== undefined && disk && disk.capacityBytes < sizeBytes) {
    changes.push({ kind: "grow", sizeBytes });
    reasons.push(`disk ${formatBytes(disk.capacityBytes)} → ${formatBytes(sizeBytes)}`);
  }
  for (const { label, sizeBytes: bytes } of spec.vm.disks) {
    const has = member.disks.filter((one) => one.label === label).at(-1)?.capacityBytes;
    if (has === undefined || has >= bytes) continue;
    changes.push({ kind: "grow", label, sizeBytes: bytes });
    reasons.push(`disk ${label} ${formatBytes(has)} → ${formatBytes(bytes)}`);
  }
  const wanted = spec.powerOn ? "running" : "stopped";
  if (member.power !== wanted) {
    changes.push({ kind: "power", to: wanted });
    reasons.push(`found ${member.power}, powerOn is ${spec.powerOn}`);
  }
  return changes.length > 0 ? { changes, reason: reasons.join("; ") } : null;
}

/** Hash of what its guest is to be told; undefined: nothing. */
function toldTo({ guest, vm }: FleetSpec, { slot, generation, name }: ObservedMember, at: At): string | undefined {
  return guestIdentity(guest, { ...at, slot, generation, name, macs: memberMacs(at.fleetId, slot, cardsTold(guest, vm.networks)) })?.hash;
}

/** As a member takes it that has a template machine's hardware: of that it gives up what is declared, and nothing else. */
export function inheriting({ leftOut = [], own, ...vm }: VmSpec): VmSpec {
  if (vm.hardware === "template") return { ...vm, own };
  const { numCpus, memory, networks, ...rest } = vm;
  return {
    ...rest, hardware: "template", own: machineInheriting(own),
    ...(numCpus !== undefined && !leftOut.includes("numCpus") && { numCpus }),
    ...(memory !== undefined && !leftOut.includes("memory") && { memory }),
    ...(networks !== undefined && !leftOut.includes("networks") && { networks }),
  };
}

const sameList = (a: readonly string[], b: readonly string[]) => a.length === b.length && a.every((one, index) => one === b[index]);
const listed = (names: readonly string[]) => (names.length > 0 ? names.join("+") : "none");

/** Extra disks that differ from those declared: told, never touched, because a guest's data may be on them. */
export function diskWarning(spec: FleetSpec, members: readonly ObservedMember[]): string[] {
  const declared = spec.vm.disks.map((disk) => disk.label).sort();
  const differing = members.filter((member) => !sameList(member.disks.map((disk) => disk.label).sort(), declared));
  const wanted = new Map(spec.vm.disks.map((disk) => [disk.label, disk.onDelete]));
  const otherEnd = members.filter((member) => member.disks.some((disk) => wanted.has(disk.label) && wanted.get(disk.label) !== disk.onDelete));
  const keep = (some: readonly unknown[]) => (some.length === 1 ? "keeps its" : "keep their");
  return [
    ...(differing.length > 0 ? [`vm.disks: ${namesOf(differing)} ${keep(differing)} disks as they are; the change concerns new members only`] : []),
    ...(otherEnd.length > 0 ? [`vm.disks: ${namesOf(otherEnd)} ${keep(otherEnd)} disks as they were made, also in what onDelete does with them`] : []),
  ];
}

/**
 * Inputs that members do not follow by themselves: told, because nothing else would show that they have no effect on
 * members that exist. Hosts do not tell these of a member, so what was declared last is compared.
 * @param before what the last run was given; undefined: it cannot be told
 */
export function quietChanges(before: FleetSpec | undefined, after: FleetSpec): string[] {
  if (!before) return [];
  const adapters = ({ vm }: FleetSpec) => (vm.networks ?? []).map((one) => one.adapterType);
  const sameNumber = adapters(before).length === adapters(after).length;
  const told = (spec: FleetSpec): Record<string, unknown> => ({
    "namePrefix": spec.namePrefix,
    "vm.hardware": spec.vm.hardware,
    ...machineInputs(spec.vm.own),
    "vm.autostart": spec.vm.autostart ?? false,
    // With another number of networks members are redefined anyway.
    "vm.networks[].adapterType": sameNumber ? adapters(spec).join() : "",
    ...disksTold(spec, before.vm.disks, after.vm.disks),
  });
  const were = told(before);
  const changed = Object.entries(told(after)).filter(([path, value]) => were[path] !== value).map(([path]) => path);
  if (changed.length === 0) return [];
  return [`${changed.join(", ")}: the change concerns new members; those that exist keep what they were made with until something else redefines them`];
}

/** Of the data disks that both declare: what else of them is told where it differs. */
function disksTold({ vm }: FleetSpec, before: readonly ExtraDiskSpec[], after: readonly ExtraDiskSpec[]): Record<string, string> {
  const both = vm.disks.filter(({ label }) => [before, after].every((disks) => disks.some((one) => one.label === label)));
  return Object.fromEntries(Object.keys(diskInputs(undefined)).map((name) => (
    [`vm.disks[].${name}`, JSON.stringify(both.map(({ label, own }) => [label, diskInputs(own)[name]]).sort())])));
}

/** `workers-001, workers-002 and 5 more` */
export function namesOf(members: readonly { name: string }[], most = 5): string {
  const names = members.map((member) => member.name);
  return names.length <= most ? names.join(", ") : `${names.slice(0, most).join(", ")} and ${names.length - most} more`;
}
