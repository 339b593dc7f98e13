/**
 * Placeholders in what guests are told. Only a word of lower-case letters in single braces counts, so that JSON, YAML,
 * shell and templates of others stay as they are: `{"a": 1}`, `{ name }`, `${name}`, `%{name}`, `#{name}`, `@{name}`,
 * `{{ name }}`, `${{name}}`. `{{name}}` stands for `{name}` itself.
 */
import { alternatives, nearest } from "../words/problems";

export const PLACEHOLDERS = ["name", "slot", "host", "rack", "fleet"] as const;
export type Placeholder = (typeof PLACEHOLDERS)[number];
export type Filling = Readonly<Record<Placeholder, string>>;

const BRACES = /(?<![$%#@{\\])(?:\{\{([a-z]+)\}\}|\{([a-z]+)\})/g;

const isPlaceholder = (word: string): word is Placeholder => (PLACEHOLDERS as readonly string[]).includes(word);

export function fill(text: string, filling: Filling): string {
  return text.replace(BRACES, (whole: string, literal: string | undefined, word: string | undefined) => {
    if (literal !== undefined) return `{${literal}}`;
    return word !== undefined && isPlaceholder(word) ? filling[word] : whole;
  });
}

/** Whether each member's differs by it. */
export const holdsMember = (text: string): boolean =>
  [...text.matchAll(BRACES)].some(([, , word]) => word === "name" || word === "slot");

const sorted = (word: string): string => [...word].sort().join("");

/**
 * What is wrong with the words in braces; undefined: nothing. The text may be secret: no word of it is told but one that is
 * nearly a placeholder.
 */
export function placeholderProblem(text: string): string | undefined {
  for (const match of text.matchAll(BRACES)) {
    const word = match[2];
    if (word === undefined || isPlaceholder(word)) continue;
    const line = text.slice(0, match.index).split("\n").length;
    const meant = nearest(word, PLACEHOLDERS) ?? PLACEHOLDERS.find((one) => sorted(one) === sorted(word)); // letters that changed places
    const got = meant === undefined ? "another word" : `{${word}}`;
    const literal = meant === undefined ? "{{word}} stands for {word} itself" : `did you mean {${meant}}? {{${word}}} stands for {${word}} itself`;
    return `expected ${alternatives(PLACEHOLDERS.map((one) => `{${one}}`))} where a word stands in braces, got ${got} in line ${line}; ${literal}`;
  }
  return undefined;
}
