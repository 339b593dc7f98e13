/** zod's issues as problems by our grammar. */
import { z } from "zod";
import { fleetInputsSchema } from "./schema";
import type { Problem } from "../model";
import { alternatives, formatPath, nearest, seen } from "../words/problems";

/** What is wrong with each value by itself. */
export function structureProblems(input: unknown): Problem[] {
  const result = fleetInputsSchema.safeParse(input);
  return result.success ? [] : result.error.issues.flatMap((issue) => translate(issue, [], input));
}

function translate(issue: z.core.$ZodIssue, prefix: readonly PropertyKey[], input: unknown): Problem[] {
  const path = [...prefix, ...issue.path];
  if (issue.code === "unrecognized_keys") {
    const allowed = keysAt(fleetInputsSchema, path);
    return issue.keys.map((key) => ({ path: formatPath([...path, key]), message: unknownProperty(key, allowed) }));
  }
  if (issue.code === "invalid_union" && isPlainObject(valueAt(input, path))) {
    // The value has the shape of the union's object: say what is wrong inside it, not what else it could have been.
    const inner = issue.errors.find((issues) => issues.every((one) => one.path.length > 0 || one.code === "unrecognized_keys"));
    if (inner) return inner.flatMap((one) => translate(one, path, input));
  }
  return [{ path: formatPath(path), message: issue.message }];
}

/** Longer lists of what is allowed drown the message. */
const FEW = 8;

function unknownProperty(key: string, allowed: readonly string[]): string {
  const meant = nearest(key, allowed);
  const what = allowed.length <= FEW ? `one of the properties ${alternatives(allowed)}` : "a property listed in docs/configuration.md";
  return `expected ${what}, got ${seen(key)}; ${meant ? `did you mean ${meant}?` : "remove it"}`;
}

/** The properties that the schema's object at this path knows. */
function keysAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodUnion) {
    const options = (inner.options as z.core.$ZodType[]).map((option) => keysAt(option, path));
    return options.find((keys) => keys.length > 0) ?? [];
  }
  const [first, ...rest] = path;
  if (inner instanceof z.ZodObject) {
    const shape = inner.shape as Record<string, z.core.$ZodType>;
    if (first === undefined) return Object.keys(shape);
    const next = shape[String(first)];
    return next ? keysAt(next, rest) : [];
  }
  if (inner instanceof z.ZodArray && first !== undefined) return keysAt(inner.element as z.core.$ZodType, rest);
  return [];
}

function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return unwrap(schema.unwrap() as z.core.$ZodType);
  }
  if (schema instanceof z.ZodPipe) return unwrap(schema.in as z.core.$ZodType);
  return schema;
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], input);
}

function isPlainObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

