import { isOtherHostsVolume, type VolumeScope } from "../volumes/names";
import type { LibvirtClient } from "../rpc/client";
import type { Domain } from "../rpc/handles";
import { Flag } from "../rpc/protocol";
import { FIRST_DISK, rootOf } from "../xml/domainXml";
import { all, parseXml, text, type ParsedXml } from "../xml/xml";

export const baseName = (path: string | undefined): string | undefined => path?.split("/").at(-1);

/** File names of a member's first disk: what it runs on (as now defined, where it does not run), and will start with. */
export interface RootDisk {
  current?: string;
  persistent?: string;
  persistentPath?: string;
}

export async function rootDisk(client: LibvirtClient, domain: Domain): Promise<RootDisk> {
  const current = rootPath(parseXml(await client.domainXml(domain)));
  const persistent = rootPath(parseXml(await client.domainXml(domain, Flag.xmlInactive)));
  return { current: baseName(current), persistent: baseName(persistent), persistentPath: persistent };
}

/** A member's first disk is one of its own, by name: else somebody took a snapshot or a copy, and what stands on it must find it there. */
export const isOwnDisk = (file: string | undefined, own: readonly string[]): file is string => file !== undefined && own.includes(file);

/** @throws where a member's first disk is none of its own; `of`: what the message calls it */
export function assertOwnDisk(scope: VolumeScope, file: string | undefined, own: readonly string[], of: string): asserts file is string {
  if (file !== undefined && isOtherHostsVolume(scope, file)) {
    throw new Error(`${of}, ${file}, bears another host's name: it was moved here by hand, or is a second definition of a member. Take it away by hand if it is not needed: virsh undefine`);
  }
  if (!isOwnDisk(file, own)) throw new Error(`${of} is ${file ?? "no file"}, not one of this fleet's: merge or remove the snapshot first`);
}

function firstDiskOf(domain: ParsedXml): unknown {
  const disks = all(domain, "domain", "devices", "disk").filter((disk) => (text(disk, "@device") ?? "disk") === "disk");
  return rootOf(disks, (disk) => ({ device: text(disk, "target", "@dev"), file: text(disk, "source", "@file") }));
}

/** Its file. */
export const rootPath = (domain: ParsedXml): string | undefined => text(firstDiskOf(domain), "source", "@file");

/** What libvirt calls a member's first disk: jobs of it go by that name. */
export async function firstDiskName(client: LibvirtClient, domain: Domain): Promise<string> {
  return text(firstDiskOf(parseXml(await client.domainXml(domain))), "target", "@dev") ?? FIRST_DISK;
}

/** A disk of a definition. */
export interface AttachedDisk {
  /** Last name of its file, or of its volume. */
  file: string;
  path?: string;
  /** libvirt's name of it. */
  device?: string;
  bus?: string;
}

export function attachedDisks(domain: ParsedXml): AttachedDisk[] {
  return all(domain, "domain", "devices", "disk").flatMap((disk): AttachedDisk[] => {
    const path = text(disk, "source", "@file");
    const file = baseName(path) ?? text(disk, "source", "@volume");
    return file === undefined ? [] : [{ file, path, device: text(disk, "target", "@dev"), bus: text(disk, "target", "@bus") }];
  });
}

/** Last names of the files and volumes that a definition has as disks, in its order. */
export const attachedFiles = (domainXml: string): string[] => filesOf(parseXml(domainXml));

export const filesOf = (domain: ParsedXml): string[] => attachedDisks(domain).map(({ file }) => file);

/** The file that its firmware keeps its variables in. */
export function firmwareVariables(domainXml: string): string | undefined {
  const domain = parseXml(domainXml);
  return text(domain, "domain", "os", "nvram") ?? text(domain, "domain", "os", "nvram", "source", "@file");
}
