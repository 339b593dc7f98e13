import type { FleetSpec } from "../model";

/**
 * Which frozen bases `keepSeeds` leaves unmerged: the first of each rack or host that is asked about. Asked in the same
 * order, by host as declared and then by slot, the same ones stay from run to run, in a plan and when it is run.
 */
export function seedKeeper({ keepSeeds }: Pick<FleetSpec, "keepSeeds">): (base: { host: string; rack: string }) => boolean {
  const places = new Set<string>();
  return ({ host, rack }) => {
    const place = keepSeeds === "host" ? host : rack;
    if (keepSeeds === "none" || places.has(place)) return false;
    places.add(place);
    return true;
  };
}
