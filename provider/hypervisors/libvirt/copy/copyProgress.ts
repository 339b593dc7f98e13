import type { ImageFacts } from "./copies";
import { bytesBefore, type Extent } from "../holes/extents";
import type { MirrorJob } from "../helper/mirror";
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

/** Bytes there of what is allocated; all of them only when it is ready. The job counts the guest's view, holes included. */
export function bytesThere(job: MirrorJob, pulled: Pulled): number {
  const { allocationBytes } = pulled.facts;
  if (job.ready && pulled.firstBytes === undefined) return allocationBytes;
  return Math.min(Math.round(bytesPassed(job, pulled)), allocationBytes - 1);
}

function bytesPassed({ offset, len }: MirrorJob, { facts: { allocationBytes, capacityBytes }, firstBytes, extents, forGuests }: Pulled): number {
  // With few bytes under way all holes are passed over at once, else those before which the data is still under way.
  if (firstBytes !== undefined) return forGuests ? offset - (capacityBytes - firstBytes) : firstBytes - (len - offset);
  if (!extents) return len === 0 ? 0 : Math.min(1, offset / len) * allocationBytes;
  const data = bytesBefore(extents, capacityBytes);
  const passed = forGuests ? offset - (capacityBytes - data) : bytesBefore(extents, offset + IN_FLIGHT_BYTES) - IN_FLIGHT_BYTES;
  return passed * Math.min(1, allocationBytes / Math.max(1, data));
}
