import type { Extent } from "./extents";
import { stretchesOf, TableBudget, tablesOf } from "../qcow2/imageTables";
import { Feature, HEADER_BYTES, isQcow2, MAX_CLUSTER_BITS, MIN_CLUSTER_BITS, tableSpanBytes, type TableLayout } from "../qcow2/qcow2";
import type { ReadAt } from "../qcow2/unfitImage";

/** Of the first level: 16 TiB with clusters of 64 KiB. */
const MAX_L1_ENTRIES = 1 << 15;
/** Of tables: 8 TiB, all allocated, with clusters of 64 KiB. */
const MAX_TABLE_BYTES = 1 << 30;

/**
 * What of an image a qcow2 file of our own holds, or its data file, ascending. Only its tables are read. What a template
 * or anybody else's image is, `imageHeader` tells.
 * @param read of the file; past its end it may be short
 * @param zeros whether to count what was written to it as zeros. @default false
 * @throws RangeError or UnfitImageError where the file is not such an image
 */
export async function allocatedIn(read: ReadAt, capacityBytes: number, zeros = false): Promise<Extent[]> {
  const layout = layoutOf(await read(0, HEADER_BYTES));
  const extents: Extent[] = [];
  const budget = new TableBudget(MAX_TABLE_BYTES);
  for await (const table of tablesOf(read, layout, Math.min(capacityBytes, layout.mostBytes), budget)) {
    for (const { kind, offsetBytes, lengthBytes } of stretchesOf(table, layout, capacityBytes)) {
      if (kind === "unallocated" || (kind === "zero" && !zeros)) continue;
      const last = extents.at(-1);
      if (last && last.offsetBytes + last.lengthBytes === offsetBytes) last.lengthBytes += lengthBytes;
      else extents.push({ offsetBytes, lengthBytes });
    }
  }
  if (!budget.isWhole) throw new RangeError("a qcow2 image with more tables than can be looked at"); // less than all would pass for holes
  return extents;
}

function layoutOf(header: Buffer): TableLayout & { mostBytes: number } {
  if (header.length < HEADER_BYTES || !isQcow2(header)) throw new RangeError("not a qcow2 image");
  const clusterBits = header.readUInt32BE(20);
  const l1Entries = header.readUInt32BE(36);
  if (clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS || l1Entries > MAX_L1_ENTRIES) throw new RangeError("not a qcow2 image that can be looked at");
  const extendedL2 = (header.readBigUInt64BE(72) & Feature.extendedL2) !== 0n;
  const layout = { clusterBits, l1Entries, l1At: Number(header.readBigUInt64BE(40)), extendedL2 };
  return { ...layout, mostBytes: l1Entries * tableSpanBytes(layout) };
}
