import type { Clock } from "../../../async/clock";
import type { Helper } from "../helper/helper";

/** What a helper's sudden death costs at most. Each flush holds up those behind it for a moment. */
const EVERY_MS = 5_000;
/** Where a flush takes longer than this part of that, it comes less often. */
const SHARE = 1 / 200;
const MAX_EVERY_MS = 30_000;

/** When a helper writes out what it has. */
export class Flushing {
  private nextMs: number;

  constructor(private readonly clock: Clock) {
    this.nextMs = clock.nowMs() + EVERY_MS;
  }

  /** @throws when not all of it could be written */
  async look(helper: Helper): Promise<void> {
    const beganMs = this.clock.nowMs();
    if (beganMs <= this.nextMs) return;
    await helper.flush();
    const nowMs = this.clock.nowMs();
    this.nextMs = nowMs + Math.min(MAX_EVERY_MS, Math.max(EVERY_MS, (nowMs - beganMs) / SHARE));
  }
}
