/** What one member's guest is told: everything filled in, and a hash that says whether it is still the same. */
import { createHash } from "node:crypto";
import { memberUuid } from "../members/identity";
import type { CloudInitSpec, GuestContent, GuestIdentity, GuestSpec, MemberId } from "../model";
import { addressOfSlot } from "./addresses";
import { hostnameOfName } from "./hostnames";
import { fill, type Filling } from "./placeholders";

export interface GuestOf extends Pick<MemberId, "slot" | "generation"> {
  fleetId: string;
  name: string;
  /** Names as declared. */
  host: string;
  rack: string;
  /** Of its network cards, in their order. */
  macs: readonly string[];
}

/** Of what is written for a content. Raised when that changes, so that guests are told anew. */
const WRITING = 1;

/**
 * How many of a member's network cards its guest is told of: all that are declared. Of those that it inherits as many as
 * have addresses, or the first: a guest that is told of a card that it has not may do without any.
 */
export function cardsTold(guest: GuestSpec, networks: readonly unknown[] | undefined): number {
  if (networks || guest.kind !== "cloudInit") return networks?.length ?? 0;
  return Math.max(guest.dnsServers.length + guest.dnsDomains.length > 0 ? 1 : 0, ...guest.addresses.map(({ card }) => card + 1));
}

/** Undefined: it is told nothing. */
export function guestIdentity(guest: GuestSpec, who: GuestOf): GuestIdentity | undefined {
  const content = contentOf(guest, who);
  if (content === undefined) return undefined;
  const uuid = memberUuid(who.fleetId, who.slot);
  const hash = createHash("sha256").update(JSON.stringify([WRITING, uuid, who.generation, content])).digest("hex").slice(0, 32);
  return { hash, instanceId: `${uuid}.g${who.generation}.${hash.slice(0, 16)}`, content };
}

export const fillingOf = ({ name, slot, host, rack, fleetId }: Omit<GuestOf, "macs" | "generation">): Filling =>
  ({ name, slot: String(slot), host, rack, fleet: fleetId });

export const guestHostname = ({ hostname }: Pick<CloudInitSpec, "hostname">, filling: Filling): string =>
  (hostname === undefined ? hostnameOfName(filling.name) : fill(hostname, filling));

function contentOf(guest: GuestSpec, who: GuestOf): GuestContent | undefined {
  if (guest.kind === "none") return undefined;
  const filling = fillingOf(who);
  if (guest.kind === "ignition") return { kind: "ignition", config: fill(guest.config, filling) };
  const filled = (key: "domain" | "userData" | "metaData" | "vendorData") => (guest[key] === undefined ? {} : { [key]: fill(guest[key], filling) });
  const network = networkOf(guest, who, filling);
  return {
    kind: "cloudInit",
    hostname: guestHostname(guest, filling),
    ...filled("domain"), ...filled("userData"), ...filled("metaData"), ...filled("vendorData"),
    ...(network && { network }),
    sshAuthorizedKeys: guest.sshAuthorizedKeys,
  };
}

type Network = Extract<GuestContent, { kind: "cloudInit" }>["network"];

function networkOf({ networkConfig, addresses, dnsServers, dnsDomains }: CloudInitSpec, { slot, macs }: GuestOf, filling: Filling): Network {
  if (networkConfig !== undefined) return { kind: "text", text: fill(networkConfig, filling) };
  if (addresses.length + dnsServers.length + dnsDomains.length === 0) return undefined;
  const cards = macs.map((mac, card) => ({
    mac,
    addresses: addresses.filter((one) => one.card === card).flatMap((one) => {
      const address = addressOfSlot(one, slot);
      return address === undefined ? [] : [{ address, prefix: one.prefix, ...(one.gateway !== undefined && { gateway: one.gateway }) }];
    }),
  }));
  return { kind: "cards", cards, dnsServers, dnsDomains };
}
