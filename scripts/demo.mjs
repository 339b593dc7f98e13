#!/usr/bin/env node
/**
 * `npm run demo`: a datacenter in a box, and the quick-start fleet on it through Pulumi: preview, create, grow, shrink.
 * `npm run demo:down`: the fleet, the stack and the lab, gone.
 *
 * Only Node's built-ins until set-up is done. The stack's state is a file in the user's cache, not in the checkout.
 */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { endRunning, endWithUs, quietly } from "./lib/programs.mjs";
import { beginSetup, ensureSetup } from "./lib/setup.mjs";
import { CACHE_DIR, ROOT } from "./lib/paths.mjs";
import { bars, bytes, screen, seconds } from "./lib/demo-screen.mjs";

/** A lab of its own: one that somebody brought up by hand is left alone. */
const LAB = "demo";
const STACK = "demo";
const PROJECT_DIR = join(ROOT, "examples", "quickstart");
const STATE_DIR = join(CACHE_DIR, "demo");
const SIZES = { create: 12, grow: 20, shrink: 5 };

const require = createRequire(import.meta.url);
const out = screen(process.stdout);

async function up() {
  const lab = await prepare();
  const stack = await openStack(lab);

  await setCount(stack, SIZES.create);
  const preview = await watch("Preview", (hooks) => stack.preview(hooks));
  out.done("Preview", preview.plan ?? "no change: the fleet is there already");
  for (const [what, count] of Object.entries(SIZES)) {
    const label = { create: `Create ${count}`, grow: `Grow to ${count}`, shrink: `Shrink to ${count}` }[what];
    await setCount(stack, count);
    const run = await watch(label, (hooks) => stack.up(hooks));
    const { placement, lastRun } = await stack.outputs();
    out.done(label, told(run, lastRun.value));
    out.line(bars(lab, placement.value));
  }
  out.line("");
  out.line(farewell(lab));
}

async function down() {
  const lab = await prepareSilently();
  if (existsSync(STATE_DIR)) {
    if (lab) {
      const stack = await openStack(lab);
      await watch("Destroy", (hooks) => stack.destroy(hooks));
      out.done("Destroy", "no member, volume or helper of the fleet is left");
      await stack.workspace.removeStack(STACK);
    }
    rmSync(STATE_DIR, { recursive: true, force: true });
  }
  const { down: labDown } = await import("../test/lab/lab.mjs");
  await labDown({ name: LAB });
  out.done("Lab", "gone: no process, namespace or file is left");
}

/**
 * Set-up, the example's packages and the lab. Building the Pulumi CLI takes longer than all else together, so it is waited
 * for last. @returns the lab
 */
async function prepare() {
  out.line("\npulumi-vmfleet: one machine becomes a fleet, copied from every finished copy\n");
  let since = Date.now();
  const setup = beginSetup({ layers: ["e2e"], log: (line) => out.line(`  ${line}`) });
  mustRunHere(await waitingLive("Set-up", setup, setup.packages));
  await compile();
  out.done("Set-up", `packages, QEMU and libvirt are here${took(since)}`);
  since = Date.now();
  const { up: labUp } = await import("../test/lab/lab.mjs");
  const { installTemplate } = await import("../test/lab/image.mjs");
  const lab = await labUp({ name: LAB, log: (line) => out.live("Lab", line) });
  await installTemplate({ name: LAB, host: lab.hosts[0].name, keep: true, log: (line) => out.live("Lab", line) });
  const rate = lab.hosts[0].nicBitsPerSecond / 1e6;
  out.done("Lab", `${lab.hosts.length} libvirt hosts in ${lab.racks.length} racks, NICs of ${rate} Mbit/s${took(since)}`);
  since = Date.now();
  const { pulumi } = mustRunHere(await waitingLive("Pulumi", setup, setup.all));
  Object.assign(process.env, pulumi.env);
  out.done("Pulumi", `CLI ${pulumi.version} is here${took(since)}`);
  return lab;
}

async function prepareSilently() {
  const { pulumi } = mustRunHere(await ensureSetup({ layers: ["e2e"], log: (line) => out.line(`  ${line}`) }));
  Object.assign(process.env, pulumi.env);
  await compile();
  const { status } = await import("../test/lab/lab.mjs");
  return status({ name: LAB });
}

function mustRunHere(found) {
  if (found.skipped.e2e) throw new Error(`the demo cannot run here: ${found.skipped.e2e}`);
  return found;
}

/** Waits for a part of set-up; a terminal shows all the while what is still missing. */
async function waitingLive(label, setup, wait) {
  const timer = setInterval(() => out.live(label, setup.waitingFor()), 500);
  try {
    return await wait();
  } finally {
    clearInterval(timer);
  }
}

async function compile() {
  out.live("Set-up", "compiling");
  await quietly([process.execPath, require.resolve("typescript/bin/tsc"), "-p", "tsconfig.build.json"]);
  out.live("Set-up", "installing the example");
  // npm takes one copy of a version for as good as another: it makes one of what was just compiled only where none is.
  rmSync(join(PROJECT_DIR, "node_modules", "pulumi-vmfleet"), { recursive: true, force: true });
  await quietly(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: PROJECT_DIR });
}

/** The example's own program, run inline: that needs no language host beside the CLI. */
async function openStack(lab) {
  require("tsx/cjs");
  // The program and what runs it must be of one @pulumi/pulumi.
  const inProject = createRequire(join(PROJECT_DIR, "index.ts"));
  const { LocalWorkspace } = inProject("@pulumi/pulumi/automation");
  const { quickstart } = inProject("./program.ts");
  mkdirSync(STATE_DIR, { recursive: true });
  const stack = await LocalWorkspace.createOrSelectStack(
    { stackName: STACK, projectName: "vmfleet-quickstart", program: async () => quickstart() },
    { workDir: PROJECT_DIR, envVars: { PULUMI_BACKEND_URL: `file://${STATE_DIR}`, PULUMI_CONFIG_PASSPHRASE: "demo" } },
  );
  await stack.setConfig("network", { value: lab.subnet.split(".").slice(0, 2).join(".") });
  await stack.setConfig("boot", { value: lab.bootDir });
  return stack;
}

const setCount = (stack, count) => stack.setConfig("count", { value: String(count) });

/** Runs one Pulumi operation, its row's text shown live. @returns what Pulumi was told, and how long it took */
async function watch(label, operation) {
  const started = Date.now();
  const printed = [];
  let plan;
  out.live(label, "asking Pulumi");
  const onEvent = ({ diagnosticEvent }) => {
    if (!diagnosticEvent?.urn?.includes("ClonedVmFleet")) return;
    const text = diagnosticEvent.message.replace(/<\{%[^%]*%\}>/g, "").trim();
    if (diagnosticEvent.ephemeral) out.live(label, text);
    else if (diagnosticEvent.severity.startsWith("info")) plan = text;
  };
  const onOutput = (text) => printed.push(text);
  try {
    await operation({ color: "never", onOutput, onError: onOutput, onEvent });
  } catch (error) {
    out.failed(label, "Pulumi says:");
    throw new Error(printed.join("") || error.message, { cause: error });
  }
  return { plan, seconds: (Date.now() - started) / 1000 };
}

function told({ seconds: elapsed }, lastRun) {
  const did = [
    lastRun.created > 0 && `+${lastRun.created}`, lastRun.destroyed > 0 && `-${lastRun.destroyed}`,
  ].filter(Boolean).join(" ") || "no change";
  if (lastRun.created === 0) return `${did} in ${seconds(elapsed)}`;
  return `${did} in ${seconds(lastRun.makespanSeconds)}: ${bytes(lastRun.bytesMoved)} moved, `
    + `${bytes(lastRun.bytesAcrossRacks)} of it across racks, policy ${lastRun.policy}`;
}

const took = (since) => (Date.now() - since > 2000 ? ` (${seconds((Date.now() - since) / 1000)})` : "");

const farewell = (lab) => `Look around:
  virsh -c '${lab.hosts[0].unixUri}' list --all
  PULUMI_BACKEND_URL=file://${STATE_DIR} PULUMI_CONFIG_PASSPHRASE=demo \\
    ${join(process.env.PATH.split(":")[0], "pulumi")} stack -s ${STACK} -C ${PROJECT_DIR.replace(`${process.cwd()}/`, "")}
  ${fileURLToPath(new URL("../examples/quickstart/program.ts", import.meta.url)).replace(`${process.cwd()}/`, "")}

Tear down:
  npm run demo:down
`;

endWithUs();

const command = process.argv[2];
if (command !== "up" && command !== "down") {
  console.error("usage: node scripts/demo.mjs up|down");
  process.exit(2);
}
await (command === "up" ? up() : down()).catch((error) => {
  endRunning();
  console.error(`\n${error.message}`);
  process.exit(1); // whatever set-up has begun beside it is nobody's any more
});
