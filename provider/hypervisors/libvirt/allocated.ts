import type { Extent } from "./extents";

const MAGIC = 0x514649fb;
const ENTRY_BYTES = 8;
const HEADER_BYTES = 104;
/** Of an entry of either level: where its cluster stands. */
const OFFSET_MASK = 0x00fffffffffffe00n;
const COMPRESSED = 1n << 62n;
const ZERO = 1n;
/** What is read at once. */
const READ_BYTES = 1 << 20;
/** Of the first level: 16 TiB with clusters of 64 KiB. */
const MAX_L1_ENTRIES = 1 << 15;

/**
 * What of an image a qcow2 file itself holds, or its data file, ascending. Only its tables are read (qcow2
 * specification: header, "cluster mapping").
 * @param read of the file; past its end it may be short
 * @param zeros whether to count what was written to it as zeros. @default false
 * @throws RangeError where the file is not such an image
 */
export async function allocatedIn(
  read: (offsetBytes: number, lengthBytes: number) => Promise<Buffer>, capacityBytes: number, zeros = false,
): Promise<Extent[]> {
  const header = await read(0, HEADER_BYTES);
  if (header.length < HEADER_BYTES || header.readUInt32BE(0) !== MAGIC) throw new RangeError("not a qcow2 image");
  const clusterBytes = 2 ** header.readUInt32BE(20);
  const l1Entries = header.readUInt32BE(36);
  const l1At = Number(header.readBigUInt64BE(40));
  if (clusterBytes < 512 || clusterBytes > 1 << 21 || l1Entries > MAX_L1_ENTRIES) throw new RangeError("not a qcow2 image that can be looked at");
  const l1 = await readAll(read, l1At, l1Entries * ENTRY_BYTES);
  const tableSpanBytes = (clusterBytes / ENTRY_BYTES) * clusterBytes;
  const extents: Extent[] = [];
  for (let index = 0; index < l1Entries; index++) {
    const tableAt = Number(l1.readBigUInt64BE(index * ENTRY_BYTES) & OFFSET_MASK);
    if (tableAt === 0) continue;
    const table = await readAll(read, tableAt, clusterBytes);
    for (let entry = 0; entry < clusterBytes / ENTRY_BYTES; entry++) {
      const value = table.readBigUInt64BE(entry * ENTRY_BYTES);
      const isZero = (value & COMPRESSED) === 0n && (value & ZERO) !== 0n;
      const isHeld = isZero ? zeros : value !== 0n; // a data file's first cluster has no offset, only its mark
      const offsetBytes = index * tableSpanBytes + entry * clusterBytes;
      if (!isHeld || offsetBytes >= capacityBytes) continue;
      const lengthBytes = Math.min(clusterBytes, capacityBytes - offsetBytes);
      const last = extents.at(-1);
      if (last && last.offsetBytes + last.lengthBytes === offsetBytes) last.lengthBytes += lengthBytes;
      else extents.push({ offsetBytes, lengthBytes });
    }
  }
  return extents;
}

async function readAll(read: (offsetBytes: number, lengthBytes: number) => Promise<Buffer>, at: number, bytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let done = 0; done < bytes; done += READ_BYTES) parts.push(await read(at + done, Math.min(READ_BYTES, bytes - done)));
  const all = Buffer.concat(parts);
  if (all.length < bytes) throw new RangeError("the image ends before its tables");
  return all;
}
