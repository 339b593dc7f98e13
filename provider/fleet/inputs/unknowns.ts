/** Values that Pulumi does not know yet at preview: found, put aside, and kept from causing problems. */
import { formatPath } from "../words/problems";

/** Stands for an unknown in a pruned input; equal to nothing that a program can write. */
export const UNKNOWN: unknown = Object.freeze({});

export interface Pruned {
  /** A copy of the input: unknowns replaced by UNKNOWN, properties that are null or undefined left out. */
  value: unknown;
  /** Paths of the unknowns. */
  unknown: string[];
}

export function prune(input: unknown, isUnknown: (value: unknown) => boolean): Pruned {
  const unknown: string[] = [];
  const walk = (value: unknown, path: PropertyKey[]): unknown => {
    if (isUnknown(value)) {
      unknown.push(formatPath(path));
      return UNKNOWN;
    }
    if (Array.isArray(value)) return value.map((item, index) => walk(item, [...path, index]));
    if (typeof value !== "object" || value === null) return value;
    const entries = Object.entries(value).filter(([, item]) => item !== undefined && item !== null);
    return Object.fromEntries(entries.map(([key, item]) => [key, walk(item, [...path, key])]));
  };
  return { value: walk(input, []), unknown };
}

/** True for the unknown value itself and whatever is beneath it. */
export function concernsUnknown(path: string, unknown: readonly string[]): boolean {
  return unknown.some((at) => at === "" || path === at || path.startsWith(`${at}.`) || path.startsWith(`${at}[`));
}

/** The pruned input with its unknowns left out, for a plan that does not depend on them. */
export function withoutUnknowns(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUnknowns);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== UNKNOWN);
  return Object.fromEntries(entries.map(([key, item]) => [key, withoutUnknowns(item)]));
}
