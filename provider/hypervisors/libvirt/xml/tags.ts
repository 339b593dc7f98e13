import type { BaseState, CloneKind } from "../../../fleet/model";
import { element, parseXml, type XmlNode } from "./xml";

/** Namespace and prefix of our element in a domain's metadata. */
export const TAG_URI = "urn:pulumi-vmfleet:libvirt:1";
export const TAG_KEY = "vmfleet";

export interface MemberTag {
  purpose: "member";
  fleetId: string;
  incarnation: string;
  slot: number;
  generation: number;
  kind: CloneKind;
  contentId: string;
  /** Only what the chain cannot show: a merge that was begun must never be taken for a frozen base. */
  base: BaseState;
  /** Hash of what its guest is told, all of which is written. Absent: nothing; no version before this input wrote it. */
  guest?: string;
  /** It has a template machine's hardware. Absent: documented defaults made it. */
  hardware?: "template";
  /** Its guest is to be waited for (ObservedMember). Absent: it was ready, or nobody waits. */
  configuring?: true;
}
export interface HelperTag {
  purpose: "helper" | "lock";
  fleetId: string;
  holder: string;
  /** Of a lock: changes while its holder lives. */
  beat?: string;
}
export type Tag = MemberTag | HelperTag;

export function tagXml(tag: Tag): string {
  const attributes: Record<string, string> = {};
  for (const [key, value] of Object.entries(tag)) if (value !== undefined) attributes[key] = String(value);
  return element("fleet", attributes);
}

/** The element as it stands in a domain's own XML, with its namespace. */
export function taggedMetadata(tag: Tag): XmlNode {
  const attributes: Record<string, string> = { [`@xmlns:${TAG_KEY}`]: TAG_URI };
  for (const [key, value] of Object.entries(tag)) if (value !== undefined) attributes[`@${key}`] = String(value);
  return { [`${TAG_KEY}:fleet`]: attributes };
}

/** Whose it is, of a tag whatever else it says. */
export function tagFleetId(xml: string): string | undefined {
  return (parseXml(xml)["fleet"] as Record<string, string> | undefined)?.["@fleetId"];
}

const BASE_STATES: Record<BaseState, true> = {
  frozen: true, consolidating: true, consolidated: true, replica: true, arriving: true, arrived: true,
};
const isBaseState = (text: string | undefined): text is BaseState => text !== undefined && Object.hasOwn(BASE_STATES, text);

/** Null: not ours, or written by something we do not understand; either way not to be touched. */
export function parseTag(xml: string): Tag | null {
  const root = parseXml(xml)["fleet"] as Record<string, string> | undefined;
  if (!root || typeof root !== "object") return null;
  const { purpose, fleetId } = { purpose: root["@purpose"], fleetId: root["@fleetId"] };
  if (fleetId === undefined) return null;
  if (purpose === "helper" || purpose === "lock") return { purpose, fleetId, holder: root["@holder"] ?? "unknown", beat: root["@beat"] };
  const slot = Number(root["@slot"]);
  const generation = Number(root["@generation"]);
  const kind = root["@kind"];
  const base = root["@base"];
  if (purpose !== "member" || !Number.isInteger(slot) || !Number.isInteger(generation)) return null;
  if (kind !== "full" && kind !== "linked") return null;
  if (!isBaseState(base)) return null;
  return {
    purpose, fleetId, slot, generation, kind, base,
    incarnation: root["@incarnation"] ?? "", contentId: root["@contentId"] ?? "",
    ...(root["@hardware"] === "template" && { hardware: "template" as const }),
    ...(root["@configuring"] === "true" && { configuring: true as const }),
    ...(root["@guest"] !== undefined && { guest: root["@guest"] }),
  };
}
