/** At most `limit` things at once, in the order they asked. */
export class Limiter {
  private running = 0;
  /** In the order they asked; `undefined` gave up. The first `admitted` of them are through. */
  private waiting: ((() => void) | undefined)[] = [];
  private admitted = 0;

  /** @param limit at least 1 */
  constructor(private readonly limit: number) {
    if (!(limit >= 1)) throw new RangeError(`Expected \`limit\` to be at least 1, got ${limit}`);
  }

  /**
   * Runs `task` when there is room.
   * @throws what `task` throws; the signal's reason when it aborted while the task still waited (it then never runs).
   */
  async run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.enter(signal);
    try {
      return await task();
    } finally {
      this.leave();
    }
  }

  private async enter(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.running < this.limit) {
      this.running++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const admit = () => {
        signal?.removeEventListener("abort", giveUp);
        resolve();
      };
      const giveUp = () => {
        this.waiting[this.waiting.indexOf(admit)] = undefined;
        reject(signal!.reason);
      };
      this.waiting.push(admit);
      signal?.addEventListener("abort", giveUp, { once: true });
    });
  }

  /** The place is handed on rather than given back, so nobody can slip in between. */
  private leave(): void {
    while (this.admitted < this.waiting.length) {
      const next = this.waiting[this.admitted++];
      // Taking from the front of a long array would move all of it each time.
      if (this.admitted > 1000 && this.admitted > this.waiting.length / 2) {
        this.waiting = this.waiting.slice(this.admitted);
        this.admitted = 0;
      }
      if (next) return next();
    }
    this.running--;
  }
}
