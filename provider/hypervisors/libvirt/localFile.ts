import { createHash } from "node:crypto";
import { open, stat } from "node:fs/promises";
import type { UploadChunk } from "./rpc/stream";
import { SharedWork } from "./sharedWork";

const BLOCK = 64 * 1024;
const READ = 4 * 1024 * 1024;
const ZEROS = Buffer.alloc(BLOCK);

export interface LocalImage {
  sha256: string;
  fileBytes: number;
  capacityBytes: number;
  /** Bytes that are not holes: what an upload sends. */
  allocationBytes: number;
  format: "qcow2" | "raw";
}

const cache = new Map<string, { key: string; image: SharedWork<LocalImage> }>();

/**
 * Reads the whole file once per path, size and mtime, however many ask; given up when all who ask have.
 * @throws the file system's own error, or the signal's reason
 */
export async function describeFile(file: string, signal?: AbortSignal): Promise<LocalImage> {
  const info = await stat(file);
  if (!info.isFile()) throw new Error("not a file");
  const key = `${info.size}/${info.mtimeMs}/${info.ino}`;
  const cached = cache.get(file);
  const image = cached?.key === key && !cached.image.isGivenUp ? cached.image : new SharedWork((givenUp) => readImage(file, info.size, givenUp));
  cache.set(file, { key, image });
  try {
    return await image.wait(signal);
  } catch (error) {
    if (!signal?.aborted && cache.get(file)?.image === image) cache.delete(file);
    throw error;
  }
}

async function readImage(file: string, fileBytes: number, givenUp: AbortSignal): Promise<LocalImage> {
  const hash = createHash("sha256");
  let header: Buffer | undefined;
  let allocationBytes = 0;
  for await (const chunk of readChunks(file)) {
    givenUp.throwIfAborted();
    header ??= "data" in chunk.piece ? chunk.piece.data.subarray(0, 32) : Buffer.alloc(32);
    hash.update(chunk.raw);
    if ("data" in chunk.piece) allocationBytes += chunk.raw.length;
  }
  if (header === undefined) throw new Error("the file is empty");
  const qcow2 = header.length >= 32 && header.readUInt32BE(0) === 0x514649fb; // "QFI\xfb"
  if (qcow2 && header.readBigUInt64BE(8) !== 0n) throw new Error("a qcow2 file with a backing file: flatten it first (qemu-img convert)");
  const capacityBytes = qcow2 ? Number(header.readBigUInt64BE(24)) : fileBytes;
  if (capacityBytes % 512 !== 0) throw new Error(`${capacityBytes} bytes are no whole number of 512-byte sectors`);
  return { sha256: hash.digest("hex"), fileBytes, capacityBytes, allocationBytes, format: qcow2 ? "qcow2" : "raw" };
}

/** The file as an upload sends it: runs of zeros as holes, so that only what is allocated travels. */
export async function* uploadChunks(file: string, onBytes: (read: number) => void): AsyncGenerator<UploadChunk> {
  let hole = 0;
  let read = 0;
  for await (const { piece, raw } of readChunks(file)) {
    read += raw.length;
    if ("holeBytes" in piece) {
      hole += piece.holeBytes;
      continue;
    }
    if (hole > 0) yield { holeBytes: hole };
    hole = 0;
    yield piece;
    onBytes(read);
  }
  if (hole > 0) yield { holeBytes: hole };
  onBytes(read);
}

/** Runs of blocks of one sort, data or zeros, in order. */
async function* readChunks(file: string): AsyncGenerator<{ piece: UploadChunk; raw: Buffer }> {
  const handle = await open(file, "r");
  try {
    for (;;) {
      const buffer = Buffer.allocUnsafe(READ);
      const { bytesRead } = await handle.read(buffer, 0, READ, null);
      if (bytesRead === 0) return;
      let start = 0;
      let zero = isZero(buffer, 0, bytesRead);
      for (let offset = BLOCK; offset < bytesRead; offset += BLOCK) {
        const next = isZero(buffer, offset, bytesRead);
        if (next === zero) continue;
        yield run(buffer.subarray(start, offset), zero);
        start = offset;
        zero = next;
      }
      yield run(buffer.subarray(start, bytesRead), zero);
    }
  } finally {
    await handle.close();
  }
}

function isZero(buffer: Buffer, offset: number, end: number): boolean {
  const length = Math.min(BLOCK, end - offset);
  return buffer.compare(ZEROS, 0, length, offset, offset + length) === 0;
}

function run(raw: Buffer, zero: boolean): { piece: UploadChunk; raw: Buffer } {
  return { piece: zero ? { holeBytes: raw.length } : { data: raw }, raw };
}
