/** Whom a front answers, as this room knows it: somebody who is shown what is said of a resource, and who may go away. */

/** live: shown while the resource is worked on, in place of what was live before, then gone. info, warning: stays. */
export type Manner = "live" | "info" | "warning";

export interface OtherSide {
  /**
   * Resolves when it has been delivered. A text that does not get through is lost; that never fails a run.
   * @param resource what the front calls the resource, such as its URN
   * @param text one line; whoever calls this has cut the secrets out (resourceLog.ts)
   */
  say(resource: string, text: string, manner: Manner): Promise<void>;
  /** Calls back once, when nobody is on the other side any more. Does not keep the process alive. */
  onGone(callback: () => void): void;
}
