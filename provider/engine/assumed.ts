/** Hosts as they would look if they could be asked: for previews without any, or without some. */
import { UNKNOWN_ROOM_BYTES } from "../fleet";
import type {
  DiskInfo, FleetSpec, FleetState, HostSpec, MemberState, Observation, ObservedMember, ReachableHost,
} from "../fleet/model";

/**
 * The observation with what it lacks filled in from the recorded state, so that a plan can be run on the simulator:
 * hosts that did not answer hold what was recorded, and have room.
 */
export function assumeObservation(
  spec: FleetSpec, hosts: HostSpec[], previous: FleetState | undefined, observation: Observation | undefined,
  template: { contentId: string; imageBytes: number },
): Observation {
  const answers = new Map((observation?.hosts ?? []).map((host) => [host.name, host]));
  const { contentId, imageBytes } = template;
  return {
    hosts: hosts.map((host) => {
      const answer = answers.get(host.name);
      return answer?.status === "reachable" ? answer : assumedHost(host, previous, imageBytes);
    }),
    template: observation?.template ?? {
      contentId, capacityBytes: imageBytes, allocationBytes: imageBytes, format: "qcow2",
      ...(spec.template.kind !== "file" && { host: spec.template.host }),
    },
  };
}

function assumedHost(host: HostSpec, previous: FleetState | undefined, imageBytes: number): ReachableHost {
  const members = (previous?.members ?? []).filter((m) => m.host === host.name && m.state !== "lost");
  const replicas = (previous?.replicas ?? []).filter((r) => r.host === host.name);
  const recorded = previous?.hosts.find((h) => h.uri === host.uri || h.name === host.name);
  return {
    status: "reachable",
    name: host.name,
    uuid: recorded?.uuid ?? host.name,
    hypervisorVersion: "assumed",
    members: members.map((member) => assumedMember(member, previous!.incarnation, imageBytes)),
    replicas: replicas.map(({ contentId, purpose, volume }) => ({
      contentId,
      purpose,
      disk: assumedDisk(volume, imageBytes),
      users: members.filter((m) => m.kind === "linked" && m.contentId === contentId).map((m) => m.slot),
    })),
    partials: [],
    kept: [],
    strangers: [],
    heldGenerations: [],
    foreignNames: [],
    poolFreeBytes: UNKNOWN_ROOM_BYTES,
    problems: [],
  };
}

function assumedMember(member: MemberState, incarnation: string, imageBytes: number): ObservedMember {
  const { slot, name, uuid, kind, generation, contentId, macs, base, state } = member;
  return {
    slot, name, uuid, kind, generation, contentId, macs, base, incarnation,
    power: state === "lost" ? "stopped" : state,
    chain: member.chain.map((volume) => assumedDisk(volume, imageBytes)),
    disks: [], numCpus: 0, memory: 0, networks: [],
  };
}

function assumedDisk(volume: string, bytes: number): DiskInfo {
  return { volume, path: volume, format: "qcow2", capacityBytes: bytes, allocationBytes: bytes };
}
