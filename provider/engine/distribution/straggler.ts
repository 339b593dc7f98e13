import { expectedRates, storeRate, type Topology } from "../../scheduler";
import type { BookedTransfer } from "./sourceBook";
import { Refeeder } from "./refeeder";

/** A laggard is worth starting anew when its rest would take this many times what other copies took. */
const RESTART_GAIN = 2;
/** Copies younger than this, start-up (helpers, NBD connect) included, are not judged. */
const GRACE_SECONDS = 3;
/** One without a byte is starting for so long: what that takes is known only from experience. */
const PATIENCE_SECONDS = 10;

/** How much of the past counts at each look. */
const MEMORY = 0.5;

/** How often lagging is looked for in the time that one copy ideally takes; and not more often than that. */
const LOOKS_PER_COPY = 10;
const LEAST_PACE_SECONDS = 1;
/** A copy is looked at when others are due, too, where this part of its own time has passed. */
const LEAST_PACE = 0.5;

interface Account {
  expectedBytes: number;
  activeSeconds: number;
  /** When its recent past was last brought up to date: each copy at its own pace. */
  lookedAtSeconds: number;
  /** Expected since then. */
  newlyExpected: number;
  /** Of late. */
  recentExpected: number;
  recentDone: number;
  /** The most of what was expected that it reached at any look, at most all of it: looks are coarse. */
  best: number;
  seenBytes: number;
}

/**
 * Tells copies that lag from copies that merely share. Each copy's expectation is the time integral of its
 * max-min fair rate among the copies that run. Since declared rates may be far from the truth, a copy is held against
 * the other copies' achievement rather than against the declared rate alone.
 */
export class StragglerWatch {
  private readonly accounts = new Map<BookedTransfer, Account>();
  /** Achievement (bytes done / bytes expected) of the copies that ended lately. */
  private readonly finished: Record<Way, number[]> = { network: [], local: [] };
  /** Seconds that copies took which did not lag. */
  private readonly durations: number[] = [];
  private atSeconds: number | undefined;

  /**
   * @param copyBytes what one copy moves
   * @param factor a copy straggles when its share of what was expected of it is below this part of the others' share
   */
  constructor(private readonly topology: Topology, private readonly copyBytes: number, private readonly factor: number) {}

  /**
   * Advances the books to `nowSeconds` and sets every transfer's `straggling`. Call from time to time. @returns whether any flag changed
   */
  update(transfers: readonly BookedTransfer[], nowSeconds: number): boolean {
    const elapsed = nowSeconds - (this.atSeconds ?? nowSeconds);
    this.atSeconds = nowSeconds;
    if (elapsed > 0) this.accrue(transfers, nowSeconds, elapsed);
    let changed = false;
    const references = { network: this.reference(transfers, "network"), local: this.reference(transfers, "local") };
    for (const transfer of transfers) {
      const reference = references[wayOf(transfer)];
      const account = this.accounts.get(transfer);
      const lags = account !== undefined && reference !== undefined && isMoving(transfer) && account.activeSeconds > GRACE_SECONDS &&
        recentAchievement(account) < this.factor * reference && !Refeeder.followsItsSource(transfer);
      if (lags !== transfer.straggling) {
        transfer.straggling = lags;
        changed = true;
      }
    }
    return changed;
  }

  /**
   * How often lagging is to be looked for in this copy: a tenth of what it ideally takes, since it moves in steps. One
   * that reads from an arriving copy is as slow as that.
   */
  paceSeconds(transfer: BookedTransfer): number {
    const { hosts } = this.topology;
    const { sourceHost, targetHost, from } = transfer;
    if (from.arrival && sourceHost === targetHost) return this.paceSeconds(from.arrival);
    const ends = sourceHost === targetHost || sourceHost < 0 ? [hosts[targetHost]!] : [hosts[sourceHost]!, hosts[targetHost]!];
    const slowest = Math.min(...ends.map(({ index, nicBytesPerSecond }) => (
      Math.min(storeRate(this.topology, index), ends.length === 1 ? Infinity : nicBytesPerSecond))));
    return Math.max(LEAST_PACE_SECONDS, this.copyBytes / slowest / LOOKS_PER_COPY);
  }

  /** Waiting for it would take much longer than making the copy anew from another source. */
  isHopeless(transfer: BookedTransfer, nowSeconds: number): boolean {
    if (!transfer.straggling || this.durations.length === 0) return false;
    const bytesPerSecond = transfer.bytesDone / (nowSeconds - transfer.startedAtSeconds);
    const restSeconds = (this.copyBytes - transfer.bytesDone) / bytesPerSecond;
    return restSeconds > RESTART_GAIN * Math.max(...this.durations);
  }

  ended(transfer: BookedTransfer, whole: boolean, nowSeconds: number): void {
    const account = this.accounts.get(transfer);
    this.accounts.delete(transfer);
    if (whole && !transfer.straggling) keepLatest(this.durations, nowSeconds - transfer.startedAtSeconds);
    if (!whole || !account || account.expectedBytes <= 0) return;
    keepLatest(this.finished[wayOf(transfer)], achievement(transfer, account));
  }

  private accrue(all: readonly BookedTransfer[], now: number, elapsed: number): void {
    const transfers = all.filter(isMoving);
    const position = new Map(transfers.map((transfer, index) => [transfer, index]));
    const upstreams = transfers.map(({ from }) => from.arrival && position.get(from.arrival));
    const rates = expectedRates(this.topology, transfers, upstreams);
    transfers.forEach((transfer, index) => {
      const account = this.accounts.get(transfer) ?? {
        expectedBytes: 0, activeSeconds: 0, lookedAtSeconds: transfer.startedAtSeconds, newlyExpected: 0, recentExpected: 0, recentDone: 0, best: 0, seenBytes: 0,
      };
      this.accounts.set(transfer, account);
      const startupSeconds = this.topology.startupSeconds + (transfer.bytesDone === 0 ? PATIENCE_SECONDS : 0);
      const active = Math.min(elapsed, Math.max(0, now - transfer.startedAtSeconds - startupSeconds));
      account.activeSeconds += active;
      const expected = Number.isFinite(rates[index]!) ? active * rates[index]! : 0;
      account.expectedBytes += expected;
      account.newlyExpected += expected;
      if (now - account.lookedAtSeconds < LEAST_PACE * this.paceSeconds(transfer)) return;
      account.lookedAtSeconds = now;
      account.recentExpected = MEMORY * account.recentExpected + account.newlyExpected;
      account.newlyExpected = 0;
      account.recentDone = MEMORY * account.recentDone + transfer.bytesDone - account.seenBytes;
      account.seenBytes = transfer.bytesDone;
      if (account.activeSeconds > GRACE_SECONDS / 2) account.best = Math.max(account.best, Math.min(1, recentAchievement(account)));
    });
  }

  /**
   * What copies on this way reach: the median of the best of each; undefined with nobody to compare with. Copies that follow a relay
   * show what it reaches, not what they could, so those that follow nobody count for themselves as well.
   */
  private reference(transfers: readonly BookedTransfer[], way: Way): number | undefined {
    const all = [...this.finished[way]];
    const leading = [...this.finished[way]];
    for (const transfer of transfers) {
      const account = this.accounts.get(transfer);
      if (wayOf(transfer) !== way || !account || account.activeSeconds <= GRACE_SECONDS) continue;
      all.push(account.best);
      if (!Refeeder.followsItsSource(transfer)) leading.push(account.best);
    }
    const medians = [all, leading].filter((values) => values.length > 1).map(median);
    return medians.length > 0 ? Math.max(...medians) : undefined;
  }
}

/** Disks may be as fast as declared and NICs not: copies within a host say nothing about those between hosts. */
type Way = "network" | "local";

const wayOf = ({ sourceHost, targetHost }: BookedTransfer): Way => (sourceHost === targetHost ? "local" : "network");

/** It has a source and lacks bytes. */
const isMoving = ({ lost, done }: BookedTransfer): boolean => !lost && done < 1;

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

function achievement(transfer: BookedTransfer, account: Account): number {
  return account.expectedBytes > 0 ? transfer.bytesDone / account.expectedBytes : 1;
}

const recentAchievement = ({ recentExpected, recentDone }: Account): number =>
  recentExpected > 0 ? recentDone / recentExpected : 1;

/** The past says little about now: 32 values are enough. */
function keepLatest(values: number[], value: number): void {
  values.push(value);
  if (values.length > 32) values.shift();
}
