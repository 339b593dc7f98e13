/**
 * What was found out about images on hosts by reading them, kept for the process: what a key names does not change.
 * Volumes are read by way of the daemon.
 */
import { cloneBytes, type CloneBytes } from "../qcow2/cloneBytes";
import { readImageHeader, type ImageHeader } from "../qcow2/imageHeader";
import type { LibvirtClient } from "../rpc/client";
import type { Volume } from "../rpc/handles";
import { declaredHeader, type ChainFile } from "./chain";
import type { ReadAt } from "../qcow2/unfitImage";

/** Of reading a template's tables. */
const MEASURE_MS = 5_000;
/** The same where somebody waits for a preview, which asks hosts for five seconds in all. */
export const IMPATIENT_MEASURE_MS = 1_500;
/** Of tables, over the wire: 256 GiB, all allocated, with clusters of 64 KiB. */
const MEASURE_BYTES = 32 << 20;
const MOST_KNOWN = 1000;

export interface MeasureOptions {
  /** How long tables may be read; 0: what is known already will do. @default 5 s */
  measureMs?: number;
  /** Monotonic. @default the client's clock */
  now?: () => number;
}

const headers = new Map<string, ImageHeader>();
const measured = new Map<string, CloneBytes & { ms: number }>();

function remember<T>(known: Map<string, T>, key: string, value: T): T {
  known.set(key, value);
  if (known.size > MOST_KNOWN) known.delete(known.keys().next().value!);
  return value;
}

const volumeReader = (client: LibvirtClient, volume: Volume): ReadAt => (offset, length) => client.downloadVolume(volume, offset, length);

/**
 * @param declared undefined: nobody says of which format it is
 * @throws UnfitImageError for what cannot be a template
 */
export async function headerOf(client: LibvirtClient, hostUuid: string, { volume, facts }: Pick<ChainFile, "volume" | "facts">, declared: string | undefined): Promise<ImageHeader> {
  const fileBytes = facts.fileBytes ?? 0;
  const key = [hostUuid, facts.key, facts.mtime, facts.ctime, fileBytes, declared].join("\0");
  const known = headers.get(key);
  if (known) return known;
  const read = volumeReader(client, volume);
  return remember(headers, key, await (declared === undefined ? readImageHeader(read, fileBytes) : declaredHeader(read, fileBytes, declared)));
}

/**
 * What a clone of it writes, in bytes. Where there was too little time or room for all of its tables, what was read
 * stands for the rest, and who has more time reads again.
 * @throws UnfitImageError where it ends before its tables or its data do
 */
export async function writtenByClone(client: LibvirtClient, contentId: string, files: readonly ChainFile[], { measureMs = MEASURE_MS, now = () => client.clock.nowMs() }: MeasureOptions): Promise<number> {
  const known = measured.get(contentId);
  if (known && (known.isWhole || measureMs <= known.ms)) return known.bytes;
  const layers = files.map(({ header, volume, facts }) => (
    { header, read: volumeReader(client, volume), fileBytes: facts.fileBytes ?? 0, allocationBytes: facts.allocationBytes }
  ));
  const endMs = now() + measureMs;
  const found = await cloneBytes(layers, { mostBytes: MEASURE_BYTES, isLate: () => now() >= endMs });
  return remember(measured, contentId, { ...found, ms: measureMs }).bytes;
}
