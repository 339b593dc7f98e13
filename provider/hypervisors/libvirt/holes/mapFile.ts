/**
 * A map of an image as a qcow2 file that holds no data: its data file is whatever node it is opened over, every cluster
 * with data stands there at its own offset, and all else is a hole (qcow2 specification, "external data file"). Where
 * QEMU asks such a node what is data and what is a hole, the answer is at hand, whatever lies below.
 */
import type { Extent } from "./extents";
import { COPIED, ENTRY_BYTES, Feature, HEADER_BYTES, MAGIC, MAX_CLUSTER_BITS } from "../qcow2/qcow2";
import type { UploadChunk } from "../rpc/stream";

const REFCOUNT_BYTES = 2;
const MIN_CLUSTER_BITS = 16;
const CHUNK_BYTES = 1 << MIN_CLUSTER_BITS;
/** Of entries, before clusters are made larger: 64 GiB keep clusters of 64 KiB. */
const MAX_FINE_BYTES = 8 << 20;
/** Of entries, where all is data and one cluster is as good as another. */
const MAX_COARSE_BYTES = 512 << 10;
/** Of entries, with the largest clusters: 16 TiB. */
const MAX_BYTES = 64 << 20;

interface Layout {
  clusterBits: number;
  clusterBytes: number;
  /** Bytes of the image that one table of the second level speaks of. */
  tableSpanBytes: number;
  tables: number;
  refcountBlocks: number;
  l1Clusters: number;
  /** Index of the first cluster of each part. */
  l1At: number;
  tablesAt: number;
  clusters: number;
}

/** Undefined: an image that has no map. @param mostBytes of entries, if larger clusters can have it so */
function layoutOf(capacityBytes: number, mostBytes = MAX_FINE_BYTES): Layout | undefined {
  if (capacityBytes <= 0 || capacityBytes % 512 !== 0) return undefined;
  let clusterBits = MIN_CLUSTER_BITS;
  const entryBytes = (): number => Math.ceil(capacityBytes / 2 ** clusterBits) * ENTRY_BYTES;
  while (clusterBits < MAX_CLUSTER_BITS && entryBytes() > mostBytes) clusterBits++;
  if (entryBytes() > MAX_BYTES) return undefined;
  const clusterBytes = 2 ** clusterBits;
  const tables = Math.ceil(entryBytes() / clusterBytes);
  const l1Clusters = Math.ceil((tables * ENTRY_BYTES) / clusterBytes);
  const perBlock = clusterBytes / REFCOUNT_BYTES;
  let refcountBlocks = 1;
  while (refcountBlocks * perBlock < 2 + refcountBlocks + l1Clusters + tables) refcountBlocks++;
  const l1At = 2 + refcountBlocks;
  return {
    clusterBits, clusterBytes, tableSpanBytes: (clusterBytes / ENTRY_BYTES) * clusterBytes, tables, refcountBlocks, l1Clusters,
    l1At, tablesAt: l1At + l1Clusters, clusters: l1At + l1Clusters + tables,
  };
}

/** What the map of any image of this capacity takes at most. Undefined: such an image has none. */
export function mapFileBytes(capacityBytes: number): number | undefined {
  const bytes = [MAX_FINE_BYTES, MAX_COARSE_BYTES].map((mostBytes) => {
    const layout = layoutOf(capacityBytes, mostBytes);
    return layout ? layout.clusters * layout.clusterBytes : NaN;
  });
  return Number.isNaN(bytes[0]) ? undefined : Math.max(...bytes);
}

/** The file, `mapBytes` long with its holes. @throws RangeError for an image that has no map */
export function mapFileChunks(extents: readonly Extent[], capacityBytes: number): UploadChunk[] {
  const isAll = extents.length === 1 && extents[0]!.offsetBytes === 0 && extents[0]!.lengthBytes >= capacityBytes;
  const layout = layoutOf(capacityBytes, isAll ? MAX_COARSE_BYTES : MAX_FINE_BYTES);
  if (!layout) throw new RangeError(`no map of an image of ${capacityBytes} bytes`);
  const { clusterBytes, tableSpanBytes, tables } = layout;
  const filled = new Map<number, Buffer>();
  for (const { offsetBytes, lengthBytes } of extents) {
    const end = Math.min(offsetBytes + lengthBytes, capacityBytes);
    for (let at = Math.floor(offsetBytes / clusterBytes) * clusterBytes; at < end; at += clusterBytes) {
      const index = Math.floor(at / tableSpanBytes);
      let table = filled.get(index);
      if (!table) filled.set(index, table = Buffer.alloc(clusterBytes));
      table.writeBigUInt64BE(COPIED | BigInt(at), ((at % tableSpanBytes) / clusterBytes) * ENTRY_BYTES);
    }
  }
  const chunks = [...sparse(head(layout, capacityBytes, filled))];
  for (let index = 0; index < tables; index++) {
    const table = filled.get(index);
    chunks.push(...(table ? sparse(table) : [{ holeBytes: clusterBytes }]));
  }
  const rest = mapFileBytes(capacityBytes)! - layout.clusters * clusterBytes;
  return rest > 0 ? [...chunks, { holeBytes: rest }] : chunks;
}

/** Little of a large cluster may be used. */
function* sparse(data: Buffer): Generator<UploadChunk> {
  for (let at = 0; at < data.length; at += CHUNK_BYTES) {
    const chunk = data.subarray(at, at + CHUNK_BYTES);
    yield chunk.some((byte) => byte !== 0) ? { data: chunk } : { holeBytes: chunk.length };
  }
}

/** Header, reference counts and the first level. */
function head(layout: Layout, capacityBytes: number, filled: ReadonlyMap<number, unknown>): Buffer {
  const { clusterBits, clusterBytes, tables, refcountBlocks, l1At, tablesAt } = layout;
  const out = Buffer.alloc(tablesAt * clusterBytes);
  out.writeUInt32BE(MAGIC, 0);
  out.writeUInt32BE(3, 4);
  out.writeUInt32BE(clusterBits, 20);
  out.writeBigUInt64BE(BigInt(capacityBytes), 24);
  out.writeUInt32BE(tables, 36);
  out.writeBigUInt64BE(BigInt(l1At * clusterBytes), 40);
  out.writeBigUInt64BE(BigInt(clusterBytes), 48);
  out.writeUInt32BE(1, 56);
  out.writeBigUInt64BE(Feature.dataFile, 72);
  out.writeUInt32BE(4, 96); // counts of 2^4 bits
  out.writeUInt32BE(HEADER_BYTES, 100);
  for (let block = 0; block < refcountBlocks; block++) {
    out.writeBigUInt64BE(BigInt((2 + block) * clusterBytes), clusterBytes + block * ENTRY_BYTES);
  }
  // The blocks follow each other, so a cluster's count stands at its index.
  const count = (cluster: number): number => out.writeUInt16BE(1, 2 * clusterBytes + cluster * REFCOUNT_BYTES);
  for (let cluster = 0; cluster < tablesAt; cluster++) count(cluster);
  for (const index of filled.keys()) {
    count(tablesAt + index);
    out.writeBigUInt64BE(COPIED | BigInt((tablesAt + index) * clusterBytes), l1At * clusterBytes + index * ENTRY_BYTES);
  }
  return out;
}
