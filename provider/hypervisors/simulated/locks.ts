import type { FleetLock, LockRequest } from "../hypervisor";
import { LockTimeoutError } from "../hypervisor";
import type { VirtualClock } from "./clock";

interface Held {
  holder: string;
  lost: AbortController;
  waiters: (() => void)[];
}

/** One run per fleet, in memory. */
export class Locks {
  private readonly held = new Map<string, Held>();

  constructor(private readonly clock: VirtualClock) {}

  /** @param answers whether a host does, by name: silent ones are passed over */
  async acquire(request: LockRequest, answers: (host: string) => boolean): Promise<FleetLock> {
    const { fleetId, signal } = request;
    const startMs = this.clock.nowMs();
    for (let other = this.held.get(fleetId); other; other = this.held.get(fleetId)) {
      signal?.throwIfAborted();
      const leftMs = startMs + request.timeoutMs - this.clock.nowMs();
      if (leftMs <= 0) {
        throw new LockTimeoutError(fleetId, request.hosts[0]?.name ?? "", other.holder, request.timeoutMs);
      }
      request.onWait?.(other.holder);
      await this.released(other, leftMs, signal);
    }
    const mine: Held = { holder: request.holder, lost: new AbortController(), waiters: [] };
    this.held.set(fleetId, mine);
    const release = async (): Promise<void> => {
      if (this.held.get(fleetId) !== mine) return;
      this.held.delete(fleetId);
      for (const wake of mine.waiters) wake();
    };
    return { release, lost: mine.lost.signal, lockedHosts: request.hosts.map((host) => host.name).filter(answers) };
  }

  loseAll(): void {
    for (const [fleetId, held] of [...this.held]) {
      this.held.delete(fleetId);
      held.lost.abort(new Error(`the lock of fleet ${fleetId} was lost`));
      for (const wake of held.waiters) wake();
    }
  }

  private async released(other: Held, leftMs: number, signal: AbortSignal | undefined): Promise<void> {
    const done = new AbortController();
    const stop = signal ? AbortSignal.any([signal, done.signal]) : done.signal;
    const timeout = this.clock.sleep(leftMs, stop).catch(() => signal?.throwIfAborted());
    await Promise.race([timeout, new Promise<void>((resolve) => other.waiters.push(resolve))]);
    done.abort();
  }
}
