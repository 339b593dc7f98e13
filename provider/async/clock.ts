import { setTimeout as delay } from "node:timers/promises";

/** Time as every room but the pure ones knows it: real, or the simulator's virtual one. */
export interface Clock {
  /** Monotonic. */
  nowMs(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /**
   * Calls back once.
   * @param isDaemon nothing waits for it: it keeps no process alive, and virtual time does not pass for it alone. @default false
   * @returns cancels it
   */
  after(ms: number, act: () => void, isDaemon?: boolean): () => void;
}

/** Wall time. `nowMs` is monotonic and starts near zero, so differences are all it is good for. */
export const realClock: Clock = {
  nowMs: () => performance.now(),
  async sleep(ms, signal) {
    await delay(ms, undefined, signal ? { signal } : {});
  },
  after(ms, act, isDaemon = false) {
    const timer = setTimeout(act, ms);
    if (isDaemon) timer.unref();
    return () => clearTimeout(timer);
  },
};

/** `sleep` of a clock that has `after`. Rejects with the signal's reason when aborted. */
export function sleepBy(clock: Pick<Clock, "after">, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = (): void => {
      cancel();
      reject(signal!.reason);
    };
    const cancel = clock.after(ms, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Calls back again and again, until it is cancelled; nothing waits for it. @returns cancels it */
export function every(clock: Clock, ms: number, act: () => void): () => void {
  let cancel = (): void => undefined;
  const next = (): void => {
    cancel = clock.after(ms, () => {
      next();
      act();
    }, true);
  };
  next();
  return () => cancel();
}
