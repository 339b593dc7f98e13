import type { ImageRef } from "../../../hypervisor";
import type { Feed, Resolved } from "../feeds";
import { Moved } from "../moved";
import { IN_FLIGHT_BYTES } from "../pull";

/** What one copy has, what it brought and what it read: from its first byte to its last, whatever happens to it. */
export class Account {
  bytesResent = 0;
  /** The template itself was, or was to be, a source of it. */
  readsTemplate = false;
  /** It counts only if the template is unchanged at its end: it read from that, or from a copy that still arrived. */
  needsTemplate = false;
  private best = 0;
  private readonly moved = new Moved();

  constructor(private readonly targetHost: string) {}

  /** Of the image, in the disk. Never falls, so that progress does not when a helper begins again. */
  get bytesThere(): number {
    return this.best;
  }

  /** Over the network, so far. */
  get bytesMoved(): number {
    return this.moved.bytesMoved;
  }

  /** It asks for this source, be it there or not. */
  asks(ref: ImageRef, from: Resolved): void {
    this.readsTemplate ||= ref.kind === "template";
    this.needsTemplate ||= this.readsTemplate || from.kind === "arriving";
  }

  /** From now on it reads from there. What was under way from the last source is asked for once more. */
  reads({ host }: Feed): void {
    this.moved.from(host !== this.targetHost, this.underWayBytes);
  }

  /** It is connected, and asks again for what was under way from the last source. */
  asksAgain(): void {
    this.bytesResent += this.underWayBytes;
  }

  /** An earlier attempt had fetched `arrivedBytes`, of which this is there. */
  found(bytes: number, lostBytes: number): void {
    this.best = bytes;
    this.moved.found(bytes);
    this.bytesResent += lostBytes;
  }

  there(bytes: number): void {
    this.best = Math.max(this.best, bytes);
    this.moved.there(this.best);
  }

  private get underWayBytes(): number {
    return Math.min(IN_FLIGHT_BYTES, this.best);
  }
}
