import { sleepBy, type Clock } from "../provider/async/clock";

/** Time that passes when a test says so: for what waits on sockets, too, where a virtual clock would run ahead. */
export class ManualClock implements Clock {
  private currentMs = 0;
  private readonly timers = new Set<{ atMs: number; act: () => void }>();

  nowMs(): number {
    return this.currentMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepBy(this, ms, signal);
  }

  after(ms: number, act: () => void): () => void {
    const timer = { atMs: this.currentMs + ms, act };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  /** What is due by then happens in order, each thing at its own time. */
  advance(ms: number): void {
    const untilMs = this.currentMs + ms;
    for (;;) {
      const [next] = [...this.timers].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
      if (!next) break;
      this.timers.delete(next);
      this.currentMs = next.atMs;
      next.act();
    }
    this.currentMs = untilMs;
  }
}
