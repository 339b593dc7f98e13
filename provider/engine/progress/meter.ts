import type { Clock } from "../../async/clock";
import type { Phase, Progress, ProgressSink } from "../types";

/** The rate is what arrived over this much of the past. */
const WINDOW_MS = 5000;
/** Samples closer than this tell nothing new. */
const SAMPLE_MS = 50;

/** Adds up what every transfer reports into one live line: members, bytes, rate, time left. */
export class ProgressMeter {
  private phase: Phase = "lock";
  private membersDone = 0;
  private membersTotal = 0;
  private finishedBytes = 0;
  private plannedBytes = 0;
  private readonly inFlight = new Map<object, number>();
  private inFlightBytes = 0;
  /** Oldest first; the first one is at or before the window's start. */
  private readonly samples: { atMs: number; bytes: number }[] = [];

  constructor(private readonly clock: Clock, private readonly sink: ProgressSink | undefined) {}

  /**
   * @param standing members that need nothing
   * @param plannedBytes of all base images to be made
   */
  plan(standing: number, membersTotal: number, plannedBytes: number): void {
    this.membersDone = standing;
    this.membersTotal = membersTotal;
    this.plannedBytes = plannedBytes;
  }

  enter(phase: Phase, note?: string): void {
    this.phase = phase;
    this.emit(note);
  }

  enterOnce(phase: Phase): void {
    if (this.phase !== phase) this.enter(phase);
  }

  memberDone(note: string): void {
    this.membersDone++;
    this.emit(note);
  }

  moved(transfer: object, bytes: number): void {
    if (!this.sink) return;
    const before = this.inFlight.get(transfer) ?? 0;
    if (bytes <= before) return;
    this.inFlight.set(transfer, bytes);
    this.inFlightBytes += bytes - before;
    this.emit();
  }

  /** @param whole false: the copy failed and its bytes must be moved again */
  ended(transfer: object, whole: boolean): void {
    const bytes = this.inFlight.get(transfer) ?? 0;
    this.inFlight.delete(transfer);
    this.inFlightBytes -= bytes;
    if (whole) this.finishedBytes += bytes;
    else this.samples.length = 0; // bytes went backwards: no rate over that edge
  }

  emit(note?: string): void {
    if (!this.sink) return;
    const bytesDone = this.finishedBytes + this.inFlightBytes;
    const bytesPerSecond = this.rate(bytesDone);
    const left = Math.max(0, this.plannedBytes - bytesDone);
    const progress: Progress = {
      phase: this.phase,
      membersDone: this.membersDone,
      membersTotal: this.membersTotal,
      bytesDone,
      bytesTotal: Math.max(this.plannedBytes, bytesDone),
      bytesPerSecond,
    };
    if (bytesPerSecond > 0) progress.etaSeconds = left / bytesPerSecond;
    if (note !== undefined) progress.note = note;
    this.sink(progress);
  }

  private rate(bytes: number): number {
    const now = this.clock.nowMs();
    const newest = this.samples.at(-1);
    if (!newest || now - newest.atMs >= SAMPLE_MS) this.samples.push({ atMs: now, bytes });
    while (this.samples.length > 2 && this.samples[1]!.atMs <= now - WINDOW_MS) this.samples.shift();
    const first = this.samples[0]!;
    return now > first.atMs ? ((bytes - first.bytes) / (now - first.atMs)) * 1000 : 0;
  }
}
