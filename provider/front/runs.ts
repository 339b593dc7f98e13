/** What this process does now, and its end: a provider whose Pulumi is gone must not go on moving disks. */
import type { Clock } from "../async/clock";
import { within } from "../async/within";
import type { OtherSide } from "./otherSide";

export class EngineGoneError extends Error {
  constructor() {
    super("Pulumi is gone: this run was aborted. The next `pulumi up` finishes what it began.");
    this.name = "EngineGoneError";
  }
}

/** How long aborted runs may take to leave finished objects or nothing. */
const SETTLE_MS = 15_000;

export interface Runs {
  /** Runs `body` until it settles; its signal aborts when the other side is gone. */
  run<T>(body: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** Aborts everything, waits for it to settle, then exits. */
  abortAll(): Promise<void>;
}

/** @param exit ends the process */
export function createRuns(otherSide: OtherSide, exit: (code: number) => void, clock: Clock): Runs {
  const active = new Map<AbortController, Promise<unknown>>();

  const abortAll = async () => {
    for (const controller of active.keys()) controller.abort(new EngineGoneError());
    await within(clock, SETTLE_MS, Promise.allSettled(active.values()));
    exit(1);
  };

  // From the first call of any kind on: a provider that only checked must not outlive the other side either.
  otherSide.onGone(() => void abortAll());

  return {
    abortAll,
    async run(body) {
      const controller = new AbortController();
      const running = body(controller.signal);
      active.set(controller, running);
      try {
        return await running;
      } finally {
        active.delete(controller);
      }
    },
  };
}
