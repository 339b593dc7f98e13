/**
 * A lock on one host that two never hold at once, whatever their clocks say (ADR 0071). Nobody compares times of day, and
 * nobody compares his clock with another's. A holder changes the lock's beat every BEAT_MS and counts, by his own clock,
 * from when he sent the last beat that was written: after half a term he may do nothing any more, for good. A waiter
 * counts, by his own clock, from when he first saw a beat: after a whole term unchanged, that very lock may be removed.
 * The holder's count began before the waiter's, so he has stopped half a term before anybody may follow him.
 */
import { LONG_CALL_MS } from "../rpc/protocol";

/** How often a holder shows that it lives. */
export const BEAT_MS = 3_000;
/** After this long without a new beat a lock is nobody's. */
export const TERM_MS = 10 * BEAT_MS;
/** After this long without a beat that was written its holder does nothing more. */
export const SILENCE_MS = TERM_MS / 2;
/** A lock that bears FIRST_BEAT is being made, and its maker holds nothing yet: making it may take this much longer, as the call does that starts it. */
export const MAKING_MS = LONG_CALL_MS;
export const FIRST_BEAT = "0";
const RETRY_MS = 500;
/** A name that is taken and, when looked at, free again: so often in a row is no accident. */
const MAX_MISSES = 20;

const termOf = (beat: string): number => (beat === FIRST_BEAT ? MAKING_MS + TERM_MS : TERM_MS);

/** Neither ever goes back, and neither is a time of day. */
export interface LockTime {
  /** Never runs faster than time does. It may stand still while this machine sleeps: a waiter's. */
  nowMs(): number;
  /** Runs on while this machine sleeps: a holder's. */
  nowWithSleepMs(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** What is seen of the lock. `id` is that of one lock and never of another; the name is the same for all. */
export interface Sight {
  id: string;
  holder: string;
  /** It is a lock of this fleet, which may be removed when it has gone silent. */
  ours: boolean;
  beat: string;
}

/** A host's side of it. Any call may be late, fail, or be done though it failed. */
export interface LockHost<Lock> {
  /** Makes the lock with FIRST_BEAT. `taken`: it failed, because the name is taken or for some such reason. */
  make(): Promise<{ lock: Lock } | { taken: Error }>;
  /** Null: none is there now. */
  look(): Promise<Sight | null>;
  /** False: that lock is gone. */
  beat(lock: Lock, beat: string): Promise<boolean>;
  /** That very lock, and no other of its name. */
  remove(id: string): Promise<void>;
  idOf(lock: Lock): string;
}

export interface Waiting {
  /** After this long the wait is over. */
  timeoutMs: number;
  signal?: AbortSignal;
  onWait?(holder: string): void;
  /** @returns what is thrown then */
  late(holder: string, waitedMs: number): Error;
}

/** A lock that is held. Once lost it stays lost, whatever its host says later. */
export class Lease {
  private reason: Error | undefined;
  private ended = false;
  private beats = 1;
  private underWay = false;

  /** @param writtenMs when the last beat that was written was sent, by `nowWithSleepMs` */
  constructor(
    private readonly time: LockTime, private writtenMs: number, private readonly write: (beat: string) => Promise<boolean>,
    private readonly onLost: (reason: Error) => void,
  ) {}

  /** @throws where the holder may do nothing any more: asked before anything is done */
  check(): void {
    const silentMs = this.time.nowWithSleepMs() - this.writtenMs;
    if (silentMs > SILENCE_MS) this.lose(new Error(`no sign of life could be left in the fleet's lock for ${Math.round(silentMs / 1000)} s, so it may be another run's`));
    if (this.reason) throw this.reason;
  }

  get isLost(): boolean {
    return this.reason !== undefined;
  }

  /** It is given back: what is heard of its lock from now on is no loss. */
  end(): void {
    this.ended = true;
  }

  lose(reason: Error): void {
    if (this.reason || this.ended) return;
    this.reason = reason;
    this.onLost(reason);
  }

  /** One sign of life, unless the last one is still on its way. Never throws. */
  async beat(): Promise<void> {
    if (this.underWay || this.isLost || this.ended) return;
    this.underWay = true;
    try {
      this.check();
      const sentMs = this.time.nowWithSleepMs();
      if (!(await this.write(String(++this.beats)))) this.lose(new Error("the fleet's lock on this host was taken away"));
      // Too late is never: the lock may have been given up as silent just before it was written.
      this.check();
      this.writtenMs = sentMs;
    } catch {
      // Not written, or lost. The next one is tried in time; if none can be written, the check says so.
    } finally {
      this.underWay = false;
    }
  }
}

/**
 * Waits until the lock is ours. One that shows no sign of life for its term is removed.
 * @throws what `late` gives; what the host throws
 */
export async function takeLock<Lock>(host: LockHost<Lock>, waiting: Waiting, time: LockTime, onLost: (reason: Error) => void): Promise<{ lock: Lock; lease: Lease }> {
  const startedMs = time.nowMs();
  let seen: (Sight & { sinceMs: number }) | undefined;
  for (let misses = 0; ;) {
    waiting.signal?.throwIfAborted();
    const sentMs = time.nowWithSleepMs();
    const made = await host.make();
    if ("lock" in made) {
      const lease = await claim(host, made.lock, sentMs, time, onLost);
      if (lease) return { lock: made.lock, lease };
    } else {
      const lookedMs = time.nowMs();
      const sight = await host.look();
      if (!sight && ++misses > MAX_MISSES) throw made.taken;
      if (sight) {
        misses = 0;
        if (seen?.id !== sight.id || seen.beat !== sight.beat) seen = { ...sight, sinceMs: time.nowMs() };
        waiting.onWait?.(sight.holder);
        if (seen.ours && lookedMs - seen.sinceMs >= termOf(seen.beat)) {
          await host.remove(seen.id);
          continue;
        }
      }
    }
    const waitedMs = time.nowMs() - startedMs;
    if (waitedMs > waiting.timeoutMs) throw waiting.late(seen?.holder ?? "unknown", waitedMs);
    if (!("lock" in made) && misses === 0) await time.sleep(RETRY_MS, waiting.signal);
  }
}

/** The first sign of life makes a lock that was made one that is held. Undefined: it came too late, or the lock is gone. */
async function claim<Lock>(host: LockHost<Lock>, lock: Lock, madeMs: number, time: LockTime, onLost: (reason: Error) => void): Promise<Lease | undefined> {
  const sentMs = time.nowWithSleepMs();
  let held = false;
  try {
    const written = await host.beat(lock, "1");
    const nowMs = time.nowWithSleepMs();
    held = written && nowMs - sentMs <= SILENCE_MS && nowMs - madeMs <= MAKING_MS + SILENCE_MS;
  } finally {
    if (!held) await host.remove(host.idOf(lock));
  }
  return held ? new Lease(time, sentMs, (beat) => host.beat(lock, beat), onLost) : undefined;
}
