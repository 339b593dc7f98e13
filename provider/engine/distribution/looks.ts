import { linkSignals, type LinkedSignal } from "../../async/abort";
import type { RunContext } from "../run/context";

/**
 * Looks again and again while there is anything to look at, at the pace that was asked for last: what was about to
 * wait for long waits no longer when something quicker begins.
 */
export class Looks {
  private looking: LinkedSignal | undefined;
  private sleeping: LinkedSignal | undefined;
  private nextMs = Infinity;

  /** @param everyMs how long until the next look, as things are now */
  constructor(private readonly context: RunContext, private readonly everyMs: () => number, private readonly look: () => void) {}

  /** There is something more to look at. @param withinMs how soon */
  begun(withinMs: number): void {
    if (!this.looking) return this.start();
    if (this.context.clock.nowMs() + withinMs < this.nextMs) this.sleeping?.abort(new Error("sooner"));
  }

  /** There is nothing any more. */
  ended(): void {
    this.looking?.abort(new Error("nothing is being copied"));
    this.looking = undefined;
  }

  private start(): void {
    const looking = this.looking = linkSignals(this.context.signal);
    this.context.tasks.start(async () => {
      const { clock } = this.context;
      while (!looking.signal.aborted) {
        const sleeping = this.sleeping = linkSignals(looking.signal);
        this.nextMs = clock.nowMs() + this.everyMs();
        const isDue = await clock.sleep(this.nextMs - clock.nowMs(), sleeping.signal).then(() => true, () => false);
        sleeping.unlink();
        if (isDue && !looking.signal.aborted) this.look();
      }
      looking.unlink();
    });
  }
}
