import { HostIndex } from "./hostIndex";
import type { BookView } from "./policy";
import type { Image } from "../fleet/model";
import type { HostCounts, Source, Topology, Transfer } from "./types";

/** Place in its list in the book; -1: in none. Written by the book alone. */
interface Entry {
  position: number;
}
export type SourceEntry = Source & Entry;
export type TransferEntry = Transfer & Entry;

export interface CopyBookOptions {
  /** Copies under way at once over the whole fleet. */
  maxConcurrentClones: number;
  /** Copies under way are sources too. */
  relays: boolean;
  /** Bases wanted by host, those in `made` included. @default none */
  targets?: readonly number[];
  /** Bases that exist, by host. @default none */
  made?: readonly number[];
  /** Hosts that are neither source nor target. @default none */
  excluded?: readonly boolean[];
}

/**
 * The one set of books of a distribution: how many base images each host wants, has and is being sent, what can be
 * copied from, and what is being copied. The engine's real runs and the light simulation both keep it, policies read
 * its view, and nothing but its methods writes into it. It only counts; what to do is the policy's to say.
 */
export class CopyBook<S extends SourceEntry, T extends TransferEntry> {
  /** The state as of the last `at()`: shared, not copied. */
  readonly view: BookView;
  private readonly state: { nowSeconds: number; freeSlots: number };
  private readonly counts: { -readonly [K in keyof HostCounts]: HostCounts[K][number][] };
  private readonly index = new HostIndex();
  private readonly whole: S[] = [];
  private readonly relaying: S[] = [];
  private readonly moving: T[] = [];
  private readonly byId = new Map<number, S>();
  private nextId = 0;
  private wanted = 0;

  /** @param image what all its sources hold and its copies bring */
  constructor(readonly topology: Topology, readonly image: Image, private readonly options: CopyBookOptions) {
    const { targets, made, excluded, relays, maxConcurrentClones } = options;
    const zeros = () => topology.hosts.map(() => 0);
    this.counts = {
      targets: targets ? [...targets] : zeros(), made: made ? [...made] : zeros(), making: zeros(),
      excluded: excluded ? [...excluded] : topology.hosts.map(() => false),
    };
    const view = {
      nowSeconds: 0, freeSlots: maxConcurrentClones, topology, image, ...this.counts, index: this.index,
      sources: this.whole, transfers: this.moving, ...(relays && { arriving: this.relaying }),
    };
    this.state = view;
    this.view = view;
  }

  /** What can be copied from, whole. */
  get sources(): readonly S[] {
    return this.whole;
  }

  /** Copies under way that others may read from. */
  get arriving(): readonly S[] {
    return this.relaying;
  }

  get transfers(): readonly T[] {
    return this.moving;
  }

  /** The state now, for a policy. */
  at(nowSeconds: number): BookView {
    this.state.nowSeconds = nowSeconds;
    this.state.freeSlots = this.options.maxConcurrentClones - this.moving.length;
    return this.view;
  }

  /** An id that no source has had. */
  newId(): number {
    return this.nextId++;
  }

  /** The source, whole or arriving, that bears this id; undefined: it is none any more. */
  source(id: number): S | undefined {
    return this.byId.get(id);
  }

  /** A source from now on, whole or arriving as it says of itself. */
  enter(source: S): void {
    const list = source.arriving ? this.relaying : this.whole;
    source.position = list.length;
    list.push(source);
    this.byId.set(source.id, source);
    this.nextId = Math.max(this.nextId, source.id + 1);
    this.index.addSource(source);
  }

  /** @param by so many more copies read from it */
  serve(source: S, by: 1 | -1): void {
    source.serving += by;
  }

  /** Takes a source out; copies it feeds now go on. @returns false: it was none */
  leave(source: S): boolean {
    if (!this.byId.delete(source.id)) return false;
    remove(source.arriving ? this.relaying : this.whole, source);
    this.index.removeSource(source);
    return true;
  }

  /** A copy under way from now on. */
  enterTransfer(transfer: T): void {
    transfer.position = this.moving.length;
    this.moving.push(transfer);
    this.index.begin(transfer);
    this.counts.making[transfer.targetHost]!++;
    this.wanted--;
  }

  /** @param whole the target host has one base image more; else it still wants it */
  endTransfer(transfer: T, whole: boolean): void {
    remove(this.moving, transfer);
    this.index.end(transfer);
    this.counts.making[transfer.targetHost]!--;
    if (whole) this.counts.made[transfer.targetHost]!++;
    else this.wanted++;
  }

  /** The copy reads from elsewhere once `change` has said so in it. */
  changeFeeder(transfer: T, change: () => void): void {
    this.index.end(transfer);
    change();
    this.index.begin(transfer);
  }

  isUnderWay(transfer: T): boolean {
    return transfer.position >= 0;
  }

  /** @param by so many more base images are wanted there */
  want(host: number, by: 1 | -1): void {
    this.counts.targets[host]! += by;
    this.wanted += by;
    this.touch(host);
  }

  /** So many base images stand on the host before anything is wanted there. */
  stand(host: number, images: number): void {
    this.counts.made[host] = images;
    this.counts.targets[host] = images;
  }

  /** Base images that were asked for by `want` and not started. */
  open(): number {
    return this.wanted;
  }

  /** Base images that hosts lack, whether or not on their way; excluded hosts lack none. */
  lacking(): number {
    const { targets, made, excluded } = this.counts;
    return targets.reduce((sum, target, host) => sum + (excluded[host] ? 0 : Math.max(0, target - made[host]!)), 0);
  }

  /** Neither source nor target from now on. */
  exclude(host: number): void {
    this.counts.excluded[host] = true;
  }

  isExcluded(host: number): boolean {
    return this.counts.excluded[host]!;
  }

  /** Copies that read from the host or write to it. */
  transfersAt(host: number): ReadonlySet<T> {
    return this.index.transfersAt(host) as ReadonlySet<Transfer> as ReadonlySet<T>;
  }

  /** Something changed that concerns decisions about this host. */
  touch(host: number): void {
    this.index.touch(host);
  }

  /** Something changed that concerns decisions about any host. */
  touchAll(): void {
    for (const { index } of this.topology.hosts) this.touch(index);
  }

  /** A policy has looked at what changed. */
  seen(): void {
    this.index.seen();
  }
}

/** The last takes its place: lists are long. */
function remove<E extends Entry>(list: E[], item: E): void {
  const last = list.pop()!;
  if (last !== item) {
    list[item.position] = last;
    last.position = item.position;
  }
  item.position = -1;
}
