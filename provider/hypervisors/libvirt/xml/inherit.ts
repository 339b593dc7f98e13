/**
 * What a copy of a machine inherits of its definition (DESIGN.md section 11): all but what is one machine's own. What of
 * it is left out is told in words; what copies cannot share is refused by name, unless `vm.xml` takes it away.
 */
import { allBelow, attribute, below, children, remove, setText, type Element } from "./definition";

/** Metadata that says what a machine is, and not whose. */
const SHARED_METADATA = "http://libosinfo.org/xmlns/libvirt/domain/1.0";

/** Elements that libvirt gives every machine anew, or that name one. */
const OWN = ["name", "uuid", "title", "description", "id", "hwuuid"];

export const isDisk = (disk: Element): boolean => (attribute(disk, "device") ?? "disk") === "disk";

/** The disk that is cloned: the first that is a disk at all. */
export const firstDisk = (root: Element): Element | undefined => allBelow(root, "devices", "disk").find(isDisk);

/**
 * Takes everything out of a template's definition that is its own, in place. Of its disks the first stays, without what
 * it is read from; drives for media stay, empty.
 * @returns what was left out that somebody may miss, in words
 */
export function inherit(root: Element): string[] {
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
  lost.push(...firmware(root), ...disks(root));
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
  return lost;
}

/** What consoles say goes into one file, which two machines cannot have open. */
function logs(root: Element): string[] {
  const logging = allBelow(root, "devices").flatMap((devices) => children(devices)).filter((device) => below(device, "log"));
  for (const device of logging) remove(...children(device, "log"));
  return [...new Set(logging.map(({ nodeName }) => `the log of its ${nodeName}`))];
}

/** Variables are made new, of what the host's firmware brings; where libvirt chose the firmware each host's does. */
function firmware(root: Element): string[] {
  const os = below(root, "os");
  const nvram = os && below(os, "nvram");
  if (os && attribute(os, "firmware") !== undefined) remove(...children(os, "loader").filter((loader) => loader.textContent !== ""));
  if (!nvram) return [];
  if (os && attribute(os, "firmware") !== undefined) remove(nvram);
  else {
    for (const node of [...nvram.childNodes]) nvram.removeChild(node);
    nvram.removeAttribute("type");
  }
  return ["what its firmware's variables hold"];
}

function disks(root: Element): string[] {
  const lost: string[] = [];
  const first = firstDisk(root);
  for (const disk of allBelow(root, "devices", "disk")) {
    const name = attribute(below(disk, "target"), "dev") ?? "";
    if (disk === first) {
      remove(...["backingStore", "mirror", "shareable", "transient", "auth"].flatMap((one) => children(disk, one)));
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
  const source = below(card, "source");
  for (const name of ["portid"]) source?.removeAttribute(name);
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

/**
 * What of a definition copies cannot have side by side, or not at once.
 * @param ownPaths of files and sockets that differ by member
 */
export function unshareable(root: Element, ownPaths: ReadonlySet<string>): LonePart[] {
  const devices = below(root, "devices");
  if (!devices) return [];
  const found: [what: string, path: string][] = [];
  children(devices, "hostdev").forEach((device, i) => found.push([`a device of its host (${attribute(device, "type") ?? "hostdev"})`, `./devices/hostdev[${i + 1}]`]));
  children(devices, "interface").forEach((card, i) => {
    const type = attribute(card, "type") ?? "";
    if (LONE_CARDS.includes(type)) found.push([`a network card of type ${type}`, `./devices/interface[${i + 1}]`]);
  });
  children(devices, "interface").forEach((card, i) => {
    if (below(card, "portForward")) found.push(["a network card with ports of its host", `./devices/interface[${i + 1}]/portForward`]);
  });
  children(devices, "input").forEach((input, i) => {
    if (["evdev", "passthrough"].includes(attribute(input, "type") ?? "")) found.push([`an input device of its host (${attribute(below(input, "source"), "dev") ?? attribute(below(input, "source"), "evdev") ?? ""})`, `./devices/input[${i + 1}]`]);
  });
  const image = allBelow(root, "qemu:commandline", "qemu:arg").map((argument) => attribute(argument, "value") ?? "").find((value) => QEMU_IMAGES.test(value));
  if (image !== undefined) found.push([`an image among QEMU's own arguments (${image})`, "./qemu:commandline"]);
  for (const kind of ["serial", "parallel", "console", "channel", "redirdev", "smartcard"]) {
    children(devices, kind).forEach((device, i) => {
      const place = ownPaths.has(attribute(below(device, "source"), "path") ?? "") ? undefined : fixedPlace(device);
      if (place !== undefined) found.push([`a ${kind} at ${place}`, `./devices/${kind}[${i + 1}]`]);
    });
  }
  children(devices, "filesystem").forEach((files, i) => {
    if (!below(files, "readonly")) found.push([`the file system ${attribute(below(files, "source"), "dir") ?? ""} of its host, to be written`, `./devices/filesystem[${i + 1}]`]);
  });
  children(devices, "shmem").forEach((memory, i) => found.push([`the shared memory ${attribute(memory, "name") ?? ""}`, `./devices/shmem[${i + 1}]`]));
  children(devices, "lease").forEach((_lease, i) => found.push(["a lease", `./devices/lease[${i + 1}]`]));
  children(devices, "tpm").forEach((tpm, i) => {
    const type = attribute(below(tpm, "backend"), "type");
    if (type === "passthrough" || type === "external") found.push([type === "external" ? "a TPM at a fixed place" : "its host's TPM", `./devices/tpm[${i + 1}]`]);
  });
  children(devices, "memory").forEach((memory, i) => {
    if (below(memory, "source", "path")) found.push([`memory in the file ${below(memory, "source", "path")!.textContent ?? ""}`, `./devices/memory[${i + 1}]`]);
  });
  children(devices, "rng").forEach((rng, i) => {
    if (attribute(below(rng, "backend"), "model") === "egd") found.push(["a source of random numbers at a fixed place", `./devices/rng[${i + 1}]`]);
  });
  return found.map(([what, path]) => ({ what, path }));
}

/** Undefined: one that every machine has at a place of its own. */
function fixedPlace(device: Element): string | undefined {
  const type = attribute(device, "type");
  const source = below(device, "source");
  switch (type) {
    case "file": case "pipe": case "dev": case "unix": {
      const path = attribute(source, "path");
      return path === undefined ? undefined : `${type} ${path}`;
    }
    case "tcp": case "udp": case "nmdm": return `a fixed ${type} address`;
    case "host": case "host-certificates": return "the host's card reader";
    default: return undefined;
  }
}

/** As people speak of a machine: `pc-q35-7.2, host-passthrough CPU, UEFI, TPM, 2 network cards`. */
export function describeHardware(root: Element): string {
  const os = below(root, "os");
  const cpu = below(root, "cpu");
  const loader = os && below(os, "loader");
  const isEfi = os && (attribute(os, "firmware") === "efi" || attribute(loader, "type") === "pflash");
  const isSecure = attribute(loader, "secure") === "yes" || allBelow(root, "os", "firmware", "feature").some((one) => attribute(one, "name") === "secure-boot" && attribute(one, "enabled") === "yes");
  const cards = allBelow(root, "devices", "interface").length;
  const bus = attribute(firstDisk(root) && below(firstDisk(root)!, "target"), "bus");
  return [
    attribute(os && below(os, "type"), "machine"),
    `${below(root, "vcpu")?.textContent ?? "1"} CPUs${cpu ? ` (${attribute(cpu, "mode") ?? "custom"})` : ""}`,
    memoryWords(root),
    isEfi ? `UEFI${isSecure ? " with secure boot" : ""}` : undefined,
    below(root, "devices", "tpm") ? "TPM" : undefined,
    bus === undefined ? undefined : `disk on ${bus}`,
    cards === 0 ? "no network card" : `${cards} network card${cards > 1 ? "s" : ""}`,
  ].filter((one) => one !== undefined).join(", ");
}

function memoryWords(root: Element): string | undefined {
  const memory = below(root, "memory");
  if (!memory) return undefined;
  const amount = Number(memory.textContent);
  const unit = attribute(memory, "unit") ?? "KiB";
  return unit === "KiB" && amount % 1024 === 0 ? `${amount / 1024} MiB` : `${amount} ${unit}`;
}
