/** What is recorded of members' guests: as they were last heard of. */
import { staticAddresses } from "../guest/addresses";
import type { FleetSpec, GuestNews, MemberState, ObservedMember } from "../model";

/**
 * What was heard now, else what is on record. Addresses that a guest was given are known without asking it, and count
 * where a record says otherwise; where the guest itself does, it has not taken them yet.
 */
export function recordedGuest(
  { guest }: Pick<FleetSpec, "guest">, { slot, power, guest: told }: Pick<ObservedMember, "slot" | "power" | "guest">,
  heard: GuestNews | undefined, before: MemberState | undefined,
): Pick<MemberState, "ipAddresses" | "hostname"> {
  const hostname = heard?.hostname ?? before?.hostname;
  const given = told === undefined ? [] : staticAddresses(guest, slot);
  const name = hostname === undefined ? {} : { hostname };
  if (heard && heard.ipAddresses.length > 0) return { ipAddresses: heard.ipAddresses, ...name };
  const known = power === "stopped" ? [] : before?.ipAddresses ?? [];
  return { ipAddresses: given.every((one) => known.includes(one)) ? known : given, ...name };
}
