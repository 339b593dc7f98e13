import type { PooledTransfer, SourcePool } from "./pool";
import type { Clock, CloneTrace } from "./types";

/** What was copied from where to where and when; the summary's numbers come from here. */
export class TransferLog {
  readonly traces: CloneTrace[] = [];
  /** Over the network. */
  bytesMoved = 0;
  bytesAcrossRacks = 0;
  private readonly zeroMs: number;
  private firstSeconds: number | undefined;
  private lastSeconds = 0;

  constructor(private readonly clock: Clock, private readonly pool: SourcePool) {
    this.zeroMs = clock.nowMs();
  }

  /** Since the run began to make copies. */
  nowSeconds(): number {
    return (this.clock.nowMs() - this.zeroMs) / 1000;
  }

  /** Members are being made from now on, even where nothing has to be copied for them. */
  begun(): void {
    this.firstSeconds ??= this.nowSeconds();
    this.ready();
  }

  copied(transfer: PooledTransfer, label: string, bytesMoved: number): void {
    const { hosts } = this.pool.topology;
    const from = hosts[transfer.sourceHost]!;
    const to = hosts[transfer.targetHost]!;
    this.record(label, transfer.from.label, from.name, to.name, transfer.startedAtSeconds);
    if (from.index === to.index) return;
    this.bytesMoved += bytesMoved;
    if (from.rack !== to.rack) this.bytesAcrossRacks += bytesMoved;
  }

  /** A local file's way to its first host. */
  uploaded(label: string, targetHost: string, startSeconds: number, bytesMoved: number): void {
    this.record(label, "template", "local", targetHost, startSeconds);
    this.bytesMoved += bytesMoved;
  }

  /** A member is ready. */
  ready(): void {
    this.lastSeconds = Math.max(this.lastSeconds, this.nowSeconds());
  }

  /** From the first byte to the last member ready; 0 when nothing was made. */
  get makespanSeconds(): number {
    return this.firstSeconds === undefined ? 0 : Math.max(0, this.lastSeconds - this.firstSeconds);
  }

  private record(slot: string, source: string, sourceHost: string, targetHost: string, startSeconds: number): void {
    this.firstSeconds = Math.min(this.firstSeconds ?? startSeconds, startSeconds);
    this.traces.push({ slot, source, sourceHost, targetHost, startSeconds, endSeconds: this.nowSeconds() });
    this.ready();
  }
}
