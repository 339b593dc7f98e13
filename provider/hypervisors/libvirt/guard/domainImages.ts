import { posix } from "node:path";
import { all, at, parseXml, text } from "../xml/xml";

/**
 * How a domain names an image. backing: something stands over it. mirror: a block copy writes to it. commit: what stands
 * over it is being merged into it. other: anywhere else in the definition (a QEMU argument, a shared memory's file).
 */
export type UseKind = "disk" | "medium" | "backing" | "mirror" | "commit" | "nvram" | "loader" | "boot" | "memory" | "other";

/** One image as a definition names it: by a path, by a pool and a volume, or by the directory it lies in. */
export interface NamedImage {
  how: UseKind;
  /** A guest that runs with this definition may write to it. */
  writes: boolean;
  path?: string;
  directory?: string;
  pool?: string;
  volume?: string;
}

/** What an image is known by: its path as its pool tells it, and its name in that pool. */
export interface ImageFacts {
  path: string;
  pool?: string;
  volume?: string;
}

/** Told by people to people; a path in them is a word. */
const PROSE = new Set(["metadata", "name", "title", "description", "uuid", "genid"]);
const BOOT_FILES = new Set(["kernel", "initrd", "dtb", "shim"]);

/**
 * Every image that a domain's XML names, in every way there is: disks and media by file, device, directory or volume,
 * their chains to any depth, mirrors and merges under way, external data files, firmware and its variables, kernels,
 * memory in files, and whatever else looks like a path.
 * @throws where it is no XML
 */
export function imagesIn(domainXml: string): NamedImage[] {
  const domain = at(parseXml(domainXml), "domain");
  const images: NamedImage[] = [];
  const note = (node: unknown, how: UseKind, writes: boolean): void => {
    if (Array.isArray(node)) for (const each of node) note(each, how, writes);
    else if (typeof node === "object" && node !== null) {
      const fields = node as Record<string, unknown>;
      if (typeof fields["@volume"] === "string") images.push({ how, writes, pool: String(fields["@pool"]), volume: fields["@volume"] });
      if (typeof fields["@dir"] === "string") images.push({ how, writes, directory: fields["@dir"] });
      for (const [key, value] of Object.entries(fields)) if (key !== "@dir") note(value, how, writes);
    } else if (typeof node === "string" && (node.includes("/") || node.startsWith("json:"))) images.push({ how, writes, path: node });
  };
  for (const [key, value] of Object.entries(fieldsOf(domain))) {
    if (key === "os") noteBoot(value, note);
    else if (key === "devices") noteDevices(value, note);
    else if (!PROSE.has(key)) note(value, "other", true);
  }
  return images;
}

type Note = (node: unknown, how: UseKind, writes: boolean) => void;

function noteBoot(os: unknown, note: Note): void {
  for (const [key, value] of Object.entries(fieldsOf(os))) {
    if (BOOT_FILES.has(key)) note(value, "boot", false);
    else if (key === "loader") note(value, "loader", text(value, "@readonly") === "no");
    else if (key === "nvram") {
      const { "@template": template, ...variables } = fieldsOf(value);
      note(template, "loader", false);
      note(variables, "nvram", true);
    } else if (key !== "cmdline") note(value, "other", false);
  }
}

function noteDevices(devices: unknown, note: Note): void {
  for (const [key, value] of Object.entries(fieldsOf(devices))) {
    if (key === "disk") for (const disk of all(devices, "disk")) noteDisk(disk, note);
    else if (key === "memory") note(value, "memory", true);
    else if (key !== "emulator") note(value, "other", true);
  }
}

type Fields = Record<string, unknown>;
const fieldsOf = (node: unknown): Fields => (typeof node === "object" && node !== null && !Array.isArray(node) ? node as Fields : { "#": node });

function noteDisk(disk: unknown, note: Note): void {
  const device = text(disk, "@device") ?? "disk";
  const isMedium = device === "cdrom" || device === "floppy";
  const { source, backingStore, mirror, ...rest } = fieldsOf(disk);
  note(source, isMedium ? "medium" : "disk", device !== "cdrom" && at(disk, "readonly") === undefined);
  noteChain(backingStore, note);
  for (const each of all({ mirror }, "mirror")) {
    const { backingStore: under, ...target } = fieldsOf(each);
    note(target, target["@job"] === "active-commit" ? "commit" : "mirror", true);
    noteChain(under, note);
  }
  note(rest, "other", true);
}

/** A loop, not a recursion: chains may be longer than anybody thought. */
function noteChain(first: unknown, note: Note): void {
  for (let under = first; under !== undefined;) {
    const { backingStore, ...image }: Fields = fieldsOf(under);
    note(image, "backing", false);
    under = backingStore;
  }
}

export const lastName = (path: string): string => path.split("/").at(-1)!;
export const clean = (path: string): string => posix.normalize(path.replace(/^(?:file|host_device):(?:\/\/(?=\/))?/, ""));

/**
 * same: by path, or by pool and volume. alike: another path or pool, the same last name: by a bind mount or a symbolic
 * link it may be the same file. undefined: another image.
 */
export function isImage(named: NamedImage, image: ImageFacts): "same" | "alike" | undefined {
  const name = lastName(image.path);
  if (named.volume !== undefined) {
    if (named.volume !== (image.volume ?? name)) return undefined;
    return named.pool === image.pool ? "same" : "alike";
  }
  if (named.directory !== undefined) return clean(`${named.directory}/`) === clean(`${posix.dirname(clean(image.path))}/`) ? "same" : undefined;
  if (named.path === undefined) return undefined;
  if (clean(named.path) === clean(image.path)) return "same";
  if (lastName(named.path) === name) return "alike";
  return mentions(named.path, name) ? "alike" : undefined;
}

/** Among other words: an argument for QEMU, a description of nodes as JSON. */
function mentions(words: string, name: string): boolean {
  for (let from = words.indexOf(name); from >= 0; from = words.indexOf(name, from + 1)) {
    const [before, after] = [words[from - 1] ?? "/", words[from + name.length] ?? ","];
    if (/[/=:,"'\s]/.test(before) && /[,:;"'\\\s?&]/.test(after)) return true;
  }
  return false;
}
