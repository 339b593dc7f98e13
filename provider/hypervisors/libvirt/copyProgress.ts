import type { ImageFacts } from "./copies";
import { bytesBefore, type Extent } from "./extents";
import type { MirrorJob } from "./mirror";
import { IN_FLIGHT_BYTES } from "./pull";

/** What a pull is of. */
export interface Pulled {
  facts: ImageFacts;
  /** Set while it is of what is fetched before the rest: the length of that. */
  firstBytes?: number;
  /** Where the data is, where that is known. */
  extents?: readonly Extent[];
  /** It has few bytes under way (`Pull.startSlowable`). */
  forGuests: boolean;
}

/** Bytes there of what is allocated. The job counts the guest's view, holes included. */
export function bytesThere({ offset, len, ready }: MirrorJob, { facts: { allocationBytes, capacityBytes }, firstBytes, extents, forGuests }: Pulled): number {
  // What is fetched first counts by what is left of it: the holes around it are passed over at once.
  if (firstBytes !== undefined) return Math.min(firstBytes - (len - offset), allocationBytes - 1);
  if (ready) return allocationBytes;
  const bytes = !extents ? (len === 0 ? 0 : Math.round(Math.min(1, offset / len) * allocationBytes))
    // With few bytes under way all holes are passed over at once, else those before which the data is still under way.
    : forGuests ? offset - (capacityBytes - bytesBefore(extents, capacityBytes))
    : bytesBefore(extents, offset + IN_FLIGHT_BYTES) - IN_FLIGHT_BYTES;
  return Math.min(bytes, allocationBytes);
}
