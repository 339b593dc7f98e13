/** Types of lab.mjs (plain JavaScript, because it runs before `npm ci`). */
export interface LabHost {
  name: string;
  rack: string;
  /** IPv4, on the lab's own network. */
  address: string;
  /** libvirt's host UUID; the same at every `up` of this lab's name. */
  uuid: string;
  /** `qemu+tcp://ADDRESS/system`, without authentication. */
  uri: string;
  /** `qemu+unix:///system?socket=…`: works while the host's link is down. */
  unixUri: string;
  /** Target of the storage pool `default`, visible from the root namespace under the same path. */
  poolDir: string;
  runDir: string;
  /** Images, logs and libvirt's own files. */
  dataDir: string;
  netns: string;
  rackNetns: string;
  rackInterface: string;
  nicBitsPerSecond: number;
  /** The locale its daemon answers in: `C.UTF-8`, `zh_CN.UTF-8`. */
  language: string;
  /** libvirtd's, null while it does not run. */
  pid: number | null;
}

export interface LabRack {
  name: string;
  netns: string;
  coreInterface: string;
  uplinkBitsPerSecond: number;
}

export interface Lab {
  name: string;
  /** `10.N.0.0/16` */
  subnet: string;
  /** Kernel and initrd of the template, readable by every host. */
  bootDir: string;
  hosts: LabHost[];
  racks: LabRack[];
  /** Whether the process that `up` was told to be its owner still lives; null without one: somebody's, until `down`. */
  ownerAlive: boolean | null;
}

export interface Topology {
  nicBitsPerSecond?: number;
  uplinkBitsPerSecond?: number;
  racks: { name: string; uplinkBitsPerSecond?: number; hosts: { name: string; nicBitsPerSecond?: number }[] }[];
}

export interface HostName {
  /** The lab's; default `lab`. */
  name?: string;
  host: string;
}

export interface RunOptions {
  input?: string;
  /** Default 60 s. */
  timeoutMs?: number;
}

export interface ByteCounts {
  rx: number;
  tx: number;
}

/**
 * Default topology: test/lab/topology.json; a string is a file's path. Default language: VMFLEET_LAB_LANGUAGE, else
 * C.UTF-8. Cleans up after a crash first.
 */
export function up(options?: { name?: string; topology?: string | Topology; language?: string; log?: (line: string) => void; owner?: number }): Promise<Lab>;
/** Leaves nothing of the lab; does nothing when there is none. */
export function down(options?: { name?: string; log?: (line: string) => void }): Promise<void>;
export function status(options?: { name?: string }): Promise<Lab | null>;

/** A link that goes down makes the host vanish without a reset. */
export function setLink(options: HostName & { up: boolean }): Promise<void>;
/** What the host's network card carries from now on; without a rate, as its topology says. */
export function setRate(options: HostName & { bitsPerSecond?: number }): Promise<void>;
/** kill -9 of libvirtd; guests run on. */
export function killDaemon(options: HostName): Promise<void>;
/** kill -9 of libvirtd and all guests. */
export function killHost(options: HostName): Promise<void>;
export function startDaemon(options: HostName): Promise<void>;
/** Restarts every daemon of the lab to answer in this language; default C.UTF-8. Guests run on. */
export function setLanguage(options: { name?: string; language?: string }): Promise<void>;
/** Restarts the host's daemon with these lines beside what every lab host's libvirtd.conf says. */
export function setDaemonConfig(options: HostName & { lines?: string[] }): Promise<void>;

/** `virsh -q` over the unix socket; rejects with virsh's message. */
export function virsh(host: Pick<LabHost, "unixUri">, ...args: (string | number)[]): Promise<string>;
/** Runs a program in the host's network namespace. */
export function execIn(host: Pick<LabHost, "netns">, argv: string[], options?: RunOptions): Promise<string>;
/** Through the host's NIC since `up`. */
export function nicBytes(host: Pick<LabHost, "netns">): Promise<ByteCounts>;
/** Out of (tx) and into (rx) the rack since `up`. */
export function uplinkBytes(rack: Pick<LabRack, "netns">): Promise<ByteCounts>;

/** `~/.cache/pulumi-vmfleet` */
export const CACHE_DIR: string;
