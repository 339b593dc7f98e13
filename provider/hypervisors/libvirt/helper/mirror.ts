import type { Helper } from "./helper";

const POLL_MS = 10;
const CANCEL_DEADLINE_MS = 30_000;

/** A mirror in a helper, as QMP tells it. */
export interface MirrorJob {
  device: string;
  len: number;
  offset: number;
  ready: boolean;
  "io-status": "ok" | "failed" | "nospace";
}

/** Undefined: there is none of that id (any more). */
export async function findMirror(helper: Helper, id: string): Promise<MirrorJob | undefined> {
  return (await helper.qmp<MirrorJob[]>("query-block-jobs")).find((job) => job.device === id);
}

/** Resolves when it is gone. @throws when it does not go within half a minute */
export async function cancelMirror(helper: Helper, id: string, signal?: AbortSignal): Promise<void> {
  await helper.qmp("block-job-cancel", { device: id, force: true });
  const lateMs = helper.clock.nowMs() + CANCEL_DEADLINE_MS;
  while ((await findMirror(helper, id)) !== undefined) {
    if (helper.clock.nowMs() > lateMs) throw new Error(`the job ${id} was cancelled and did not end within ${CANCEL_DEADLINE_MS / 1000} s`);
    await helper.clock.sleep(POLL_MS, signal);
  }
}
