import { memberUuid } from "../../../fleet/members/identity";
import { ForeignNameError, type MemberRef } from "../../hypervisor";
import { memberTagOf, strangeness, uuidBytes } from "./ownership";
import type { LibvirtClient } from "../rpc/client";
import type { Domain } from "../rpc/handles";
import { parseTag, TAG_URI, type MemberTag, type Tag } from "../xml/tags";

/** Null: it bears none, or one that this version does not understand. */
export async function tagOf(client: LibvirtClient, domain: Domain): Promise<Tag | null> {
  const xml = await client.getMetadata(domain, TAG_URI);
  return xml === null ? null : parseTag(xml);
}

/** The tag of the member that has this slot on the host, whatever its name begins with. Null: there is none. */
export async function memberInSlot(client: LibvirtClient, fleetId: string, slot: number): Promise<MemberTag | null> {
  const domain = await client.lookupDomainByUuid(uuidBytes(memberUuid(fleetId, slot)));
  return domain && memberTagOf(domain, await tagOf(client, domain), fleetId, slot);
}

export interface FoundMember {
  domain: Domain;
  tag: MemberTag;
}

/** The domain of that name if it is this member. Null: none. @throws ForeignNameError when the name is not ours. */
export async function findMember(client: LibvirtClient, order: Pick<MemberRef, "fleet" | "host" | "slot" | "name">): Promise<FoundMember | null> {
  const domain = await client.lookupDomain(order.name);
  if (!domain) return null;
  const tag = await tagOf(client, domain);
  const own = memberTagOf(domain, tag, order.fleet.fleetId, order.slot);
  if (own) return { domain, tag: own };
  const why = tag?.purpose === "member" && tag.fleetId === order.fleet.fleetId ? strangeness(domain, tag) : undefined;
  const message = why === undefined
    ? `a domain named ${order.name} exists that is not of this fleet: rename it or choose another namePrefix`
    : `a domain named ${order.name} exists that is not the member of that name: ${why}`;
  throw new ForeignNameError(order.host, "look up", message);
}
