/** XDR (RFC 4506) as libvirt uses it: big endian, every item padded to four bytes. */

const ALIGN = 4;
const padding = (length: number): number => (ALIGN - (length % ALIGN)) % ALIGN;

export class XdrWriter {
  private readonly parts: Buffer[] = [];

  u32(value: number): this {
    const b = Buffer.allocUnsafe(4);
    b.writeUInt32BE(value >>> 0);
    this.parts.push(b);
    return this;
  }

  i32(value: number): this {
    const b = Buffer.allocUnsafe(4);
    b.writeInt32BE(value);
    this.parts.push(b);
    return this;
  }

  u64(value: number | bigint): this {
    const b = Buffer.allocUnsafe(8);
    b.writeBigUInt64BE(BigInt(value));
    this.parts.push(b);
    return this;
  }

  /** A string is counted in UTF-8 bytes. */
  string(value: string): this {
    const b = Buffer.from(value, "utf8");
    return this.u32(b.length).opaque(b);
  }

  /** `remote_string`: a pointer, that is a flag and then the string. */
  optionalString(value: string | null | undefined): this {
    return value === null || value === undefined ? this.u32(0) : this.u32(1).string(value);
  }

  /** Fixed-length bytes. */
  opaque(value: Buffer): this {
    this.parts.push(value);
    const pad = padding(value.length);
    if (pad > 0) this.parts.push(Buffer.alloc(pad));
    return this;
  }

  toBuffer(): Buffer {
    return Buffer.concat(this.parts);
  }
}

/** Reading past the end throws: a malformed message must not pass for a short one. */
export class XdrReader {
  private offset = 0;

  constructor(private readonly buffer: Buffer) {}

  private take(length: number): Buffer {
    if (this.offset + length > this.buffer.length) {
      throw new RangeError(`XDR: wanted ${length} bytes at ${this.offset}, message has ${this.buffer.length}`);
    }
    const b = this.buffer.subarray(this.offset, this.offset + length);
    this.offset += length;
    return b;
  }

  u32(): number {
    return this.take(4).readUInt32BE(0);
  }

  i32(): number {
    return this.take(4).readInt32BE(0);
  }

  /** As a number: libvirt's sizes stay far below 2^53. */
  u64(): number {
    return Number(this.take(8).readBigUInt64BE(0));
  }

  bytes(length: number): Buffer {
    const b = this.take(length);
    this.take(padding(length));
    return b;
  }

  string(): string {
    return this.bytes(this.u32()).toString("utf8");
  }

  optionalString(): string | null {
    return this.u32() === 0 ? null : this.string();
  }

  /**
   * A counted list. The count is the peer's word: an item takes four bytes at least, so a count that the message has no
   * bytes for is refused before anything is made of it.
   */
  list<T>(item: (r: this) => T): T[] {
    const n = this.u32();
    const left = this.buffer.length - this.offset;
    if (n * ALIGN > left) throw new RangeError(`XDR: a list of ${n} items in ${left} bytes`);
    return Array.from({ length: n }, () => {
      const before = this.offset;
      const value = item(this);
      if (this.offset - before < ALIGN) throw new RangeError("XDR: an item of a list that takes no bytes");
      return value;
    });
  }

  /** Another reader at the same place: what one of several listeners reads, the next one reads, too. */
  fork(): XdrReader {
    const other = new XdrReader(this.buffer);
    other.offset = this.offset;
    return other;
  }

  rest(): Buffer {
    return this.buffer.subarray(this.offset);
  }
}
