/**
 * What a full clone of an image writes: its data to whole clusters of the clone, decompressed, and the clone's own
 * tables. A qcow2 file's size says nothing of that where it is compressed, nor where it stands on others.
 */
import type { ImageHeader } from "./imageHeader";
import { cutShort, damagedTables, stretchesOf, TableBudget, tablesOf, type Stretch } from "./imageTables";
import type { ReadAt } from "./unfitImage";

/** Of every clone (ADR 0047). */
const CLUSTER_BYTES = 64 << 10;
/** Of the clone: what one of its tables speaks of, in clusters. */
const PAGE_CLUSTERS = 8192;
const REFCOUNTS_A_BLOCK = 32_768;
/** Where less than this of an image's own clusters is on the disk, many were only set aside (preallocated). */
const SET_ASIDE = 0.9;

/** One file of the template: the first, or one that it stands on. */
export interface Layer {
  header: ImageHeader;
  read: ReadAt;
  fileBytes: number;
  /** Of the file, on its disk. */
  allocationBytes: number;
}

export interface MeasureLimits {
  /** Of tables. */
  mostBytes: number;
  /** Asked before each read: whether to leave it at what is known. @default never */
  isLate?: () => boolean;
}

export interface CloneBytes {
  bytes: number;
  /** All tables were read. */
  isWhole: boolean;
}

/**
 * @param layers what the guest sees first, then what it stands on
 * @param limits past them the rest is taken to be as full as what was read
 * @throws UnfitImageError where a table, or what it names, lies past its file's end; whatever reading throws
 */
export async function cloneBytes(layers: readonly Layer[], limits: MeasureLimits): Promise<CloneBytes> {
  const capacityBytes = layers[0]!.header.capacityBytes;
  const coverage = new Coverage();
  /** Of the qcow2 files: what was not read, their own clusters of data, what they take on the disk. */
  const files = { unreadBytes: 0, ownBytes: 0, allocationBytes: 0, isCompressed: false };
  let rawBytes = 0;
  let isWhole = true;
  for (const layer of layers) {
    const { header } = layer;
    if (header.format === "raw") {
      rawBytes = Math.max(0, Math.min(layer.allocationBytes, Math.min(capacityBytes, header.capacityBytes) - coverage.closed * CLUSTER_BYTES));
      break; // what nothing says it holds ends a chain
    }
    const budget = new TableBudget(limits.mostBytes, limits.isLate);
    const before = coverage.data;
    let ownBytes = 0;
    const end = Math.min(capacityBytes, header.capacityBytes);
    for await (const table of tablesOf(layer.read, header, end, budget, layer.fileBytes)) {
      for (const stretch of stretchesOf(table, header, end)) {
        if (stretch.kind === "unallocated") continue;
        assertWithin(stretch, layer.fileBytes, 2 ** header.clusterBits);
        files.isCompressed ||= stretch.kind === "compressed";
        if (stretch.kind === "data") ownBytes += stretch.lengthBytes;
        coverage.mark(stretch, end);
      }
    }
    const readBytes = (coverage.data - before) * CLUSTER_BYTES;
    // The tables that were not read hold as much as the others did; where none was, as much as the file.
    const isTold = budget.isCounted && (budget.read > 0 || budget.there === 0);
    const times = budget.read > 0 ? budget.there / budget.read : 1;
    files.unreadBytes += isTold ? readBytes * (times - 1) : Math.max(0, layer.allocationBytes - readBytes);
    files.ownBytes += isTold ? ownBytes * times : 0;
    files.allocationBytes += layer.allocationBytes;
    isWhole &&= budget.isWhole;
  }
  const heldBytes = coverage.data * CLUSTER_BYTES + files.unreadBytes;
  // Not compressed, and much of it not on the disk: holes within its clusters, which no table tells.
  const isSetAside = !files.isCompressed && files.allocationBytes < SET_ASIDE * files.ownBytes;
  const dataBytes = Math.min(capacityBytes, Math.ceil((isSetAside ? heldBytes * (files.allocationBytes / files.ownBytes) : heldBytes) + rawBytes));
  return { bytes: dataBytes + tableBytes(capacityBytes, dataBytes, coverage.pages), isWhole };
}

function assertWithin({ kind, at, lengthBytes }: Stretch, fileBytes: number, clusterBytes: number): void {
  if (kind === "zero") return;
  if (kind === "compressed" ? at >= fileBytes : at + lengthBytes > fileBytes) throw cutShort("its data does");
  if (at === 0 || (kind === "data" && lengthBytes === clusterBytes && at % clusterBytes !== 0)) throw damagedTables();
}

/** The clone's header, reference counts and tables. */
function tableBytes(capacityBytes: number, dataBytes: number, pages: number): number {
  const l1 = Math.ceil(Math.ceil(capacityBytes / (PAGE_CLUSTERS * CLUSTER_BYTES)) * 8 / CLUSTER_BYTES);
  const l2 = Math.max(1, pages, Math.ceil(dataBytes / (PAGE_CLUSTERS * CLUSTER_BYTES)));
  const clusters = 3 + l1 + l2 + Math.ceil(dataBytes / CLUSTER_BYTES);
  return (2 + l1 + l2 + Math.ceil(clusters / REFCOUNTS_A_BLOCK)) * CLUSTER_BYTES;
}

interface Page {
  data: Uint8Array;
  closed: Uint8Array;
}

/** Which clusters of the clone get data, and in which nothing below shows through any more. Two bits a cluster. */
class Coverage {
  data = 0;
  closed = 0;
  private readonly byIndex = new Map<number, Page>();

  /** How many of the clone's tables it takes. */
  get pages(): number {
    let pages = 0;
    for (const { data } of this.byIndex.values()) if (data.some((byte) => byte !== 0)) pages++;
    return pages;
  }

  /** Zeros count where they fill a cluster: else something below may have data beside them. */
  mark({ kind, offsetBytes, lengthBytes }: Stretch, endBytes: number): void {
    const isZero = kind === "zero";
    const end = offsetBytes + lengthBytes;
    const from = isZero ? Math.ceil(offsetBytes / CLUSTER_BYTES) : Math.floor(offsetBytes / CLUSTER_BYTES);
    const to = isZero && end < endBytes ? Math.floor(end / CLUSTER_BYTES) : Math.ceil(end / CLUSTER_BYTES);
    for (let cluster = from; cluster < to; cluster++) this.set(cluster, isZero);
  }

  private set(cluster: number, isZero: boolean): void {
    const index = Math.floor(cluster / PAGE_CLUSTERS);
    let page = this.byIndex.get(index);
    if (!page) this.byIndex.set(index, page = { data: new Uint8Array(PAGE_CLUSTERS / 8), closed: new Uint8Array(PAGE_CLUSTERS / 8) });
    const [byte, bit] = [(cluster % PAGE_CLUSTERS) >> 3, 1 << (cluster & 7)];
    if (page.closed[byte]! & bit) return;
    page.closed[byte]! |= bit;
    this.closed++;
    if (isZero) return;
    page.data[byte]! |= bit;
    this.data++;
  }
}
