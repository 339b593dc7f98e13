/** Small qcow2 files for tests, byte by byte: one cluster of header, one of the first level, then tables, then data. */
const V3_HEADER_BYTES = 104;

export interface Qcow2File {
  version?: number;
  clusterBits?: number;
  capacityBytes?: number;
  backing?: string;
  backingFormat?: string;
  incompatible?: bigint;
  /** Pairs of a bit and its name. */
  featureNames?: [number, string][];
  /** Of the image, by cluster: what the table's entry says. With `extended`, the bitmap follows it. */
  entries?: (readonly [number, bigint, bigint?])[];
  extended?: boolean;
  /** Of data behind the tables. */
  dataClusters?: number;
  /** Last: over the header. */
  patch?: (file: Buffer) => void;
}

export const COPIED = 1n << 63n;
export const compressedEntry = (at: number): bigint => (1n << 62n) | BigInt(at);
export const dataEntry = (at: number): bigint => COPIED | BigInt(at);

export function qcow2(options: Qcow2File = {}): Buffer {
  const { version = 3, clusterBits = 16, capacityBytes = 16 << 20, entries = [], extended = false, dataClusters = 1 } = options;
  const clusterBytes = 2 ** clusterBits;
  const entryBytes = extended ? 16 : 8;
  const perTable = clusterBytes / entryBytes;
  const l1Entries = Math.ceil(capacityBytes / (perTable * clusterBytes));
  const l1Clusters = Math.max(1, Math.ceil((l1Entries * 8) / clusterBytes));
  const tables = [...new Set(entries.map(([cluster]) => Math.floor(cluster / perTable)))].sort((a, b) => a - b);
  const tableAt = (table: number): number => (1 + l1Clusters + tables.indexOf(table)) * clusterBytes;
  const file = Buffer.alloc((1 + l1Clusters + tables.length + dataClusters) * clusterBytes);
  file.writeUInt32BE(0x514649fb, 0);
  file.writeUInt32BE(version, 4);
  file.writeUInt32BE(clusterBits, 20);
  file.writeBigUInt64BE(BigInt(capacityBytes), 24);
  file.writeUInt32BE(l1Entries, 36);
  file.writeBigUInt64BE(BigInt(clusterBytes), 40);
  if (version >= 3) {
    file.writeBigUInt64BE((options.incompatible ?? 0n) | (extended ? 16n : 0n), 72);
    file.writeUInt32BE(4, 96);
    file.writeUInt32BE(V3_HEADER_BYTES, 100);
  }
  writeExtensions(file, version >= 3 ? V3_HEADER_BYTES : 72, options);
  for (const [cluster, value, bitmap] of entries) {
    const table = Math.floor(cluster / perTable);
    file.writeBigUInt64BE(COPIED | BigInt(tableAt(table)), clusterBytes + table * 8);
    const at = tableAt(table) + (cluster % perTable) * entryBytes;
    file.writeBigUInt64BE(value, at);
    if (extended) file.writeBigUInt64BE(bitmap ?? 0n, at + 8);
  }
  options.patch?.(file);
  return file;
}

function writeExtensions(file: Buffer, from: number, { backing, backingFormat, featureNames }: Qcow2File): void {
  let at = from;
  const extension = (type: number, data: Buffer): void => {
    file.writeUInt32BE(type, at);
    file.writeUInt32BE(data.length, at + 4);
    data.copy(file, at + 8);
    at += 8 + Math.ceil(data.length / 8) * 8;
  };
  if (backingFormat !== undefined) extension(0xe2792aca, Buffer.from(backingFormat));
  if (featureNames) {
    extension(0x6803f857, Buffer.concat(featureNames.map(([bit, name]) => {
      const entry = Buffer.alloc(48);
      entry[1] = bit;
      entry.write(name, 2, "latin1");
      return entry;
    })));
  }
  extension(0, Buffer.alloc(0));
  if (backing === undefined) return;
  file.writeBigUInt64BE(BigInt(at), 8);
  file.writeUInt32BE(Buffer.byteLength(backing), 16);
  file.write(backing, at);
}
