/** The file system that cloud-init's NoCloud looks for: FAT, labelled `cidata`, the same bytes for the same files on every machine. */
import { FatFsDisk, FatFsFormat, FatFsMode } from "fatfs-wasm";
import type { GuestFile } from "../../../fleet";

/** Holds the largest texts that inputs may have; what stays zero takes no room on a host. */
export const IMAGE_BYTES = 2 << 20;
const CLUSTER_BYTES = 1024;
const ROOT_ENTRIES = 64;
const LABEL = "cidata";
/** The library's memory is small. */
const WRITE_BYTES = 16 << 10;

/** @throws where the files do not fit in */
export async function identityImage(files: readonly GuestFile[]): Promise<Buffer> {
  const image = Buffer.alloc(IMAGE_BYTES);
  const disk = await FatFsDisk.create(image);
  atFixedTime(() => {
    disk.mkfs({ fmt: FatFsFormat.FAT | FatFsFormat.SFD, nFat: 1, align: 1, nRoot: ROOT_ENTRIES, auSize: CLUSTER_BYTES });
    disk.mount();
    disk.setLabel(LABEL);
    for (const { name, text } of files) {
      const file = disk.open(name, FatFsMode.WRITE | FatFsMode.CREATE_ALWAYS);
      const bytes = Buffer.from(text, "utf8");
      for (let at = 0; at < bytes.length; at += WRITE_BYTES) {
        const part = bytes.subarray(at, at + WRITE_BYTES);
        if (file.write(part) !== part.length) throw new Error(`what its guest is told does not fit into ${IMAGE_BYTES} bytes`);
      }
      file.close();
    }
    disk.unmount();
  });
  // As the library has it, a label is in capitals; cloud-inits before 18.4 look for small letters only, later ones for both.
  const entry = image.indexOf(`${LABEL.toUpperCase().padEnd(11)}\x08`, 0, "latin1");
  image.write(LABEL, entry, "latin1");
  return image;
}

/** FAT writes down when its files and itself were made, and the library asks the machine's clock: for so long it gets one answer. Nothing is awaited in between. */
function atFixedTime(body: () => void): void {
  const { Date: real } = globalThis;
  class FixedDate extends real {
    constructor() {
      super(2000, 0, 1, 12);
    }
  }
  globalThis.Date = FixedDate as DateConstructor;
  try {
    body();
  } finally {
    globalThis.Date = real;
  }
}
