/** Inputs read leniently, before anybody knows that they are well-formed. An absent value is undefined; one of the wrong type reads as undefined too, since the schema has told of it. */
import type { Problem } from "../model";
import { alternatives, expected, nearest } from "../words/problems";
import { redactValue } from "../words/redaction";

export type Raw = Record<string, unknown>;

export interface CheckOptions {
  /** Planning without a hypervisor: how hosts are reached does not matter. */
  planning: boolean;
  /** Inputs that a check has let pass before, maybe an earlier version's: how hosts are reached is not judged again. */
  recorded: boolean;
}

export const record = (value: unknown): Raw => (typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Raw) : {});
export const items = (value: unknown): Raw[] => (Array.isArray(value) ? value.map(record) : []);
export const str = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);
export const num = (value: unknown): number | undefined => (typeof value === "number" && Number.isFinite(value) ? value : undefined);
export const given = (value: unknown): boolean => value !== undefined;

/** True when the list and this key of all its items are known and well-formed: only then can a name be missing. */
export function complete(list: unknown, key: string): boolean {
  return Array.isArray(list) && list.every((item) => str(record(item)[key]) !== undefined);
}

export function duplicates(list: Raw[], path: string, key: string): Problem[] {
  const first = new Map<string, number>();
  return list.flatMap((item, index) => {
    const value = str(item[key]);
    if (value === undefined) return [];
    const earlier = first.get(value);
    if (earlier === undefined) {
      first.set(value, index);
      return [];
    }
    const message = expected(`a ${key} of its own for each of ${path}`, value, `${path}[${earlier}] has it already`);
    return [{ path: `${path}[${index}].${key}`, message }];
  });
}

export function undeclared(what: string, value: string, names: readonly (string | undefined)[], next: string): string {
  const known = names.filter((one): one is string => one !== undefined).map(redactValue);
  const meant = nearest(value, known);
  const allowed = known.length > 0 && known.length <= 8 ? ` (${alternatives(known)})` : "";
  return expected(`${what}${allowed}`, value, meant ? `did you mean ${meant}?` : next);
}
