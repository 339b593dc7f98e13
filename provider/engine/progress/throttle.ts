import { linkSignals } from "../../async/abort";
import type { Clock } from "../../async/clock";
import type { Progress, ProgressSink } from "../types";

export interface ThrottledSink {
  (progress: Progress): void;
  /** Deliver what is being held back, now. */
  flush(): void;
}

/**
 * A sink that passes on at most one event per `ms`: the first at once, of those that come too soon only the newest.
 * The last event is always delivered: when its time has come, at `flush()`, or at once when its phase is `done`.
 */
export function throttled(sink: ProgressSink, clock: Clock, ms: number): ThrottledSink {
  let last = Number.NEGATIVE_INFINITY;
  let held: Progress | undefined;
  let timer: ReturnType<typeof linkSignals> | undefined;

  const deliver = (progress: Progress) => {
    timer?.abort(new Error("delivered"));
    timer = undefined;
    held = undefined;
    last = clock.nowMs();
    sink(progress);
  };
  const later = (waitMs: number) => {
    const mine = linkSignals();
    timer = mine;
    clock.sleep(waitMs, mine.signal).then(
      () => { if (timer === mine && held) deliver(held); },
      () => undefined,
    );
  };
  const push = (progress: Progress) => {
    const wait = last + ms - clock.nowMs();
    if (wait <= 0 || progress.phase === "done") return deliver(progress);
    held = progress;
    if (!timer) later(wait);
  };
  return Object.assign(push, { flush: () => { if (held) deliver(held); } });
}
