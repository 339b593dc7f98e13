/** Items by a key, in the order they came: looked up, and not looked for, a hundred thousand members stay cheap. */
export function groupBy<T, K>(items: Iterable<T>, keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}

const NONE: readonly never[] = [];
export const groupOf = <T, K>(groups: ReadonlyMap<K, T[]>, key: K): readonly T[] => groups.get(key) ?? NONE;
