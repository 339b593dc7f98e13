/**
 * What stands and passes at each host, kept up to date by whoever runs the copies, so that a decision about a few hosts
 * looks at those only: with 100,000 copies, looking at all of them at each of 100,000 events would take an hour.
 */
import { remainingAt, type HostCounts, type Source, type Transfer } from "./types";

export class HostIndex {
  private readonly touched = new Set<number>();
  private readonly sources = new Map<number, Set<Source>>();
  private readonly transfers = new Map<number, Set<Transfer>>();
  private readonly bare = new Set<number>();

  /** Hosts at which something began, ended or changed since `seen()`. */
  get changed(): ReadonlySet<number> {
    return this.touched;
  }

  sourcesAt(host: number): Iterable<Source> {
    return this.sources.get(host) ?? [];
  }

  /** Copies that read from the host or write to it. */
  transfersAt(host: number): ReadonlySet<Transfer> {
    return this.transfers.get(host) ?? NONE;
  }

  touch(host: number): void {
    if (host >= 0) this.touched.add(host);
  }

  addSource(source: Source): void {
    addTo(this.sources, source.host, source);
    this.touch(source.host);
  }

  removeSource(source: Source): void {
    this.sources.get(source.host)?.delete(source);
    this.touch(source.host);
  }

  begin(transfer: Transfer): void {
    for (const host of [transfer.sourceHost, transfer.targetHost]) {
      addTo(this.transfers, host, transfer);
      this.touch(host);
    }
  }

  end(transfer: Transfer): void {
    for (const host of [transfer.sourceHost, transfer.targetHost]) {
      this.transfers.get(host)?.delete(transfer);
      this.touch(host);
    }
  }

  /** Hosts that want a first base and have none on the way. */
  countBare(counts: HostCounts): number {
    for (const host of this.touched) {
      if (isBare(counts, this, host)) this.bare.add(host);
      else this.bare.delete(host);
    }
    return this.bare.size;
  }

  /** A policy has looked at the changes. */
  seen(): void {
    this.touched.clear();
  }
}

const NONE: ReadonlySet<Transfer> = new Set();

function isBare(counts: HostCounts, index: HostIndex, host: number): boolean {
  if (remainingAt(counts, host) === 0) return false;
  for (const source of index.sourcesAt(host)) if (!source.arriving) return false;
  for (const { targetHost, straggling } of index.transfersAt(host)) if (targetHost === host && !straggling) return false;
  return true;
}

function addTo<T>(map: Map<number, Set<T>>, host: number, item: T): void {
  const set = map.get(host);
  if (set) set.add(item);
  else map.set(host, new Set([item]));
}
