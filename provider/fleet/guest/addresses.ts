/** Addresses of guests: a slot's is `from` + slot, so that growth and shrink move nobody. */
import ipaddr from "ipaddr.js";
import type { GuestAddresses, GuestSpec } from "../model";

export interface Ip {
  family: 4 | 6;
  value: bigint;
}

const BITS = { 4: 32, 6: 128 } as const;

/** @param text that is an address of either family, in full: four decimal numbers, or IPv6's own form */
export function ipOf(text: string): Ip {
  const parsed = ipaddr.parse(text);
  const value = parsed.toByteArray().reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  return { family: parsed.kind() === "ipv4" ? 4 : 6, value };
}

export function ipText({ family, value }: Ip): string {
  const bytes = Array.from({ length: BITS[family] / 8 }, (_, index) => Number((value >> BigInt(BITS[family] - 8 * (index + 1))) & 255n));
  return ipaddr.fromByteArray(bytes).toString();
}

/** What no guest can have as its own, in words; undefined: it may. */
export function unfitKind(text: string): string | undefined {
  const kind = ipaddr.parse(text).range();
  const words: Partial<Record<string, string>> = {
    unspecified: "no address at all", broadcast: "everybody's", multicast: "a group's", loopback: "each machine's own", linkLocal: "a link's own, which is not handed out",
  };
  return words[kind];
}

export const bitsOf = (family: 4 | 6): number => BITS[family];

/** First and last of the network that an address of this prefix lies in. */
export function networkOf({ family, value }: Ip, prefix: number): { first: bigint; last: bigint } {
  const size = 1n << BigInt(BITS[family] - prefix);
  const first = value - (value % size);
  return { first, last: first + size - 1n };
}

/** How many slots have one. */
export const slotsOf = ({ from, to }: Pick<GuestAddresses, "from" | "to">): bigint => ipOf(to).value - ipOf(from).value + 1n;

/** @returns undefined where the range ends before this slot */
export function addressOfSlot({ from, to }: Pick<GuestAddresses, "from" | "to">, slot: number): string | undefined {
  const first = ipOf(from);
  const value = first.value + BigInt(slot);
  return value > ipOf(to).value ? undefined : ipText({ family: first.family, value });
}

/** Those that a slot's cards were given, in the order of the cards. */
export function staticAddresses(guest: GuestSpec, slot: number): string[] {
  if (guest.kind !== "cloudInit") return [];
  return [...guest.addresses].sort((a, b) => a.card - b.card).flatMap((range) => addressOfSlot(range, slot) ?? []);
}
