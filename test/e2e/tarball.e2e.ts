import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newUser } from "./asUser";
import { cannotRun, ROOT } from "./harness";

/** A user's own script, in the folder: nothing of this checkout runs. Nobody listens at the host's address. */
const SCRIPT = `
const { LocalWorkspace } = require("@pulumi/pulumi/automation");
const { ClonedVmFleet } = require("pulumi-vmfleet");
const program = async () => {
  new ClonedVmFleet("fleet", {
    namePrefix: "packed", count: 2, imageBytes: 1e9, policy: "rounds", allowUnauthenticatedTcp: true,
    template: { host: "a1", pool: "default", volume: "golden.qcow2" },
    hosts: [{ name: "a1", uri: "qemu+tcp://127.0.0.1:1/system" }],
  });
};
(async () => {
  const backend = { url: "file://" + __dirname };
  const stack = await LocalWorkspace.createStack({ stackName: "packed", projectName: "packed", program }, {
    workDir: __dirname, projectSettings: { name: "packed", runtime: "nodejs", backend },
    envVars: { PULUMI_BACKEND_URL: backend.url, PULUMI_CONFIG_PASSPHRASE: "test" },
  });
  console.log((await stack.preview({ color: "never" })).stdout);
})().catch((error) => { console.error(error.message); process.exit(1); });
`;

/** Of the quick start's hosts: a range for tests of networks, which this machine knows no way to while the tests run. */
const NOWHERE = "198.18";
const route = (what: "replace" | "delete"): unknown => execFileSync("ip", ["route", what, "unreachable", `${NOWHERE}.0.0/16`]);

describe("the package, packed and installed in the quick start's folder, copied out of the repository", function () {
  this.timeout(120_000);
  let folder: string;

  before(async function () {
    if (await cannotRun()) return this.skip();
    route("replace");
    folder = mkdtempSync(join(tmpdir(), "vmfleet-tarball-"));
    const packed = execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], { cwd: ROOT, encoding: "utf8" });
    const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
    cpSync(join(ROOT, "examples/quickstart"), folder, { recursive: true, filter: (from) => !/\/(node_modules|package-lock\.json|Pulumi\..+\.yaml)$/.test(from) });
    const { version } = require("@pulumi/pulumi/package.json") as { version: string };
    const wanted = [join(folder, filename), `@pulumi/pulumi@${version}`];
    execFileSync("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", ...wanted], { cwd: folder, stdio: "pipe" });
    mkdirSync(join(folder, "own"));
    writeFileSync(join(folder, "own/index.js"), SCRIPT);
  });
  after(() => {
    if (!folder) return;
    route("delete");
    rmSync(folder, { recursive: true, force: true });
  });

  it("previews the quick start, without the repository", async () => {
    const user = await newUser();
    try {
      for (const line of ["pulumi stack init dev", `pulumi config set network ${NOWHERE}`]) await user.type(line, folder);
      const said = await user.type("pulumi preview", folder);
      assert.match(said, /\+12 VMs on 4 hosts in 2 racks, .* \(no host in reach\)/);
      assert.match(said, /\+ 2 to create/);
    } finally {
      user.leave();
    }
  });

  it("previews a fleet from an inline program of a folder in it", () => {
    const output = execFileSync(process.execPath, ["index.js"], { cwd: join(folder, "own"), encoding: "utf8" });
    assert.match(output, /\+2 VMs on 1 host in 1 rack, .* \(no host in reach\)/);
    assert.match(output, /\+ 2 to create/);
  });

  it("carries the methods, the types and the schema, and no test", () => {
    const listed = execFileSync("find", [join(folder, "node_modules/pulumi-vmfleet"), "-type", "f"], { encoding: "utf8" });
    for (const file of ["dist/provider/pulumi/dynamic/index.js", "dist/sdk/index.d.ts", "schema.json"]) assert.ok(listed.includes(file), file);
    assert.doesNotMatch(listed, /pulumi-vmfleet\/test\//);
  });
});
