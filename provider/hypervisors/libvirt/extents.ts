/** Which parts of an image hold data. What lies between them is a hole and reads as zeros. */
export interface Extent {
  offsetBytes: number;
  lengthBytes: number;
}

/** Holes are asked for where less than this share of an image is allocated: of a full one there is nothing to tell. */
const SPARSE_SHARE = 0.75;
export const isSparse = (image: { capacityBytes: number; allocationBytes: number }): boolean =>
  image.allocationBytes < image.capacityBytes * SPARSE_SHARE;

/** Share of the data that lies before an offset: how far a copy is that goes from the beginning on. 1 where there is no data. */
export function shareBefore(extents: readonly Extent[], offsetBytes: number): number {
  let before = 0;
  let all = 0;
  for (const extent of extents) {
    all += extent.lengthBytes;
    before += Math.min(extent.lengthBytes, Math.max(0, offsetBytes - extent.offsetBytes));
  }
  return all === 0 ? 1 : before / all;
}
