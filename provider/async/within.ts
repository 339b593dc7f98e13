import type { Clock } from "./clock";

/** The promise's value, or undefined where that takes longer; what was waited for goes on. @throws what the promise throws in time */
export async function within<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T | undefined> {
  const timer = new AbortController();
  try {
    return await Promise.race([promise, clock.sleep(ms, timer.signal).then(() => undefined)]);
  } finally {
    timer.abort();
  }
}
