import { abortable } from "./abortable";

/** Work begun once for all who ask for it; it goes on as long as one of them waits, and is given up with the last. */
export class SharedWork<T> {
  private readonly controller = new AbortController();
  private readonly result: Promise<T>;
  private waiting = 0;
  private settled = false;

  constructor(work: (signal: AbortSignal) => Promise<T>) {
    this.result = work(this.controller.signal);
    const ended = (): void => { this.settled = true; };
    this.result.then(ended, ended);
  }

  /** Nobody waited any more: who asks now must begin anew. */
  get isGivenUp(): boolean {
    return this.controller.signal.aborted;
  }

  /** @throws what the work throws, or the signal's reason when that comes first */
  async wait(signal?: AbortSignal): Promise<T> {
    this.waiting++;
    try {
      return await abortable(this.result, signal);
    } finally {
      if (--this.waiting === 0 && !this.settled) this.controller.abort(new Error("nobody waits for it any more"));
    }
  }
}
