/** At most `limit` things at once, in the order they asked. */
export class Limiter {
  private running = 0;
  private readonly waiting: (() => void)[] = [];

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
        this.waiting.splice(this.waiting.indexOf(admit), 1);
        reject(signal!.reason);
      };
      this.waiting.push(admit);
      signal?.addEventListener("abort", giveUp, { once: true });
    });
  }

  /** The place is handed on rather than given back, so nobody can slip in between. */
  private leave(): void {
    const next = this.waiting.shift();
    if (next) next();
    else this.running--;
  }
}
