import type { Clock } from "./clock";

/** The promise's value, or undefined where that takes longer; what was waited for goes on. @throws what the promise throws in time */
export async function within<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T | undefined> {
  let cancel = (): void => undefined;
  const late = new Promise<undefined>((resolve) => { cancel = clock.after(ms, () => resolve(undefined)); });
  try {
    return await Promise.race([promise, late]);
  } finally {
    cancel();
  }
}
