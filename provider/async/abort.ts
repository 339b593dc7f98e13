import { setMaxListeners } from "node:events";

/**
 * Small things around AbortSignal. Node's AbortSignal.any keeps a reference on every source for the life of the
 * process (Node 20), so a long run links by hand and unlinks when the call is over.
 */

export interface LinkedSignal {
  readonly signal: AbortSignal;
  abort(reason: unknown): void;
  /** Stop listening to the parents. */
  unlink(): void;
}

/** Adding a listener to a signal looks at all it has: each parent gets one, which tells any number of children. */
const children = new WeakMap<AbortSignal, Set<(reason: unknown) => void>>();

function childrenOf(parent: AbortSignal): Set<(reason: unknown) => void> {
  let set = children.get(parent);
  if (!set) {
    const fresh = new Set<(reason: unknown) => void>();
    children.set(parent, set = fresh);
    parent.addEventListener("abort", () => { for (const tell of [...fresh]) tell(parent.reason); }, { once: true });
  }
  return set;
}

/**
 * Calls back when the signal aborts, which it has not yet. Cheaper than a listener of one's own where there are very many.
 * @returns ends that
 */
export function onAbort(signal: AbortSignal, tell: (reason: unknown) => void): () => void {
  const tells = childrenOf(signal);
  tells.add(tell);
  return () => tells.delete(tell);
}

/** Aborts with the first parent that aborts, or by its own `abort`. */
export function linkSignals(...parents: (AbortSignal | undefined)[]): LinkedSignal {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal); // a listener for every call in flight is meant, not a leak
  const abort = (reason: unknown): void => controller.abort(reason);
  const linked: Set<(reason: unknown) => void>[] = [];
  for (const parent of parents) {
    if (!parent) continue;
    if (parent.aborted) {
      controller.abort(parent.reason);
      break;
    }
    const set = childrenOf(parent);
    set.add(abort);
    linked.push(set);
  }
  return { signal: controller.signal, abort, unlink: () => { for (const set of linked.splice(0)) set.delete(abort); } };
}
