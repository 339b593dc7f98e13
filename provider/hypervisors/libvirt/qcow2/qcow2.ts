/** The qcow2 format's numbers, and what a file's header says (QEMU's docs/interop/qcow2.txt). */
import { UnfitImageError } from "./unfitImage";

/** `QFI\xfb` */
export const MAGIC = 0x514649fb;
/** Of version 3, without what newer features add. */
export const HEADER_BYTES = 104;
const HEADER_BYTES_V2 = 72;
/** Of either level's tables. */
export const ENTRY_BYTES = 8;
/** Of an entry: its cluster belongs to this image alone. */
export const COPIED = 1n << 63n;
/** The upper and the lower half of an entry: where its cluster stands, that it is compressed, that it reads as zeros. */
export const OFFSET_HIGH = 0x00ffffff;
export const OFFSET_LOW = 0xfffffe00;
export const COMPRESSED_HIGH = 0x40000000;
export const ZERO_LOW = 1;
/** Of a cluster, where the image has extended entries. */
export const SUBCLUSTERS = 32;
export const MIN_CLUSTER_BITS = 9;
export const MAX_CLUSTER_BITS = 21;
const MIN_EXTENDED_CLUSTER_BITS = 14;
/** QEMU opens no image with a larger first level. */
const MAX_L1_BYTES = 32 << 20;
const MAX_REFCOUNT_ORDER = 6;
const MAX_BACKING_NAME_BYTES = 1023;

/** `incompatible_features`: who does not know one of them must not open the file. */
export const Feature = { dirty: 1n, corrupt: 2n, dataFile: 4n, compressionType: 8n, extendedL2: 16n } as const;
const KNOWN_FEATURES = Object.values(Feature).reduce((all, bit) => all | bit, 0n);
const COMPRESSION_TYPES = ["zlib", "zstd"];

const Extension = { end: 0, backingFormat: 0xe2792aca, featureNames: 0x6803f857 } as const;
const FEATURE_NAME_BYTES = 48;

/** Where an image's tables stand. */
export interface TableLayout {
  clusterBits: number;
  l1At: number;
  l1Entries: number;
  /** Entries of the second level take twice the room and tell parts of a cluster apart. */
  extendedL2: boolean;
}

export interface Qcow2Header extends TableLayout {
  capacityBytes: number;
  /** The image that it stands on, as its header names it. */
  backing?: { file: string; format?: string };
}

export const isQcow2 = (head: Buffer): boolean => head.length >= 4 && head.readUInt32BE(0) === MAGIC;

/** Bytes of the image that one table of the second level speaks of. */
export const tableSpanBytes = ({ clusterBits, extendedL2 }: Pick<TableLayout, "clusterBits" | "extendedL2">): number =>
  2 ** (2 * clusterBits - (extendedL2 ? 4 : 3));

const check = "qemu-img check -r all";
const again = "download or copy it again";
const refuse = (what: string, wayOut: string): never => {
  throw new UnfitImageError(`${what}: ${wayOut}`);
};

/**
 * Bytes at the file's beginning that `parseQcow2` wants: its first cluster, which holds all that a header says.
 * @param head at least the first 104 bytes, if there are so many
 */
export function headerSpanBytes(head: Buffer): number {
  if (head.length < HEADER_BYTES_V2) return head.length;
  const clusterBits = head.readUInt32BE(20);
  return clusterBits >= MIN_CLUSTER_BITS && clusterBits <= MAX_CLUSTER_BITS ? 2 ** clusterBits : HEADER_BYTES;
}

/**
 * @param head the first cluster (`headerSpanBytes`), or less where the file is shorter
 * @param fileBytes the whole file's length
 * @throws UnfitImageError for what no template can be: damaged, encrypted, cut short, its data elsewhere, or with a
 *   feature that this reader does not know
 */
export function parseQcow2(head: Buffer, fileBytes: number): Qcow2Header {
  const cut = (): never => refuse("a qcow2 image that ends within its header", again);
  if (head.length < HEADER_BYTES_V2) return cut();
  const version = head.readUInt32BE(4);
  if (version === 1) refuse("an image in the old qcow format (version 1)", "convert it first (qemu-img convert -O qcow2)");
  if (version !== 2 && version !== 3) refuse(`a qcow2 image of version ${version}, of which only 2 and 3 are known`, "convert it with the program that made it");
  if (version === 3 && head.length < HEADER_BYTES) return cut();
  const clusterBits = head.readUInt32BE(20);
  if (clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS) {
    refuse(`a qcow2 image with a damaged header (clusters of 2^${clusterBits} bytes, which there are not)`, again);
  }
  const headerBytes = version === 2 ? HEADER_BYTES_V2 : head.readUInt32BE(100);
  if (version === 3 && (headerBytes < HEADER_BYTES || headerBytes % 8 !== 0 || headerBytes > 2 ** clusterBits)) {
    refuse(`a qcow2 image with a damaged header (its length would be ${headerBytes} bytes)`, again);
  }
  if (headerBytes > head.length) return cut();
  const backing = backingOf(head, headerBytes, clusterBits);
  const extensions = extensionsOf(head, headerBytes, backing?.at ?? head.length);
  const features = version === 2 ? 0n : head.readBigUInt64BE(72);
  checkFeatures(features, extensions.featureNames);
  checkCompression(head, headerBytes, features);
  checkEncryption(head.readUInt32BE(32));
  const refcountOrder = version === 2 ? 4 : head.readUInt32BE(96);
  if (refcountOrder > MAX_REFCOUNT_ORDER) refuse(`a qcow2 image with a damaged header (reference counts of 2^${refcountOrder} bits)`, again);
  const extendedL2 = (features & Feature.extendedL2) !== 0n;
  if (extendedL2 && clusterBits < MIN_EXTENDED_CLUSTER_BITS) refuse("a qcow2 image with a damaged header (subclusters of too small clusters)", again);
  const layout = { clusterBits, extendedL2, l1Entries: head.readUInt32BE(36), l1At: 0 };
  const capacityBytes = capacityOf(head.readBigUInt64BE(24), layout);
  const l1At = head.readBigUInt64BE(40);
  if (l1At + BigInt(layout.l1Entries * ENTRY_BYTES) > BigInt(fileBytes)) refuse("a qcow2 image that ends before its tables do", again);
  if (l1At === 0n || l1At % BigInt(2 ** clusterBits) !== 0n) refuse("a qcow2 image with a damaged header (its tables stand where none can)", again);
  return {
    ...layout, l1At: Number(l1At), capacityBytes,
    ...(backing && { backing: { file: backing.file, ...(extensions.backingFormat !== undefined && { format: extensions.backingFormat }) } }),
  };
}

function capacityOf(size: bigint, layout: TableLayout): number {
  if (size === 0n) return refuse("a qcow2 image of 0 bytes", again);
  const mostBytes = BigInt(MAX_L1_BYTES / ENTRY_BYTES) * BigInt(tableSpanBytes(layout));
  if (size > mostBytes || size > BigInt(Number.MAX_SAFE_INTEGER)) {
    return refuse(`a qcow2 image with a damaged header (${size} bytes are more than such an image can hold)`, again);
  }
  const entries = Math.ceil(Number(size) / tableSpanBytes(layout));
  if (layout.l1Entries < entries || layout.l1Entries > MAX_L1_BYTES / ENTRY_BYTES) {
    return refuse(`a qcow2 image with a damaged header (${layout.l1Entries} tables for ${size} bytes)`, again);
  }
  return Number(size);
}

function checkFeatures(features: bigint, names: ReadonlyMap<number, string>): void {
  if (features & Feature.corrupt) refuse("a qcow2 image that QEMU has marked as corrupt", `look at it with qemu-img check, then mend it (${check}) or take a good one`);
  if (features & Feature.dirty) {
    refuse("a qcow2 image that was not closed in order: it is in use, or its QEMU died", `end what uses it; if nothing does, mend it (${check})`);
  }
  if (features & Feature.dataFile) refuse("a qcow2 image whose data stands in another file", "convert it to one that stands alone (qemu-img convert -O qcow2)");
  for (let bit = 0; bit < 64; bit++) {
    const mask = 1n << BigInt(bit);
    if ((features & mask) === 0n || (KNOWN_FEATURES & mask) !== 0n) continue;
    const name = names.get(bit);
    refuse(
      `a qcow2 image with a feature that is not known here (incompatible feature ${bit}${name === undefined ? "" : `, ${JSON.stringify(name)}`})`,
      "convert it to one without (qemu-img convert -O qcow2)",
    );
  }
}

function checkCompression(head: Buffer, headerBytes: number, features: bigint): void {
  const type = headerBytes > HEADER_BYTES ? head.readUInt8(HEADER_BYTES) : 0;
  if (COMPRESSION_TYPES[type] === undefined) {
    refuse(`a qcow2 image compressed in a way that is not known here (compression type ${type})`, "convert it (qemu-img convert -O qcow2)");
  }
  if ((type !== 0) !== ((features & Feature.compressionType) !== 0n)) refuse("a qcow2 image with a damaged header (its compression type contradicts its features)", again);
}

function checkEncryption(method: number): void {
  if (method === 0) return;
  const how = ["", "with AES", "with LUKS"][method] ?? `by a method that is not known here (${method})`;
  refuse(`a qcow2 image that is encrypted ${how}`, "no member could open it; convert it to a plain one (qemu-img convert)");
}

function backingOf(head: Buffer, headerBytes: number, clusterBits: number): { file: string; at: number } | undefined {
  const offset = head.readBigUInt64BE(8);
  const length = head.readUInt32BE(16);
  if (offset === 0n) return undefined;
  const isWithin = offset >= BigInt(headerBytes) && length > 0 && length <= MAX_BACKING_NAME_BYTES && offset + BigInt(length) <= BigInt(2 ** clusterBits);
  if (!isWithin) return refuse("a qcow2 image with a damaged header (the name of its backing file stands nowhere)", again);
  const at = Number(offset);
  if (at + length > head.length) return refuse("a qcow2 image that ends within its header", again);
  return { file: head.toString("utf8", at, at + length), at };
}

function extensionsOf(head: Buffer, from: number, end: number): { backingFormat?: string; featureNames: Map<number, string> } {
  const found: { backingFormat?: string; featureNames: Map<number, string> } = { featureNames: new Map() };
  for (let at = from; at + 8 <= end;) {
    const type = head.readUInt32BE(at);
    const length = head.readUInt32BE(at + 4);
    const data = at + 8;
    if (type === Extension.end) break;
    if (data + length > end) return refuse("a qcow2 image with a damaged header (an extension of it has no end)", again);
    if (type === Extension.backingFormat) found.backingFormat = head.toString("utf8", data, data + length).replace(/\0+$/, "");
    if (type === Extension.featureNames) {
      for (let entry = data; entry + FEATURE_NAME_BYTES <= data + length; entry += FEATURE_NAME_BYTES) {
        const name = head.toString("latin1", entry + 2, entry + FEATURE_NAME_BYTES).replace(/\0.*$/s, "");
        if (head[entry] === 0 && !found.featureNames.has(head[entry + 1]!)) found.featureNames.set(head[entry + 1]!, name);
      }
    }
    at = data + Math.ceil(length / 8) * 8;
  }
  return found;
}
