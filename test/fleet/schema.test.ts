import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fleetInputsSchema, fleetOutputsSchema } from "../../provider/fleet";

const ROOT = join(__dirname, "..", "..");

interface PulumiSchema {
  types: Record<string, unknown>;
  resources: Record<string, { properties: object; inputProperties: object; requiredInputs: string[] }>;
}

describe("schema.json", () => {
  const text = readFileSync(join(ROOT, "schema.json"), "utf8");
  const schema = JSON.parse(text) as PulumiSchema;
  const resource = schema.resources["vmfleet:index:ClonedVmFleet"]!;

  it("follows from the inputs' schema, and so does docs/configuration.md", function () {
    this.timeout(30_000);
    const run = spawnSync(process.execPath, ["--require", "tsx/cjs", "scripts/generate-schema.ts", "--check"], { cwd: ROOT, encoding: "utf8" });
    assert.equal(run.stderr, "");
    assert.equal(run.status, 0);
  });

  it("has every input and output of the resource", () => {
    assert.deepEqual(Object.keys(resource.inputProperties), Object.keys(fleetInputsSchema.shape));
    assert.deepEqual(Object.keys(resource.properties), Object.keys(fleetOutputsSchema.shape));
    assert.deepEqual(resource.requiredInputs, ["hosts", "namePrefix", "template"]);
  });

  it("refers only to types that it holds", () => {
    const references = [...text.matchAll(/"#\/types\/([^"]+)"/g)].map((match) => match[1]!);
    assert.ok(references.length > 0);
    for (const reference of references) assert.ok(reference in schema.types, reference);
    for (const type of Object.keys(schema.types)) assert.ok(references.includes(type), type);
  });
});
