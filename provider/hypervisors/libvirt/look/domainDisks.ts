import { memberImage } from "../volumes/images";
import { isOtherHostsVolume, type MemberImageKind, type VolumeScope } from "../volumes/names";
import type { LibvirtClient } from "../rpc/client";
import type { Domain } from "../rpc/handles";
import { Flag } from "../rpc/protocol";
import { disksOf } from "../volumes/contentId";
import { diskName, imageDisksOf } from "../xml/domainXml";
import type { MemberTag } from "../xml/tags";
import { all, parseXml, text, type ParsedXml } from "../xml/xml";

export const baseName = (path: string | undefined): string | undefined => path?.split("/").at(-1);

/** One of a member's cloned disks: what it runs on (as now defined, where it does not run), and will start with. */
export interface MemberDisk {
  /** Its place in the image. */
  place: number;
  /** What libvirt calls it: jobs of it go by that name. */
  device: string;
  /** Last names of files. */
  current?: string;
  persistent?: string;
  persistentPath?: string;
}

/** What says which disks a member has, and how many: the content id of its image does. */
type OfMember = Pick<MemberTag, "slot" | "generation" | "contentId">;

export async function memberDisks(client: LibvirtClient, domain: Domain, of: OfMember): Promise<MemberDisk[]> {
  const [live, defined] = [parseXml(await client.domainXml(domain)), parseXml(await client.domainXml(domain, Flag.xmlInactive))];
  const [running, starting] = [clonedDisks(live, of), clonedDisks(defined, of)];
  return disksOf(of.contentId).map((place) => ({
    place, device: text(running[place], "target", "@dev") ?? text(starting[place], "target", "@dev") ?? diskName(place),
    current: baseName(text(running[place], "source", "@file")), ...persistentOf(text(starting[place], "source", "@file")),
  }));
}

const persistentOf = (path: string | undefined): Pick<MemberDisk, "persistent" | "persistentPath"> => ({ persistent: baseName(path), persistentPath: path });

/** One of them, looked at again. */
export const memberDisk = async (client: LibvirtClient, domain: Domain, of: OfMember, place: number): Promise<MemberDisk> =>
  (await memberDisks(client, domain, of))[place]!;

/** The last name of the file that a domain has, now, as the disk that libvirt calls so. */
export async function fileOfDisk(client: LibvirtClient, domain: Domain, device: string): Promise<string | undefined> {
  const disks = all(parseXml(await client.domainXml(domain)), "domain", "devices", "disk");
  return baseName(text(disks.find((disk) => text(disk, "target", "@dev") === device), "source", "@file"));
}

/** A member's cloned disk is one of its own, by name: else somebody took a snapshot or a copy, and what stands on it must find it there. */
export const isOwnDisk = (file: string | undefined, own: readonly string[]): file is string => file !== undefined && own.includes(file);

/** @throws where a member's cloned disk is none of its own; `of`: what the message calls it */
export function assertOwnDisk(scope: VolumeScope, file: string | undefined, own: readonly string[], of: string): asserts file is string {
  if (file !== undefined && isOtherHostsVolume(scope, file)) {
    throw new Error(`${of}, ${file}, bears another host's name: it was moved here by hand, or is a second definition of a member. Take it away by hand if it is not needed: virsh undefine`);
  }
  if (!isOwnDisk(file, own)) throw new Error(`${of} is ${file ?? "no file"}, not one of this fleet's: merge or remove the snapshot first`);
}

/** Of a member's cloned disk. @throws where it is none of its own, or was detached */
export function assertOwnImage(scope: VolumeScope, of: OfMember, place: number, file: string | undefined, kinds: readonly MemberImageKind[], name: string): asserts file is string {
  const own = kinds.map((kind) => memberImage(scope, kind, of, place));
  if (place === 0) return assertOwnDisk(scope, file, own, `the disk of ${name}`);
  const what = `the disk ${place + 1} of ${name}`;
  if (file === undefined) throw new Error(`${what} is in its definition no more: attach ${own.join(" or ")} again, whichever is there`);
  assertOwnDisk(scope, file, own, what);
}

function clonedDisks(domain: ParsedXml, { slot, generation, contentId }: OfMember): unknown[] {
  const disks = all(domain, "domain", "devices", "disk").filter((disk) => (text(disk, "@device") ?? "disk") === "disk");
  return imageDisksOf(disks, { slot, generation, count: disksOf(contentId).length }, (disk) => ({ device: text(disk, "target", "@dev"), file: text(disk, "source", "@file") }));
}

/** Files of a member's cloned disks, in the order of its image; undefined: it is not there. */
export const imagePaths = (domain: ParsedXml, of: OfMember): (string | undefined)[] =>
  clonedDisks(domain, of).map((disk) => text(disk, "source", "@file"));

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
