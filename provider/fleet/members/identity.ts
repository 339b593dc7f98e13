/** Names and UUIDs that follow from fleet id and slot alone (DESIGN.md section 4): the same on every machine. */
import { createHash } from "node:crypto";
import type { CloneKind, CloneSpec } from "../model";

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
/** Our own namespace for RFC 4122 name-based UUIDs; random once, fixed for ever. */
const NAMESPACE = "6f0f2a52-6c1b-4d0e-9a87-3d1c1d3b7a41";

const digest = (algorithm: "sha1" | "sha256", data: Buffer | string) => createHash(algorithm).update(data).digest();

/** Where a resource is declared. Two people may use the same names in backends of their own: a URN alone is not one origin. */
export interface Origin {
  urn: string;
  /** What tells the Pulumi backend that holds the stack from all others. */
  backend: string;
  /** Of Pulumi Cloud's, which a URN leaves out; absent where there is none or it is not known. */
  organization?: string;
}

/**
 * The id of a new fleet that is given none, so that what a crashed create left is found by the next one of the same
 * origin, and by nobody else's. Ten characters of lowercase base32 (50 hash bits): goes into volume and domain names.
 */
export function fleetIdFromOrigin({ urn, backend, organization = "" }: Origin): string {
  const hash = digest("sha256", ["vmfleet-origin", urn, backend, organization].join("\0"));
  let bits = 0n;
  for (const byte of hash.subarray(0, 7)) bits = (bits << 8n) | BigInt(byte);
  return Array.from({ length: 10 }, (_, i) => BASE32[Number((bits >> BigInt(5 * i)) & 31n)]!).join("");
}

/** `workers-007`: three digits at least, never re-padded, so that growth past 999 renames nobody. */
export function slotName(namePrefix: string, slot: number): string {
  return `${namePrefix}-${String(slot).padStart(3, "0")}`;
}

/** Whether it is the slot's name under any prefix: members keep the one they were made with. */
export const isSlotName = (name: string, slot: number): boolean => name.endsWith(slotName("", slot));

/** RFC 4122 version 5 (SHA-1 of namespace and name). */
export function memberUuid(fleetId: string, slot: number): string {
  const namespace = Buffer.from(NAMESPACE.replace(/-/g, ""), "hex");
  const bytes = digest("sha1", Buffer.concat([namespace, Buffer.from(`${fleetId}/${slot}`)])).subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x50;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** In a mixed fleet slot i is linked when floor((i+1)·share) > floor(i·share): growth never changes a slot's kind. */
export function kindOfSlot(clone: CloneSpec, slot: number): CloneKind {
  if (clone.kind !== "mixed") return clone.kind;
  return Math.floor((slot + 1) * clone.linkedShare) > Math.floor(slot * clone.linkedShare) ? "linked" : "full";
}
