/** Hosts as they would look if they could be asked: for previews without any, or without some. */
import { SIMULATED_WORDS } from "../../hypervisors/simulated";
import { addressOf, groupBy, groupOf, imageBytes, recordedAddress, supposedTemplate, templateHostOf } from "../../fleet";
import type {
  DiskInfo, FleetSpec, FleetState, HostSpec, MemberState, Observation, ObservedMember, ReachableHost,
} from "../../fleet/model";

/**
 * The observation with what it lacks filled in from the recorded state, so that a plan can be run on the simulator:
 * hosts that did not answer hold what was recorded, and have room, but for those that were given up: nothing is copied
 * from them.
 * @param contentId what the template is taken to hold where it was not seen
 */
export function assumeObservation(
  spec: FleetSpec, hosts: HostSpec[], previous: FleetState | undefined, observation: Observation | undefined,
  contentId: string,
): Observation {
  const answers = new Map((observation?.hosts ?? []).map((host) => [host.name, host]));
  const supposed = supposedTemplate(spec, contentId);
  const bytes = imageBytes(observation?.template ?? supposed);
  const recorded = recordedBy(previous);
  const isGivenUp = (host: HostSpec): boolean => {
    const before = recorded.of(host);
    return [host.name, addressOf(host), before?.name, before?.uuid].some((name) => name !== undefined && spec.abandonHosts.includes(name));
  };
  const templateHost = spec.hosts.find(({ name }) => name === templateHostOf(spec.template));
  return {
    hosts: hosts.map((host) => {
      const answer = answers.get(host.name);
      if (answer?.status === "reachable") return answer;
      return isGivenUp(host) ? { status: "unreachable", name: host.name, reason: "it is given up" } : assumedHost(host, recorded, bytes);
    }),
    template: observation?.template ?? {
      ...supposed,
      ...(templateHost && !isGivenUp(templateHost) && { host: templateHost.name }),
    },
  };
}

/** The record by host: there are many of both. */
function recordedBy(previous: FleetState | undefined) {
  const hosts = previous?.hosts ?? [];
  const [byAddress, byName] = [groupBy(hosts, recordedAddress), groupBy(hosts, (h) => h.name)];
  return {
    incarnation: previous?.incarnation ?? "",
    members: groupBy((previous?.members ?? []).filter((m) => m.state !== "lost"), (m) => m.host),
    replicas: groupBy(previous?.replicas ?? [], (r) => r.host),
    of: (host: HostSpec) => groupOf(byAddress, addressOf(host))[0] ?? groupOf(byName, host.name)[0],
  };
}

function assumedHost(host: HostSpec, before: ReturnType<typeof recordedBy>, bytes: number): ReachableHost {
  const members = groupOf(before.members, host.name);
  const replicas = groupOf(before.replicas, host.name);
  const recorded = before.of(host);
  return {
    status: "reachable",
    name: host.name,
    uuid: recorded?.uuid ?? host.name,
    hypervisorVersion: "assumed",
    words: SIMULATED_WORDS,
    members: members.map((member) => assumedMember(member, before.incarnation, bytes)),
    replicas: replicas.map(({ contentId, purpose, volume }) => ({
      contentId,
      purpose,
      disk: assumedDisk(volume, bytes),
      users: members.filter((m) => m.kind === "linked" && m.contentId === contentId).map((m) => m.slot),
    })),
    leftovers: [],
    kept: [],
    strangers: [],
    heldGenerations: [],
    foreignNames: [],
    room: { unknown: "it was not asked" },
    problems: [],
  };
}

function assumedMember(member: MemberState, incarnation: string, bytes: number): ObservedMember {
  const { slot, name, uuid, kind, generation, contentId, macs, base, state, configuring } = member;
  return {
    slot, name, uuid, kind, generation, contentId, cardAddresses: macs, base, incarnation,
    power: state === "lost" ? "stopped" : state,
    chain: member.chain.map((volume) => assumedDisk(volume, bytes)),
    disks: [], numCpus: 0, memory: 0, networks: [], ...(configuring && { configuring }),
  };
}

function assumedDisk(volume: string, bytes: number): DiskInfo {
  return { name: volume, path: volume, format: "qcow2", capacityBytes: bytes, allocationBytes: bytes };
}
