/** Which parts of an image hold data. What lies between them is a hole and reads as zeros. */
export interface Extent {
  offsetBytes: number;
  lengthBytes: number;
}

/** At which a scan passes over data: on a slow machine it reached 8e9. */
const SCAN_BYTES_PER_SECOND = 4e9;
/** Holes are worth asking for where it takes longer to send them than to find them. */
export const isWorthScanning = (image: { capacityBytes: number; allocationBytes: number }, nicBitsPerSecond: number): boolean =>
  image.allocationBytes / SCAN_BYTES_PER_SECOND < ((image.capacityBytes - image.allocationBytes) * 8) / nicBitsPerSecond;

/** Bytes of data before an offset. */
export function bytesBefore(extents: readonly Extent[], offsetBytes: number): number {
  let before = 0;
  for (const extent of extents) before += Math.min(extent.lengthBytes, Math.max(0, offsetBytes - extent.offsetBytes));
  return before;
}
