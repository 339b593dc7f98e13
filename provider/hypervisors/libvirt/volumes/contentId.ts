/**
 * What an image of several disks is called. A content id tells how many disks its image has, so that whoever has one (a
 * tag, a mark, a record of a fleet whose template is gone) knows when all of it is there.
 */
import { createHash } from "node:crypto";

const SHA256_DIGITS = 64;
const COUNT_DIGITS = 2;
/** More than any machine of libvirt's can have on the buses that guests boot from. */
export const MAX_IMAGE_DISKS = 64;

/**
 * @param disks the content ids of its disks, in its order
 * @returns of one disk its own; of several 64 digits of sha256 over all of them, and two of their number
 */
export function imageContentId(disks: readonly string[]): string {
  const [only] = disks;
  if (only !== undefined && disks.length === 1) return only;
  const digest = createHash("sha256").update(disks.join("\0")).digest("hex");
  return `${digest}${disks.length.toString(16).padStart(COUNT_DIGITS, "0")}`;
}

/** Places of an image's disks: 0, 1, …; of content that nobody knows the first alone. */
export function disksOf(contentId: string): number[] {
  const count = contentId.length === SHA256_DIGITS + COUNT_DIGITS ? Number.parseInt(contentId.slice(SHA256_DIGITS), 16) : 1;
  return Array.from({ length: count || 1 }, (_, disk) => disk);
}
