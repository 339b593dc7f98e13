import { posix } from "node:path";
import { assertSectors, readImageHeader, type ImageHeader } from "../qcow2/imageHeader";
import { isQcow2 } from "../qcow2/qcow2";
import type { Volume } from "../rpc/handles";
import { UnfitImageError, type ReadAt } from "../qcow2/unfitImage";
import type { VolumeFacts } from "../volumes/volumes";

/** libvirt opens no longer ones. */
export const MAX_CHAIN = 200;
const FLATTEN = "flatten it first (qemu-img convert -O qcow2)";

/** One file of a template: the image that is named, or one that it stands on. */
export interface ChainFile {
  volume: Volume;
  facts: VolumeFacts;
  header: ImageHeader;
}

export interface ChainReader {
  /** The file's header; of one that was declared, as it was declared. */
  header(file: Pick<ChainFile, "volume" | "facts">, declared: string | undefined): Promise<ImageHeader>;
  /** Null: no volume of an active pool of the host. */
  at(path: string): Promise<Pick<ChainFile, "volume" | "facts"> | null>;
  /** May a file that another one's header names be looked at for it? @throws whatever says no */
  allow(file: Pick<ChainFile, "volume" | "facts">): Promise<void>;
}

/**
 * A template with all it stands on, first what a guest sees. No format is guessed on the way: the named image's is the
 * declared one, or what its bytes say where nobody declared it; every other's is what the header above it says. What
 * nobody can look at is refused, since QEMU would open it all the same.
 * @throws UnfitImageError
 */
export async function readChain(top: Pick<ChainFile, "volume" | "facts">, declared: string | undefined, reader: ChainReader): Promise<ChainFile[]> {
  const chain: ChainFile[] = [];
  const seen = new Set<string>();
  let [file, format] = [top, declared];
  for (;;) {
    const path = file.facts.path;
    if (seen.has(path)) throw new UnfitImageError(`an overlay that stands on itself (by ${path}): take another copy`);
    if (chain.length >= MAX_CHAIN) throw new UnfitImageError(`a chain of more than ${MAX_CHAIN} images: ${FLATTEN}`);
    seen.add(path);
    const header = await under(chain, path, async () => {
      assertFile(file.facts);
      return reader.header(file, format);
    });
    chain.push({ ...file, header });
    if (header.format === "raw" || !header.backing) return chain;
    const backing = resolved(path, header.backing.file);
    format = header.backing.format;
    if (format === undefined) {
      throw new UnfitImageError(`an overlay whose header does not say of which format its backing file ${backing} is: write it there (qemu-img rebase -u -b ${backing} -F FORMAT), or ${FLATTEN}`);
    }
    if (format !== "raw" && format !== "qcow2") throw new UnfitImageError(`an overlay of an image of format ${JSON.stringify(format)} (${backing}): ${FLATTEN}`);
    const next = await reader.at(backing);
    if (!next) throw new UnfitImageError(`an overlay of ${backing}, which no active storage pool of the host has, so that nobody can look at it: make its directory a pool, or ${FLATTEN}`);
    await reader.allow(next);
    file = next;
  }
}

async function under<T>(chain: readonly ChainFile[], path: string, look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof UnfitImageError) || chain.length === 0) throw error;
    throw new UnfitImageError(`an overlay of ${path}, which is unfit itself: ${error.message}`);
  }
}

/** As QEMU finds it: beside the image that names it. @throws UnfitImageError where it is no plain file */
function resolved(path: string, name: string): string {
  const isPlain = !name.includes("\0") && !/^[^/]*:/.test(name);
  if (!isPlain) throw new UnfitImageError(`an overlay of ${JSON.stringify(name.slice(0, 200))}, which is no plain file: ${FLATTEN}`);
  return posix.resolve(posix.dirname(path), name);
}

const KINDS: Readonly<Record<string, string>> = { block: "a block device", dir: "a directory", network: "an image over the network", netdir: "a directory over the network", ploop: "a ploop image" };

function assertFile({ kind = "file" }: VolumeFacts): void {
  if (kind !== "file") throw new UnfitImageError(`${KINDS[kind] ?? `a volume of type ${kind}`}, not a file: copy it into a pool of files (qemu-img convert -O qcow2)`);
}

/**
 * What a file is whose format somebody declared. A raw one is that whatever its bytes look like: a guest could have
 * written them.
 * @throws UnfitImageError where it is not what was declared, or cannot be a template
 */
export async function declaredHeader(read: ReadAt, fileBytes: number, declared: string): Promise<ImageHeader> {
  if (declared === "raw") {
    assertSectors(fileBytes);
    return { format: "raw", capacityBytes: fileBytes, ...(isQcow2(await read(0, 4)) && { looksLikeQcow2: true }) };
  }
  if (declared !== "qcow2") throw new UnfitImageError(`an image of format ${JSON.stringify(declared)}: convert it first (qemu-img convert -O qcow2)`);
  const header = await readImageHeader(read, fileBytes);
  if (header.format !== "qcow2") throw new UnfitImageError("declared as qcow2, but none by its first bytes: declare what it is, or take a good copy");
  return header;
}
