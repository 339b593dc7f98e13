/** Where a raw disk's partitions end, by the table in its first sectors: a disk that ends before them was cut short. */
const SECTOR_BYTES = 512;
const MBR_AT = 446;
const MBR_ENTRIES = 4;
const MBR_ENTRY_BYTES = 16;
/** Of an MBR that stands before a GPT; its length is often that of no disk at all. */
const PROTECTIVE = 0xee;
const GPT_MIN_ENTRY_BYTES = 128;
const GPT_MAX_ENTRIES = 1024;

/** @param head of the disk: its first sectors. @returns undefined: no table, or none that can be trusted */
export function partitionsEndBytes(head: Buffer): number | undefined {
  if (head.length < 2 * SECTOR_BYTES || head.readUInt16LE(510) !== 0xaa55) return undefined;
  return head.toString("latin1", SECTOR_BYTES, SECTOR_BYTES + 8) === "EFI PART" ? gptEnd(head) : mbrEnd(head);
}

/** Boot sectors of file systems bear the same mark, and their code where a table would be: all of it must be one. */
function mbrEnd(head: Buffer): number | undefined {
  const partitions = [...Array(MBR_ENTRIES).keys()].map((i) => {
    const at = MBR_AT + i * MBR_ENTRY_BYTES;
    return { status: head[at]!, type: head[at + 4]!, start: head.readUInt32LE(at + 8), sectors: head.readUInt32LE(at + 12) };
  });
  if (partitions.some(({ status }) => status !== 0 && status !== 0x80)) return undefined;
  const used = partitions.filter(({ type }) => type !== 0).sort((a, b) => a.start - b.start);
  const isTable = used.length > 0 && partitions.every(({ type, start, sectors }) => (type === 0) === (sectors === 0) && (type === 0 || start > 0))
    && used.every(({ start }, i) => i === 0 || used[i - 1]!.start + used[i - 1]!.sectors <= start);
  if (!isTable || used.some(({ type }) => type === PROTECTIVE)) return undefined;
  const last = used.at(-1)!;
  return (last.start + last.sectors) * SECTOR_BYTES;
}

function gptEnd(head: Buffer): number | undefined {
  const entriesAt = Number(head.readBigUInt64LE(SECTOR_BYTES + 72)) * SECTOR_BYTES;
  const entries = head.readUInt32LE(SECTOR_BYTES + 80);
  const entryBytes = head.readUInt32LE(SECTOR_BYTES + 84);
  const isTable = entryBytes >= GPT_MIN_ENTRY_BYTES && entries <= GPT_MAX_ENTRIES && entriesAt >= 2 * SECTOR_BYTES && entriesAt + entries * entryBytes <= head.length;
  if (!isTable) return undefined;
  let last = 0;
  for (let at = entriesAt; at < entriesAt + entries * entryBytes; at += entryBytes) {
    if (head.subarray(at, at + 16).every((byte) => byte === 0)) continue; // not used
    last = Math.max(last, Number(head.readBigUInt64LE(at + 40)) + 1);
  }
  return last > 0 && Number.isSafeInteger(last * SECTOR_BYTES) ? last * SECTOR_BYTES : undefined;
}
