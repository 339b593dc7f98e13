import type { Clock } from "../../../async/clock";
import type { Copy } from "./copies";

/** What a copy still takes while guests of its host wait for their reads, and for how long at most in all. */
const BYTES_PER_SECOND = 512 << 10;
const MAX_MS = 30_000;

/** What a guest waits for comes before what it may want later; but not for ever. */
export class Yielding {
  private is = false;
  private forMs = 0;
  private lookedAtMs = 0;

  constructor(private readonly copy: Pick<Copy, "isYielding">, private readonly clock: Clock) {}

  /** Whether the copy is slow on purpose from now on. @param setSpeed called where that changed; 0: as fast as it goes */
  async look(setSpeed: (bytesPerSecond: number) => Promise<void>): Promise<boolean> {
    const nowMs = this.clock.nowMs();
    if (this.is) this.forMs += nowMs - this.lookedAtMs;
    this.lookedAtMs = nowMs;
    const is = this.copy.isYielding && this.forMs < MAX_MS;
    if (is !== this.is) {
      this.is = is;
      await setSpeed(is ? BYTES_PER_SECOND : 0);
    }
    return is;
  }

  /** The pull began anew, at full speed. */
  reset(): void {
    this.is = false;
  }
}
