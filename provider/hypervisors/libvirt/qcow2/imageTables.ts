/** The tables of a qcow2 file: which cluster of the image stands where in it, if it does. No data is read. */
import { COMPRESSED_HIGH, ENTRY_BYTES, OFFSET_HIGH, OFFSET_LOW, SUBCLUSTERS, tableSpanBytes, ZERO_LOW, type TableLayout } from "./qcow2";
import { UnfitImageError, type ReadAt } from "./unfitImage";

/** What is read at once, of the first level and of neighbours of the second. */
const READ_BYTES = 1 << 20;
/** Tables no further apart than this are read together. */
const GAP_BYTES = 64 << 10;
/** Reads under way: the next is on its way while one is looked at. */
const READS_AHEAD = 2;
const HIGH = 2 ** 32;

/** One table of the second level. */
export interface Table {
  /** Of the image: what its first entry speaks of. */
  offsetBytes: number;
  data: Buffer;
}

/** How far a reader of tables goes, and how far it got. */
export class TableBudget {
  /** Tables that are there, as far as the first level was read. */
  there = 0;
  read = 0;
  /** The first level was read to its end. */
  isCounted = false;
  private bytes = 0;

  /** @param isLate asked before each read; undefined: never */
  constructor(private readonly mostBytes = Infinity, private readonly isLate: () => boolean = () => false) {}

  /** Takes the bytes, if they are to be had. */
  take(bytes: number): boolean {
    if (this.bytes + bytes > this.mostBytes || this.isLate()) return false;
    this.bytes += bytes;
    return true;
  }
  get isWhole(): boolean {
    return this.isCounted && this.read === this.there;
  }
}

interface Batch {
  at: number;
  bytes: number;
  tables: { at: number; offsetBytes: number }[];
}

/**
 * The tables that there are, ascending, until the budget ends.
 * @param fileBytes the file's length; undefined: not known
 * @throws UnfitImageError where one ends past the file's end
 */
export async function* tablesOf(read: ReadAt, layout: TableLayout, capacityBytes: number, budget: TableBudget, fileBytes?: number): AsyncGenerator<Table> {
  const under: { batch: Batch; data: Promise<Buffer> }[] = [];
  for await (const batch of batchesOf(read, layout, capacityBytes, budget, fileBytes ?? Infinity)) {
    if (!budget.take(batch.bytes)) continue; // those behind it are counted all the same
    const data = readWhole(read, batch.at, batch.bytes);
    data.catch(() => undefined); // awaited below
    under.push({ batch, data });
    if (under.length >= READS_AHEAD) yield* unpack(under.shift()!, layout, budget);
  }
  while (under.length > 0) yield* unpack(under.shift()!, layout, budget);
}

async function* unpack({ batch, data }: { batch: Batch; data: Promise<Buffer> }, layout: TableLayout, budget: TableBudget): AsyncGenerator<Table> {
  const whole = await data;
  for (const { at, offsetBytes } of batch.tables) {
    budget.read++;
    yield { offsetBytes, data: whole.subarray(at - batch.at, at - batch.at + 2 ** layout.clusterBits) };
  }
}

async function* batchesOf(read: ReadAt, layout: TableLayout, capacityBytes: number, budget: TableBudget, fileBytes: number): AsyncGenerator<Batch> {
  const tableBytes = 2 ** layout.clusterBits;
  const spanBytes = tableSpanBytes(layout);
  const l1Bytes = Math.ceil(capacityBytes / spanBytes) * ENTRY_BYTES;
  let batch: Batch | undefined;
  for (let done = 0; done < l1Bytes; done += READ_BYTES) {
    const part = Math.min(READ_BYTES, l1Bytes - done);
    if (!budget.take(part)) return batch && (yield batch);
    const l1 = await readWhole(read, layout.l1At + done, part);
    for (let entry = 0; entry < part; entry += ENTRY_BYTES) {
      const at = offsetAt(l1, entry);
      if (at === 0) continue;
      if (at % tableBytes !== 0) throw damagedTables();
      if (at + tableBytes > fileBytes) throw cutShort("its tables do");
      budget.there++;
      const table = { at, offsetBytes: ((done + entry) / ENTRY_BYTES) * spanBytes };
      const end: number | undefined = batch && batch.at + batch.bytes;
      if (batch && at >= end! && at - end! <= GAP_BYTES && at + tableBytes - batch.at <= READ_BYTES) {
        batch.bytes = at + tableBytes - batch.at;
        batch.tables.push(table);
      } else {
        if (batch) yield batch;
        batch = { at, bytes: tableBytes, tables: [table] };
      }
    }
  }
  budget.isCounted = true;
  if (batch) yield batch;
}

export const cutShort = (what: string): UnfitImageError => new UnfitImageError(`a qcow2 image that ends before ${what}: download or copy it again`);

export const damagedTables = (): UnfitImageError => new UnfitImageError("a qcow2 image with damaged tables: look at it with qemu-img check, or download or copy it again");

async function readWhole(read: ReadAt, at: number, bytes: number): Promise<Buffer> {
  const data = await read(at, bytes);
  if (data.length < bytes) throw cutShort("its tables do");
  return data;
}

const offsetAt = (table: Buffer, at: number): number => (table.readUInt32BE(at) & OFFSET_HIGH) * HIGH + ((table.readUInt32BE(at + 4) & OFFSET_LOW) >>> 0);

/** What an image holds at one place. `unallocated`: whatever it stands on shows through, or zeros. */
export type ClusterKind = "data" | "compressed" | "zero" | "unallocated";

/** A stretch of an image, within one cluster. */
export interface Stretch {
  kind: ClusterKind;
  offsetBytes: number;
  lengthBytes: number;
  /** Of data: where in the file. */
  at: number;
}

/** What one table says, ascending, up to the image's end. Data files' first clusters have no offset, only their mark. */
export function* stretchesOf({ offsetBytes, data }: Table, { clusterBits, extendedL2 }: TableLayout, capacityBytes: number): Generator<Stretch> {
  const clusterBytes = 2 ** clusterBits;
  const entryBytes = extendedL2 ? 2 * ENTRY_BYTES : ENTRY_BYTES;
  for (let entry = 0, from = offsetBytes; entry < data.length && from < capacityBytes; entry += entryBytes, from += clusterBytes) {
    const [high, low] = [data.readUInt32BE(entry), data.readUInt32BE(entry + 4)];
    const lengthBytes = Math.min(clusterBytes, capacityBytes - from);
    if (high & COMPRESSED_HIGH) {
      yield { kind: "compressed", offsetBytes: from, lengthBytes, at: compressedAt(high, low, clusterBits) };
      continue;
    }
    const at = offsetAt(data, entry);
    if (extendedL2) yield* subclusters(data, entry + ENTRY_BYTES, { offsetBytes: from, lengthBytes, at, bytes: clusterBytes / SUBCLUSTERS });
    else yield { kind: low & ZERO_LOW ? "zero" : high !== 0 || low !== 0 ? "data" : "unallocated", offsetBytes: from, lengthBytes, at };
  }
}

/** Of a compressed cluster the offset has fewer bits: the others are its length. */
function compressedAt(high: number, low: number, clusterBits: number): number {
  const offsetBits = 62 - (clusterBits - 8);
  return (offsetBits >= 32 ? (high & (2 ** (offsetBits - 32) - 1)) * HIGH : 0) + low;
}

function* subclusters(data: Buffer, bitmap: number, cluster: { offsetBytes: number; lengthBytes: number; at: number; bytes: number }): Generator<Stretch> {
  const [zero, allocated] = [data.readUInt32BE(bitmap), data.readUInt32BE(bitmap + 4)];
  for (let i = 0; i < SUBCLUSTERS && i * cluster.bytes < cluster.lengthBytes; i++) {
    const kind = (zero >>> i) & 1 ? "zero" : (allocated >>> i) & 1 ? "data" : "unallocated";
    yield {
      kind, offsetBytes: cluster.offsetBytes + i * cluster.bytes, lengthBytes: Math.min(cluster.bytes, cluster.lengthBytes - i * cluster.bytes),
      at: cluster.at + i * cluster.bytes,
    };
  }
}
