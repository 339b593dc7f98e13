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
export const allOf = ({ capacityBytes }: Pick<Sizes, "capacityBytes">): Extent[] => [{ offsetBytes: 0, lengthBytes: capacityBytes }];

/**
 * How long the holes of an image may be looked for: what it takes to send them as zeros.
 * @param bitsPerSecond of the slowest way
 * @returns 0 where it takes longer to find them
 */
export function worthScanningSeconds({ capacityBytes, allocationBytes }: Sizes, bitsPerSecond: number): number {
  const holesSeconds = (Math.max(0, capacityBytes - allocationBytes) * 8) / bitsPerSecond;
  return allocationBytes / SCAN_BYTES_PER_SECOND < holesSeconds ? holesSeconds : 0;
}

/** Bytes of data before an offset. */
export function bytesBefore(extents: readonly Extent[], offsetBytes: number): number {
  let before = 0;
  for (const extent of extents) before += Math.min(extent.lengthBytes, Math.max(0, offsetBytes - extent.offsetBytes));
  return before;
}
