/** A folder holds what is read together, and a file is one thing (CONTRIBUTING.md). */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

const ROOM = join(__dirname, "..", "..", "provider");
const MOST_FILES = 14;
const MOST_LINES = 350;

const entries = readdirSync(ROOM, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile() && entry.name.endsWith(".ts"));
const folderOf = (entry: { parentPath: string }): string => relative(ROOM, entry.parentPath) || ".";

describe("the provider's source", () => {
  it(`has no folder of more than ${MOST_FILES} files`, () => {
    const count = new Map<string, number>();
    for (const entry of entries) count.set(folderOf(entry), (count.get(folderOf(entry)) ?? 0) + 1);
    assert.deepEqual([...count].filter(([, files]) => files > MOST_FILES), []);
  });

  it(`has no file of more than ${MOST_LINES} lines`, () => {
    const long = entries.filter(({ parentPath, name }) => readFileSync(join(parentPath, name), "utf8").trimEnd().split("\n").length > MOST_LINES)
      .map((entry) => join(folderOf(entry), entry.name)).sort();
    assert.deepEqual(long, []);
  });
});
