/** A fleet file: YAML or JSON (which is YAML). */
import { readFileSync, writeFileSync } from "node:fs";
import { LineCounter, parseDocument } from "yaml";
import { parseFleetSpec, type FleetSpec } from "../fleet";

/** What the user must mend: printed without a stack, exit code 2. */
export class InputError extends Error {}

/** @param file a path, or `-` for standard input. @throws InputError with every problem on a line of its own */
export function readSpec(file: string): FleetSpec {
  const { spec, problems } = parseFleetSpec(parseText(readText(file), file), { planning: true });
  if (problems) throw new InputError(problems.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join("\n"));
  return spec;
}

/** YAML or JSON, whatever is in it. @throws InputError */
export function readValue(file: string): unknown {
  return parseText(readText(file), file);
}

function readText(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    throw new InputError(`${file}: ${reasonOf(error as NodeJS.ErrnoException)}`);
  }
}

/** @throws InputError when it cannot be written */
export function writeText(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new InputError(`${file}: cannot be written (${(error as Error).message})`);
  }
}

function reasonOf(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "ENOENT": return "no such file; expected a fleet description in YAML or JSON";
    case "EISDIR": return "is a directory; expected a fleet description in YAML or JSON";
    case "EACCES": return "may not be read (permission denied)";
    default: return `cannot be read (${error.message})`;
  }
}

function parseText(text: string, file: string): unknown {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    throw new InputError(document.errors.map((error) => {
      const { line, col } = lines.linePos(error.pos[0]);
      return `${file}:${line}:${col}: ${error.message}`;
    }).join("\n"));
  }
  try {
    return document.toJS();
  } catch (error) {
    throw new InputError(`${file}: ${(error as Error).message}`);
  }
}
