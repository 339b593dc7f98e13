/**
 * MACs of members, where the adapter chooses them (libvirt's does): they follow from fleet id, slot and card alone, the
 * same on every machine. No member's may ever change.
 */
import { createHash } from "node:crypto";
import type { Observation, Problem } from "../model";

/** Locally administered, unicast, and not 52:54:00, from which libvirt draws its own. */
const MAC_FIRST_OCTET = "56";

/** 40 hash bits over fleet id, slot and NIC behind a locally administered unicast octet. */
export function macAddress(fleetId: string, slot: number, nic: number): string {
  const hex = createHash("sha256").update(`vmfleet-mac\0${fleetId}\0${slot}\0${nic}`).digest("hex");
  return [MAC_FIRST_OCTET, ...hex.slice(0, 10).match(/../g)!].join(":");
}

/** One MAC per network, in order. */
export function memberMacs(fleetId: string, slot: number, nics: number): string[] {
  return Array.from({ length: nics }, (_, nic) => macAddress(fleetId, slot, nic));
}

/** MACs that new slots would share with a member seen on a host or with each other. */
export function macCollisions(
  fleetId: string, slots: readonly number[], nics: number, observation: Observation | undefined,
): Problem[] {
  if (slots.length === 0) return [];
  const taken = new Map<string, { slot: number; name?: string; host?: string }>();
  for (const host of observation?.hosts ?? []) {
    if (host.status !== "reachable") continue;
    for (const member of host.members) {
      for (const mac of member.cardAddresses) taken.set(mac.toLowerCase(), { slot: member.slot, name: member.name, host: host.name });
    }
  }
  const problems: Problem[] = [];
  for (const slot of slots) {
    for (const mac of memberMacs(fleetId, slot, nics)) {
      const other = taken.get(mac);
      if (other && other.slot !== slot) {
        problems.push({
          path: "fleetId",
          message: `expected MAC addresses that are free, got ${mac} for slot ${slot}, which ${other.name === undefined ? `new slot ${other.slot}` : `${other.name} on ${other.host}`} has; ` +
            "remove that member, or choose another fleetId for a new fleet",
        });
      }
      taken.set(mac, { slot });
    }
  }
  return problems;
}
