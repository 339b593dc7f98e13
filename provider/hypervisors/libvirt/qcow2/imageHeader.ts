/**
 * What an image is, by its own bytes: qcow2, raw, or something that only looks as if it could be copied. Whatever bears
 * no mark at all is raw.
 */
import { partitionsEndBytes } from "./partitions";
import { headerSpanBytes, isQcow2, parseQcow2, type Qcow2Header } from "./qcow2";
import { UnfitImageError, type ReadAt } from "./unfitImage";

export type ImageHeader =
  | { format: "raw"; capacityBytes: number; /** Of one declared as raw: whoever did not know that would take it for qcow2. */ looksLikeQcow2?: boolean }
  | ({ format: "qcow2" } & Qcow2Header);

/** Of the beginning; an ISO 9660 file bears its mark at 32 KiB. */
export const HEAD_BYTES = 36 << 10;
/** Of the end: some formats are known by their last sector. */
export const TAIL_BYTES = 512;
const SECTOR_BYTES = 512;

const convert = "convert it first (qemu-img convert -O qcow2)";
/** Whose disk may hold anything: there the domain says what it is. */
const byDomain = "if it is a guest's own disk all the same, name the domain that has it as a raw disk (template.domain)";

interface Mark {
  /** Bytes, from the beginning, or from the beginning of the last 512. */
  at: number;
  bytes: Buffer;
  inTail?: boolean;
  what: string;
  wayOut: string;
}

const mark = (what: string, wayOut: string, at: number, bytes: string, inTail = false): Mark => ({ at, bytes: Buffer.from(bytes, "latin1"), inTail, what, wayOut });
const packed = (what: string, program: string, bytes: string): Mark => mark(`a file compressed by ${what}`, `decompress it first (${program})`, 0, bytes);

const MARKS: readonly Mark[] = [
  mark("a VMDK image", convert, 0, "KDMV"),
  mark("a VMDK image", convert, 0, "COWD"),
  mark("the description of a VMDK image", convert, 0, "# Disk DescriptorFile"),
  mark("a VDI image", convert, 64, "\x7f\x10\xda\xbe"),
  mark("a VHDX image", convert, 0, "vhdxfile"),
  mark("a VHD image", convert, 0, "conectix"),
  mark("a VHD image", convert, 0, "conectix", true),
  mark("a QED image", convert, 0, "QED\0"),
  mark("a Parallels image", convert, 0, "WithoutFreeSpace"),
  mark("a Parallels image", convert, 0, "WithouFreSpacExt"),
  mark("a Bochs image", convert, 0, "Bochs Virtual HD Image"),
  mark("a DMG image", convert, 0, "koly", true),
  mark("a tar archive (an OVA is one)", "unpack it (tar -xf), then convert the disk that is in it (qemu-img convert -O qcow2)", 257, "ustar"),
  packed("gzip", "gunzip", "\x1f\x8b\x08"),
  packed("xz", "unxz", "\xfd7zXZ\0"),
  packed("zstd", "unzstd", "\x28\xb5\x2f\xfd"),
  packed("lz4", "unlz4", "\x04\x22\x4d\x18"),
  packed("zip", "unzip", "PK\x03\x04"),
  packed("7-Zip", "7z x", "7z\xbc\xaf\x27\x1c"),
  mark("a LUKS container, which no member could open", `decrypt it to a plain image; ${byDomain}`, 0, "LUKS\xba\xbe"),
  // Hybrid ones, too: whoever names one nearly always wants what it would install, and libvirt takes them for CDs.
  mark("a CD image (ISO 9660), not a disk", `install from it, and take the disk; ${byDomain}`, 32_769, "CD001"),
  mark("a web page", "download the image itself", 0, "<!DOCTYPE"),
  mark("a web page", "download the image itself", 0, "<html"),
];
const BZIP2 = /^BZh[1-9]1AY&SY/;

/**
 * @param head the first bytes: as many as `HEAD_BYTES`, of a qcow2 file its first cluster, or all there are
 * @param tail the last `TAIL_BYTES`
 * @throws UnfitImageError for what cannot be a template
 */
export function parseImage(head: Buffer, tail: Buffer, fileBytes: number): ImageHeader {
  const header: ImageHeader = isQcow2(head) ? { format: "qcow2", ...parseQcow2(head, fileBytes) } : { format: "raw", capacityBytes: fileBytes };
  if (header.format === "raw") {
    for (const { at, bytes, inTail, what, wayOut } of MARKS) {
      if ((inTail ? tail : head).subarray(at, at + bytes.length).equals(bytes)) throw new UnfitImageError(`${what}: ${wayOut}`);
    }
    if (BZIP2.test(head.toString("latin1", 0, 10))) throw new UnfitImageError("a file compressed by bzip2: decompress it first (bunzip2)");
    const partitionsEnd = partitionsEndBytes(head);
    if (partitionsEnd !== undefined && partitionsEnd > fileBytes) {
      throw new UnfitImageError(`a raw image that ends before its partitions do (${fileBytes} bytes, they go to ${partitionsEnd}): download or copy it again`);
    }
  }
  assertSectors(header.capacityBytes);
  return header;
}

/** @throws UnfitImageError where an image's capacity is no disk's */
export function assertSectors(capacityBytes: number): void {
  if (capacityBytes === 0) throw new UnfitImageError("the file is empty: download or copy it again");
  if (capacityBytes % SECTOR_BYTES !== 0) {
    throw new UnfitImageError(`${capacityBytes} bytes are no whole number of 512-byte sectors: if it is a raw image cut short, download or copy it again`);
  }
}

/** @throws UnfitImageError for what cannot be a template; whatever `read` throws */
export async function readImageHeader(read: ReadAt, fileBytes: number): Promise<ImageHeader> {
  if (fileBytes === 0) assertSectors(fileBytes);
  const head = await read(0, Math.min(HEAD_BYTES, fileBytes));
  const wanted = isQcow2(head) ? Math.min(headerSpanBytes(head), fileBytes) : head.length;
  const whole = wanted > head.length ? await read(0, wanted) : head;
  const tail = isQcow2(head) || fileBytes < TAIL_BYTES ? Buffer.alloc(0) : await read(fileBytes - TAIL_BYTES, TAIL_BYTES);
  return parseImage(whole, tail, fileBytes);
}
