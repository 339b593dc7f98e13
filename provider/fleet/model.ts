/**
 * The plain data that every room shares: what was declared (FleetSpec), what was found (Observation),
 * what must change (FleetPlan) and what is recorded (FleetState). No behaviour lives here.
 *
 * Words are DESIGN.md's (section 1). Sizes are bytes, rates are decimal per second, times are milliseconds
 * unless the name says otherwise; `memory` is MiB, as in @pulumi/vsphere.
 */

// ---------------------------------------------------------------- declared

/** What seeds the fleet. A domain must not be running; a file is local to the machine that runs Pulumi. */
export type TemplateSpec =
  | { kind: "volume"; host: string; pool: string; volume: string }
  | { kind: "domain"; host: string; domain: string }
  | { kind: "file"; file: string };

export type CloneSpec = { kind: "full" } | { kind: "linked" } | { kind: "mixed"; linkedShare: number };

export type CloneKind = "full" | "linked";

export type StartMode = "immediately" | "whenCopied";

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
  /** libvirt URI, e.g. `qemu+ssh://root@a1/system`, `qemu+tcp://10.0.0.1/system`, `qemu+unix:///system?socket=/path`. */
  uri: string;
  /** Name of a declared rack; hosts that name none share the rack `default`. */
  rack: string;
  /** Storage pool that receives clones. */
  pool: string;
  /** Address other hosts of the fleet reach this one at, for NBD. */
  transferAddress?: string;
  /** Inclusive port range that may be opened on transferAddress. */
  transferPorts: { from: number; to: number };
  nicBitsPerSecond: number;
  /** What all copies together may use of the card, each way. Absent: all of it. Copies within the host use none. */
  transferRateBitsPerSecond?: number;
  diskBytesPerSecond: number;
  /** Copies that may read from or write to this host at once. */
  maxConcurrent: number;
  /** Members this host may hold at most; absent: no cap. Weighs placement of `count`. */
  capacity?: number;
}

export interface NetworkInterfaceSpec {
  network: string;
  /** @default "virtio" */
  adapterType: string;
}

export interface ExtraDiskSpec {
  label: string;
  sizeBytes: number;
  onDelete: "delete" | "keep";
}

export interface VmSpec {
  numCpus: number;
  /** MiB */
  memory: number;
  networks: NetworkInterfaceSpec[];
  disks: ExtraDiskSpec[];
  domainType: "kvm" | "qemu";
  arch: string;
  machine?: string;
  /** Direct kernel boot; paths on the host. Absent: boot from disk. */
  kernelBoot?: { kernel: string; initrd?: string; cmdline?: string };
  /** Path of a serial log file on the host; `{name}` and `{slot}` are filled in. Absent: a pty. */
  serialLog?: string;
  /** Start the member when its host starts. @default false */
  autostart?: boolean;
}

export interface FleetSpec {
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
  powerOn: boolean;
  /** immediately: a member runs while its disk is still arriving. whenCopied: once it is there. */
  start: StartMode;
  keepSeeds: "none" | "rack" | "host";
  onTemplateChange: "keep" | "replace";
  allowRecreate: boolean;
  deletionProtection: boolean;
  abandonHosts: string[];
  allowUnauthenticatedTcp: boolean;
  /** Copies go over TLS; each host's certificates are in the first of these directories that has usable ones. Absent: plain. */
  transferTls?: { directories: string[] };
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
  };
  limits: {
    /** Transfers at once over the whole fleet. */
    maxConcurrentClones: number;
    /** Define, start, destroy at once over the whole fleet; and, beside those, as many merges of disks. */
    maxConcurrentOperations: number;
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

// ---------------------------------------------------------------- found

export interface DiskInfo {
  /** Volume name in the pool (or, for a foreign template, its path). */
  volume: string;
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

export interface ObservedMember {
  /**
   * Its disks bear another host's name: moved here by hand, or a twin of the one that stands there, as after a restore.
   * Counts where there is no other; never destroyed. @default false
   */
  displaced?: boolean;
  slot: number;
  name: string;
  uuid: string;
  kind: CloneKind;
  generation: number;
  incarnation: string;
  contentId: string;
  macs: string[];
  power: PowerState;
  base: BaseState;
  /** Top (what the guest writes) first, base last. One entry: flat. */
  chain: DiskInfo[];
  disks: (DiskInfo & { label: string; onDelete: "delete" | "keep" })[];
  numCpus: number;
  memory: number;
  networks: string[];
}

export interface ObservedReplica {
  contentId: string;
  /** replica: under linked clones. template: a local file's upload. */
  purpose: "replica" | "template";
  disk: DiskInfo;
  /** Slots whose delta stands over it. */
  users: number[];
  /** Others that use it, in words: it is not removed while there are any. @default none */
  strangers?: string[];
}

/**
 * Something of ours that is not whole: a volume no member owns, a stale helper. Removed before anything is made, unless
 * the plan goes on from it.
 */
export interface ObservedPartial {
  kind: "volume" | "domain";
  name: string;
  slot?: number;
  /** Where it can be told from the name. */
  generation?: number;
  bytes: number;
  /** An unfinished copy whose bytes can be trusted: `clone` to the same target goes on from it. */
  resumable?: { contentId: string };
}

export interface ReachableHost {
  status: "reachable";
  name: string;
  /** The hypervisor's own id of the host; what identity hangs on. */
  uuid: string;
  hypervisorVersion: string;
  members: ObservedMember[];
  replicas: ObservedReplica[];
  partials: ObservedPartial[];
  /** Data disks of removed members that asked to be kept, and what looks like one and may be anybody's. Counted for generations, never touched. */
  kept: { slot: number; generation: number; label: string; volume: string }[];
  /**
   * Domains that bear this fleet's tag and are by their own facts (name, UUID, disks) none of its members: copies that
   * somebody made of one. Told of, never touched, never counted. `reason`: what they are and what to do, in words.
   */
  strangers: { name: string; reason: string }[];
  /** UUIDs of the kind that members have, of domains that are none: a member with one of them cannot be made here. @default none */
  takenUuids?: { uuid: string; name: string }[];
  /** Generations of slots whose volume names anything at all on the host bears, whosever it is: never used again. */
  heldGenerations: { slot: number; generation: number }[];
  /** Names of domains without our tag that begin with the fleet's namePrefix. */
  foreignNames: string[];
  /** fleet/room.ts's UNKNOWN_ROOM_BYTES: it is not known, and `roomUnknown` says why. */
  poolFreeBytes: number;
  roomUnknown?: string;
  /** Absent: the host does not tell. */
  poolCapacityBytes?: number;
  /** Where the pool lies, where other hosts' pools may lie there too: equal ones are one store. Absent: nobody else's, as far as is known. */
  store?: string;
  /** What preflight found wrong with this host; empty: fit. Paths begin with `hosts[i]`. */
  problems: Problem[];
}

export interface UnreachableHost {
  status: "unreachable";
  name: string;
  reason: string;
}

export interface ObservedTemplate {
  /** sha256, hex; see DESIGN.md section 1, content id. */
  contentId: string;
  /** Name of the host that holds it; absent for a local file that is not uploaded yet. */
  host?: string;
  capacityBytes: number;
  /** Bytes that a clone of it writes, and a copy moves about: its data, decompressed, through all it stands on, and the clone's tables. */
  allocationBytes: number;
  format: string;
}

export interface Observation {
  hosts: (ReachableHost | UnreachableHost)[];
  /** Absent: could not be seen (its host unreachable, or it is gone); then `templateProblem` says why. */
  template?: ObservedTemplate;
  templateProblem?: Problem;
  /** The template is a local file whose content was still being read when the look ended: there, and not known yet. @default false */
  templateUnread?: boolean;
}

// ---------------------------------------------------------------- to be done

export interface PlannedCreate {
  slot: number;
  name: string;
  host: string;
  rack: string;
  kind: CloneKind;
  generation: number;
  reason: string;
}

export interface PlannedDestroy {
  slot: number;
  name: string;
  host: string;
  generation: number;
  reason: string;
}

export interface PlannedMove {
  slot: number;
  name: string;
  from: string;
  to: string;
  /** Always says that data is lost. */
  reason: string;
}

export type Reconfiguration =
  | { kind: "power"; to: "running" | "stopped" }
  | { kind: "hardware"; numCpus: number; memory: number; networks: string[] };

export interface PlannedReconfigure {
  slot: number;
  name: string;
  host: string;
  changes: Reconfiguration[];
  reason: string;
}

/**
 * What one run must do. Every entry has its reason in words. A slot stands in exactly one of create, keep, adopt,
 * reconfigure, destroy, lost, except that an adopted member may need reconfiguring as well (it stands in both), and that
 * a replaced or moved slot stands in destroy (older generation) and in create; a move is a note about such a pair on two
 * hosts.
 */
export interface FleetPlan {
  fleetId: string;
  contentId: string;
  create: PlannedCreate[];
  adopt: { slot: number; name: string; host: string; reason: string }[];
  keep: { slot: number; name: string; host: string; reason: string }[];
  reconfigure: PlannedReconfigure[];
  /** Members, kept otherwise, whose frozen or half-merged base an earlier run left for this one to merge. */
  consolidate: { slot: number; name: string; host: string; reason: string }[];
  /**
   * Members, kept otherwise, that an earlier run started before their disk was there and did not get to the end with:
   * what is missing is fetched, their guests go on. `base` says how far they came.
   */
  complete: (PlannedCreate & { base: "arriving" | "arrived"; contentId: string })[];
  move: PlannedMove[];
  destroy: PlannedDestroy[];
  lost: { slot: number; name: string; host: string; reason: string }[];
  /** Leftovers to remove first. */
  cleanup: { host: string; partial: ObservedPartial; reason: string }[];
  /** Replicas and uploads nobody will need once the plan is done, removed last. */
  removeReplicas: { host: string; contentId: string; purpose: "replica" | "template"; reason: string }[];
  /** Members, after the plan, per declared host. */
  placement: Record<string, number>;
  /** What makes the plan impossible or refused; empty: may run. */
  problems: Problem[];
  /** Things the user should know that stop nothing. */
  warnings: string[];
}

// ---------------------------------------------------------------- recorded

export interface MemberState {
  slot: number;
  name: string;
  host: string;
  /** Host uuid: survives renaming the host in the program. */
  hostUuid: string;
  rack: string;
  uuid: string;
  kind: CloneKind;
  generation: number;
  contentId: string;
  macs: string[];
  state: PowerState | "lost";
  base: BaseState;
  /** Volume names, top first. */
  chain: string[];
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

export interface FleetState {
  fleetId: string;
  incarnation: string;
  contentId: string;
  members: MemberState[];
  replicas: { host: string; contentId: string; purpose: "replica" | "template"; volume: string }[];
  /** Frozen bases that stand under a delta disk, by member. */
  snapshots: { slot: number; host: string; volume: string }[];
  placement: Record<string, number>;
  /** The hosts of the last run, and those that hold anything of ours, so that a host taken out of the program can still be emptied. */
  hosts: (HostSpec & {
    uuid?: string;
    /** Work was begun or left behind there and could not be looked at since: members may run that nobody recorded. */
    unsettled?: boolean;
    /** Known only from what a run that was killed on this machine had noted (pulumi/begun.ts): never written into a record. */
    noted?: boolean;
    /** Seen nowhere, while what may be their disk stays there in a pool that other hosts may reach. @default none */
    missed?: { slot: number; generation: number; name: string }[];
  })[];
  lastRun: RunSummary;
  /** Of the last run that copied anything. Absent: none did. */
  timeline?: RunTimeline;
  /** Absent: no run taught anything yet. */
  learned?: Learned;
  /** The newest last. Absent: no guest was watched while it booted early. */
  readProfiles?: ReadProfile[];
}
