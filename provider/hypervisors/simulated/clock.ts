import { sleepBy, type Clock } from "../../async/clock";
import { Heap } from "../../heap";

interface Timer {
  atMs: number;
  order: number;
  fire: () => void;
  /** Does not by itself make time pass: faults and progress reports. */
  daemon: boolean;
  cancelled: boolean;
}

/** Something whose next event moves with every change, so that it is asked instead of setting timers. */
export interface EventSource {
  /** Infinity: nothing to come. */
  nextMs(): number;
  advanceTo(nowMs: number): void;
}

/**
 * Time that passes only when nobody has anything left to do at the present instant: the clock moves to the next timer
 * or event after all microtasks and one round of `setImmediate` are done. So the engine that runs against real hosts
 * runs here unchanged, in no time. It must wait on nothing but this clock and the simulated hypervisor.
 *
 * `sleep(0)` resolves at the same instant, after all that is due now has happened and been reacted to.
 */
export class VirtualClock implements Clock {
  private readonly timers = new Heap<Timer>((a, b) => (a.atMs !== b.atMs ? a.atMs < b.atMs : a.order < b.order));
  private readonly sources: EventSource[] = [];
  private currentMs = 0;
  private order = 0;
  private waiting = 0;
  private pumping = false;

  nowMs(): number {
    return this.currentMs;
  }

  /** Rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepBy(this, ms, signal);
  }

  after(ms: number, act: () => void, isDaemon = false): () => void {
    return this.at(this.currentMs + Math.max(0, ms), act, { daemon: isDaemon });
  }

  /**
   * Calls `fire` at that time. A daemon timer fires only if something else makes time pass.
   * @returns cancels it
   */
  at(atMs: number, fire: () => void, options: { daemon?: boolean } = {}): () => void {
    const timer: Timer = {
      atMs: Math.max(atMs, this.currentMs), order: this.order++, fire, daemon: options.daemon ?? false, cancelled: false,
    };
    this.timers.push(timer);
    if (!timer.daemon) this.waiting++;
    this.kick();
    return () => {
      if (timer.cancelled) return;
      timer.cancelled = true;
      if (!timer.daemon) this.waiting--;
    };
  }

  /** Call kick() when the source has a new event. */
  addSource(source: EventSource): void {
    this.sources.push(source);
  }

  kick(): void {
    if (this.pumping) return;
    this.pumping = true;
    // Twice: what reacts to this instant may itself wait for one setImmediate.
    setImmediate(() => setImmediate(() => this.pump()));
  }

  private pump(): void {
    this.pumping = false;
    let eventMs = Infinity;
    for (const source of this.sources) eventMs = Math.min(eventMs, source.nextMs());
    if (eventMs === Infinity && this.waiting === 0) return;
    const nextMs = Math.min(eventMs, this.nextTimerMs());
    this.currentMs = Math.max(this.currentMs, nextMs);
    const due: Timer[] = [];
    while (this.nextTimerMs() <= this.currentMs) {
      const timer = this.timers.pop()!;
      due.push(timer);
    }
    for (const source of this.sources) source.advanceTo(this.currentMs);
    for (const timer of due) {
      if (timer.cancelled) continue;
      timer.cancelled = true;
      if (!timer.daemon) this.waiting--;
      timer.fire();
    }
    this.kick();
  }

  private nextTimerMs(): number {
    for (let top = this.timers.peek(); top; top = this.timers.peek()) {
      if (!top.cancelled) return top.atMs;
      this.timers.pop();
    }
    return Infinity;
  }
}
