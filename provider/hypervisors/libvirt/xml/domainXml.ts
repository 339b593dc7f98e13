import { memberMacs } from "../../../fleet/members/addresses";
import { memberUuid } from "../../../fleet/members/identity";
import type { DiskBus } from "../../../fleet/model";
import type { ReconfigureOrder } from "../../hypervisor";
import { libvirts } from "../own";
import { cardXml } from "./cards";
import { taggedMetadata, type HelperTag, type MemberTag } from "./tags";
import { buildXml, type XmlNode } from "./xml";

export type Drive = "cdrom" | "floppy";
/** libvirt's names of them. */
export const DRIVE_NAMES: Readonly<Record<Drive, string>> = { cdrom: "hda", floppy: "fda" };
const DRIVE_BUSES: Readonly<Record<Drive, string>> = { cdrom: "ide", floppy: "fdc" };

export interface DiskXml {
  path: string;
  format: string;
  /** libvirt's name of it. Absent: by its place. */
  device?: string;
  /** @default "virtio" */
  bus?: DiskBus;
  readOnly?: boolean;
  copyOnRead?: boolean;
  /** The guest stands still where a read or write fails, and tries it again when it is resumed. */
  stopOnError?: boolean;
  /**
   * Of a helper: in a drive whose medium can be taken out, and so in nobody's way. Such disks leave the names of the
   * others and of QEMU's nodes as if they were not there: they are listed first, and libvirt counts from the last on.
   */
  drive?: Drive;
  /**
   * What it stands on, in the XML instead of in the image's header, which then says nothing to anyone. `null`: on nothing.
   * Only an image of our own whose header nobody else could write may leave it to that header.
   */
  backing?: BackingXml | null;
}
/** A disk of a helper: nothing of it is left to be guessed. */
export type HelperDiskXml = DiskXml & { backing: BackingXml | null };
export type BackingXml =
  | { kind: "nbd"; host: string; port: number; exportName: string }
  | { kind: "file"; path: string; format: string; backing: BackingXml | null };

export function backingXml(backing: BackingXml | null | undefined): XmlNode | undefined {
  if (backing === undefined) return undefined;
  if (backing === null) return {};
  if (backing.kind === "file") {
    return { "@type": "file", format: { "@type": backing.format }, source: { "@file": backing.path }, backingStore: backingXml(backing.backing) };
  }
  return {
    "@type": "network", format: { "@type": "raw" },
    source: { "@protocol": "nbd", "@name": backing.exportName, host: { "@name": backing.host, "@port": backing.port } },
    backingStore: {},
  };
}

/** As libvirt names them: vda to vdz, then vdaa; on another bus than virtio with an s. */
export function diskName(index: number, bus: DiskBus = "virtio"): string {
  const letters = (at: number): string => `${at < 26 ? "" : letters(Math.floor(at / 26) - 1)}${String.fromCharCode(97 + (at % 26))}`;
  return `${bus === "virtio" ? "vd" : "sd"}${letters(index)}`;
}

/**
 * A name for each of these disks that no other has: the one that it has already, else the one of its place behind the first disk, so that
 * a disk's name does not hang on what the others are called.
 * @param taken of disks that are there already
 */
export function diskNames(disks: readonly Pick<DiskXml, "device" | "bus">[], taken: ReadonlySet<string> = new Set()): string[] {
  const used = new Set([...taken, ...disks.flatMap(({ device }) => device ?? [])]);
  return disks.map(({ device, bus }, at) => {
    if (device !== undefined) return device;
    let index = at + 1; // the first name is the first disk's, on whatever bus that is
    while (used.has(diskName(index, bus))) index++;
    const name = diskName(index, bus);
    used.add(name);
    return name;
  });
}

/** Units of a SCSI controller, by which libvirt shares disks out among them. */
const SCSI_UNITS = 7;

/** Which SCSI controllers disks of these names are at. */
export const scsiControllers = (names: readonly string[]): number[] => [...new Set(names.map((name) => Math.floor(indexOf(name) / SCSI_UNITS)))].sort((a, b) => a - b);
const indexOf = (name: string): number => [...name.slice(2)].reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 96, 0) - 1;
export const scsiControllerXml = (index: number): XmlNode => ({ "@type": "scsi", "@index": String(index), "@model": "virtio-scsi" });

/** Of a member's disks the one that it boots from, in whose place documented defaults put it. */
export const FIRST_DISK = diskName(0);

/** A member, as the names of its images have it (volumes/names.ts). */
export interface MemberSlot {
  slot: number;
  generation: number;
}
const MEMBER_IMAGE = /\.s(\d+)\.g(\d+)\.(?:base|delta|early)(?:-([1-9]\d*))?(\.[^/]+)$/;

/** Which of the disks of its image a file of a member is, or is a snapshot of by its name; undefined: none. */
function imageDiskOf(file: string | undefined, { slot, generation }: MemberSlot): { place: number; isSnapshot: boolean } | undefined {
  const m = MEMBER_IMAGE.exec(file ?? "");
  if (!m || Number(m[1]) !== slot || Number(m[2]) !== generation) return undefined;
  return { place: Number(m[3] ?? 0), isSnapshot: m[4] !== ".qcow2" };
}

interface ReadDisk {
  device: string | undefined;
  file: string | undefined;
}

/** Of a member's disks the one that was cloned first: `vda`, else the first; where that bus is another's, one given by hand since is `vda`. */
function rootOf<T>(disks: readonly T[], of: MemberSlot, read: (disk: T) => ReadDisk): T | undefined {
  const [first] = disks;
  const named = disks.find((disk) => read(disk).device === FIRST_DISK) ?? first;
  const isImage = (disk: T | undefined): boolean => {
    const image = disk && imageDiskOf(read(disk).file, of);
    return image?.place === 0 && !image.isSnapshot;
  };
  return isImage(named) ? named : isImage(first) ? first : disks.find(isImage) ?? named;
}

/** A member's cloned disks, by their place in the image, or what somebody made of them; undefined: neither is there. */
export function imageDisksOf<T>(disks: readonly T[], of: MemberSlot & { count: number }, read: (disk: T) => ReadDisk): (T | undefined)[] {
  const at = (place: number, isSnapshot: boolean): T | undefined => disks.find((disk) => {
    const image = imageDiskOf(read(disk).file, of);
    return image?.place === place && image.isSnapshot === isSnapshot;
  });
  return Array.from({ length: of.count }, (_, place) => (place === 0 ? rootOf(disks, of, read) : at(place, false) ?? at(place, true)));
}

export function diskXml(disk: DiskXml, name: string, serial?: string): XmlNode {
  return {
    "@type": "file", "@device": "disk",
    driver: {
      "@name": "qemu", "@type": disk.format, "@cache": "none", "@discard": "unmap",
      "@error_policy": disk.stopOnError ? "stop" : undefined, "@rerror_policy": disk.stopOnError ? "stop" : undefined,
      "@copy_on_read": disk.copyOnRead ? "on" : undefined,
    },
    source: { "@file": disk.path },
    backingStore: backingXml(disk.backing),
    target: { "@dev": name, "@bus": disk.bus ?? "virtio" },
    // Given, QEMU reads no sector to guess it: through a copy-on-read filter that has no backing yet, that read would
    // put zeros into the image for good.
    geometry: disk.copyOnRead ? { "@cyls": "16383", "@heads": "16", "@secs": "63" } : undefined,
    serial,
    readonly: disk.readOnly ? {} : undefined,
  };
}

const mediumXml = (disk: DiskXml, drive: Drive): XmlNode => ({
  "@type": "file", "@device": drive,
  driver: { "@name": "qemu", "@type": disk.format, "@cache": "none" },
  source: { "@file": disk.path },
  backingStore: backingXml(disk.backing),
  target: { "@dev": DRIVE_NAMES[drive], "@bus": DRIVE_BUSES[drive] },
  readonly: disk.readOnly ? {} : undefined,
});

const QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0";
/**
 * With it libvirt asks a new QEMU for each of its 400 CPU features, 47 kB that QEMU's monitor takes byte by byte: 0.2 of
 * the 0.3 seconds that a helper's start took. Without it two questions do, and nobody runs on that CPU.
 */
const CPU_QUESTIONS = "cpu-unavailable-features";

/**
 * A helper: transient, paused, 2 MiB, no guest. It exists for the QEMU process behind it, which opens disks with the
 * labels and the user that the host gives to any guest. `machine='pc'` starts fastest of those that carry virtio.
 * @param quick libvirt asks its QEMU for no CPU features; where it knows no such wish it refuses the domain
 */
export function helperXml(name: string, tag: HelperTag, domainType: string, arch: string, disks: HelperDiskXml[], quick: boolean): string {
  return buildXml({
    domain: {
      "@type": domainType,
      ...(quick && { "@xmlns:qemu": QEMU_NAMESPACE }),
      name,
      metadata: taggedMetadata(tag),
      memory: { "@unit": "MiB", "#": "2" },
      vcpu: "1",
      os: { type: { "@arch": arch, ...(arch === "x86_64" ? { "@machine": "pc" } : {}), "#": "hvm" } },
      on_poweroff: "destroy",
      devices: {
        disk: [...disks.flatMap((disk) => (disk.drive ? [mediumXml(disk, disk.drive)] : [])), ...disks.filter((disk) => !disk.drive).map((disk, index) => diskXml(disk, diskName(index)))],
        controller: [{ "@type": "usb", "@model": "none" }],
        memballoon: { "@model": "none" },
      },
      ...(quick && { "qemu:capabilities": { "qemu:del": { "@capability": CPU_QUESTIONS } } }),
    },
  });
}

/** A text of the user's that differs by member. */
export const fill = ({ name, slot }: Pick<ReconfigureOrder, "name" | "slot">, template: string): string => template.replaceAll("{name}", name).replaceAll("{slot}", String(slot));

/** What the agent in a guest listens at, in its channel (QEMU's documentation). */
export const AGENT_CHANNEL = "org.qemu.guest_agent.0";

/**
 * A member's persistent definition by documented defaults.
 * @param image its cloned disks: each the delta over the frozen base, or the flat base
 */
export function memberXml(order: ReconfigureOrder, tag: MemberTag, image: readonly DiskXml[], extra: readonly (DiskXml & { label: string })[], agentChannel = false): string {
  const { vm } = order;
  const own = libvirts(vm.own);
  const { networks = [], numCpus = 1, memory = 1024, maxCpus = numCpus, maxMemory = memory } = vm;
  const names = diskNames(extra, new Set(image.map((_, place) => diskName(place))));
  const macs = memberMacs(order.fleet.fleetId, order.slot, networks.length);
  const serial: XmlNode = own.serialLog === undefined
    ? { "@type": "pty", target: { "@port": "0" } }
    : { "@type": "file", source: { "@path": fill(order, own.serialLog), "@append": "on" }, target: { "@port": "0" } };
  return buildXml({
    domain: {
      "@type": own.domainType ?? "kvm",
      name: order.name,
      uuid: memberUuid(order.fleet.fleetId, order.slot),
      metadata: taggedMetadata(tag),
      memory: { "@unit": "MiB", "#": String(Math.max(maxMemory, memory)) },
      currentMemory: maxMemory > memory ? { "@unit": "MiB", "#": String(memory) } : undefined,
      vcpu: maxCpus > numCpus ? { "@current": String(numCpus), "#": String(maxCpus) } : String(numCpus),
      os: {
        type: { "@arch": own.arch ?? "x86_64", "@machine": own.machine, "#": "hvm" },
        kernel: own.kernelBoot?.kernel,
        initrd: own.kernelBoot?.initrd,
        cmdline: own.kernelBoot?.cmdline === undefined ? undefined : fill(order, own.kernelBoot.cmdline),
        boot: own.kernelBoot ? undefined : { "@dev": "hd" },
      },
      features: { acpi: {}, ...(own.arch === undefined || own.arch === "x86_64" ? { apic: {} } : {}) },
      cpu: (own.domainType ?? "kvm") === "kvm" ? { "@mode": "host-model" } : undefined,
      clock: { "@offset": "utc" },
      on_poweroff: "destroy",
      on_reboot: "restart",
      on_crash: "destroy",
      devices: {
        disk: [...image.map((disk, index) => diskXml(disk, diskName(index))), ...extra.map((disk, index) => diskXml(disk, names[index]!, disk.label.slice(0, 20)))],
        controller: [{ "@type": "usb", "@model": "none" }, ...scsiControllers(names.filter((_, index) => extra[index]!.bus === "scsi")).map(scsiControllerXml)],
        interface: networks.map((card, index) => cardXml(card, macs[index]!)),
        serial,
        console: { "@type": own.serialLog === undefined ? "pty" : "file", ...(own.serialLog === undefined ? {} : { source: { "@path": fill(order, own.serialLog), "@append": "on" } }), target: { "@type": "serial", "@port": "0" } },
        channel: agentChannel ? { "@type": "unix", target: { "@type": "virtio", "@name": AGENT_CHANNEL } } : undefined,
        memballoon: { "@model": "virtio" },
        rng: { "@model": "virtio", backend: { "@model": "random", "#": "/dev/urandom" } },
      },
    },
  });
}

/** Where a block copy goes: an image that exists, with the backing its header names. */
export const blockCopyTargetXml = (path: string): string => buildXml({
  disk: { "@type": "file", "@device": "disk", driver: { "@name": "qemu", "@type": "qcow2" }, source: { "@file": path } },
});

/** A volume to be made; `backingPath` makes it a delta over a qcow2 base. */
export function volumeXml(
  name: string, capacityBytes: number, format: "qcow2" | "raw", backing?: { path: string; format: string }, allocationBytes = 0,
): string {
  return buildXml({
    volume: {
      name,
      capacity: { "@unit": "bytes", "#": String(capacityBytes) },
      allocation: { "@unit": "bytes", "#": String(allocationBytes) },
      target: { format: { "@type": format }, ...(format === "qcow2" ? { compat: "1.1" } : {}) },
      ...(backing ? { backingStore: { path: backing.path, format: { "@type": backing.format } } } : {}),
    },
  });
}
