/** A guest that reads less than this between two looks is at rest then. */
export const READING_BYTES = 64 << 10;
/** A booting guest thinks between its reads; and one over a slow line waits for one of them, which is seen when it ends. */
const REST_MS = 10_000;
/** One that never rests has booted by then, or reads what others will not. */
const MAX_MS = 60_000;

/** Says when a guest, once it had begun to read, has come to rest: what it read until then is what it boots from. */
export class Boot {
  private begunMs: number | undefined;
  private readMs = 0;
  /** Of what it had read then. */
  private readBytes = 0;

  /** @param readBytes by the guest since its start; @param nowMs of any one clock */
  hasEnded(readBytes: number, nowMs: number): boolean {
    if (readBytes - this.readBytes > READING_BYTES) {
      this.readBytes = readBytes;
      this.begunMs ??= nowMs;
      this.readMs = nowMs;
    }
    return this.begunMs !== undefined && (nowMs - this.readMs >= REST_MS || nowMs - this.begunMs >= MAX_MS);
  }
}
