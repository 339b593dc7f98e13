import type { Clock } from "./clock";

/** It took longer than it may. */
export class DeadlineError extends Error {}

/** @param ms 0: never */
export function deadlineAfter(clock: Clock, ms: number): { expired: Promise<never>; cancel(): void } {
  let cancel = (): void => undefined;
  const expired = new Promise<never>((_, reject) => {
    if (ms > 0) cancel = clock.after(ms, () => reject(new DeadlineError(`no answer within ${ms / 1000} s`)));
  });
  expired.catch(() => undefined);
  return { expired, cancel: () => cancel() };
}
