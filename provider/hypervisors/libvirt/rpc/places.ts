import type { Clock } from "../../../async/clock";

/**
 * Places for calls in flight on one connection, and the line before them. The line keeps its order. Whoever waits in it
 * has a deadline, too: it counts from the last time that the line moved, so a long line that moves loses nobody, and one
 * that stands still lets everybody go with an error.
 */
export class Places {
  private taken = 0;
  private readonly line: { enter(): void; leave(error: Error): void; forget(): void }[] = [];
  private movedAt = -Infinity;

  constructor(private readonly count: number, private readonly clock: Clock) {}

  /** Takes a place, which `give` returns: at once, or when the promise resolves. `timeoutMs` 0: waits for ever. */
  take(timeoutMs: number, late: () => Error): Promise<void> | undefined {
    if (this.taken < this.count) {
      this.taken++;
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const waiter = { enter: resolve, leave: reject, forget: (): void => undefined };
      const since = this.clock.nowMs();
      const watch = (ms: number): void => {
        waiter.forget = this.clock.after(ms, () => {
          const left = Math.max(since, this.movedAt) + timeoutMs - this.clock.nowMs();
          if (left > 0) return watch(left);
          this.line.splice(this.line.indexOf(waiter), 1);
          reject(late());
        });
      };
      if (timeoutMs > 0) watch(timeoutMs);
      this.line.push(waiter);
    });
  }

  give(): void {
    this.movedAt = this.clock.nowMs();
    const next = this.line.shift();
    if (!next) {
      this.taken--;
      return;
    }
    next.forget();
    next.enter();
  }

  /** Sends everybody in the line away. */
  close(error: Error): void {
    for (const waiter of this.line.splice(0)) {
      waiter.forget();
      waiter.leave(error);
    }
  }
}
