/** What a user reads must not rot: links, quoted messages, names of fields. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { HostWords } from "../../provider/fleet/model";
import { SIMULATED_WORDS } from "../../provider/hypervisors/simulated";

const ROOT = join(__dirname, "..", "..");
const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");

function filesBelow(folder: string, ending: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return /^(node_modules|dist|coverage|bench-results|reports|\.git)$/.test(entry.name) ? [] : filesBelow(path, ending);
    return path.endsWith(ending) ? [path] : [];
  });
}

const withoutCode = (text: string): string => text.replace(/^```[^]*?^```/gm, "").replace(/`[^`\n]*`/g, "");
/** As GitHub makes them. */
const anchors = (text: string): string[] => [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
  title!.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(" ", "-"));

/** The rows below a heading: cells of each, without the table's head. */
function tableBelow(text: string, heading: string): string[][] {
  const section = text.split(`\n## ${heading}\n`)[1]!.split("\n## ")[0]!;
  const rows = section.split("\n\n").find((block) => block.startsWith("|"))!.trim().split("\n");
  return rows.slice(2).map((row) => row.split("|").slice(1, -1).map((cell) => cell.trim()));
}
const codeIn = (cell: string): string[] =>
  [...cell.matchAll(/``(.+?)``|`([^`]+)`/g)].map(([, double, single]) => (double ?? single!).trim());

describe("the documents", () => {
  it("link only to what is there", () => {
    const broken = filesBelow(".", ".md").flatMap((file) => {
      const text = withoutCode(read(file));
      return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!).filter((target) => {
        if (/^[a-z]+:/.test(target)) return false;
        const [path, anchor] = target.split("#") as [string, string?];
        const at = path === "" ? file : relative(ROOT, join(ROOT, dirname(file), path));
        return !existsSync(join(ROOT, at)) || (anchor !== undefined && !anchors(read(at)).includes(anchor));
      }).map((target) => `${file}: ${target}`);
    });
    assert.deepEqual(broken, []);
  });

  it("quote messages that the source has", () => {
    // Hosts bring words of their own: where a message has one of them, it stands there.
    const worded = (source: string) => source.replace(/\$\{[^{}]*\bwords\.(\w+)\}/g, (_, key: string) => SIMULATED_WORDS[key as keyof HostWords]);
    const sources = filesBelow("provider", ".ts").map((file) => worded(read(file).replaceAll("\\`", "`")));
    const quoted = tableBelow(read("README.md"), "Troubleshooting").flatMap(([message]) => codeIn(message!));
    assert.ok(quoted.length > 30, `only ${quoted.length} messages found`);
    // `…` stands for a value; `expected` and `got` are put around by one function.
    const parts = (message: string): string[] => message.replace(/^expected /, "").replace(/,? got …$/, "").split("…").map((part) => part.trim());
    const unknown = quoted.filter((message) => !sources.some((source) => parts(message).every((part) => source.includes(part))));
    assert.deepEqual(unknown, []);
  });

  it("name fields that the schema has", () => {
    const schema = JSON.parse(read("schema.json")) as { types: Record<string, Node>; resources: Record<string, Node> };
    const named = tableBelow(read("README.md"), "Configuration").flatMap(([names]) => codeIn(names!));
    assert.ok(named.length > 20, `only ${named.length} fields found`);
    const unknown = named.filter((path) => {
      let node: Node | undefined = { properties: schema.resources["vmfleet:index:ClonedVmFleet"]!.inputProperties };
      for (const name of path.replaceAll("[]", "").split(".")) {
        const type: Node | undefined = node?.items ?? node;
        const at: Node | undefined = type?.$ref === undefined ? type : schema.types[type.$ref.replace("#/types/", "")];
        node = at?.properties?.[name];
      }
      return node === undefined;
    });
    assert.deepEqual(unknown, []);
  });
});

/** The parts of a Pulumi schema that lead from a field to the next. */
interface Node {
  $ref?: string;
  items?: Node;
  properties?: Record<string, Node>;
  inputProperties?: Record<string, Node>;
}
