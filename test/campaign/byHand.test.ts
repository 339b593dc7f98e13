/** docs/by-hand.md quotes what a run says: the page and the source must have the same words. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(__dirname, "..", "..");
/** Without the values that stand in them. */
const QUOTED = [
  "is left alone: ", "and another UUID", "removed outside Pulumi", "the template has changed: ", "on the earlier content", "it was renamed. virsh domrename gives it its name back",
  "expected the UUID of ", "which has it", "expected names that are free", " has that is not of this fleet", "merge or remove the snapshot first",
  "is in use, and nothing was done to it", "as a disk", "is another host's and is not here: a second definition of a member, as after a restore",
  "looks left over and stays", "bears another host's name: it was moved here by hand", "is not active: virsh pool-start it", "is not in the pool",
] as const;

describe("the page on what an administrator may do by hand", () => {
  const sources = (readdirSync(join(ROOT, "provider"), { recursive: true }) as string[]).filter((file) => file.endsWith(".ts"))
    .map((file) => readFileSync(join(ROOT, "provider", file), "utf8")).join("\n");
  const page = readFileSync(join(ROOT, "docs/by-hand.md"), "utf8");

  for (const words of QUOTED) {
    it(`says "${words.trim()}" as a run does`, () => {
      assert.ok(page.includes(words.trim()), "the page has not these words: quote what is said now, or take them out of this list");
      const said = words.replace(/^expected /, "");
      assert.ok(sources.includes(said), `no run says ${JSON.stringify(said)} any more: see what it says now`);
    });
  }
});
