/** It took longer than it may. */
export class DeadlineError extends Error {}

/** @param ms 0: never */
export function deadlineAfter(ms: number): { expired: Promise<never>; cancel(): void } {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    if (ms > 0) timer = setTimeout(() => reject(new DeadlineError(`no answer within ${ms / 1000} s`)), ms);
  });
  expired.catch(() => undefined);
  return { expired, cancel: () => clearTimeout(timer) };
}
