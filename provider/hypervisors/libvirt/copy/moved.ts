/**
 * What one copy brought over the network: of what it has now, what came while it read from another host, and what was
 * fetched twice from there. What it read from its own host went over no card.
 */
export class Moved {
  private bytes = 0;
  private again = 0;
  private isRemote = false;
  private sinceBytes = 0;
  private best = 0;

  /** Of the image, this much is there. Never falls. */
  there(bytes: number): void {
    this.best = Math.max(this.best, bytes);
  }

  /** So much was there before the copy began. */
  found(bytes: number): void {
    this.there(bytes);
    this.sinceBytes = this.best;
  }

  /**
   * From now on it reads from elsewhere.
   * @param againBytes what was under way from the last source and is asked for once more. @default 0
   */
  from(isRemote: boolean, againBytes = 0): void {
    this.close();
    this.isRemote = isRemote;
    if (isRemote) this.again += againBytes;
  }

  /** Up to now. */
  get bytesMoved(): number {
    this.close();
    return this.bytes + this.again;
  }

  private close(): void {
    if (this.isRemote) this.bytes += this.best - this.sinceBytes;
    this.sinceBytes = this.best;
  }
}
