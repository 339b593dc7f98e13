/** The resource's row in Pulumi's display. Texts are one line, without secrets, and never repeat. */
import type { EngineLink, Severity } from "./engine-link";

export interface Row {
  /** Live text: replaces the last one, gone when the resource is done. */
  status(text: string): void;
  /** Stays below the tree, under the resource's name. */
  info(text: string): void;
  warn(text: string): void;
  /** Resolves when everything said so far has been delivered. */
  settled(): Promise<void>;
}

/** `//user:secret@host` in any text: the secret does not go to a screen or a log. */
export const redact = (text: string): string => text.replace(/(\/\/[^\s/:@]*):[^\s/@]*@/g, "$1:***@");

export function rowOf(link: EngineLink, urn: string): Row {
  let pending: Promise<void> = Promise.resolve();
  let shown = "";
  // One after the other: two messages in flight could arrive the wrong way round.
  const say = (text: string, severity: Severity, ephemeral: boolean) => {
    pending = pending.then(() => link.log(urn, redact(text), severity, ephemeral));
  };
  return {
    status: (text) => {
      if (text === shown) return;
      shown = text;
      say(text, "info", true);
    },
    info: (text) => say(text, "info", false),
    warn: (text) => say(text, "warning", false),
    settled: () => pending,
  };
}
