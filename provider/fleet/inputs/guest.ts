/** The input `guest`: what members' guests are told of who they are. Its texts may be secret: no message shows any of them. */
import { z } from "zod";
import type { DefaultsVersion, GuestSpec } from "../model";
import { expected } from "../words/problems";
import { choice, integer, list, object, seenSecret } from "./fields";

/** Of user data: cloud services take 16 kB; the image a member gets holds 1 MB. */
export const MAX_USER_DATA_BYTES = 524_288;
export const MAX_TEXT_BYTES = 65_536;

const UNPAIRED = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

function secretText(what: string, maxBytes = MAX_TEXT_BYTES) {
  const error = (issue: { input?: unknown }) => `expected ${what}, got ${seenSecret(issue.input)}`;
  return z.string({ error }).min(1, { error: (issue) => `${error(issue)}; leave it out for none` })
    .refine((value) => Buffer.byteLength(value) <= maxBytes, { error: (issue) => `expected ${what} of at most ${maxBytes} bytes, got ${seenSecret(issue.input)}` })
    .refine((value) => !value.includes("\0") && !UNPAIRED.test(value), { error: `expected ${what}, got one that holds a character of no text (a zero, or half of a pair)` });
}

const IP = "an IPv4 or IPv6 address such as 10.0.0.10";
function address(what = IP) {
  const error = (issue: { input?: unknown }) => expected(what, issue.input);
  return z.string({ error }).refine((value) => z.ipv4().safeParse(value).success || z.ipv6().safeParse(value).success, { error });
}

function label(what: string, maxLength: number) {
  const error = (issue: { input?: unknown }) => expected(what, issue.input);
  return z.string({ error }).min(1, { error }).max(maxLength, { error });
}

const KEY = "a public key such as \"ssh-ed25519 AAAA… name\"";
const sshKey = z.string({ error: (issue) => `expected ${KEY}, got ${seenSecret(issue.input)}` })
  .refine((value) => !/PRIVATE KEY/.test(value), { error: `expected ${KEY}, got a private one; give the file that ends in .pub` })
  .refine((value) => !/[\r\n]/.test(value.trim()) && /(^|\s)(ssh-[a-z0-9-]+|ecdsa-sha2-[a-z0-9-]+|sk-[a-z0-9-]+@openssh\.com) AAAA[A-Za-z0-9+/]+={0,3}(\s|$)/.test(value), {
    error: (issue) => `expected ${KEY}, got ${seenSecret(issue.input)} that is none`,
  });

const cloudInitSchema = object("an object: { userData, metaData, networkConfig, vendorData }", {
  userData: secretText("user data as cloud-init takes it", MAX_USER_DATA_BYTES).optional()
    .describe("User data: begins with `#cloud-config`, `#!` or another of cloud-init's headers, or is MIME multipart. May be secret; at most 512 KiB."),
  metaData: secretText("meta data: a YAML mapping").optional()
    .describe("YAML or JSON mapping that is added to the meta data. instance-id and local-hostname are the provider's."),
  networkConfig: secretText("a network configuration: a YAML mapping").optional()
    .describe("cloud-init's network configuration, YAML or JSON. Excludes addresses, dnsServers and dnsDomains."),
  vendorData: secretText("vendor data as cloud-init takes it", MAX_USER_DATA_BYTES).optional().describe("Vendor data: as userData, and behind it."),
});

const addressesSchema = object("an object: { from, to, prefix, gateway }", {
  card: integer(0, 55).optional().describe("Place of the network card in vm.networks, from 0. Default: the place of this entry in its list."),
  from: address().describe("Address of slot 0. A slot's address is this plus its number, for life."),
  to: address().describe("Last address, itself included: the range must reach as far as the highest slot."),
  prefix: integer(1, 128).describe("Bits of the network's address, such as 22."),
  gateway: address().optional().describe("Router to everywhere, in the same network, outside the range. Default: none."),
});

export const guestSchema = z.union([
  choice(["none"]),
  object("an object: { hostname, domain, cloudInit, … }", {
    hostname: label("a host name, which may hold {name}, {slot}, {host}, {rack} and {fleet}", 255).optional()
      .describe("Host name. Default: the member's name, with `-` for each `.` and `_`."),
    domain: label("a domain, which may hold {name}, {slot}, {host}, {rack} and {fleet}", 255).optional()
      .describe("Domain behind the host name. Default: none."),
    cloudInit: cloudInitSchema.optional().describe("What cloud-init in the guest is given. In its texts, hostname, domain and ignition `{name}`, `{slot}`, `{host}`, `{rack}` and `{fleet}` are filled in; `{{name}}` stands for `{name}` itself."),
    addresses: list("a list of { from, to, prefix, gateway }", addressesSchema).optional()
      .describe("Static addresses of network cards. Cards without an entry use DHCP."),
    dnsServers: list("a list of IP addresses", address().describe("A name server.")).optional().describe("Name servers, for all cards."),
    dnsDomains: list("a list of domains", label("a domain such as example.com", 253).describe("A domain.")).optional().describe("Domains that names are looked up in, for all cards."),
    sshAuthorizedKeys: list("a list of public keys", sshKey.describe("A public key.")).optional().describe("Public keys that may log in as the image's default user."),
    ignition: secretText("an Ignition configuration: JSON", MAX_USER_DATA_BYTES).optional()
      .describe("Ignition configuration (JSON) for CoreOS images, by QEMU's fw_cfg. Excludes all others. May be secret."),
  }),
], { error: (issue) => `expected "none" or an object: { hostname, domain, cloudInit, … }, got ${seenSecret(issue.input)}` });

/** Unknowns here change no plan: what members are told shows only where hosts are asked, and they are not with values that nobody knows yet. */
export const GUEST_WITHOUT_EFFECT_ON_PLAN = /^guest(\.(hostname|domain|cloudInit(\.\w+)?|addresses|dnsServers|dnsDomains|sshAuthorizedKeys|ignition))?$/;

type GuestInput = z.output<typeof guestSchema>;

/** @param guest undefined: least identity, but for fleets of versions that told guests nothing */
export function guestOf(guest: GuestInput | undefined, version: DefaultsVersion): GuestSpec {
  if (guest === "none" || (guest === undefined && version === 1)) return { kind: "none" };
  const { hostname, domain, cloudInit = {}, addresses = [], dnsServers = [], dnsDomains = [], sshAuthorizedKeys = [], ignition } = guest ?? {};
  if (ignition !== undefined) return { kind: "ignition", config: ignition };
  return {
    kind: "cloudInit",
    ...(hostname !== undefined && { hostname }),
    ...(domain !== undefined && { domain }),
    ...cloudInit,
    addresses: addresses.map(({ card, ...one }, index) => ({ card: card ?? index, ...one })),
    dnsServers, dnsDomains,
    sshAuthorizedKeys: sshAuthorizedKeys.map((key) => key.trim()),
  };
}
