/** A guest's identity as the files that cloud-init's NoCloud reads. */
import { Document, parseDocument, type ToStringOptions } from "yaml";
import type { GuestCard, GuestContent, GuestIdentity } from "../model";

export interface GuestFile {
  name: "meta-data" | "user-data" | "network-config" | "vendor-data";
  text: string;
}

/** Texts are quoted: cloud-init reads YAML 1.1, where `on` and `1_0` are none. */
const QUOTED: ToStringOptions = { defaultStringType: "QUOTE_DOUBLE", defaultKeyType: "PLAIN", lineWidth: 0 };
/** cloud-init wants the file; without instructions this is one. */
const NO_USER_DATA = "#cloud-config\n{}\n";

/** In a fixed order. Ignition has none: its text goes to the guest as it is. */
export function guestFiles({ instanceId, content }: GuestIdentity): GuestFile[] {
  if (content.kind === "ignition") return [];
  const network = networkConfig(content.network);
  return [
    { name: "meta-data", text: metaData(instanceId, content) },
    { name: "user-data", text: content.userData ?? NO_USER_DATA },
    ...(network === undefined ? [] : [{ name: "network-config" as const, text: network }]),
    ...(content.vendorData === undefined ? [] : [{ name: "vendor-data" as const, text: content.vendorData }]),
  ];
}

/** What was declared stays as it was written; ours comes beside it. */
function metaData(instanceId: string, { hostname, domain, metaData: declared, sshAuthorizedKeys }: Extract<GuestContent, { kind: "cloudInit" }>): string {
  const document = parseDocument(declared ?? "{}", { schema: "failsafe" });
  const own = {
    "instance-id": instanceId,
    "local-hostname": domain === undefined ? hostname : `${hostname}.${domain}`,
    ...(sshAuthorizedKeys.length > 0 && { "public-keys": sshAuthorizedKeys }),
  };
  if (declared === undefined) return new Document(own).toString(QUOTED);
  for (const [key, value] of Object.entries(own)) document.set(key, document.createNode(value));
  return document.toString(QUOTED);
}

/** Version 2, cards known by their MAC. A route to everywhere is spelt so that old and new cloud-inits and netplans read it. */
function networkConfig(network: Extract<GuestContent, { kind: "cloudInit" }>["network"]): string | undefined {
  if (network === undefined) return undefined;
  if (network.kind === "text") return network.text;
  const { cards, dnsServers, dnsDomains } = network;
  const nameservers = dnsServers.length + dnsDomains.length === 0 ? {} : {
    nameservers: { ...(dnsServers.length > 0 && { addresses: dnsServers }), ...(dnsDomains.length > 0 && { search: dnsDomains }) },
  };
  const ethernets = Object.fromEntries(cards.map((card, index) => [`card${index}`, { match: { macaddress: card.mac }, ...addressing(card), ...nameservers }]));
  return new Document({ version: 2, ethernets }, { aliasDuplicateObjects: false }).toString(QUOTED);
}

function addressing({ addresses }: GuestCard): Record<string, unknown> {
  if (addresses.length === 0) return { dhcp4: true };
  const routes = addresses.flatMap(({ address, gateway }) => (gateway === undefined ? [] : [{ to: address.includes(":") ? "::/0" : "0.0.0.0/0", via: gateway }]));
  return {
    dhcp4: false,
    addresses: addresses.map(({ address, prefix }) => `${address}/${prefix}`),
    ...(routes.length > 0 && { routes }),
  };
}
