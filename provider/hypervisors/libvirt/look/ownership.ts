/** Is it ours? A tag says whose a domain was made as; it is a member only if its own facts say the same. One place. */
import { isSlotName, memberUuid } from "../../../fleet/members/identity";
import { baseName } from "./domainDisks";
import { isOtherHostsVolume, parseVolumeName, type VolumeScope } from "../volumes/names";
import type { Domain } from "../rpc/handles";
import { TAG_KEY, TAG_URI, type MemberTag, type Tag } from "../xml/tags";

/** As libvirt's own words have it. */
export const uuidText = (uuid: Buffer): string => {
  const hex = uuid.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
};
export const uuidBytes = (uuid: string): Buffer => Buffer.from(uuid.replaceAll("-", ""), "hex");

/** A domain with a member's tag: what speaks against its being that member; undefined: nothing that its name and UUID show. */
export function strangeness({ name, uuid }: Pick<Domain, "name" | "uuid">, tag: MemberTag): string | undefined {
  if (uuidText(uuid) !== memberUuid(tag.fleetId, tag.slot)) {
    return `it bears the tag of slot ${tag.slot} and another UUID, so it is a copy that somebody made of that member (virt-clone). ` +
      `It is nobody's business here once the tag is off: virsh metadata ${name} ${TAG_URI} --key ${TAG_KEY} --remove --config`;
  }
  if (!isSlotName(name, tag.slot)) {
    return `it has the tag and the UUID of slot ${tag.slot} under a name that is no member's: it was renamed. virsh domrename gives it its name back`;
  }
  return undefined;
}

/** The tag of a domain that is a member of this fleet by name, UUID and tag: what every act on a member asks first. Null: it is none. */
export const memberTagOf = (domain: Pick<Domain, "name" | "uuid">, tag: Tag | null, fleetId: string, slot?: number): MemberTag | null =>
  (tag?.purpose === "member" && tag.fleetId === fleetId && (slot === undefined || tag.slot === slot) && strangeness(domain, tag) === undefined ? tag : null);

/**
 * What its disks say. own: nothing else; a disk of no fleet's name is somebody's snapshot or copy of its disk.
 * displaced: another host's disks, which this host has too. Else a reason in words.
 * @param files its cloned disks, as it runs and as it will start
 * @param here whether the pool has a volume of that name
 */
export function standing(
  tag: MemberTag, files: readonly (string | undefined)[], scope: VolumeScope, isRunning: boolean, here: (volume: string) => boolean,
): "own" | "displaced" | { reason: string } {
  const names = files.flatMap((file) => baseName(file) ?? []);
  for (const name of names) {
    const own = parseVolumeName(scope, name);
    if (own && (!("slot" in own) || own.slot !== tag.slot || own.generation !== tag.generation)) {
      return { reason: `it bears the tag of slot ${tag.slot}, generation ${tag.generation}, and its disk is ${name}, which is not that member's` };
    }
  }
  const elsewhere = names.find((name) => isOtherHostsVolume(scope, name));
  if (elsewhere === undefined) return "own";
  if (isRunning || here(elsewhere)) return "displaced";
  return {
    reason: `its disk ${elsewhere} is another host's and is not here: a second definition of a member, as after a restore. ` +
      "If the member lives on its own host, take this one away (virsh undefine)",
  };
}
