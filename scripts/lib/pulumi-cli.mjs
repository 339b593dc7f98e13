/**
 * The Pulumi CLI: the one on PATH if recent enough, else the official installer (through Pulumi's own Automation API),
 * else built from the Go module proxy. What is installed or built lives in the cache, keyed by version, outside every
 * checkout and never on the user's PATH.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { run } from "../../test/lab/exec.mjs";
import { CACHE_DIR, ROOT } from "./paths.mjs";
import { show, which } from "./programs.mjs";

const MIN_VERSION = [3, 200];
const BUILD_VERSION = "3.254.0";
const YAML_VERSION = "1.38.0";
const INSTALL_TIMEOUT_MS = 120_000;
const BUILD_TIMEOUT_MS = 45 * 60_000;
const SHIM = "pulumi-resource-pulumi-nodejs";
const CLI_DIR = join(CACHE_DIR, "pulumi-cli");
const QUIET = { PULUMI_SKIP_UPDATE_CHECK: "true" };

/**
 * @returns {Promise<{pulumi: {bin: string, dir: string, version: string, env: Record<string, string>, nodejsHost: boolean} | null,
 *   reason: string}>} env: what a process that calls it needs (PATH, and which checkout's dynamic provider to run);
 *   nodejsHost: whether `runtime: nodejs` programs run directly; reason: why there is none
 */
export async function ensurePulumiCli(log) {
  const onPath = which("pulumi");
  const onPathVersion = onPath && await versionOf(onPath);
  if (onPathVersion && isRecent(onPathVersion)) return { pulumi: describe(onPath, onPathVersion), reason: "" };
  if (onPath) log(`pulumi on PATH is ${onPathVersion ?? "unusable"}, ${MIN_VERSION.join(".")} or newer is needed`);

  for (const version of [sdkVersion(), BUILD_VERSION]) {
    const bin = join(CLI_DIR, version, "bin", "pulumi");
    if (existsSync(bin) && await versionOf(bin)) return { pulumi: describe(bin, version), reason: "" };
  }
  const installed = await install(log);
  if (installed) return { pulumi: installed, reason: "" };
  if (!which("go")) return { pulumi: null, reason: "no Pulumi CLI: the official installer did not work, and building it needs Go, which is not on PATH" };
  try {
    return { pulumi: await build(log), reason: "" };
  } catch (error) {
    return { pulumi: null, reason: `no Pulumi CLI: the official installer did not work, and building it failed: ${error.message}` };
  }
}

async function install(log) {
  const version = sdkVersion();
  const root = join(CLI_DIR, version);
  log(`installing the Pulumi CLI ${version} with the official installer into ${root} (at most ${INSTALL_TIMEOUT_MS / 1000} s)`);
  const script = 'require("@pulumi/pulumi/automation").PulumiCommand.install({ root: process.argv[1] })'
    + ".catch((error) => { console.error(error.message); process.exit(1); })";
  const { code, why } = await show([process.execPath, "-e", script, root], { env: QUIET, timeoutMs: INSTALL_TIMEOUT_MS });
  const bin = join(root, "bin", "pulumi");
  if (code === 0 && await versionOf(bin)) return describe(bin, version);
  log(`the official installer did not work (${why || "no usable pulumi"})`);
  rmSync(root, { recursive: true, force: true });
  return null;
}

/** Measured on 2 cores: 1 minute to download, 4 to 6 to build, 3 GB of Go caches. */
async function build(log) {
  const root = join(CLI_DIR, BUILD_VERSION);
  log(`building the Pulumi CLI ${BUILD_VERSION} from the Go module proxy into ${root} (about 6 minutes, once)`);
  mkdirSync(CLI_DIR, { recursive: true });
  const work = mkdtempSync(`${root}.work-`);
  const go = (...args) => run(["go", ...args], { cwd: work, env: { ...process.env, CGO_ENABLED: "0" }, timeoutMs: BUILD_TIMEOUT_MS })
    .catch((error) => { throw new Error(`go ${args[0]}: ${lastLines(error.stderr || error.message)}`, { cause: error }); });
  const compile = (name, versionVariable, version, pkg) => go(
    "build", "-tags", "osusergo,grpcnotrace", "-trimpath", "-ldflags", `-s -w -X ${versionVariable}=v${version}`, "-o", `bin/${name}`, pkg,
  );
  try {
    await go("mod", "init", "pulumi-cli-build");
    // Pulumi's own go.mod replaces this module; a replacement does not reach those who build it from outside.
    await go("mod", "edit", "-replace", "github.com/atotto/clipboard=github.com/tgummerer/clipboard@v0.0.0-20241001131231-d02d263e614e");
    await go("get", "-tool", `github.com/pulumi/pulumi/pkg/v3/cmd/pulumi@v${BUILD_VERSION}`);
    await go("get", `github.com/pulumi/pulumi/sdk/v3@v${BUILD_VERSION}`);
    await go("get", "-tool", `github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml@v${YAML_VERSION}`);
    await go("mod", "download");
    await compile("pulumi", "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version", BUILD_VERSION, "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi");
    await compile("pulumi-language-yaml", "github.com/pulumi/pulumi-yaml/pkg/version.Version", YAML_VERSION, "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml");
    rmSync(root, { recursive: true, force: true });
    renameSync(work, root);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return describe(join(root, "bin", "pulumi"), BUILD_VERSION);
}

function describe(bin, version) {
  const dir = dirname(bin);
  const path = [dir, process.env.PATH];
  if (dir.startsWith(CLI_DIR) && !isForeign(join(dir, SHIM))) writeShim(dir);
  else if (!existsSync(join(dir, SHIM)) && !which(SHIM)) {
    mkdirSync(join(CLI_DIR, "shim"), { recursive: true });
    writeShim(join(CLI_DIR, "shim"));
    path.push(join(CLI_DIR, "shim"));
  }
  const nodejsHost = existsSync(join(dir, "pulumi-language-nodejs")) || which("pulumi-language-nodejs") !== null;
  return { bin, dir, version, nodejsHost, env: { ...QUIET, PATH: path.join(delimiter), VMFLEET_CHECKOUT: ROOT } };
}

const SHIM_TEXT = `#!/bin/sh
# pulumi-vmfleet: runs the dynamic provider of the program's own @pulumi/pulumi, else of a checkout of pulumi-vmfleet
# (an inline program has no folder). It execs, so that the engine's child is the provider itself.
script=$(node -p 'require.resolve("@pulumi/pulumi/cmd/dynamic-provider")' 2>/dev/null)
if [ -z "$script" ]; then script="\${VMFLEET_CHECKOUT:?no @pulumi/pulumi found from $(pwd)}/node_modules/@pulumi/pulumi/cmd/dynamic-provider"; fi
exec node "$script" "$@"
`;

/** The official installer brings its own. */
const isForeign = (file) => existsSync(file) && !readFileSync(file, "utf8").includes("pulumi-vmfleet");

function writeShim(dir) {
  const file = join(dir, SHIM);
  if (existsSync(file) && readFileSync(file, "utf8") === SHIM_TEXT) return;
  const partial = `${file}.${process.pid}`;
  writeFileSync(partial, SHIM_TEXT);
  chmodSync(partial, 0o755);
  renameSync(partial, file);
}

async function versionOf(bin) {
  const text = await run([bin, "version"], { env: { ...process.env, ...QUIET }, timeoutMs: 20_000 }).catch(() => "");
  return /^v?(\d+\.\d+\.\d+\S*)/.exec(text.trim())?.[1] ?? null;
}

const lastLines = (text) => text.trim().split("\n").slice(-5).join("; ");

/** @param {string} version such as 3.254.0 */
export function isRecent(version) {
  const [major, minor] = version.split(".").map(Number);
  return major > MIN_VERSION[0] || (major === MIN_VERSION[0] && minor >= MIN_VERSION[1]);
}

const sdkVersion = () => JSON.parse(readFileSync(join(ROOT, "node_modules/@pulumi/pulumi/package.json"), "utf8")).version;
