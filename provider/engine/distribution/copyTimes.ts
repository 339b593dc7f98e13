/** When a copy's first byte came and its last, told from what it reports of itself now and then. */
export class CopyTimes {
  private first: { atSeconds: number; bytes: number } | undefined;
  private firstByte: number | undefined;
  private allThere: number | undefined;

  seen(bytesDone: number, isAll: boolean, nowSeconds: number): void {
    if (bytesDone > 0) {
      if (!this.first) this.first = { atSeconds: nowSeconds, bytes: bytesDone };
      else if (this.firstByte === undefined && bytesDone > this.first.bytes && nowSeconds > this.first.atSeconds) {
        // Back along the rate between two reports to where there was nothing.
        const { atSeconds, bytes } = this.first;
        this.firstByte = atSeconds - bytes * ((nowSeconds - atSeconds) / (bytesDone - bytes));
      }
    }
    if (isAll) this.allThere ??= nowSeconds;
  }

  /** undefined: it reported too seldom. */
  firstByteSeconds(startedAtSeconds: number): number | undefined {
    return this.firstByte === undefined ? undefined : Math.max(startedAtSeconds, this.firstByte);
  }

  /** undefined: it did not tell before its end. */
  get lastByteSeconds(): number | undefined {
    return this.allThere;
  }
}
