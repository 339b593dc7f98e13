/** The secrets in what a front throws. What it says goes through resourceLog.ts. */
import { redact } from "../fleet";

/** What errors say: their own texts, a run's reasons, a refusal's problems. Not the state they carry, which is to be kept. */
const TEXTS = ["message", "stack", "reasons", "problems"];

type Methods = Record<string, (...args: never[]) => Promise<unknown>>;

/**
 * The same methods; what they throw has lost its secrets, for it comes from hosts and libraries as well, and names URIs
 * as they were declared.
 */
export function redacting<T extends object>(methods: T & Methods): T {
  return Object.fromEntries(Object.entries<Methods[string]>(methods).map(([name, method]) => [name, redacted(method)])) as unknown as T;
}

function redacted<A extends unknown[], R>(method: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
  return async (...args) => {
    try {
      return await method(...args);
    } catch (error) {
      throw redactError(error);
    }
  };
}

/** The same error, of the same type, with the secrets gone from its texts, its stack and whatever caused it. */
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

function redactIn(value: unknown): unknown {
  if (typeof value === "string") return redact(value);
  if (Array.isArray(value)) return value.map(redactIn);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, redactIn(one)]));
}
