/** What was found. */
import type { Image, ImageDisk } from "./image";
import type { MemberId } from "./member";
import type { CloneKind, HostOwn, HostSpec, TemplateSpec } from "./spec";

export interface DiskInfo {
  /** What its store calls it. */
  name: string;
  /** Where it lies, as its hypervisor names places. */
  path: string;
  format: string;
  capacityBytes: number;
  allocationBytes: number;
}

/**
 * What a member's base is to the fleet.
 * frozen: holds exactly the template's content, nobody writes it, may be a source.
 * consolidating: the guest's delta is being merged into it. consolidated: one flat disk, no source any more.
 * replica: a linked clone's delta stands over the host's replica.
 * arriving: started before its disk was there; its image (a full member's base, a linked one's replica) is not whole.
 * arrived: that image is whole, and the member's disk is being put over it.
 */
export type BaseState = "frozen" | "consolidating" | "consolidated" | "replica" | "arriving" | "arrived";

export type PowerState = "running" | "stopped" | "paused";

export interface ObservedMember extends MemberId {
  /**
   * It is seen away from home, the host that its disks are named after: the hypervisor or somebody moved it here, or it is
   * a twin of the one that stands there, as after a restore. That is drift and no move of ours: it counts where there is
   * no other, and is never destroyed. @default false
   */
  displaced?: boolean;
  name: string;
  uuid: string;
  kind: CloneKind;
  incarnation: string;
  contentId: string;
  /** Hardware addresses of its network cards, in their order. */
  cardAddresses: string[];
  power: PowerState;
  base: BaseState;
  /** Top (what the guest writes) first, base last. One entry: flat. */
  chain: DiskInfo[];
  /** `store`: of its host, where that is not the one that copies are made in. */
  disks: (DiskInfo & { label: string; onDelete: "delete" | "keep"; store?: string })[];
  /** At most, as it will start: of these it may have fewer at first (`atFirst`). */
  numCpus: number;
  /** MiB, as `numCpus`. */
  memory: number;
  /** What it will start with, where that is less than it may have. */
  atFirst?: { numCpus: number; memory: number };
  /** As it runs, whatever it will start with next. Absent: it does not. */
  running?: RunningHardware;
  /** Its hardware is that of a template machine, which it keeps. @default false */
  inherits?: boolean;
  /** What its network cards are plugged into, in their order (`cardPlace`). */
  networks: string[];
  /** Hash of what its guest is told (GuestIdentity). Absent: nothing. */
  guest?: string;
  /** Its guest is to be waited for: it was not ready since it was started, or since it was made. @default false */
  configuring?: boolean;
  /** It has a channel that its guest's agent is asked over. Absent: nobody looked. */
  agentChannel?: boolean;
}

/** What a running member can be given, and made to give back, while it runs. */
export interface RunningHardware {
  numCpus: number;
  maxCpus: number;
  /** MiB. */
  maxMemory: number;
  /** Its guest can be asked to give memory back, or told that it may have it again. */
  hasBalloon: boolean;
}

export interface ObservedReplica {
  contentId: string;
  /** replica: under linked clones. template: a local file's upload. */
  purpose: "replica" | "template";
  /** The first of its image. */
  disk: DiskInfo;
  /** The others, in order. @default none */
  others?: DiskInfo[];
  /** Slots whose delta stands over it. */
  users: number[];
  /** Others that use it, in words: it is not removed while there are any. @default none */
  strangers?: string[];
}

/**
 * Something of ours that is not whole: a disk that no member owns, a stale helper. Removed before anything is made, unless
 * the plan goes on from it.
 */
export interface Leftover {
  /** What its hypervisor calls such a thing (libvirt: volume, domain): for messages, and for the adapter when it removes it. */
  kind: string;
  name: string;
  slot?: number;
  /** Where it can be told from the name. */
  generation?: number;
  bytes: number;
  /** An unfinished copy whose bytes can be trusted: `clone` to the same target goes on from it. */
  resumable?: { contentId: string };
}

/** What is free in the store that a host's copies are made in. */
export type StoreRoom =
  /** `capacityBytes` absent: the host does not tell. */
  | { freeBytes: number; capacityBytes?: number }
  /** Why its figures cannot be had or believed, in words: it is taken to have room, and who writes there finds out. */
  | { unknown: string };

/** A data disk that stayed when its member went, or what looks like one and may be anybody's. */
export interface KeptDisk extends MemberId {
  label: string;
  name: string;
  /** Where it was to be kept and stands alone, so that the slot's next member on this host can be given it. Absent: nobody is. */
  disk?: {
    capacityBytes: number;
    /** Of its host, where that is not the one that copies are made in. */
    store?: string;
    /** Who uses it, in words: then nobody else is given it. @default nobody */
    users?: string[];
  };
  /** It was to be kept, and is not as it was left: what it is now, in words. */
  unfit?: string;
}

/** A store of a host beside the one that copies are made in. */
export interface DataStore {
  name: string;
  room: StoreRoom;
  /** As a host's. */
  store?: string;
}

/**
 * What an administrator calls things on a host, and does by hand there with the tools that its hypervisor brings: messages
 * are made with these words. `{name}` stands for a machine's name.
 */
export interface HostWords {
  machine: string;
  store: string;
  /** Forgets a machine and leaves its disks. */
  takeAway: string;
  shutDown: string;
  moveBack: string;
  /** `{to}` stands for the name it gets. */
  rename: string;
  removeImage: string;
}

export interface ReachableHost {
  status: "reachable";
  name: string;
  /** The hypervisor's own id of the host; what identity hangs on. */
  uuid: string;
  hypervisorVersion: string;
  words: HostWords;
  members: ObservedMember[];
  replicas: ObservedReplica[];
  leftovers: Leftover[];
  /** Counted for generations. Touched by nobody but the slot's next member that is given one. */
  kept: KeptDisk[];
  /**
   * Machines that bear this fleet's tag and are by their own facts (name, UUID, disks) none of its members: copies that
   * somebody made of one. Told of, never touched, never counted. `reason`: what they are and what to do, in words.
   */
  strangers: { name: string; reason: string }[];
  /** UUIDs of the kind that members have, of machines that are none: a member with one of them cannot be made here. @default none */
  takenUuids?: { uuid: string; name: string }[];
  /** Generations of slots whose images' names anything at all on the host bears, whosever it is: never used again. */
  heldGenerations: { slot: number; generation: number }[];
  /** Names of machines without our tag that begin with the fleet's namePrefix. */
  foreignNames: string[];
  room: StoreRoom;
  /** Those that declared data disks are to be in, as far as the host has them. @default none */
  dataStores?: DataStore[];
  /** Of the host itself; available: free, or used for what can be read again. Absent: not asked, or it does not tell. */
  memory?: { totalBytes: number; availableBytes: number };
  /** Where its store lies, where other hosts' may lie there too: equal ones are one store. Absent: nobody else's, as far as is known. */
  store?: string;
  /** What preflight found wrong with this host; empty: fit. */
  problems: HostProblem[];
}

/** One wrong thing about a host, in words; the fleet makes a property path of it (words/paths.ts). */
export interface HostProblem {
  /** What of the host, as it was declared. Absent: the host as a whole. */
  property?: Exclude<keyof HostSpec, "own"> | Exclude<PropertyOf<HostOwn>, "hypervisor">;
  message: string;
}

/** As a host's. */
export interface TemplateProblem {
  property?: Exclude<PropertyOf<TemplateSpec>, "kind" | "hypervisor">;
  message: string;
}

/** Of any arm of a union. */
type PropertyOf<T> = T extends unknown ? keyof T : never;

export interface UnreachableHost {
  status: "unreachable";
  name: string;
  reason: string;
}

/** A disk of a template as it was seen. Its `bytes` are its data, decompressed, through all it stands on, and the clone's tables. */
export interface TemplateDisk extends ImageDisk {
  /** Of the disk as a guest sees it. */
  capacityBytes: number;
  /** As its host reads it: `qcow2`, `raw`. */
  format: string;
}

/** The image that the template holds now, and where. */
export interface ObservedTemplate extends Image {
  /** Name of the host that holds it; absent for a local file that is not uploaded yet. */
  host?: string;
  disks: readonly TemplateDisk[];
  /** Where members inherit it. */
  hardware?: InheritedHardware;
}

export interface Observation {
  hosts: (ReachableHost | UnreachableHost)[];
  /** Absent: could not be seen (its host unreachable, or it is gone); then `templateProblem` says why. */
  template?: ObservedTemplate;
  templateProblem?: TemplateProblem;
  /** The template is a local file whose content was still being read when the look ended: there, and not known yet. @default false */
  templateUnread?: boolean;
}

/** What new members inherit of a template machine, as far as plans and previews speak of it. */
export interface InheritedHardware {
  /** Network cards of a member, declared or inherited. */
  cards: number;
  /** MiB, of a member, declared or inherited. */
  memory: number;
  /** Members have a channel that their guest's agent is asked over. Absent: nobody looked. */
  agentChannel?: boolean;
  /** In words: what is inherited, and what is not, for being one machine's alone. */
  words: string;
}
