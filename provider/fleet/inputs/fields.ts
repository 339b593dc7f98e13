/** The kinds of value that inputs are made of. Each says in its error what is allowed and what was seen. */
import { z } from "zod";
import { alternatives, expected, nearest } from "../words/problems";

/** What no XML document may hold: control characters, halves of surrogate pairs, U+FFFE and U+FFFF. */
// eslint-disable-next-line no-control-regex
export const NOT_XML_TEXT = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
/** These, and the control characters that XML can hold. */
// eslint-disable-next-line no-control-regex
const CONTROL_CHARACTERS = /[\u0000-\u001f\u007f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

export const MAX_MEMBERS = 1_000_000;
/** Members one host may have. */
export const MAX_MEMBERS_PER_HOST = 10_000;

/** What libvirt domain names, file names and XML can all bear. */
export const NAME_RULE = "letters, digits, '.', '_' and '-', beginning with a letter or digit";

export function integer(from: number, to: number) {
  const error = (issue: { input?: unknown }) => expected(`an integer from ${from} to ${to}`, issue.input);
  return z.int({ error }).min(from, { error }).max(to, { error });
}

export function share() {
  const error = (issue: { input?: unknown }) => expected("a number from 0 to 1", issue.input);
  return z.number({ error }).min(0, { error }).max(1, { error });
}

/** Seconds, to the millisecond; recorded as milliseconds. */
export function seconds(from = 0.001, to = 86_400) {
  const error = (issue: { input?: unknown }) => expected(`a number of seconds from ${from} to ${to}`, issue.input);
  return z.number({ error }).min(from, { error }).max(to, { error });
}

/**
 * A positive number, also as text: YAML 1.1 readers hand on an unquoted 4e10 as a string.
 * @param unit in words, for the message: `bits per second`.
 */
export function quantity(unit: string, from: number, example: string) {
  const what = `a number of ${unit} of at least ${from}, such as ${example}`;
  return z
    .union([z.number(), z.string()], { error: (issue) => expected(what, issue.input) })
    .transform((value, context) => {
      const parsed = typeof value === "string" && value.trim() === "" ? Number.NaN : Number(value);
      if (Number.isFinite(parsed) && parsed >= from) return parsed;
      context.issues.push({ code: "custom", message: expected(what, value), input: value });
      return z.NEVER;
    })
    .meta({ schemaType: "number" });
}

/** A whole number of bytes. */
export function bytes(from: number, example: string) {
  return quantity("bytes", from, example).transform((value) => Math.round(value));
}

/** Strict: becomes part of names that hypervisors, files and XML must bear. */
export function name(maxLength: number) {
  const what = `a name of 1 to ${maxLength} characters (${NAME_RULE})`;
  const error = (issue: { input?: unknown }) => expected(what, issue.input);
  return z.string({ error }).max(maxLength, { error }).regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, { error });
}

/** Free text that others chose (pools, networks, domains): all of XML's and the shell's characters may stand in it. */
export function text(what: string, maxLength = 1024) {
  const error = (issue: { input?: unknown }) =>
    typeof issue.input === "string" && CONTROL_CHARACTERS.test(issue.input)
      ? `${expected(what, issue.input)}; remove the control characters`
      : expected(what, issue.input);
  return z
    .string({ error })
    .min(1, { error })
    .max(maxLength, { error: (issue) => `${expected(what, issue.input)}; at most ${maxLength} characters are allowed` })
    .refine((value) => !CONTROL_CHARACTERS.test(value), { error });
}

/** Kind and size of a value that may be secret. */
export function seenSecret(value: unknown): string {
  if (typeof value === "string") return value === "" ? "an empty text" : `a text of ${Buffer.byteLength(value)} bytes`;
  if (value === undefined || value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

/** What any XML document can hold: a console's password, perhaps. */
export const xmlText = () => z.string().refine((value) => !NOT_XML_TEXT.test(value), {
  error: (issue) => `expected a text that XML can hold, got ${seenSecret(issue.input)} with control characters; remove them`,
});

/** A volume's name in a directory pool is a file's name. */
export function volumeName() {
  const what = "the name of a volume in that pool, without '/'";
  return text(what, 255).refine((value) => !value.includes("/") && value !== "." && value !== "..", {
    error: (issue) => expected(what, issue.input, "give the volume's name, not its path"),
  });
}

export function absolutePath(what: string) {
  return text(what, 4096).refine((value) => value.startsWith("/"), {
    error: (issue) => expected(`${what}, beginning with '/'`, issue.input),
  });
}

export function flag() {
  return z.boolean({ error: (issue) => expected("true or false", issue.input) });
}

/** One of a few words; a misspelt one is told which was probably meant. */
export function choice<const T extends readonly [string, ...string[]]>(values: T, advice?: (input: unknown) => string | undefined) {
  return z.enum(values, {
    error: (issue) => {
      const special = advice?.(issue.input);
      if (special) return special;
      const meant = typeof issue.input === "string" ? nearest(issue.input, values) : undefined;
      return expected(alternatives(values), issue.input, meant ? `did you mean ${meant}?` : undefined);
    },
  });
}

export function object<S extends z.core.$ZodLooseShape>(what: string, shape: S) {
  return z.strictObject(shape, {
    error: (issue) => (issue.code === "invalid_type" ? expected(what, issue.input) : undefined),
  });
}

export function list<T extends z.ZodType>(what: string, item: T) {
  return z.array(item, { error: (issue) => (issue.code === "invalid_type" ? expected(what, issue.input) : undefined) });
}

