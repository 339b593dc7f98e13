import type { ByteRange, ReadProfile } from "../model";

/** Of one profile: nearer ones are taken together until there are no more. */
export const MAX_RANGES = 256;
/** Of one fleet: that of the template, and those of templates its members were made of before. */
export const MAX_PROFILES = 4;

/** At most so many ranges over the same bytes, the smallest gaps between them filled. Ascending, apart from each other. */
export function coalesce(ranges: readonly ByteRange[], atMost = MAX_RANGES): ByteRange[] {
  const merged: ByteRange[] = [];
  for (const { offsetBytes, lengthBytes } of [...ranges].sort((a, b) => a.offsetBytes - b.offsetBytes || a.lengthBytes - b.lengthBytes)) {
    const last = merged.at(-1);
    if (last && endOf(last) >= offsetBytes) last.lengthBytes = Math.max(endOf(last), offsetBytes + lengthBytes) - last.offsetBytes;
    else if (lengthBytes > 0) merged.push({ offsetBytes, lengthBytes });
  }
  if (merged.length <= atMost) return merged;
  const kept = new Set(merged.slice(1)
    .map((range, i) => ({ before: i + 1, gapBytes: range.offsetBytes - endOf(merged[i]!) }))
    .sort((a, b) => b.gapBytes - a.gapBytes || a.before - b.before)
    .slice(0, Math.max(0, atMost - 1)).map((gap) => gap.before));
  const few: ByteRange[] = [];
  merged.forEach((range, i) => {
    const last = few.at(-1);
    if (last && !kept.has(i)) last.lengthBytes = endOf(range) - last.offsetBytes;
    else few.push({ ...range });
  });
  return few;
}

const endOf = ({ offsetBytes, lengthBytes }: ByteRange): number => offsetBytes + lengthBytes;

/** Those of contents that the fleet still has to do with, the newest of them. */
export function keptProfiles(profiles: readonly ReadProfile[], contentIds: ReadonlySet<string>): ReadProfile[] {
  return profiles.filter(({ contentId }) => contentIds.has(contentId)).slice(-MAX_PROFILES);
}
