import { formatBytes, formatSeconds } from "../fleet";
import type { Phase, Progress } from "../engine/types";

const DOING: Record<Phase, string> = {
  lock: "waiting for the fleet's lock",
  observe: "looking at the hosts",
  cleanup: "removing leftovers",
  destroy: "removing members",
  upload: "uploading the template",
  clone: "cloning",
  define: "defining members",
  configure: "waiting for guests",
  consolidate: "consolidating disks",
  done: "done",
};

/** One live line: `cloning: 7 of 12 members, 1.4 GB of 2.1 GB, 118 MB/s, about 12 s left`. */
export function progressText(progress: Progress): string {
  const parts: string[] = [];
  if (progress.membersTotal > 0) parts.push(`${progress.membersDone} of ${progress.membersTotal} members`);
  if (progress.bytesTotal > 0) {
    const [done, total] = [progress.bytesDone, progress.bytesTotal].map(formatBytes);
    parts.push(done === total ? total! : `${done} of ${total}`);
  }
  if (progress.phase !== "done") {
    if (progress.bytesPerSecond >= 1) parts.push(`${formatBytes(progress.bytesPerSecond)}/s`);
    const left = progress.etaSeconds;
    if (left !== undefined && left >= 0.5 && Number.isFinite(left)) parts.push(`about ${formatSeconds(Math.ceil(left))} left`);
    if (progress.note) parts.push(progress.note);
  }
  return parts.length > 0 ? `${DOING[progress.phase]}: ${parts.join(", ")}` : DOING[progress.phase];
}
