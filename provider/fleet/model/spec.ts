/** What was declared. Sizes are bytes, rates are decimal per second, times are milliseconds unless the name says otherwise; `memory` is MiB, as in @pulumi/vsphere. */
import type { GuestSpec } from "./guest";
import type { LibvirtCard, LibvirtDisk, LibvirtFleet, LibvirtHost, LibvirtMachine, LibvirtTemplate } from "./libvirt";

/**
 * What is one hypervisor's own, told apart by `hypervisor`: a file of this folder an arm. A fleet is of one hypervisor, so
 * that all it declares has the same. What the rooms of the fleet ask of any of them, `../own` answers.
 */
export type HostOwn = LibvirtHost;
export type MachineOwn = LibvirtMachine;
export type CardOwn = LibvirtCard;
export type DiskOwn = LibvirtDisk;
export type FleetOwn = LibvirtFleet;

/** What seeds the fleet: a file is local to the machine that runs Pulumi, all else lies where its hypervisor says. */
export type TemplateSpec = { kind: "file"; file: string } | LibvirtTemplate;

export type CloneSpec = { kind: "full" } | { kind: "linked" } | { kind: "mixed"; linkedShare: number };

export type CloneKind = "full" | "linked";

export type StartMode = "immediately" | "whenCopied";

/** When a member that was started is ready. started: at once. tcpPort: one of its addresses takes connections there. */
export type WaitFor = { kind: "started" } | { kind: "guestAgent" } | { kind: "address" } | { kind: "tcpPort"; port: number };

export type PolicyName = "rounds" | "earliestCompletion" | "relay" | "singleSource";

/** Exactly one way to say how many. `each` is keyed by host name and holds every host (0 when left out). */
export type TargetSpec =
  | { kind: "count"; count: number }
  | { kind: "countPerHost"; countPerHost: number }
  | { kind: "each"; counts: Record<string, number> };

export interface RackSpec {
  name: string;
  uplinkBitsPerSecond: number;
  /** What all copies together may use of the uplink, each way. Absent: all of it. */
  transferRateBitsPerSecond?: number;
}

export interface HostSpec {
  name: string;
  /** Name of a declared rack; hosts that name none share the rack `default`. */
  rack: string;
  nicBitsPerSecond: number;
  /** What all copies together may use of the card, each way. Absent: all of it. Copies within the host use none. */
  transferRateBitsPerSecond?: number;
  diskBytesPerSecond: number;
  /** Copies that may read from or write to this host at once. */
  maxConcurrent: number;
  /** Members this host may hold at most; absent: no cap. Weighs placement of `count`. */
  capacity?: number;
  own: HostOwn;
}

/** One network card. */
export interface NetworkInterfaceSpec {
  /** @default "virtio" */
  adapterType: string;
  /** Bytes. Absent: the network's. */
  mtu?: number;
  /** What it is plugged into. */
  own: CardOwn;
}

export interface ExtraDiskSpec {
  label: string;
  /** At least: disks grow, and never shrink. */
  sizeBytes: number;
  onDelete: "delete" | "keep";
  /** One that was kept of the slot on its host is given to the slot's next member there. @default false */
  reattach?: boolean;
  /** Absent: as its hypervisor does by itself. */
  own?: DiskOwn;
}

export type LeftOut = "numCpus" | "memory" | "networks";

export interface VmSpec {
  /** Whose hardware members have where nothing is declared: the template machine's, or what is documented. */
  hardware: "template" | "defaults";
  /** What has its documented default for being left out: members that inherited it keep theirs. @default nothing */
  leftOut?: readonly LeftOut[];
  /** Absent: inherited. */
  numCpus?: number;
  /** MiB. Absent: inherited. */
  memory?: number;
  /** How many a running member can be given. Absent: as many as it has. */
  maxCpus?: number;
  /** MiB, as `maxCpus`. */
  maxMemory?: number;
  /** Absent: inherited, each with an address of its own. */
  networks?: NetworkInterfaceSpec[];
  /** What the disk that was cloned is to hold at least, as its guest sees it. Absent: as the template's. */
  rootDisk?: { sizeBytes: number };
  disks: ExtraDiskSpec[];
  /** Start the member when its host starts. @default false */
  autostart?: boolean;
  /** New members of documented defaults have a channel that their guest's agent is asked over. @default false */
  agentChannel?: boolean;
  own: MachineOwn;
}

/**
 * What inputs that are left out mean. 1: hardware by documented defaults, and nothing said to guests. 2: as the template
 * machine has it. 3: and all its disks. A fleet keeps what it was recorded with.
 */
export type DefaultsVersion = 1 | 2 | 3;

export interface FleetSpec {
  defaultsVersion: DefaultsVersion;
  /** The input; absent: derived from the origin (identity.ts). */
  fleetId?: string;
  namePrefix: string;
  template: TemplateSpec;
  clone: CloneSpec;
  policy: "auto" | PolicyName;
  targets: TargetSpec;
  racks: RackSpec[];
  hosts: HostSpec[];
  vm: VmSpec;
  guest: GuestSpec;
  powerOn: boolean;
  /** immediately: a member runs while its disk is still arriving. whenCopied: once it is there. */
  start: StartMode;
  waitFor: WaitFor;
  keepSeeds: "none" | "rack" | "host";
  onTemplateChange: "keep" | "replace";
  allowRecreate: boolean;
  deletionProtection: boolean;
  abandonHosts: string[];
  own: FleetOwn;
  timeouts: {
    /** Deadline of one call to a host. */
    callMs: number;
    /** A host that does not answer within this is unreachable. */
    connectMs: number;
    /** ACPI shutdown, then force. */
    shutdownMs: number;
    /** How long a second run waits for the first one's lock. */
    lockMs: number;
    /** A copy that moves no byte for this long has lost its source. */
    stallMs: number;
    /** How long a guest may take from its start until it is ready, as waitFor says. */
    readyMs: number;
  };
  limits: {
    /** Transfers at once over the whole fleet. */
    maxConcurrentClones: number;
    /** Define, start, destroy at once over the whole fleet; and, beside those, as many merges of disks. */
    maxConcurrentOperations: number;
    /** Members at once that were started and are not ready, over the whole fleet. */
    maxConfiguring: number;
    /** Times one clone is tried anew, with another source where there is one. */
    retries: number;
    /** A copy below this share of its estimated rate, measured against the other copies, gets another source. */
    stragglerFactor: number;
  };
  /** Local file that receives the picture of each run that copied something. */
  timelineFile?: string;
  /** Planning only: what one copy moves, where the template cannot be asked. */
  imageBytes?: number;
  /** Which rates were left out and took their documented defaults, in words (`vmfleet plan` says so). */
  assumed: string[];
}

/** One wrong thing about inputs or hosts. `path` is a property path such as `hosts[2].count`; "" is the whole. */
export interface Problem {
  path: string;
  /** Without the path: `expected an integer from 0 to 10000, got -1`. */
  message: string;
}
