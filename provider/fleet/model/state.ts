/** What is recorded. */
import type { MemberId } from "./member";
import type { BaseState, PowerState } from "./observation";
import type { CloneKind, DefaultsVersion, HostOwn, HostSpec, PolicyName } from "./spec";

export interface MemberState extends MemberId {
  name: string;
  host: string;
  /** Host uuid: survives renaming the host in the program. */
  hostUuid: string;
  rack: string;
  uuid: string;
  kind: CloneKind;
  contentId: string;
  /** Addresses of its network cards. */
  macs: string[];
  state: PowerState | "lost";
  base: BaseState;
  /** Names of its disk's images, top first. */
  chain: string[];
  /** Of its guest, as it was last heard of; those that it was given by guest.addresses are known without that. */
  ipAddresses: string[];
  /** What its guest calls itself. Absent: nobody heard of it. */
  hostname?: string;
  /** Its guest was not ready when it was last waited for. @default false */
  configuring?: boolean;
}

export interface RunSummary {
  policy: PolicyName | "none";
  makespanSeconds: number;
  /** Over the network. */
  bytesMoved: number;
  bytesAcrossRacks: number;
  /** Of bytesMoved, what had arrived before and was fetched again after a source was replaced or a run resumed. */
  bytesResent: number;
  created: number;
  destroyed: number;
  reconfigured: number;
  /** What the time model said of the makespan when the copies began. Absent: nothing was copied, or not to be said. */
  predictedSeconds?: number;
}

/** One transfer as it happened; the simulated run of a plan and the real one give the same trace form. */
export interface CloneTrace {
  /** Slot name, or `replica@host` for a host's replica or upload. */
  slot: string;
  /** `template` or a slot name or `replica@host`. */
  source: string;
  sourceHost: string;
  targetHost: string;
  startSeconds: number;
  endSeconds: number;
  /** Sources it had before `source`, oldest first, and until when. Absent: one source all the time. */
  replaced?: { source: string; sourceHost: string; untilSeconds: number }[];
}

/** Who fed whom and when: what the picture of a run is drawn from. */
export interface RunTimeline {
  policy: PolicyName | "none";
  /** What one copy moved. */
  imageBytes: number;
  /** The hosts of these copies, by rack, as declared. */
  racks: { name: string; hosts: string[] }[];
  /** At most timeline.ts's limit, those over the network first; in the order they started. */
  clones: CloneTrace[];
  /** Copies beyond that limit. */
  leftOut: number;
}

/** What a fleet's own runs taught the time model; rates as parts of the declared ones. */
export interface Learned {
  /** Runs that taught. */
  runs: number;
  /** Of NICs and uplinks. */
  networkFactor: number;
  diskFactor: number;
  /** Seconds a copy costs besides its bytes. Absent: as the hypervisor says. */
  startupSeconds?: number;
  /** Seconds a relay's reader begins after the relay itself. Absent: as the hypervisor says. */
  hopSeconds?: number;
  /** From the last copy's end to the last member ready; where `memberSeconds` is known, beyond the members' turns. */
  finishSeconds: number;
  /** Of its host's time, for each member once its image is there. Absent: as the hypervisor says. */
  memberSeconds?: number;
  /** From a guest's start until it was ready. Absent: no run waited for any. */
  guestSeconds?: number;
}

/** Of an image, as its guests see it. */
export interface ByteRange {
  offsetBytes: number;
  lengthBytes: number;
}

/** What a guest read of a template's content when it first booted; readProfile.ts says how many of each are kept. */
export interface ReadProfile {
  contentId: string;
  /** Ascending, apart from each other. */
  ranges: ByteRange[];
}

/**
 * A host on record. What is its hypervisor's own stands among the rest, as versions wrote it that knew one hypervisor:
 * record/host.ts reads and writes it.
 */
export type RecordedHost = Omit<HostSpec, "own"> & Recorded<HostOwn> & {
  uuid?: string;
  /** Work was begun or left behind there and could not be looked at since: members may run that nobody recorded. */
  unsettled?: boolean;
  /** Known only from what a run that was killed on this machine had noted (front/begun.ts): never written into a record. */
  noted?: boolean;
  /** Seen nowhere, while what may be their disk stays there in a store that other hosts may reach. @default none */
  missed?: { slot: number; generation: number; name: string }[];
};

/** Only libvirt's needs no word of which hypervisor it is. */
type Recorded<Own> = Own extends { hypervisor: "libvirt" } ? Omit<Own, "hypervisor"> : Own;

export interface FleetState {
  fleetId: string;
  incarnation: string;
  /** What inputs that are left out mean to this fleet. Absent: 1, of versions that recorded none. */
  defaultsVersion?: DefaultsVersion;
  contentId: string;
  members: MemberState[];
  replicas: { host: string; contentId: string; purpose: "replica" | "template"; volume: string }[];
  /** Frozen bases that stand under a delta disk, by member. */
  snapshots: { slot: number; host: string; volume: string }[];
  placement: Record<string, number>;
  /** The hosts of the last run, and those that hold anything of ours, so that a host taken out of the program can still be emptied. */
  hosts: RecordedHost[];
  lastRun: RunSummary;
  /** Of the last run that copied anything. Absent: none did. */
  timeline?: RunTimeline;
  /** Absent: no run taught anything yet. */
  learned?: Learned;
  /** The newest last. Absent: no guest was watched while it booted early. */
  readProfiles?: ReadProfile[];
}
