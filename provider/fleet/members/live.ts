/** What of a change of its hardware a running member takes at once. */
import type { LivePart, ObservedMember } from "../model";

export interface WantedHardware {
  numCpus: number;
  memory: number;
  networks: readonly string[];
}

/** Of what differs; all else is there from its next start. None: it does not run, or nobody could look how. */
export function liveParts({ running, networks }: Pick<ObservedMember, "running" | "networks">, differing: readonly LivePart[], wanted: WantedHardware): LivePart[] {
  if (!running) return [];
  return differing.filter((part) => {
    switch (part) {
      // Fewer: the guest must let them go, and the first ones cannot.
      case "cpus": return wanted.numCpus >= running.numCpus && wanted.numCpus <= running.maxCpus;
      case "memory": return running.hasBalloon && wanted.memory <= running.maxMemory;
      case "networks": return isLive(networks, wanted.networks);
    }
  });
}

/** In a network or on a bridge, and nothing beside: what else is said of a card is said to a new one. */
const isPlain = (place: string): boolean => place !== "" && (!place.includes("/") || /^bridge\/[^/]+$/.test(place));

function isLive(before: readonly string[], after: readonly string[]): boolean {
  const changed = Array.from({ length: Math.max(before.length, after.length) }, (_, index) => [before[index], after[index]]).filter(([was, is]) => was !== is);
  return changed.every((places) => places.every((place) => place === undefined || isPlain(place)));
}
