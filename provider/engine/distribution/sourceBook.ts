import type { Image } from "../../fleet/model";
import type { ImageRef } from "../../hypervisors/hypervisor";
import { CopyBook, type Decision, type Source, type Topology, type Transfer } from "../../scheduler";

/** A source and what it really is. */
export interface BookedSource extends Source {
  ref: ImageRef;
  /** `template`, a slot name, or `replica@host`, for traces and messages. */
  label: string;
  hostName: string;
  /** Its image is being merged with what a guest wrote: never a source again. */
  retired?: boolean;
  /** Copies that read from it lagged: nobody is sent to it any more, not even when it is whole. */
  lags?: boolean;
  /** The copy that brings it, while it is `arriving`. */
  arrival?: BookedTransfer | undefined;
  /** Taken out while the copy that brings it has no source. */
  withdrawn?: boolean;
  /** Place in the book's list; -1: in none. */
  position: number;
}

/** What a copy makes. */
export type BookedImage = Pick<BookedSource, "ref" | "label" | "kind">;

/** A copy in flight. */
export interface BookedTransfer extends Transfer {
  from: BookedSource;
  /** What it makes: a source already while it arrives, where the hypervisor can relay. */
  makes: BookedSource;
  /** Monotonic; for the straggler's measure. */
  bytesDone: number;
  /** Sources it had before, and what each of them gave. */
  earlier: readonly { from: BookedSource; bytes: number; untilSeconds: number }[];
  /** Has no source now. */
  lost: boolean;
  /** What it still reads from while it is being given another source: until that is done, room is kept at both. */
  leaving: { source: BookedSource } | undefined;
  position: number;
}

/** The books of one real run's distribution: which image each source is, who may copy now, and who changes its source. */
export class SourceBook extends CopyBook<BookedSource, BookedTransfer> {
  /** Per host, copies that failed and wait a little before they are tried again: wanted, but not to be started. */
  readonly resting: readonly number[];
  /** How many sources stand in each rack. */
  readonly sourcesInRack: number[];
  /** How many sources are no template. */
  copies = 0;
  private readonly busy: number[];
  private readonly aside: number[];

  /** @param relays copies under way are sources too */
  constructor(topology: Topology, image: Image, private readonly maxConcurrentClones: number, readonly relays = false) {
    super(topology, image, { maxConcurrentClones, relays });
    const zeros = () => topology.hosts.map(() => 0);
    this.busy = zeros();
    this.resting = this.aside = zeros();
    this.sourcesInRack = topology.racks.map(() => 0);
  }

  add(source: Omit<BookedSource, "id" | "serving" | "position">): BookedSource {
    const booked: BookedSource = { ...source, id: this.newId(), serving: 0, position: -1 };
    this.enter(booked);
    return booked;
  }

  /** A copy that is wanted there is neither to be started nor under way for a while. */
  setAside(host: number): void {
    this.want(host, -1);
    this.aside[host]!++;
  }

  takeBack(host: number): void {
    this.aside[host]!--;
    this.want(host, 1);
  }

  /** Takes a source out; copies it feeds now go on. */
  drop(source: BookedSource): void {
    source.withdrawn = false;
    if (this.leave(source) && !source.arriving) this.count(source, -1);
  }

  /** What a copy brought is whole. */
  promote(source: BookedSource): void {
    this.enter(source);
  }

  /** Takes a dropped source back, unless its image is no more what it was. */
  restore(source: BookedSource): void {
    if (source.retired || this.source(source.id) || this.isExcluded(source.host)) return;
    this.enter(source);
  }

  /** A copy may start: limits of the fleet and of both its hosts. A copy within a host counts there once. */
  mayStart(source: BookedSource, targetHost: number): boolean {
    if (this.transfers.length >= this.maxConcurrentClones) return false;
    if (this.isExcluded(targetHost) || this.isExcluded(source.host)) return false;
    return this.hasRoom(source.host) && (source.host === targetHost || this.hasRoom(targetHost));
  }

  /** The copy under way may read from this host instead of from where it does. */
  mayFeed(host: number, transfer: BookedTransfer): boolean {
    return host === transfer.targetHost || (!transfer.lost && host === transfer.sourceHost) || this.hasRoom(host);
  }

  /** One more copy may read from this host. */
  hasRoom(host: number): boolean {
    return this.busy[host]! < this.topology.hosts[host]!.maxConcurrent;
  }

  begin(from: BookedSource, { targetHost, bytesPerSecond }: Omit<Decision, "source">, nowSeconds: number, image: BookedImage): BookedTransfer {
    const hostName = this.topology.hosts[targetHost]!.name;
    const { ref, label, kind } = image;
    const makes: BookedSource = {
      ref, label, kind, id: this.newId(), host: targetHost, hostName, serving: 0, position: -1, arriving: true, arrival: undefined,
    };
    const transfer: BookedTransfer = {
      source: from.id, madeId: makes.id, from, makes, sourceHost: from.host, targetHost, earlier: NONE, lost: false, leaving: undefined, position: -1,
      startedAtSeconds: nowSeconds, done: 0, bytesDone: 0, straggling: false, bytesPerSecond,
    };
    makes.arrival = transfer;
    this.enterTransfer(transfer);
    if (from.host !== targetHost) this.busy[targetHost]!++;
    this.read(transfer, 1);
    if (this.relays) this.enter(makes);
    return transfer;
  }

  /** The copy has no source any more. It still counts on its target; nobody new is sent to what it makes. */
  lose(transfer: BookedTransfer): void {
    const { makes } = transfer;
    if (this.source(makes.id)) {
      this.drop(makes);
      makes.withdrawn = true;
    }
    this.detach(transfer);
  }

  private detach(transfer: BookedTransfer): void {
    this.letGo(transfer);
    if (transfer.lost) return;
    this.read(transfer, -1);
    if (transfer.sourceHost === transfer.targetHost) this.busy[transfer.targetHost]!++;
    transfer.lost = true;
  }

  /** Another source feeds the copy from now on. */
  refeed(transfer: BookedTransfer, from: BookedSource, nowSeconds: number): void {
    const bytes = transfer.bytesDone - transfer.earlier.reduce((sum, e) => sum + e.bytes, 0);
    this.detach(transfer);
    this.changeFeeder(transfer, () => {
      transfer.bytesPerSecond = undefined;
      transfer.earlier = [...transfer.earlier, { from: transfer.from, bytes: Math.max(0, bytes), untilSeconds: nowSeconds }];
      transfer.lost = false;
      transfer.from = from;
      transfer.source = from.id;
      transfer.sourceHost = from.host;
      if (from.host === transfer.targetHost) this.busy[transfer.targetHost]!--;
      this.read(transfer, 1);
    });
    if (transfer.makes.withdrawn && !this.isExcluded(transfer.targetHost)) this.enter(transfer.makes);
    transfer.makes.withdrawn = false;
  }

  /** As refeed(), of a copy that goes on reading from where it does until turned() or unturn(). */
  turn(transfer: BookedTransfer, to: BookedSource, nowSeconds: number): void {
    const { from } = transfer;
    this.refeed(transfer, to, nowSeconds);
    transfer.leaving = { source: from };
    this.hold(transfer, from, 1);
  }

  /** It reads from its new source alone. */
  turned(transfer: BookedTransfer): void {
    this.letGo(transfer);
  }

  /** As before turn(): the copy did not change its source after all. Its room there was kept. */
  unturn(transfer: BookedTransfer): void {
    const { leaving } = transfer;
    if (!leaving) return;
    this.refeed(transfer, leaving.source, 0);
    transfer.earlier = transfer.earlier.slice(0, -2);
  }

  /** @param whole the target host has one base image more */
  end(transfer: BookedTransfer, whole: boolean): void {
    this.detach(transfer);
    this.endTransfer(transfer, whole);
    this.busy[transfer.targetHost]!--;
    this.drop(transfer.makes);
    transfer.makes.arriving = false;
    transfer.makes.arrival = undefined;
    if (!whole) transfer.makes.retired = true;
  }

  override enter(source: BookedSource): void {
    super.enter(source);
    if (!source.arriving) this.count(source, 1);
  }

  private count(source: BookedSource, by: 1 | -1): void {
    this.sourcesInRack[this.topology.hosts[source.host]!.rack]! += by;
    if (source.kind !== "template") this.copies += by;
  }

  private letGo(transfer: BookedTransfer): void {
    const { leaving } = transfer;
    if (!leaving) return;
    transfer.leaving = undefined;
    this.hold(transfer, leaving.source, -1);
    this.touch(leaving.source.host);
  }

  /** Counts once on a host that the copy concerns anyway. */
  private hold({ sourceHost, targetHost }: BookedTransfer, source: BookedSource, by: 1 | -1): void {
    this.serve(source, by);
    if (source.host !== sourceHost && source.host !== targetHost) this.busy[source.host]! += by;
  }

  /** A copy within a host counts there once. */
  private read(transfer: BookedTransfer, by: 1 | -1): void {
    this.serve(transfer.from, by);
    this.busy[transfer.sourceHost]! += by;
  }
}

const NONE: BookedTransfer["earlier"] = [];
