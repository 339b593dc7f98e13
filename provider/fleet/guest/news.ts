/** What a guest says of itself, made fit to be recorded and shown: whoever owns the guest chooses every character of it. */
import ipaddr from "ipaddr.js";
import type { GuestNews } from "../model";

/** Of one guest. A container host has hundreds; a record of thousands of members has room for a few. */
export const MAX_ADDRESSES = 16;
/** Of a name with its domain (RFC 1123). */
const MAX_HOSTNAME = 253;
/** In what a name may hold; all else is cut, so that nothing of it can be taken for anything but a name. */
const NO_NAME = /[^A-Za-z0-9._-]/g;
/** Longer than any address is. */
const MAX_ADDRESS_TEXT = 64;
/** Of what a guest names so many are looked at: it may name any number, and each look takes time. */
const MAX_LOOKED_AT = 128;

/** By which others reach a machine. An address of another kind may lead whoever trusts it to itself. */
const REACHABLE_KINDS: readonly string[] = ["unicast", "private", "carrierGradeNat", "uniqueLocal"];

/** The address in its usual form. Undefined: it is none, or one that others cannot reach a guest by. */
function fitAddress(text: unknown): string | undefined {
  if (typeof text !== "string" || text.length > MAX_ADDRESS_TEXT) return undefined;
  const isFull = ipaddr.IPv4.isValidFourPartDecimal(text) || (text.includes(":") && !text.includes("%") && ipaddr.IPv6.isValid(text));
  if (!isFull) return undefined;
  const address = ipaddr.process(text); // an IPv4 address in IPv6's clothes is what it is
  return REACHABLE_KINDS.includes(address.range()) ? address.toString() : undefined;
}

/** IPv4 first, each once, in the order of the cards; at most MAX_ADDRESSES. */
export function cleanNews({ addresses, hostname }: { addresses: readonly unknown[]; hostname?: unknown }): GuestNews {
  const fit = [...new Set(addresses.slice(0, MAX_LOOKED_AT).flatMap((one) => fitAddress(one) ?? []))];
  const name = typeof hostname === "string" ? hostname.slice(0, MAX_HOSTNAME).replace(NO_NAME, "").replace(/^[^A-Za-z0-9]+/, "") : "";
  return {
    ipAddresses: [...fit.filter((one) => !one.includes(":")), ...fit.filter((one) => one.includes(":"))].slice(0, MAX_ADDRESSES),
    ...(name !== "" && { hostname: name }),
  };
}
