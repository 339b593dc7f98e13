import { coalesce } from "../../fleet";
import type { ByteRange, ReadProfile } from "../../fleet/model";
import type { HintedCloneOrder, HintedCloneResult } from "../../hypervisors/hypervisor";

/** What a copy is told about its guest's reads. */
export type ReadHints = Pick<HintedCloneOrder, "readFirst" | "recordReads">;

/**
 * What guests read when they boot, by content: fetched first by the copies whose members start early. Without one, the
 * first such copy at a time is asked to record it. A hint only: nothing depends on it.
 */
export class ReadProfiles {
  private readonly byContent: Map<string, readonly ByteRange[]>;
  private readonly recording = new Set<string>();

  constructor(known: readonly ReadProfile[] = []) {
    this.byContent = new Map(known.map(({ contentId, ranges }) => [contentId, ranges]));
  }

  /** For a copy whose member starts early. One that was asked to record must be told as `copied`, however it ended. */
  hints(contentId: string): ReadHints | undefined {
    const readFirst = this.byContent.get(contentId);
    if (readFirst) return { readFirst };
    if (this.recording.has(contentId)) return undefined;
    this.recording.add(contentId);
    return { recordReads: true };
  }

  /** @param result absent: it failed */
  copied(contentId: string, { recordReads }: ReadHints, result?: HintedCloneResult): void {
    if (!recordReads) return;
    this.recording.delete(contentId);
    const ranges = coalesce(result?.readProfile ?? []);
    if (ranges.length > 0) this.byContent.set(contentId, ranges);
  }

  /** The newest last. */
  get all(): ReadProfile[] {
    return [...this.byContent].map(([contentId, ranges]) => ({ contentId, ranges: [...ranges] }));
  }
}
