/** Which parts of an image hold data. What lies between them is a hole and reads as zeros. */
export interface Extent {
  offsetBytes: number;
  lengthBytes: number;
}

/** At which a scan passes over data; a machine of two cores reached twice that. */
const SCAN_BYTES_PER_SECOND = 4e9;

interface Sizes {
  capacityBytes: number;
  allocationBytes: number;
}
/** What sending an image's holes as zeros would take. */
export const holesSeconds = ({ capacityBytes, allocationBytes }: Sizes, nicBitsPerSecond: number): number =>
  (Math.max(0, capacityBytes - allocationBytes) * 8) / nicBitsPerSecond;
/** Where it takes longer to send the holes than to find them. */
export const isWorthScanning = (image: Sizes, nicBitsPerSecond: number): boolean =>
  image.allocationBytes / SCAN_BYTES_PER_SECOND < holesSeconds(image, nicBitsPerSecond);

/** Bytes of data before an offset. */
export function bytesBefore(extents: readonly Extent[], offsetBytes: number): number {
  let before = 0;
  for (const extent of extents) before += Math.min(extent.lengthBytes, Math.max(0, offsetBytes - extent.offsetBytes));
  return before;
}
