/**
 * The Pulumi CLI: the one on PATH if recent enough, else the official binary, else built from the Go module proxy. What
 * is downloaded or built lives in the cache, keyed by version, outside every checkout and never on the user's PATH.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { run } from "../../test/lab/exec.mjs";
import { CACHE_DIR, ROOT } from "./paths.mjs";
import { which } from "./programs.mjs";
import { BUILD_VERSION, buildPulumi, removeAbandoned } from "./pulumi-build.mjs";
import { downloadPulumi } from "./pulumi-download.mjs";

const MIN_VERSION = [3, 200];
const SHIM = "pulumi-resource-pulumi-nodejs";
const CLI_DIR = join(CACHE_DIR, "pulumi-cli");
const QUIET = { PULUMI_SKIP_UPDATE_CHECK: "true" };

/**
 * @param {{log: (line: string) => void, doing?: (text: string) => void, signal?: AbortSignal}} options
 *   doing: is told what is done now; signal: ends it, as when something else that set-up needs is missing
 * @returns {Promise<{pulumi: {bin: string, dir: string, version: string, env: Record<string, string>, nodejsHost: boolean} | null,
 *   reason: string}>} env: what a process that calls it needs (PATH, and which checkout's dynamic provider to run);
 *   nodejsHost: whether `runtime: nodejs` programs run directly; reason: why there is none
 */
export async function ensurePulumiCli({ log, doing, signal }) {
  const onPath = which("pulumi");
  const onPathVersion = onPath && await versionOf(onPath);
  if (onPathVersion && isRecent(onPathVersion)) return { pulumi: describe(onPath, onPathVersion), reason: "" };
  if (onPath) log(`pulumi on PATH is ${onPathVersion ?? "unusable"}, ${MIN_VERSION.join(".")} or newer is needed`);

  for (const version of [sdkVersion(), BUILD_VERSION]) {
    const bin = join(CLI_DIR, version, "bin", "pulumi");
    if (existsSync(bin) && await versionOf(bin)) return { pulumi: describe(bin, version), reason: "" };
  }
  mkdirSync(CLI_DIR, { recursive: true });
  removeAbandoned(CLI_DIR);
  const downloaded = await download({ log, doing, signal });
  if (downloaded) return { pulumi: downloaded, reason: "" };
  if (!which("go")) return { pulumi: null, reason: "no Pulumi CLI: the official binary cannot be had, and building it needs Go, which is not on PATH" };
  const root = join(CLI_DIR, BUILD_VERSION);
  log(`building the Pulumi CLI ${BUILD_VERSION} from the Go module proxy into ${root} (about 6 minutes, once)`);
  try {
    await buildPulumi({ root, doing, signal });
    return { pulumi: describe(join(root, "bin", "pulumi"), BUILD_VERSION), reason: "" };
  } catch (error) {
    return { pulumi: null, reason: `no Pulumi CLI: the official binary cannot be had, and building it failed: ${error.message}` };
  }
}

async function download({ log, doing, signal }) {
  const version = sdkVersion();
  const root = join(CLI_DIR, version);
  log(`downloading the Pulumi CLI ${version} into ${root}`);
  const work = mkdtempSync(`${root}.work-`);
  try {
    await downloadPulumi({ version, folder: work, doing, signal });
    const found = await versionOf(join(work, "bin", "pulumi"));
    if (found !== version) throw new Error(found ? `the archive holds ${found}` : "what the archive holds does not run here");
    rmSync(root, { recursive: true, force: true });
    renameSync(work, root);
    return describe(join(root, "bin", "pulumi"), version);
  } catch (error) {
    signal?.throwIfAborted();
    log(`the official binary cannot be had (${error.message})`);
    return null;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
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

/** @param {string} version such as 3.254.0 */
export function isRecent(version) {
  const [major, minor] = version.split(".").map(Number);
  return major > MIN_VERSION[0] || (major === MIN_VERSION[0] && minor >= MIN_VERSION[1]);
}

/** As package-lock.json says it, which is there before its packages are. */
const sdkVersion = () => JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages["node_modules/@pulumi/pulumi"].version;
