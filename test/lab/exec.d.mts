/** Types of exec.mjs. */
export function run(
  argv: string[], options?: { input?: string; timeoutMs?: number; cwd?: string; env?: Record<string, string> },
): Promise<string>;
export function delay(ms: number): Promise<void>;
/** Asks until the answer is neither undefined nor false; an exception counts as "not yet". Default 20 s, every 50 ms. */
export function until<T>(
  ask: () => T | Promise<T>, options: { timeoutMs?: number; everyMs?: number; what: string },
): Promise<Exclude<T, undefined | false>>;
