/** Which parts of an image hold data. What lies between them is a hole and reads as zeros. */
export interface Extent {
  offsetBytes: number;
  lengthBytes: number;
}

/** Holes are asked for where less than this share of an image is allocated: of a full one there is nothing to tell. */
const SPARSE_SHARE = 0.75;
export const isSparse = (image: { capacityBytes: number; allocationBytes: number }): boolean =>
  image.allocationBytes < image.capacityBytes * SPARSE_SHARE;

/** Bytes of data before an offset. */
export function bytesBefore(extents: readonly Extent[], offsetBytes: number): number {
  let before = 0;
  for (const extent of extents) before += Math.min(extent.lengthBytes, Math.max(0, offsetBytes - extent.offsetBytes));
  return before;
}
