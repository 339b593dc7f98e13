/** What is said of one resource, on its way to the other side: in the order it was said, and without secrets. */
import { redact } from "../fleet";
import type { Manner, OtherSide } from "./otherSide";

export interface ResourceLog {
  /** Replaces the last live text; one that repeats it is left out. */
  live(text: string): void;
  info(text: string): void;
  warn(text: string): void;
  /** Resolves when everything said so far has been delivered. */
  settled(): Promise<void>;
}

/** @param resource what the front calls it */
export function resourceLog(otherSide: OtherSide, resource: string): ResourceLog {
  let pending: Promise<void> = Promise.resolve();
  let shown = "";
  // One after the other: two messages in flight could arrive the wrong way round.
  const say = (text: string, manner: Manner) => {
    pending = pending.then(() => otherSide.say(resource, redact(text), manner));
  };
  return {
    live: (text) => {
      if (text === shown) return;
      shown = text;
      say(text, "live");
    },
    info: (text) => say(text, "info"),
    warn: (text) => say(text, "warning"),
    settled: () => pending,
  };
}
