/**
 * What a copy of a machine inherits of its definition (DESIGN.md section 11): all but what is one machine's own. What of
 * it is left out is told in words; what copies cannot share is refused by name, unless `vm.xml` takes it away.
 */
import type { TemplateDisks } from "../../../fleet/model";
import { allBelow, attribute, below, children, remove, setText, type Element } from "./definition";
import { imageDisksOf, type MemberSlot } from "./domainXml";
import { isEfi, secureBootOf } from "./setFirmware";
import { memoryOf } from "./setSize";

/** Metadata that says what a machine is, and not whose. */
const SHARED_METADATA = "http://libosinfo.org/xmlns/libvirt/domain/1.0";

/** Elements that libvirt gives every machine anew, or that name one. */
const OWN = ["name", "uuid", "title", "description", "id", "hwuuid"];

export const isDisk = (disk: Element): boolean => (attribute(disk, "device") ?? "disk") === "disk";

/**
 * Of a machine's disks those that its copies have, in the order of the image: of a template the first and, where all are
 * cloned, those that its guest can write to; of a member those that were cloned for it.
 */
export function clonedDisks(root: Element, { disks: which, member }: ClonedFrom): Element[] {
  const disks = allBelow(root, "devices", "disk").filter(isDisk);
  if (member) {
    const read = (disk: Element) => ({ device: attribute(below(disk, "target"), "dev"), file: attribute(below(disk, "source"), "file") });
    return imageDisksOf(disks, member, read).filter((disk) => disk !== undefined);
  }
  return disks.filter((disk, index) => index === 0 || (which === "all" && !below(disk, "readonly")));
}

/** What a copy is made like. */
export interface ClonedFrom {
  /** Copies have what its firmware's variables hold. @default false */
  keepsVariables?: boolean;
  /** @default "first" */
  disks?: TemplateDisks;
  /** It is a member itself, with so many cloned disks. @default it is none */
  member?: MemberSlot & { count: number };
}

/**
 * Takes everything out of a template's definition that is its own, in place. Of its disks those that are cloned stay,
 * without what they are read from; drives for media stay, empty.
 * @returns its cloned disks, and what was left out that somebody may miss, in words
 */
export function inherit(root: Element, from: ClonedFrom): { cloned: Element[]; lost: string[] } {
  const cloned = clonedDisks(root, from);
  const lost: string[] = [];
  root.removeAttribute("id");
  for (const name of OWN) remove(...children(root, name));
  for (const genid of children(root, "genid")) setText(genid, "");
  for (const one of allBelow(root, "metadata").flatMap((metadata) => children(metadata))) if (one.namespaceURI !== SHARED_METADATA) remove(one);
  remove(...children(root, "seclabel").filter((label) => attribute(label, "type") === "static"));
  remove(below(root, "devices", "emulator")); // each host's own
  for (const entry of allBelow(root, "sysinfo").flatMap((sysinfo) => children(sysinfo)).flatMap((block) => children(block, "entry"))) {
    if (["uuid", "serial"].includes(attribute(entry, "name") ?? "")) remove(entry);
  }
  lost.push(...firmware(root, from.keepsVariables), ...disks(root, cloned));
  for (const card of allBelow(root, "devices", "interface")) ownCard(card);
  for (const graphics of allBelow(root, "devices", "graphics")) lost.push(...ownGraphics(graphics));
  for (const channel of allBelow(root, "devices", "channel")) {
    if (attribute(channel, "type") === "unix" && below(channel, "target")?.getAttribute("type") === "virtio") remove(below(channel, "source"));
  }
  for (const cid of allBelow(root, "devices", "vsock", "cid")) {
    cid.setAttribute("auto", "yes");
    cid.removeAttribute("address");
  }
  for (const tpm of allBelow(root, "devices", "tpm", "backend")) {
    if (attribute(tpm, "type") !== "emulator") continue;
    lost.push("what its TPM holds");
    remove(...children(tpm, "source"));
  }
  lost.push(...logs(root));
  for (const alias of allBelow(root, "devices").flatMap((devices) => children(devices)).flatMap((device) => children(device, "alias"))) {
    if (!attribute(alias, "name")?.startsWith("ua-")) remove(alias);
  }
  return { cloned, lost };
}

/** What consoles say goes into one file, which two machines cannot have open. */
function logs(root: Element): string[] {
  const logging = allBelow(root, "devices").flatMap((devices) => children(devices)).filter((device) => below(device, "log"));
  for (const device of logging) remove(...children(device, "log"));
  return [...new Set(logging.map(({ nodeName }) => `the log of its ${nodeName}`))];
}

/** Variables are made new, of what the host's firmware brings; where libvirt chose the firmware each host's does. */
function firmware(root: Element, isKept = false): string[] {
  const nvram = below(root, "os", "nvram");
  const isChosen = attribute(below(root, "os"), "firmware") !== undefined;
  if (isChosen) remove(...allBelow(root, "os", "loader").filter((loader) => loader.textContent !== ""));
  if (!nvram) return [];
  if (isChosen) remove(nvram);
  else {
    for (const node of [...nvram.childNodes]) nvram.removeChild(node);
    nvram.removeAttribute("type");
  }
  return isKept ? [] : ["what its firmware's variables hold"];
}

function disks(root: Element, cloned: readonly Element[]): string[] {
  const lost: string[] = [];
  const [first] = cloned;
  for (const disk of allBelow(root, "devices", "disk")) {
    const name = attribute(below(disk, "target"), "dev") ?? "";
    if (cloned.includes(disk)) {
      remove(...["source", "backingStore", "mirror", "shareable", "transient", "auth"].flatMap((one) => children(disk, one)));
    } else if (!["cdrom", "floppy"].includes(attribute(disk, "device") ?? "")) {
      lost.push(`the disk ${name}`);
      // Where devices have an order, one without is never booted from.
      const boot = below(disk, "boot");
      if (boot && first && !below(first, "boot")) first.appendChild(boot);
      remove(disk);
    } else if (below(disk, "source")) {
      lost.push(`the medium in ${name}`);
      remove(...["source", "backingStore"].flatMap((one) => children(disk, one)));
      disk.setAttribute("type", "file");
    }
  }
  return lost;
}

function ownCard(card: Element): void {
  remove(...["mac", "target"].flatMap((one) => children(card, one)));
  below(card, "source")?.removeAttribute("portid");
  for (const port of allBelow(card, "virtualport", "parameters")) for (const name of ["interfaceid", "instanceid"]) port.removeAttribute(name);
  for (const parameter of allBelow(card, "filterref", "parameter")) if (["IP", "MAC", "IPV6"].includes(attribute(parameter, "name") ?? "")) remove(parameter);
}

/** Two machines of one host cannot listen at one port. */
function ownGraphics(graphics: Element): string[] {
  for (const listen of children(graphics, "listen")) if (attribute(listen, "type") === "socket") listen.removeAttribute("socket");
  graphics.removeAttribute("socket");
  const isFixed = attribute(graphics, "autoport") !== "yes" && [attribute(graphics, "port"), attribute(graphics, "tlsPort")].some((port) => port !== undefined && port !== "-1");
  graphics.removeAttribute("websocket");
  if (attribute(graphics, "port") === undefined && attribute(graphics, "tlsPort") === undefined && attribute(graphics, "autoport") === undefined) return [];
  for (const name of ["port", "tlsPort"]) graphics.removeAttribute(name);
  graphics.setAttribute("autoport", "yes");
  return isFixed ? [`the fixed port of its ${attribute(graphics, "type") ?? "graphics"} console`] : [];
}

/** Kinds of network card whose other end is one place on one host. */
const LONE_CARDS = ["hostdev", "vhostuser", "ethernet", "server", "client", "udp", "vdpa", "vds"];

export interface LonePart {
  /** In words. */
  what: string;
  /** Of `vm.xml`, to take it away. */
  path: string;
}

/** Arguments by which QEMU opens an image that libvirt does not know of. */
const QEMU_IMAGES = /^--?(drive|blockdev|[hs]d[a-d]|sd|pflash|mtdblock)$/;

const LONE_TPMS: Readonly<Record<string, string>> = { passthrough: "its host's TPM", external: "a TPM at a fixed place" };

interface LoneDevice {
  kind: string;
  /** Why only one machine can have it, in words; undefined: copies can. */
  what: (device: Element, ownPaths: ReadonlySet<string>) => string | undefined;
  /** What of it is to go. @default all of it */
  part?: string;
}

const source = (device: Element, name: string): string | undefined => attribute(below(device, "source"), name);

const LONE_DEVICES: readonly LoneDevice[] = [
  { kind: "hostdev", what: (device) => `a device of its host (${attribute(device, "type") ?? "hostdev"})` },
  { kind: "interface", what: (card) => (LONE_CARDS.includes(attribute(card, "type") ?? "") ? `a network card of type ${attribute(card, "type")!}` : undefined) },
  { kind: "interface", part: "portForward", what: (card) => (below(card, "portForward") ? "a network card with ports of its host" : undefined) },
  {
    kind: "input",
    what: (input) => (["evdev", "passthrough"].includes(attribute(input, "type") ?? "") ? `an input device of its host (${source(input, "dev") ?? source(input, "evdev") ?? ""})` : undefined),
  },
  ...["serial", "parallel", "console", "channel", "redirdev", "smartcard"].map((kind) => ({ kind, what: placed(kind) })),
  { kind: "filesystem", what: (files) => (below(files, "readonly") ? undefined : `the file system ${source(files, "dir") ?? ""} of its host, to be written`) },
  { kind: "shmem", what: (memory) => `the shared memory ${attribute(memory, "name") ?? ""}` },
  { kind: "lease", what: () => "a lease" },
  { kind: "tpm", what: (tpm) => LONE_TPMS[attribute(below(tpm, "backend"), "type") ?? ""] },
  {
    kind: "memory",
    what: (memory) => {
      const file = below(memory, "source", "path");
      return file && `memory in the file ${file.textContent ?? ""}`;
    },
  },
  { kind: "rng", what: (rng) => (attribute(below(rng, "backend"), "model") === "egd" ? "a source of random numbers at a fixed place" : undefined) },
];

function placed(kind: string): LoneDevice["what"] {
  return (device, ownPaths) => {
    const place = ownPaths.has(source(device, "path") ?? "") ? undefined : fixedPlace(device);
    return place && `a ${kind} at ${place}`;
  };
}

/**
 * What of a definition copies cannot have side by side, or not at once.
 * @param ownPaths of files and sockets that differ by member
 */
export function unshareable(root: Element, ownPaths: ReadonlySet<string>): LonePart[] {
  const image = allBelow(root, "qemu:commandline", "qemu:arg").map((argument) => attribute(argument, "value") ?? "").find((value) => QEMU_IMAGES.test(value));
  return [
    ...LONE_DEVICES.flatMap(({ kind, what, part }) => allBelow(root, "devices", kind).flatMap((device, index): LonePart[] => {
      const said = what(device, ownPaths);
      return said === undefined ? [] : [{ what: said, path: [".", "devices", `${kind}[${index + 1}]`, ...(part === undefined ? [] : [part])].join("/") }];
    })),
    ...(image === undefined ? [] : [{ what: `an image among QEMU's own arguments (${image})`, path: "./qemu:commandline" }]),
  ];
}

/** Undefined: one that every machine has at a place of its own. */
function fixedPlace(device: Element): string | undefined {
  const type = attribute(device, "type");
  switch (type) {
    case "file": case "pipe": case "dev": case "unix": {
      const path = source(device, "path");
      return path === undefined ? undefined : `${type} ${path}`;
    }
    case "tcp": case "udp": case "nmdm": return `a fixed ${type} address`;
    case "host": case "host-certificates": return "the host's card reader";
    default: return undefined;
  }
}

/** As people speak of a machine: `pc-q35-7.2, host-passthrough CPU, UEFI, TPM, 2 network cards`. */
export function describeHardware(root: Element, cloned: readonly Element[], keepsVariables = false): string {
  const os = below(root, "os");
  const cpu = below(root, "cpu");
  const isSecure = attribute(below(os, "loader"), "secure") === "yes" || (os && secureBootOf(os)) === true;
  const cards = allBelow(root, "devices", "interface").length;
  const buses = cloned.flatMap((disk) => attribute(below(disk, "target"), "bus") ?? []);
  return [
    attribute(below(os, "type"), "machine"),
    `${below(root, "vcpu")?.textContent ?? "1"} CPUs${cpu ? ` (${attribute(cpu, "mode") ?? "custom"})` : ""}`,
    below(root, "memory") && `${memoryOf(root)} MiB`,
    os && isEfi(os) ? ["UEFI", [...isSecure ? ["secure boot"] : [], ...keepsVariables ? ["its variables"] : []].join(" and ")].filter((one) => one !== "").join(" with ") : undefined,
    below(root, "devices", "tpm") ? "TPM" : undefined,
    buses.length === 0 ? undefined : buses.length === 1 ? `disk on ${buses[0]!}` : `${buses.length} disks on ${[...new Set(buses)].join(" and ")}`,
    cards === 0 ? "no network card" : `${cards} network card${cards > 1 ? "s" : ""}`,
  ].filter((one) => one !== undefined).join(", ");
}
