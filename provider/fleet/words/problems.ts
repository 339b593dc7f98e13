/**
 * The one grammar of messages (DESIGN.md section 9): property path, what is allowed, what was seen, what to do next.
 * `hosts[2].count: expected an integer from 0 to 10000, got -1`
 */
import type { Problem } from "../model";
import { redact, redactValue } from "./redaction";

/** `["hosts", 2, "count"]` → `hosts[2].count`. Keys that are no plain words are quoted: `vm["a b"]`. */
export function formatPath(parts: readonly PropertyKey[]): string {
  let text = "";
  for (const part of parts) {
    if (typeof part === "number") text += `[${part}]`;
    else if (/^[A-Za-z_$][\w$]*$/.test(String(part))) text += text ? `.${String(part)}` : String(part);
    else text += `[${JSON.stringify(redactValue(String(part)))}]`;
  }
  return text;
}

/** `path: message`, or the message alone where the problem is the whole's. */
export function formatProblem(problem: Problem): string {
  return problem.path ? `${problem.path}: ${problem.message}` : problem.message;
}

/** What was seen, short enough for a message and without a password that stands in a URI. */
export function seen(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  if (typeof value === "string") {
    if (value === "") return "an empty string";
    const safe = redactValue(value);
    return JSON.stringify(safe.length > 60 ? `${safe.slice(0, 57)}...` : safe);
  }
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object") return "an object";
  return String(value);
}

/** `expected an integer from 0 to 10000, got -1` and, where it helps, `; what to do next`. */
export function expected(what: string, value: unknown, next?: string): string {
  return `expected ${what}, got ${seen(value)}${next ? `; ${next}` : ""}`;
}

/** Sorted by path in reading order (hosts[2] before hosts[10]), each said once, none with a password. */
export function tidy(problems: readonly Problem[]): Problem[] {
  const safe = problems.map((problem) => ({ ...problem, message: redact(problem.message) }));
  const unique = new Map(safe.map((problem) => [formatProblem(problem), problem]));
  const padded = (text: string) => text.replace(/\d+/g, (digits) => digits.padStart(9, "0"));
  return [...unique.values()].sort((a, b) => compare(padded(a.path), padded(b.path)) || compare(a.message, b.message));
}

/** Total order of strings by code unit: the same on every machine, whatever its locale. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The allowed word nearest to a misspelt one, or nothing when none is near enough to be meant. */
export function nearest(word: string, allowed: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(word.length * 0.4));
  return allowed
    .map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance || compare(a.candidate, b.candidate))[0]?.candidate;
}

/** Levenshtein. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, substituted));
    }
    row = next;
  }
  return row[b.length]!;
}

/** `a, b or c` */
export function alternatives(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words[words.length - 1]}`;
}

/** `1 VM`, `2 VMs` */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** Decimal bytes in the unit that reads best: `2.1 GB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : Number(value.toFixed(1))} ${units[unit]}`;
}
