/** Fair sharing of rates: for the time model, and for limits on real copies. */

/**
 * Max-min fair rates by progressive filling: the resource with the smallest equal share is full first and fixes the
 * copies that use it; what they leave is shared by the others, and so on. A copy that has all its relay has is no
 * faster than the relay: it is fixed with it.
 *
 * @param paths the resources of each copy
 * @param followers by copy, those that read what it receives and have caught up with it. @default none
 * @param limits by copy, the most it may run at. @default Infinity each
 * @returns bytes per second, in the order of `paths`; Infinity for an empty path
 */
export function maxMinRates(
  paths: readonly (readonly number[])[], capacities: ArrayLike<number>,
  followers?: readonly (readonly number[] | undefined)[], limits?: ArrayLike<number>,
): number[] {
  const rates = new Array<number>(paths.length).fill(Infinity);
  const users = new Map<number, SharedResource>();
  let resources: SharedResource[] = [];
  paths.forEach((path, copy) => {
    for (const resource of path) {
      const entry = users.get(resource);
      if (entry) {
        entry.open++;
        entry.copies.push(copy);
      } else {
        const fresh = { left: capacities[resource]!, open: 1, copies: [copy] };
        users.set(resource, fresh);
        resources.push(fresh);
      }
    }
    const limit = limits?.[copy] ?? Infinity;
    if (limit < Infinity) resources.push({ left: limit, open: 1, copies: [copy] });
  });
  const fix = (first: number, share: number): void => {
    const pending = [first];
    for (let copy = pending.pop(); copy !== undefined; copy = pending.pop()) {
      if (rates[copy] !== Infinity) continue;
      rates[copy] = share;
      for (const resource of paths[copy]!) {
        const other = users.get(resource)!;
        other.left = Math.max(0, other.left - share);
        other.open--;
      }
      const behind = followers?.[copy];
      if (behind) for (const follower of behind) pending.push(follower);
    }
  };
  while (resources.length > 0) {
    let share = Infinity;
    for (const r of resources) share = Math.min(share, r.left / r.open);
    if (share === Infinity) break;
    // All that are full at this share at once: equal hosts would otherwise cost a pass each.
    const full = resources.filter((r) => r.left / r.open <= share * (1 + 1e-12));
    for (const r of full) for (const copy of r.copies) fix(copy, share);
    resources = resources.filter((r) => r.open > 0 && (r.copies.length > 1 || rates[r.copies[0]!] === Infinity));
  }
  return rates;
}

interface SharedResource {
  left: number;
  /** Copies not fixed yet. */
  open: number;
  copies: number[];
}
