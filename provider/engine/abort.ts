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

/** Aborts with the first parent that aborts, or by its own `abort`. */
export function linkSignals(...parents: (AbortSignal | undefined)[]): LinkedSignal {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal); // a listener for every call in flight is meant, not a leak
  const undo: (() => void)[] = [];
  for (const parent of parents) {
    if (!parent) continue;
    if (parent.aborted) {
      controller.abort(parent.reason);
      break;
    }
    setMaxListeners(0, parent);
    const forward = () => controller.abort(parent.reason);
    parent.addEventListener("abort", forward, { once: true });
    undo.push(() => parent.removeEventListener("abort", forward));
  }
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    unlink: () => undo.splice(0).forEach((f) => f()),
  };
}
