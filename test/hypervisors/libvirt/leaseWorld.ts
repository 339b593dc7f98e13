/**
 * One host's daemon and several runs that want its lock, on a time of their own. Requests and answers are late by chance,
 * are done and yet fail, or are lost; processes stand still and go on with what came meanwhile; machines sleep; daemons
 * drop connections, and die and forget them.
 */
import { Lease, takeLock, type LockHost, type LockTime, type Sight } from "../../../provider/hypervisors/libvirt/connection/lease";

export interface Disturbance {
  atMs: number;
  forMs: number;
  /** pause: SIGSTOP; sleep: of its machine; drop: the daemon lets its connection go; slow: its calls; crash: the daemon. */
  kind: "pause" | "sleep" | "drop" | "slow" | "crash";
  run: number;
}

/** What a broken protocol would do: the world must catch it. */
export interface Faults {
  /** A waiter removes whatever bears the name. */
  removesByName?: boolean;
  /** A holder that was silent for long goes on. */
  holdsForEver?: boolean;
}

interface Connection {
  open: boolean;
}
interface Lock {
  id: string;
  holder: string;
  beat: string;
  connection: Connection | null;
}
type Handle = { id: string; connection: Connection };

const ANSWER_WITHIN_MS = 30_000;
/** A call that was sent while its holder might send it is done this much later at most: half a term, nearly. */
const ACT_WITHIN_MS = 14_000;
/** Turns that a chain of promises takes at most between two events. */
const TICKS = 12;

export class LeaseWorld {
  nowMs = 0;
  private readonly events: { atMs: number; order: number; go(): void }[] = [];
  private order = 0;
  private ids = 0;
  lock: Lock | null = null;
  readonly runs: Run[] = [];
  taken = 0;
  acts = 0;
  /** Leases that were lost, and why. */
  readonly lost: string[] = [];
  readonly broken: string[] = [];

  constructor(readonly random: () => number, readonly faults: Faults = {}) {}

  at(afterMs: number, go: () => void): void {
    this.events.push({ atMs: this.nowMs + afterMs, order: this.order++, go });
  }

  async play(untilMs: number): Promise<void> {
    for (;;) {
      for (let i = 0; i < TICKS; i++) await null;
      let next = -1;
      for (let i = 0; i < this.events.length; i++) {
        const a = this.events[i]!;
        const b = this.events[next];
        if (!b || a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)) next = i;
      }
      if (next < 0 || this.events[next]!.atMs > untilMs) return;
      const [event] = this.events.splice(next, 1);
      this.nowMs = event!.atMs;
      event!.go();
    }
  }

  disturb({ atMs, forMs, kind, run }: Disturbance): void {
    this.at(atMs, () => {
      const one = this.runs[run % this.runs.length]!;
      if (kind === "pause") one.pause(forMs, false);
      else if (kind === "sleep") one.pause(forMs, true);
      else if (kind === "slow") one.slowUntilMs = this.nowMs + forMs;
      else if (kind === "drop") this.drop(one.connection, true);
      else for (const each of this.runs) this.drop(each.connection, false);
    });
  }

  /** A daemon that lets a connection go ends what was started over it; one that dies forgets. */
  drop(connection: Connection, ends: boolean): void {
    connection.open = false;
    if (this.lock?.connection === connection) {
      if (ends) this.lock = null;
      else this.lock.connection = null;
    }
  }

  newId(): string {
    return `lock${this.ids++}`;
  }

  /** Somebody did something to the host: nobody else may believe at this moment that it is his. */
  acted(by: Run): void {
    this.acts++;
    for (const other of this.runs) {
      if (other !== by && other.believes()) this.broken.push(`${this.nowMs}: ${by.name} acts while ${other.name} holds the lock`);
    }
  }
}

export class Run {
  connection: Connection = { open: true };
  slowUntilMs = 0;
  private awakeAtMs = 0;
  private asleepMs = 0;
  private backlog: (() => void)[] = [];
  private lease: Lease | undefined;
  private readonly rate: number;
  private readonly startMs: number;

  constructor(private readonly world: LeaseWorld, readonly name: string) {
    this.rate = 0.999 + 0.002 * world.random();
    this.startMs = 1e6 * world.random();
    world.runs.push(this);
  }

  readonly time: LockTime = {
    nowMs: () => this.startMs + (this.world.nowMs - this.asleepMs) * this.rate,
    nowWithSleepMs: () => this.startMs + this.world.nowMs * this.rate,
    sleep: (ms) => new Promise((resolve) => this.world.at(ms, () => this.deliver(resolve))),
  };

  pause(forMs: number, asleep: boolean): void {
    const untilMs = this.world.nowMs + forMs;
    if (asleep) this.asleepMs += Math.max(0, untilMs - Math.max(this.world.nowMs, this.awakeAtMs));
    this.awakeAtMs = Math.max(this.awakeAtMs, untilMs);
    this.world.at(forMs, () => this.wake());
  }
  private get isAwake(): boolean {
    return this.world.nowMs >= this.awakeAtMs;
  }
  /** What came meanwhile comes at once, in any order. */
  private wake(): void {
    if (!this.isAwake) return;
    const all = this.backlog.splice(0);
    while (all.length > 0) all.splice(Math.floor(this.world.random() * all.length), 1)[0]!();
  }
  private deliver(go: () => void): void {
    if (this.isAwake) go();
    else this.backlog.push(go);
  }

  believes(): boolean {
    if (!this.isAwake || !this.connection.open || !this.lease) return false;
    try {
      this.check();
      return true;
    } catch {
      return false;
    }
  }
  private check(): void {
    if (this.world.faults.holdsForEver) {
      if (this.lease?.isLost) throw new Error("lost");
    } else this.lease?.check();
  }

  private delayMs(): number {
    const { random } = this.world;
    const slow = this.world.nowMs < this.slowUntilMs;
    return random() < 0.9 ? 1 + random() * (slow ? 8_000 : 30) : random() * (slow ? 60_000 : 2_000);
  }

  /** One call: it may be done late, or its answer get lost. */
  private call<T>(body: (connection: Connection) => T, lateMs = this.delayMs()): Promise<T> {
    const { connection, world } = this;
    const backMs = this.delayMs();
    const answered = world.nowMs >= this.slowUntilMs || world.random() < 0.9;
    return new Promise<T>((resolve, reject) => {
      const late = (): void => world.at(ANSWER_WITHIN_MS, () => this.deliver(() => reject(new Error("no answer"))));
      if (!answered || lateMs + backMs > ANSWER_WITHIN_MS) late();
      world.at(lateMs, () => {
        if (!connection.open) {
          world.at(backMs, () => this.deliver(() => reject(new Error("connection lost"))));
          return;
        }
        const result = body(connection);
        if (answered) world.at(backMs, () => this.deliver(() => resolve(result)));
      });
    });
  }

  private readonly host: LockHost<Handle> = {
    make: () => this.call((connection) => {
      const { world } = this;
      if (world.lock) return { taken: new Error("taken") };
      world.lock = { id: world.newId(), holder: this.name, beat: "0", connection };
      return { lock: { id: world.lock.id, connection } };
    }),
    look: () => this.call((): Sight | null => this.world.lock && { id: this.world.lock.id, holder: this.world.lock.holder, ours: true, beat: this.world.lock.beat }),
    beat: ({ id }, beat) => this.call(() => {
      if (this.world.lock?.id !== id) return false;
      this.world.lock.beat = beat;
      return true;
    }),
    remove: (id) => this.call(() => {
      if (this.world.lock && (this.world.faults.removesByName || this.world.lock.id === id)) this.world.lock = null;
    }),
    idOf: ({ id }) => id,
  };

  /** A life: lock, work, let go, again; a run whose connection went begins anew with another. */
  async live(): Promise<void> {
    for (;;) {
      try {
        await this.once();
      } catch {
        const { connection } = this;
        this.world.at(this.delayMs(), () => this.world.drop(connection, true));
        this.connection = { open: true };
      }
      await this.time.sleep(200 * this.world.random());
    }
  }

  private async once(): Promise<void> {
    const waiting = { timeoutMs: 1e9, late: () => new Error("late") };
    const { lock, lease } = await takeLock(this.host, waiting, this.time, (reason) => this.world.lost.push(reason.message));
    this.world.taken++;
    this.lease = lease;
    const sent: Promise<unknown>[] = [];
    try {
      const ended = this.time.nowMs() + 40_000 * this.world.random();
      let beating = true;
      const beat = (): void => {
        if (!beating || lease.isLost) return;
        void lease.beat();
        void this.time.sleep(3_000).then(beat);
      };
      void this.time.sleep(3_000).then(beat);
      while (this.time.nowMs() < ended) {
        this.check();
        sent.push(this.call(() => this.world.acted(this), ACT_WITHIN_MS * this.world.random() ** 4).catch(() => undefined));
        await this.time.sleep(2_000 * this.world.random());
      }
      await Promise.all(sent); // nothing of a run's is under way when it gives its lock back
      beating = false;
    } finally {
      this.lease = undefined;
    }
    lease.end();
    if (lease.isLost) throw new Error("lost");
    await this.host.remove(lock.id);
  }
}
