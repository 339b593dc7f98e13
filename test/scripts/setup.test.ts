import assert from "node:assert/strict";
import { whyInstall } from "../../scripts/lib/node-packages.mjs";
import { isRecent } from "../../scripts/lib/pulumi-cli.mjs";

const lock = (packages: Record<string, object>) => ({ packages: { "": {}, ...packages } });

describe("whether Node packages must be installed", () => {
  const wanted = lock({ "node_modules/a": { integrity: "sha512-1" }, "node_modules/darwin-only": { integrity: "sha512-2", optional: true } });

  it("installs nothing when all is there but what is for other platforms", () => {
    assert.equal(whyInstall(wanted, lock({ "node_modules/a": { integrity: "sha512-1" } })), null);
  });
  it("installs when there is nothing", () => {
    assert.equal(whyInstall(wanted, null), "node_modules is missing");
  });
  it("installs when a package is missing", () => {
    assert.equal(whyInstall(wanted, lock({})), "node_modules/a is missing");
  });
  it("installs when the lock names another version", () => {
    assert.equal(whyInstall(wanted, lock({ "node_modules/a": { integrity: "sha512-9" } })), "node_modules/a is another version");
  });
});

describe("which Pulumi CLI is recent enough", () => {
  for (const [version, recent] of [["3.199.9", false], ["3.200.0", true], ["3.254.0", true], ["4.0.0", true], ["2.300.0", false]] as const) {
    it(`${version}: ${recent ? "yes" : "no"}`, () => assert.equal(isRecent(version), recent));
  }
});
