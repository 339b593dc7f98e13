/** The resource's row in Pulumi's display. Texts are one line, without secrets, and never repeat. */
import { redact } from "../../fleet";
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

/**
 * The same error, of the same type, with the secrets gone from its texts, its stack and whatever caused it: Pulumi
 * prints what a method throws.
 */
export function redactError(error: unknown): unknown {
  const seen = new Set<unknown>();
  for (let one: unknown = error; one instanceof Error && !seen.has(one); one = one.cause) {
    seen.add(one);
    // Defined anew: an error's texts may be getters or read-only.
    for (const key of TEXTS) {
      const value = (one as unknown as Record<string, unknown>)[key];
      if (value !== undefined) Object.defineProperty(one, key, { value: redactIn(value), writable: true, configurable: true });
    }
  }
  return typeof error === "string" ? redact(error) : error;
}

/** What errors say: their own texts, a run's reasons, a refusal's problems. Not the state they carry, which is to be kept. */
const TEXTS = ["message", "stack", "reasons", "problems"];

function redactIn(value: unknown): unknown {
  if (typeof value === "string") return redact(value);
  if (Array.isArray(value)) return value.map(redactIn);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, redactIn(one)]));
}

/** Whatever a method throws comes from hosts and libraries as well, and names URIs as they were declared. */
export function redacted<A extends unknown[], R>(method: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
  return async (...args) => {
    try {
      return await method(...args);
    } catch (error) {
      throw redactError(error);
    }
  };
}

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
