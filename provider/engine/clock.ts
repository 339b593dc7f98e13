import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "./types";

/** Wall time. `nowMs` is monotonic and starts near zero, so differences are all it is good for. */
export const realClock: Clock = {
  nowMs: () => performance.now(),
  async sleep(ms, signal) {
    await delay(ms, undefined, signal ? { signal } : {});
  },
};
