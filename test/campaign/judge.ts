/**
 * What must hold whatever anybody did: of the simulated world itself, never of what the provider says of it. Each
 * function returns its findings in words; none is well.
 */
import { memberKey, waitsForGuests, type FleetSpec, type FleetState } from "../../provider/fleet";
import { replicaKey, volumeKey, type SimulatedHost, type SimulatedMember } from "../../provider/hypervisors/simulated/world";

/** Members that live, and where somebody could look. */
export interface Living {
  living: { host: string; slot: number; generation: number; name: string; contentId: string }[];
  /** Hosts that answered. */
  answering: Set<string>;
}

/** The fleet and what stands beside it, before a run. */
export interface Survey extends Living {
  /** Each object of somebody's, and what it holds, by its name. */
  foreign: Map<string, string>;
  /** Data disks that are to be kept, those of removed members and those of members that live. */
  kept: Set<string>;
}

export function survey(hosts: readonly SimulatedHost[], fleetId: string): Survey {
  const answering = hosts.filter((host) => host.down === undefined);
  return {
    living: answering.flatMap((host) => membersOf(host, fleetId).map(({ slot, generation, name, contentId }) => ({ host: host.name, slot, generation, name, contentId }))),
    foreign: new Map(hosts.flatMap((host) => foreignOn(host))),
    kept: new Set(answering.flatMap((host) => keptOn(host, fleetId).map((name) => `${name} on ${host.name}`))),
    answering: new Set(answering.map((host) => host.name)),
  };
}

export const membersOf = (host: SimulatedHost, fleetId: string): SimulatedMember[] =>
  [...host.members.values()].filter((member) => member.fleetId === fleetId).sort((a, b) => a.slot - b.slot);

/** Names of disks to be kept, each as often as it is held. */
const keptOn = (host: SimulatedHost, fleetId: string): string[] => [
  ...host.kept.map(({ name }) => name), ...membersOf(host, fleetId).flatMap(({ disks }) => disks.filter(({ onDelete }) => onDelete === "keep").map(({ name }) => name)),
];

/** Domains made by hand with all their volumes hold, volumes made by hand, and snapshots. */
function foreignOn(host: SimulatedHost): [string, string][] {
  const { domains, volumes, overlays } = host.byHand;
  const images = [...host.bases.values(), ...host.deltas.values(), ...host.early.values(), ...host.replicas.values()];
  const holds = (volume: string): unknown => volumes.get(volume) ?? images.find((image) => image.disk.name === volume) ??
    host.kept.find((kept) => kept.name === volume) ?? host.leftovers.find(({ leftover }) => leftover.name === volume) ?? dataDisk(host, volume) ?? "gone";
  return [
    ...[...domains.values()].map((domain): [string, string] => [`the domain ${domain.name} on ${host.name}`, JSON.stringify([domain, domain.volumes.map(holds)])]),
    ...[...volumes.values()].map((volume): [string, string] => [`the volume ${volume.name} on ${host.name}`, JSON.stringify(volume)]),
    ...[...overlays].map(([key, overlay]): [string, string] => [`the snapshot ${overlay} on ${host.name}`, JSON.stringify([key, host.members.get(key)?.generation])]),
  ];
}

const dataDisk = (host: SimulatedHost, volume: string): unknown =>
  [...host.members.values()].flatMap((member) => member.disks).find((disk) => disk.name === volume)?.label;

/** After anything that the provider did, whether it ended or died. */
export function harmDone(before: Survey, hosts: readonly SimulatedHost[], fleetId: string, spec: FleetSpec, previous: FleetState | undefined, contentId: string): string[] {
  const after = survey(hosts, fleetId);
  return [
    ...hosts.flatMap((host) => host.byHand.offences),
    ...[...before.foreign].filter(([what, was]) => after.foreign.get(what) !== was)
      .map(([what, was]) => `${what} was changed: ${was} became ${after.foreign.get(what) ?? "nothing"}`),
    ...[...before.kept].filter((disk) => after.answering.has(disk.split(" on ")[1]!) && !after.kept.has(disk)).map((disk) => `the kept disk ${disk} is gone`),
    ...hosts.flatMap((host) => keptOn(host, fleetId).filter((name, index, all) => all.indexOf(name) < index).map((name) => `the kept disk ${name} on ${host.name} is held twice`)),
    ...lost(before, after, spec, previous, (one) => one === contentId),
    ...hosts.flatMap((host) => broken(host, fleetId)),
  ];
}

/**
 * Living members that are gone although the program did not ask for it.
 * @param isCurrent whether a content is the template's as it was when the run looked, not as an earlier run recorded it
 */
export function lost(before: Living, after: Living, spec: FleetSpec, previous: FleetState | undefined, isCurrent: (contentId: string) => boolean): string[] {
  const there = new Set(after.living.map(({ host, slot, generation }) => `${host}/${slot}/${generation}`));
  const gone = before.living.filter(({ host, slot, generation }) => after.answering.has(host) && !there.has(`${host}/${slot}/${generation}`));
  const declared = new Set(spec.hosts.map((host) => host.name));
  const isStale = (one: Living["living"][number]): boolean =>
    before.living.some((other) => other.slot === one.slot && other.generation > one.generation) ||
    (previous?.members ?? []).some((member) => member.slot === one.slot && member.generation > one.generation && !before.answering.has(member.host));
  const isReplaced = (one: Living["living"][number]): boolean => spec.onTemplateChange === "replace" && !isCurrent(one.contentId);
  const counted = before.living.filter((one) => declared.has(one.host) && !isStale(one));
  const unasked = gone.filter((one) => declared.has(one.host) && !isStale(one) && !isReplaced(one));
  const over = (group: Living["living"], target: number): number => Math.max(0, new Set(group.map((one) => one.slot)).size - target);
  const { targets } = spec;
  const groups: [string, Living["living"], Living["living"], number][] = targets.kind === "count"
    ? [["the fleet", counted, unasked, targets.count]]
    : spec.hosts.map(({ name }) => [
        name, counted.filter((one) => one.host === name), unasked.filter((one) => one.host === name),
        targets.kind === "each" ? targets.counts[name] ?? 0 : targets.countPerHost,
      ]);
  return groups.flatMap(([where, had, missing, target]) => (missing.length <= over(had, target) ? [] : [
    `${missing.length} living members of ${where} are gone (${missing.map(({ name, host, generation }) => `${name} g${generation} on ${host}`).join(", ")}), ` +
    `${new Set(had.map((one) => one.slot)).size} lived and ${target} are wanted`,
  ]));
}

/** A member whose images are not there, or not whole where they must be. */
function broken(host: SimulatedHost, fleetId: string): string[] {
  return membersOf(host, fleetId).flatMap((member) => {
    const key = volumeKey(member.fleetId, member.slot, member.generation);
    if (host.early.has(key)) return [];
    const whole = member.kind === "full" ? host.bases.get(key)?.whole : host.replicas.get(replicaKey(member.fleetId, "replica", member.contentId))?.whole && host.deltas.has(key);
    return whole ? [] : [`${member.name} on ${host.name} has no whole disk`];
  });
}

/** After a run that ended well. @param twins members of one generation on two hosts: reported, and nobody's to settle */
export function unfinished(hosts: readonly SimulatedHost[], fleetId: string, spec: FleetSpec): string[] {
  const declared = hosts.filter((host) => spec.hosts.some(({ name }) => name === host.name) && host.down === undefined);
  const members = declared.flatMap((host) => membersOf(host, fleetId).map((member) => ({ host, member })));
  const { targets } = spec;
  const held = (name: string): number => members.filter(({ host }) => host.name === name).length;
  const slots = new Set(members.map(({ member }) => member.slot));
  const power = spec.powerOn ? "running" : "stopped";
  return [
    ...(slots.size === members.length ? [] : ["a slot is held twice"]),
    ...(targets.kind === "count" && members.length !== targets.count && declared.length > 0 ? [`${members.length} members, expected ${targets.count}`] : []),
    ...(targets.kind === "count" ? [] : declared.map(({ name }) => ({ name, target: targets.kind === "each" ? targets.counts[name] ?? 0 : targets.countPerHost }))
      .filter(({ name, target }) => held(name) !== target).map(({ name, target }) => `${held(name)} members on ${name}, expected ${target}`)),
    ...members.filter(({ member }) => member.power !== power).map(({ member }) => `${member.name} is ${member.power}, expected ${power}`),
    ...(waitsForGuests(spec) ? members.filter(({ member }) => member.configuring).map(({ member }) => `${member.name}'s guest is not ready, and nobody said so`) : []),
    ...hosts.filter((host) => !declared.includes(host) && host.down === undefined && membersOf(host, fleetId).length > 0)
      .map((host) => `${host.name} is not declared and holds ${membersOf(host, fleetId).length} members`),
    ...members.flatMap(({ member }) => member.disks.filter(({ label, capacityBytes }) => capacityBytes < (spec.vm.disks.find((one) => one.label === label)?.sizeBytes ?? 0))
      .map(({ label }) => `the disk ${label} of ${member.name} is smaller than declared`)),
    ...members.filter(({ host, member }) => host.early.has(volumeKey(fleetId, member.slot, member.generation))).map(({ member }) => `${member.name} is still arriving`),
  ];
}

/** After a destroy that ended well: nothing of the fleet's but what somebody uses. */
export function leftBehind(hosts: readonly SimulatedHost[], fleetId: string): string[] {
  return hosts.flatMap((host) => {
    const images = [...host.bases.values(), ...host.deltas.values(), ...host.early.values(), ...host.replicas.values()]
      .filter((image) => image.fleetId === fleetId).map((image) => image.disk.name);
    return [
      ...membersOf(host, fleetId).map((member) => `${member.name} is left on ${host.name}`),
      ...[...images, ...host.leftovers.map(({ leftover }) => leftover.name)].filter((volume) => !host.byHand.isUsed(volume)).map((volume) => `${volume} is left on ${host.name}`),
    ];
  });
}

export const heldTwice = (hosts: readonly SimulatedHost[], fleetId: string): boolean => {
  const seen = new Map<string, number>();
  for (const host of hosts) for (const key of membersOf(host, fleetId).map(memberKey)) seen.set(key, (seen.get(key) ?? 0) + 1);
  return [...seen.values()].some((times) => times > 1);
};

