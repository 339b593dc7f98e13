import { createHash } from "node:crypto";
import { open, stat } from "node:fs/promises";
import { cloneBytes } from "../qcow2/cloneBytes";
import { readImageHeader } from "../qcow2/imageHeader";
import type { UploadChunk } from "../rpc/stream";
import { SharedWork } from "../../../async/sharedWork";
import { UnfitImageError, type ReadAt } from "../qcow2/unfitImage";

const BLOCK = 64 * 1024;
const READ = 4 * 1024 * 1024;
/** Of a qcow2 file's tables: 512 GiB, all allocated, with clusters of 64 KiB. */
const TABLE_BYTES = 64 << 20;
const ZEROS = Buffer.alloc(BLOCK);

export interface LocalImage {
  sha256: string;
  fileBytes: number;
  capacityBytes: number;
  /** Bytes that are not holes: what an upload sends. */
  allocationBytes: number;
  /** What a clone of it writes; more than an upload sends, where it is compressed. */
  cloneBytes: number;
  format: "qcow2" | "raw";
}

const cache = new Map<string, { key: string; image: SharedWork<LocalImage> }>();

/**
 * Reads the whole file, once for all who ask while nothing shows that it was changed; given up when all who ask have.
 * Whoever sends it on hashes what he sends: a file can change without showing it.
 * @throws UnfitImageError for what cannot be a template; the file system's own error; the signal's reason
 */
export async function describeFile(file: string, signal?: AbortSignal): Promise<LocalImage> {
  const key = await fileState(file);
  const cached = cache.get(file);
  const image = cached?.key === key && !cached.image.isGivenUp ? cached.image : new SharedWork((givenUp) => readImage(file, key, givenUp));
  cache.set(file, { key, image });
  try {
    return await image.wait(signal);
  } catch (error) {
    if (!signal?.aborted && cache.get(file)?.image === image) cache.delete(file);
    throw error;
  }
}

/** Another one after each write, unless clocks stand still; the time of its last change nobody can put back. */
export async function fileState(file: string): Promise<string> {
  const info = await stat(file, { bigint: true });
  if (!info.isFile()) throw new UnfitImageError("not a file");
  return [info.dev, info.ino, info.size, info.mtimeNs, info.ctimeNs].join("/");
}

async function readImage(file: string, state: string, givenUp: AbortSignal): Promise<LocalImage> {
  const handle = await open(file, "r");
  try {
    const fileBytes = (await handle.stat()).size;
    const read: ReadAt = async (offset, length) => {
      const buffer = Buffer.alloc(length);
      return buffer.subarray(0, (await handle.read(buffer, 0, length, offset)).bytesRead);
    };
    const header = await readImageHeader(read, fileBytes); // before all of it is read
    if (header.format === "qcow2" && header.backing) throw new UnfitImageError("a qcow2 file with a backing file: flatten it first (qemu-img convert)");
    const hash = createHash("sha256");
    let allocationBytes = 0;
    for await (const { piece, raw } of readChunks(file)) {
      givenUp.throwIfAborted();
      hash.update(raw);
      if ("data" in piece) allocationBytes += raw.length;
    }
    const written = await cloneBytes([{ header, read, fileBytes, allocationBytes }], { mostBytes: TABLE_BYTES });
    if (await fileState(file) !== state) throw new UnfitImageError("it was written to while it was read: try again when it is at rest");
    return { sha256: hash.digest("hex"), fileBytes, capacityBytes: header.capacityBytes, allocationBytes, cloneBytes: written.bytes, format: header.format };
  } finally {
    await handle.close();
  }
}

/**
 * The file as an upload sends it: runs of zeros as holes, so that only what is allocated travels.
 * @param hash takes all of it as it is sent
 */
export async function* uploadChunks(file: string, onBytes: (read: number) => void, hash?: { update(raw: Buffer): unknown }): AsyncGenerator<UploadChunk> {
  let hole = 0;
  let read = 0;
  for await (const { piece, raw } of readChunks(file)) {
    read += raw.length;
    hash?.update(raw);
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
