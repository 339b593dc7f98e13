#!/usr/bin/env node
/**
 * `npm test`: sets up what is missing, then runs everything this machine can run.
 *
 *   npm test -- [--layer unit|lab|e2e]… [--grep PATTERN] [--require-all]
 *
 * unit: type check, lint, stale schema, *.test.ts; lab: *.lab.ts over real libvirtd; e2e: *.e2e.ts, with Pulumi too.
 * lab and e2e run beside each other, each in a lab of its own: both mostly wait. What e2e says comes after what lab says.
 * --require-all (or VMFLEET_REQUIRE_ALL=1): a layer that cannot run here is a failure.
 * VMFLEET_LAB: name of one lab for both, one after the other; one that is up already is used and left up. Default: fresh
 * ones, `test` and `test2`.
 * At the end it names the ten slowest tests. The last line counts: `N passed, N failed` and, if any, `, N skipped`.
 */
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { down, status, up } from "../test/lab/lab.mjs";
import { ROOT } from "./lib/paths.mjs";
import { endRunning, show } from "./lib/programs.mjs";
import { ensureSetup, LAYERS } from "./lib/setup.mjs";
import { add, lastLine, mochaResult, slowestLines, succeeded } from "./lib/tally.mjs";

const SUFFIX = { unit: ".test.ts", lab: ".lab.ts", e2e: ".e2e.ts" };
/** Of one test, unless it says otherwise. */
const TIMEOUT_MS = { unit: 60_000, lab: 120_000, e2e: 600_000 };
const OWN_LABS = ["test", "test2", "test3", "test4"];

const log = (line) => console.log(`▸ ${line}`);
let sum = { passed: 0, failed: 0, skipped: 0 };
const count = (result) => { sum = add(sum, result); };
/** What each test took, the checks among them. */
const timed = [];
/** Labs of ours that are up: they must not outlive us. */
const ownLabs = new Set();

const npx = (program) => [process.execPath, join(ROOT, "node_modules", program)];

async function main() {
  const { values } = parseArgs({
    options: {
      layer: { type: "string", multiple: true, default: LAYERS },
      grep: { type: "string" },
      "require-all": { type: "boolean", default: process.env.VMFLEET_REQUIRE_ALL === "1" },
    },
  });
  const unknown = values.layer.find((layer) => !LAYERS.includes(layer));
  if (unknown !== undefined) throw new Error(`--layer: expected one of ${LAYERS.join(", ")}, got ${JSON.stringify(unknown)}`);
  const layers = LAYERS.filter((layer) => values.layer.includes(layer));
  const { pulumi, skipped } = await ensureSetup({ layers, log });
  const env = pulumi ? { ...pulumi.env, VMFLEET_PULUMI_BIN: pulumi.dir } : {};

  if (layers.includes("unit")) {
    if (values.grep === undefined) await runChecks();
    count(await runMocha("unit", values.grep, {}));
  }
  const real = layers.filter((layer) => layer !== "unit");
  const possible = real.filter((layer) => skipped[layer] === undefined && testFiles(layer).length > 0);
  // Programs load the provider compiled, as users do.
  if (!possible.includes("e2e") || await check("build", [...npx("typescript/bin/tsc"), "-p", "tsconfig.build.json"])) {
    await runReal(possible, values.grep, env);
  }
  for (const layer of real.filter((each) => skipped[each] !== undefined)) {
    const required = values["require-all"];
    log(`${layer}: ${required ? "FAILED: it is required, and cannot run here" : "skipped"}: ${skipped[layer]}`);
    count({ passed: 0, failed: required ? 1 : 0, skipped: required ? 0 : 1 });
  }
}

async function runReal(layers, grep, env) {
  const inLab = async (layer, name, output) => {
    await withLab(name, async (lab) => count(await runMocha(layer, grep, { ...env, VMFLEET_LAB: lab, VMFLEET_E2E_LAB: lab }, output)));
  };
  const given = process.env.VMFLEET_LAB;
  const names = layers.map(() => given);
  for (let i = 0; i < names.length; i++) names[i] ??= await freeName(names);
  if (given !== undefined || layers.length < 2) {
    for (const [i, layer] of layers.entries()) await inLab(layer, names[i]);
    return;
  }
  const dir = mkdtempSync(join(tmpdir(), "vmfleet-test-"));
  const later = layers.slice(1).map((layer) => join(dir, layer));
  const files = later.map((file) => openSync(file, "w"));
  try {
    await Promise.all(layers.map((layer, i) => inLab(layer, names[i], files[i - 1])));
  } finally {
    for (const file of files) closeSync(file);
    for (const file of later) process.stdout.write(readFileSync(file));
    rmSync(dir, { recursive: true, force: true });
  }
}

async function runChecks() {
  await check("type check", [...npx("typescript/bin/tsc"), "--noEmit", "-p", "."]);
  await check("lint", [...npx("eslint/bin/eslint.js"), "--max-warnings", "0", "."]);
  await check("no import circles", [...npx("dependency-cruiser/bin/dependency-cruise.mjs"), "provider", "sdk"]);
  if (existsSync(join(ROOT, "scripts/generate-schema.ts"))) {
    await check("schema.json is up to date", [...npx("tsx/dist/cli.mjs"), "scripts/generate-schema.ts", "--check"]);
  }
}

/** A program that counts as one test. */
async function check(name, argv) {
  const started = Date.now();
  const { code, why } = await show(argv);
  const seconds = (Date.now() - started) / 1000;
  timed.push({ title: name, seconds });
  log(code === 0 ? `${name}: passed (${seconds.toFixed(1)} s)` : `${name}: FAILED: ${why}`);
  count({ passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 });
  return code === 0;
}

function testFiles(layer) {
  return readdirSync(join(ROOT, "test"), { recursive: true }).filter((file) => file.endsWith(SUFFIX[layer])).sort();
}

async function runMocha(layer, grep, env, output) {
  const files = testFiles(layer).map((file) => join("test", file));
  if (files.length === 0) {
    log(`${layer}: no test files`);
    return { passed: 0, failed: 0, skipped: 0 };
  }
  log(`${layer}: ${files.length} files`);
  const dir = mkdtempSync(join(tmpdir(), "vmfleet-test-"));
  const countsFile = join(dir, "counts.json");
  try {
    const exit = await show([
      ...npx("mocha/bin/mocha.js"), "--reporter", join(ROOT, "scripts/lib/reporter.cjs"), "--timeout", String(TIMEOUT_MS[layer]),
      ...(grep === undefined ? [] : ["--grep", grep]), ...files,
    ], { env: { ...env, VMFLEET_COUNTS: countsFile }, output });
    const counts = existsSync(countsFile) ? JSON.parse(readFileSync(countsFile, "utf8")) : null;
    const { problems, ...result } = mochaResult(counts, exit);
    for (const { title, seconds } of counts?.slowest ?? []) timed.push({ title: `${layer}: ${title}`, seconds });
    for (const problem of problems) log(`${layer}: FAILED: ${problem}`);
    return result;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** One that the user had up stays. */
async function withLab(name, action) {
  const keep = process.env.VMFLEET_LAB !== undefined && await status({ name }) !== null;
  if (!keep) ownLabs.add(name);
  try {
    await up({ name, log, owner: process.pid });
  } catch (error) {
    log(`lab: FAILED: ${error.message}`);
    return count({ passed: 0, failed: 1, skipped: 0 });
  }
  try {
    await action(name);
  } finally {
    if (!keep) await removeLab(name);
  }
}

async function removeLab(name) {
  await down({ name, log });
  ownLabs.delete(name);
}

/** Two checkouts may test at once; only what a dead run left is cleaned and its name taken. */
async function freeName(taken) {
  for (const name of OWN_LABS.filter((one) => !taken.includes(one))) {
    const lab = await status({ name });
    if (lab === null) return name;
    if (lab.ownerAlive === false) {
      await down({ name, log });
      return name;
    }
  }
  throw new Error(`labs ${OWN_LABS.join(", ")} are all in use: set VMFLEET_LAB`);
}

async function interrupted(signal) {
  endRunning();
  for (const name of ownLabs) await removeLab(name);
  process.exit(signal === "SIGINT" ? 130 : 143);
}
process.on("SIGINT", interrupted).on("SIGTERM", interrupted);

main().catch((error) => {
  console.error(error.message);
  count({ passed: 0, failed: 1, skipped: 0 });
}).finally(() => {
  for (const line of slowestLines(timed)) console.log(line);
  console.log(lastLine(sum));
  process.exitCode = succeeded(sum) ? 0 : 1;
});
