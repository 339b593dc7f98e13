/** What is libvirt's own of what was declared: the arm of each union by hypervisor (spec.ts). */

export interface LibvirtHost {
  hypervisor: "libvirt";
  /** libvirt URI, e.g. `qemu+ssh://root@a1/system`, `qemu+tcp://10.0.0.1/system`, `qemu+unix:///system?socket=/path`. */
  uri: string;
  /** Storage pool that receives clones. */
  pool: string;
  /** Address other hosts of the fleet reach this one at, for NBD. */
  transferAddress?: string;
  /** Inclusive port range that may be opened on transferAddress. */
  transferPorts: { from: number; to: number };
}

export interface LibvirtMachine {
  hypervisor: "libvirt";
  /** Absent: inherited. */
  domainType?: "kvm" | "qemu";
  /** Absent: inherited. */
  arch?: string;
  machine?: string;
  /** Absent: inherited, else the hypervisor's (BIOS on x86_64). */
  firmware?: "bios" | "efi";
  /** With keys enrolled. Absent: as the firmware that the host chooses has it. */
  efiSecureBootEnabled?: boolean;
  /** An emulated TPM, made new for each member; null: none. Absent: inherited, else none. */
  vtpm?: { version: "1.2" | "2.0" } | null;
  /** Absent: inherited, else host-model with KVM. */
  cpuMode?: CpuMode;
  /** Direct kernel boot; paths on the host. Absent: boot from disk. */
  kernelBoot?: { kernel: string; initrd?: string; cmdline?: string };
  /** Path of a serial log file on the host; `{name}` and `{slot}` are filled in. Absent: a pty. */
  serialLog?: string;
  /** What is set in the domain's XML last, by path (inputs/xmlPaths.ts): a text, or whether the element is there at all. */
  xml?: Record<string, string | boolean>;
}

/** How a guest's processor is like its host's. */
export type CpuMode = "host-passthrough" | "host-model" | "maximum";

/** What a network card is plugged into. */
export type LibvirtCard = {
  hypervisor: "libvirt";
  /** One: the card's own; several: a trunk. Absent: as what it is plugged into has it. */
  vlanTags?: number[];
} & (
  | { kind: "network"; network: string }
  | { kind: "bridge"; bridge: string; isOpenVSwitch: boolean }
  | { kind: "direct"; device: string; mode: DirectMode }
);
/** macvtap's: what the host's card does with what its guests say to each other. */
export type DirectMode = "bridge" | "vepa" | "private" | "passthrough";

/** How a data disk is attached, and where it lies. */
export interface LibvirtDisk {
  hypervisor: "libvirt";
  /** Storage pool of the member's host. Absent: the one that clones are made in. */
  pool?: string;
  bus: DiskBus;
}
export type DiskBus = "virtio" | "scsi" | "sata";

export interface LibvirtFleet {
  hypervisor: "libvirt";
  allowUnauthenticatedTcp: boolean;
  /** Copies go over TLS; each host's certificates are in the first of these directories that has usable ones. Absent: plain. */
  transferTls?: { directories: string[] };
}

/** A domain must not be running. */
/** Of a machine's disks those that are cloned: all that its guest can write to, or the first. */
export type TemplateDisks = "all" | "first";

export type LibvirtTemplate =
  | { hypervisor: "libvirt"; kind: "volume"; host: string; pool: string; volume: string }
  | { hypervisor: "libvirt"; kind: "domain"; host: string; domain: string; disks: TemplateDisks };
