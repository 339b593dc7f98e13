import type { CloneResult } from "../hypervisors/hypervisor";
import type { PooledTransfer, SourcePool } from "./pool";
import type { Clock, CloneTrace } from "./types";

/** What was copied from where to where and when; the summary's numbers come from here. */
export class TransferLog {
  readonly traces: CloneTrace[] = [];
  /** Over the network. */
  bytesMoved = 0;
  bytesAcrossRacks = 0;
  /** Of bytesMoved, what had arrived before. */
  bytesResent = 0;
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

  copied(transfer: PooledTransfer, label: string, { bytesMoved, bytesResent = 0 }: CloneResult): void {
    const { hosts } = this.pool.topology;
    const { earlier, from, targetHost } = transfer;
    const replaced = earlier.map((e) => ({ source: e.from.label, sourceHost: e.from.hostName, untilSeconds: e.untilSeconds }));
    this.record(label, from.label, from.hostName, hosts[targetHost]!.name, transfer.startedAtSeconds, replaced);
    this.bytesResent += bytesResent;
    let left = bytesMoved;
    const passed = (host: number, bytes: number): void => {
      if (host === targetHost) return;
      left -= bytes;
      this.bytesMoved += bytes;
      if (hosts[host]!.rack !== hosts[targetHost]!.rack) this.bytesAcrossRacks += bytes;
    };
    for (const e of earlier) passed(e.from.host, Math.min(e.bytes, left));
    passed(from.host, left);
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

  private record(
    slot: string, source: string, sourceHost: string, targetHost: string, startSeconds: number, replaced: CloneTrace["replaced"] = [],
  ): void {
    this.firstSeconds = Math.min(this.firstSeconds ?? startSeconds, startSeconds);
    this.traces.push({ slot, source, sourceHost, targetHost, startSeconds, endSeconds: this.nowSeconds(), ...(replaced.length > 0 && { replaced }) });
    this.ready();
  }
}
