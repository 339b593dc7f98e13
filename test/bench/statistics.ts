/** The middle value; of an even number the mean of the middle two. @throws RangeError without a value */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("Expected at least one value");
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** How far the prediction is from what was measured, as a part of the latter; above 0: predicted too long. */
export const errorOf = (predicted: number, measured: number): number => predicted / measured - 1;
