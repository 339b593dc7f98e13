import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";

describe("schema.json before the Pulumi CLI", () => {
  it("passes `pulumi schema check`", function () {
    this.timeout(60_000);
    const run = spawnSync("pulumi", ["schema", "check", join(__dirname, "..", "..", "schema.json")], { encoding: "utf8" });
    assert.equal(run.error, undefined);
    assert.equal(run.status, 0, run.stderr + run.stdout);
  });
});
