import { setTimeout as delay } from "node:timers/promises";

/** Time as every room but the pure ones knows it: real, or the simulator's virtual one. */
export interface Clock {
  /** Monotonic. */
  nowMs(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Wall time. `nowMs` is monotonic and starts near zero, so differences are all it is good for. */
export const realClock: Clock = {
  nowMs: () => performance.now(),
  async sleep(ms, signal) {
    await delay(ms, undefined, signal ? { signal } : {});
  },
};
