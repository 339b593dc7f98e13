import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClonedVmFleetArgs } from "../../sdk";
import { cannotRun, labFleet, type Lab, openStack, ROOT, type TestStack } from "./harness";

/** Hosts that nobody listens at: the tarball's own code is what is looked at here. */
const nowhere: Lab = {
  name: "none", subnet: "127.0.0.0/16", bootDir: "/boot", racks: [{ name: "rack-a", uplinkBitsPerSecond: 1e9 }],
  hosts: [{ name: "a1", rack: "rack-a", uri: "qemu+tcp://127.0.0.1:1/system", unixUri: "", poolDir: "" }],
};

describe("the package, packed and installed in an empty folder", function () {
  this.timeout(120_000);
  let folder: string;
  let test: TestStack | undefined;

  before(async function () {
    if (await cannotRun()) return this.skip();
    folder = mkdtempSync(join(tmpdir(), "vmfleet-tarball-"));
    const [{ filename }] = JSON.parse(execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], { cwd: ROOT, encoding: "utf8" }));
    writeFileSync(join(folder, "package.json"), "{}");
    const { version } = require("@pulumi/pulumi/package.json") as { version: string };
    execFileSync("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", join(folder, filename), `@pulumi/pulumi@${version}`], { cwd: folder });
  });
  after(async () => {
    await test?.close();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  it("previews a fleet from a program of that folder", async () => {
    const { ClonedVmFleet } = createRequire(join(folder, "index.js"))("pulumi-vmfleet") as typeof import("../../sdk");
    test = await openStack("tarball", {
      workDir: folder,
      program: async () => { new ClonedVmFleet("fleet", labFleet(nowhere) as unknown as ClonedVmFleetArgs); },
    });
    const { said, changes } = await test.preview();
    assert.equal(changes["create"], 2);
    assert.match(said[0]!.message, /^\+2 VMs on 1 host/);
  });

  it("carries the methods, the schema and the licence, and no test", () => {
    const listed = execFileSync("find", [join(folder, "node_modules/pulumi-vmfleet"), "-type", "f"], { encoding: "utf8" });
    for (const file of ["dist/provider/pulumi/index.js", "dist/sdk/index.d.ts", "schema.json", "LICENSE"]) assert.ok(listed.includes(file), file);
    assert.doesNotMatch(listed, /\/test\//);
  });
});
