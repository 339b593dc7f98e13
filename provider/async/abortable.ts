/** Waits no longer than the signal lets it; what was waited for goes on. */
export async function abortable<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return promise;
  if (signal.aborted) promise.catch(() => undefined); // nobody waits for it any more
  signal.throwIfAborted();
  let off = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    const listener = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", listener, { once: true });
    off = () => signal.removeEventListener("abort", listener);
  });
  return Promise.race([promise, aborted]).finally(off);
}
