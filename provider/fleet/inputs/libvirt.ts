/** The inputs that are libvirt's own, and what becomes of them: its arm of each union by hypervisor (../model/libvirt.ts). */
import { z } from "zod";
import type { CpuMode, DirectMode, DiskBus, LibvirtCard, LibvirtDisk, LibvirtFleet, LibvirtHost, LibvirtMachine, LibvirtTemplate, TemplateDisks } from "../model";
import { uriParts } from "../uri/uri";
import { expected } from "../words/problems";
import { absolutePath, choice, flag, integer, list, name, object, seenSecret, text, volumeName, xmlText } from "./fields";
import { num, record } from "./raw";
import { UNKNOWN } from "./unknowns";

export const LIBVIRT_DEFAULTS = {
  pool: "default",
  transferPorts: { from: 10809, to: 10872 },
  transferTlsDirectories: ["/etc/pki/libvirt-nbd", "/etc/pki/qemu"],
} as const;

export const libvirtTemplateFields = {
  host: text("the name of a declared host").optional().describe("Name of the declared host that holds the template (for a volume or a domain)."),
  pool: text("the name of a storage pool on that host").optional().describe("Storage pool of the template volume."),
  volume: volumeName().optional().describe("Name of the template volume in `pool`."),
  domain: text("the name of a domain on that host").optional()
    .describe("Name of a domain on `host` that is the template: its hardware and its disks. It must not be running."),
  disks: choice(["all", "first"]).optional()
    .describe("Of a template { host, domain }: which of its disks are cloned. all: those that its guest can write to, in their order, each on its bus; first: the first alone. Default: all; fleets made before this input existed keep first."),
};

const PORTS = 'a port range such as "10809-10872" within 1024 to 65535';
const transferPortsSchema = z.union([
  z.string().regex(/^\s*\d{1,5}\s*-\s*\d{1,5}\s*$/, { error: (issue) => expected(PORTS, issue.input) }),
  object(PORTS, {
    from: integer(1024, 65535).describe("First port."),
    to: integer(1024, 65535).describe("Last port, itself included."),
  }),
], { error: (issue) => expected(PORTS, issue.input) });

const ADDRESS = "an IP address or host name that the other hosts reach this one at";
export const libvirtHostFields = {
  uri: text("a libvirt URI such as qemu+ssh://root@a1/system").describe("libvirt URI: `qemu:///system`, `qemu+unix:///system?socket=/path`, `qemu+ssh://user@host/system`, `qemu+tls://host/system` or `qemu+tcp://host/system`."),
  pool: text("the name of a storage pool on that host").default(LIBVIRT_DEFAULTS.pool).describe("Storage pool that receives the clones."),
  transferAddress: z.string({ error: (issue) => expected(ADDRESS, issue.input) })
    .regex(/^[A-Za-z0-9._:-]{1,253}$/, { error: (issue) => expected(ADDRESS, issue.input) }).optional()
    .describe("Address at which the other hosts reach this one for copies. Default: the host part of a remote URI. Needed only with more than one host."),
  transferPorts: transferPortsSchema.optional()
    .describe('Ports that copies may open on transferAddress, as "10809-10872" or { from, to }, both ends included. Default: 10809-10872.'),
};

export const DIRECT_MODES = ["bridge", "vepa", "private", "passthrough"] as const satisfies readonly DirectMode[];

/** What Linux takes for a network device's name. */
function deviceName(what: string) {
  const error = (issue: { input?: unknown }) => expected(`${what}, of 1 to 15 ASCII characters without '/' and blanks`, issue.input);
  return z.string({ error }).regex(/^[!-.0-~]{1,15}$/, { error }).refine((value) => value !== "." && value !== "..", { error });
}

/** Exactly one of network, bridge and direct (cardProblems). */
export const libvirtCardFields = {
  network: text("the name of a network on the hosts").optional().describe("Name of the hypervisor's network the card is in. Exactly one of network, bridge and direct."),
  bridge: deviceName("the name of a bridge on the hosts").optional().describe("Name of a bridge that every host has, with no network of libvirt's."),
  virtualPort: choice(["openvswitch"]).optional().describe("The bridge is one of Open vSwitch. Default: of the kernel."),
  direct: object("an object: { device, mode }", {
    device: deviceName("the name of a network device on the hosts").describe("Network device that every host has."),
    mode: choice(DIRECT_MODES).default("bridge").describe("What becomes of packets from guest to guest of one host: bridge: delivered at once; vepa: by way of the switch; private: not at all. passthrough: the device is one guest's alone."),
  }).optional().describe("macvtap: the card is plugged into a network device of the host. The host itself cannot be reached over it."),
  vlanTags: list("a list of VLAN tags such as [42]", integer(1, 4094).describe("A VLAN tag.")).min(1, { error: (issue) => expected("at least one VLAN tag", issue.input, "leave it out for none") }).optional()
    .describe("VLAN tags: one puts the card into that VLAN, several make it a trunk (Open vSwitch only). Default: as the network or the bridge has it."),
};

export const DISK_BUSES = ["virtio", "scsi", "sata"] as const satisfies readonly DiskBus[];

export const libvirtDiskFields = {
  pool: text("the name of a storage pool on the hosts").optional().describe("Storage pool of each host that the disk is made in. Default: the host's `pool`, which clones are made in."),
  bus: choice(DISK_BUSES).default("virtio").describe("How the disk is attached: virtio, scsi (a virtio-scsi controller) or sata."),
};

export const CPU_MODES = ["host-passthrough", "host-model", "maximum"] as const satisfies readonly CpuMode[];

const XML_VALUE = "a text, or true or false for whether the element is there";

export const libvirtMachineFields = {
  domainType: choice(["kvm", "qemu"]).optional().describe("kvm: the processor's virtualization; qemu: emulation, for hosts without it. Default: the template machine's, else kvm; what the provider itself starts on hosts is kvm by default."),
  arch: name(32).optional().describe("Guest architecture. Default: the template machine's, else x86_64."),
  machine: name(64).optional().describe("Machine type, such as `q35`. Default: the template machine's, else the hypervisor's."),
  firmware: choice(["bios", "efi"]).optional().describe("Firmware; `efi` needs one on every host (package ovmf), which each host chooses itself. Each member has variables of its own. A change concerns new members. Default: the template machine's, else the hypervisor's."),
  efiSecureBootEnabled: flag().optional().describe("true: with `firmware: \"efi\"`, secure boot with the vendor's keys enrolled, on a machine of type q35; false: without. Default: as the firmware that a host chooses has it."),
  vtpm: z.union([object("an object: { version }", {
    version: choice(["1.2", "2.0"]).default("2.0").describe("Version of the TPM."),
  }), z.literal(false)], { error: (issue) => expected('{ version: "2.0" } or false', issue.input) }).optional()
    .describe("An emulated TPM, empty for each new member; needs swtpm on every host. false: none, whatever the template has. Default: the template machine's, else none."),
  cpuMode: choice(CPU_MODES).optional().describe("host-passthrough: the host's processor as it is; host-model: one like it that other hosts can have, too; maximum: all that can be had. Default: the template machine's, else host-model with KVM."),
  kernel: absolutePath("the path of a kernel on the hosts").optional().describe("Kernel to boot directly; a path on every host. Default: boot from disk."),
  initrd: absolutePath("the path of an initial ramdisk on the hosts").optional().describe("Initial ramdisk for `kernel`; a path on every host."),
  cmdline: text("a kernel command line", 4096).optional().describe("Command line for `kernel`."),
  serialLog: absolutePath("the path of a log file on the hosts").optional()
    .describe("File on the host that receives the serial console; must hold `{name}` or `{slot}`, which are filled in. Default: a terminal, no file."),
  xml: z.record(z.string(), z.union([xmlText(), z.boolean()], { error: (issue) => `expected ${XML_VALUE}, got ${seenSecret(issue.input)}` }), {
    error: (issue) => expected("an object of paths into the domain's XML and what is to stand there, such as { \"./cpu/@mode\": \"host-passthrough\" }", issue.input),
  }).optional().describe("For all that has no input: set last in each member's domain XML, by paths such as `./cpu/@mode` or `./devices/interface[1]/driver/@queues`. A text is set, `{name}` and `{slot}` in it filled in; true: the element is there, made empty where it was not; false: none of it is there, such as `./devices/hostdev`. A change concerns new members, and others once something else redefines them."),
};

export const libvirtFleetFields = {
  allowUnauthenticatedTcp: flag().default(false).describe("Allow qemu+tcp URIs, which carry neither authentication nor encryption."),
  transferTls: flag().default(false)
    .describe("Copies between hosts go over TLS, both ends verified, with the certificates of the hosts' QEMU: ca-cert.pem, server-cert.pem, server-key.pem, client-cert.pem and client-key.pem, readable by QEMU's user; a server's certificate names its transferAddress."),
  transferTlsDirectory: absolutePath("the path of a directory on the hosts").optional()
    .describe("Directory of those certificates on every host. Default: `/etc/pki/libvirt-nbd`, or `/etc/pki/qemu` where that has none, as for libvirt's nbd_tls."),
};

/** Unknowns here change no plan. */
export const LIBVIRT_WITHOUT_EFFECT_ON_PLAN = /^(hosts\[\d+\]\.(uri|transferAddress|transferPorts)|vm\.(arch|machine|firmware|efiSecureBootEnabled|vtpm(\.version)?|cpuMode|kernel|initrd|cmdline|serialLog|xml(\[.*\]|\..*)?))$/;

/** Stands for a URI that is not known or not needed while the schema, which requires one, looks on. */
const NO_URI = "qemu+ssh://unknown.invalid/system";

export function withUris(input: unknown): unknown {
  const hosts = (input as { hosts?: unknown } | null)?.hosts;
  if (!Array.isArray(hosts)) return input;
  const filled = hosts.map((host: unknown) =>
    typeof host === "object" && host !== null && host !== UNKNOWN && !Array.isArray(host) ? { uri: NO_URI, ...host } : host,
  );
  return { ...(input as object), hosts: filled };
}

/** "10809-10872" or { from, to }; undefined for anything else. */
export function parsePorts(value: unknown): { from: number; to: number } | undefined {
  if (typeof value === "string") {
    const match = /^\s*(\d{1,5})\s*-\s*(\d{1,5})\s*$/.exec(value);
    return match ? { from: Number(match[1]), to: Number(match[2]) } : undefined;
  }
  const { from, to } = record(value);
  return num(from) !== undefined && num(to) !== undefined ? { from: from as number, to: to as number } : undefined;
}

type Given<Fields extends z.core.$ZodLooseShape> = z.output<z.ZodObject<Fields>>;

/** @param disks what it means to say nothing of them */
export function libvirtTemplate(template: Given<typeof libvirtTemplateFields>, disks: TemplateDisks): LibvirtTemplate {
  if (template.domain !== undefined) return { hypervisor: "libvirt", kind: "domain", host: template.host!, domain: template.domain, disks: template.disks ?? disks };
  return { hypervisor: "libvirt", kind: "volume", host: template.host!, pool: template.pool!, volume: template.volume! };
}

/** Whether the template is a machine, which has hardware, and no bare disk. */
export const isMachine = ({ domain }: { domain?: unknown }): boolean => domain !== undefined;

/** @returns with the URI "" where none was given */
export function libvirtHost(host: Given<typeof libvirtHostFields>): LibvirtHost {
  const transferAddress = host.transferAddress ?? (host.uri === NO_URI ? undefined : uriParts(host.uri)?.host);
  return {
    hypervisor: "libvirt",
    uri: host.uri === NO_URI ? "" : host.uri,
    pool: host.pool,
    ...(transferAddress !== undefined && { transferAddress }),
    transferPorts: parsePorts(host.transferPorts) ?? { ...LIBVIRT_DEFAULTS.transferPorts },
  };
}

export function libvirtCard(card: Given<typeof libvirtCardFields>): LibvirtCard {
  const any = { hypervisor: "libvirt", ...(card.vlanTags !== undefined && { vlanTags: card.vlanTags }) } as const;
  if (card.bridge !== undefined) return { ...any, kind: "bridge", bridge: card.bridge, isOpenVSwitch: card.virtualPort === "openvswitch" };
  if (card.direct !== undefined) return { ...any, kind: "direct", device: card.direct.device, mode: card.direct.mode };
  return { ...any, kind: "network", network: card.network! };
}

/** @returns undefined for what disks are where nothing is declared */
export function libvirtDisk({ pool, bus }: Given<typeof libvirtDiskFields>): LibvirtDisk | undefined {
  return pool === undefined && bus === "virtio" ? undefined : { hypervisor: "libvirt", ...(pool !== undefined && { pool }), bus };
}

/** @param inherits what is left out is the template machine's */
export function libvirtMachine(vm: Given<typeof libvirtMachineFields>, inherits: boolean): LibvirtMachine {
  const { domainType = inherits ? undefined : "kvm", arch = inherits ? undefined : "x86_64" } = vm;
  return {
    hypervisor: "libvirt",
    ...(domainType !== undefined && { domainType }),
    ...(arch !== undefined && { arch }),
    ...(vm.machine !== undefined && { machine: vm.machine }),
    ...(vm.firmware !== undefined && { firmware: vm.firmware }),
    ...(vm.efiSecureBootEnabled !== undefined && { efiSecureBootEnabled: vm.efiSecureBootEnabled }),
    ...(vm.vtpm !== undefined && { vtpm: vm.vtpm === false ? null : { version: vm.vtpm.version } }),
    ...(vm.cpuMode !== undefined && { cpuMode: vm.cpuMode }),
    ...(vm.kernel !== undefined && {
      kernelBoot: {
        kernel: vm.kernel,
        ...(vm.initrd !== undefined && { initrd: vm.initrd }),
        ...(vm.cmdline !== undefined && { cmdline: vm.cmdline }),
      },
    }),
    ...(vm.serialLog !== undefined && { serialLog: vm.serialLog }),
    ...(vm.xml !== undefined && { xml: vm.xml }),
  };
}

export function libvirtFleet(inputs: Given<typeof libvirtFleetFields>): LibvirtFleet {
  return {
    hypervisor: "libvirt",
    allowUnauthenticatedTcp: inputs.allowUnauthenticatedTcp,
    ...(inputs.transferTls && {
      transferTls: { directories: inputs.transferTlsDirectory === undefined ? [...LIBVIRT_DEFAULTS.transferTlsDirectories] : [inputs.transferTlsDirectory] },
    }),
  };
}
