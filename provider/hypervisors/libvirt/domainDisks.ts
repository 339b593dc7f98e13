import type { Domain, LibvirtClient } from "./rpc/client";
import { isLibvirtError } from "./rpc/errors";
import { ErrorCode, Flag } from "./rpc/protocol";
import { all, parseXml, text, type ParsedXml } from "./xml";

const ROOT_DISK = "vda";

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
export function assertOwnDisk(file: string | undefined, own: readonly string[], of: string): asserts file is string {
  if (!isOwnDisk(file, own)) throw new Error(`${of} is ${file ?? "no file"}, not one of this fleet's: merge or remove the snapshot first`);
}

/** The file of the disk `vda`; else of the first that is a disk at all. */
export function rootPath(domain: ParsedXml): string | undefined {
  const disks = all(domain, "domain", "devices", "disk").filter((disk) => (text(disk, "@device") ?? "disk") === "disk");
  return text(disks.find((disk) => text(disk, "target", "@dev") === ROOT_DISK) ?? disks[0], "source", "@file");
}

/** Every file any of these domains names anywhere, chains, mirrors and media included, by its last name. */
export async function filesInUse(client: LibvirtClient, domains: Domain[]): Promise<Set<string>> {
  const names = new Set<string>();
  const collect = (xml: string): void => {
    for (const [, single, double] of xml.matchAll(/<source\b[^>]*\bfile=(?:'([^']*)'|"([^"]*)")/g)) {
      const name = baseName(single ?? double);
      if (name) names.add(name);
    }
  };
  for (const domain of domains) {
    try {
      for (const flags of [0, Flag.xmlInactive]) collect(await client.domainXml(domain, flags));
    } catch (error) {
      if (!isLibvirtError(error, ErrorCode.noDomain)) throw error; // gone meanwhile: it uses nothing
    }
  }
  return names;
}
