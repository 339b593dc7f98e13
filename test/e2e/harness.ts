/** Real Pulumi, real libvirtd: a stack of its own per test, in a backend of its own, over one lab. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type InlineProgramArgs, type LocalWorkspaceOptions, LocalWorkspace, type Stack } from "@pulumi/pulumi/automation";
import type { EngineEvent } from "@pulumi/pulumi/automation";
import type { FleetState, MemberState } from "../../provider/fleet/model";
import { guardProgram, LOST } from "./wholePrograms";

export const ROOT = resolve(__dirname, "../..");
/** Its own lab, so that a developer's or the demo's is left alone. */
const LAB = process.env["VMFLEET_E2E_LAB"] ?? "e2e";

/** The lab as scripts and tests see it; the fields used here. */
export interface Lab {
  name: string;
  subnet: string;
  bootDir: string;
  hosts: { name: string; rack: string; uri: string; unixUri: string; poolDir: string }[];
  racks: { name: string; uplinkBitsPerSecond: number }[];
}

// The lab is plain JavaScript in ES modules; a TypeScript `import()` would be compiled to a require.
const importModule = new Function("specifier", "return import(specifier)") as (specifier: string) => Promise<any>;
export const labModule = () => importModule(join(ROOT, "test/lab/lab.mjs"));

let started = false;

/** Starts the lab where it does not run yet, with the template `golden.qcow2` on a1. */
export async function ensureLab(): Promise<Lab> {
  const { up } = await labModule();
  const { installTemplate } = await importModule(join(ROOT, "test/lab/image.mjs"));
  started = true;
  const lab: Lab = await up({ name: LAB });
  await installTemplate({ name: LAB, host: "a1" });
  return lab;
}

/** A second, small template beside the first: `small.qcow2` on a1. */
export async function installSmall(lab: Lab): Promise<void> {
  const { installTemplate } = await importModule(join(ROOT, "test/lab/image.mjs"));
  await installTemplate({ name: lab.name, host: "a1", volume: "small.qcow2", virtualBytes: 8 << 20, dataBytes: 4 << 20 });
}

// After all files: they share the lab. $VMFLEET_KEEP_LAB leaves it up, to look around or to run again sooner.
after(async function () {
  this.timeout(60_000);
  if (started && !process.env["VMFLEET_KEEP_LAB"]) await (await labModule()).down({ name: LAB });
});

let setup: Promise<{ pulumi: { env: Record<string, string>; nodejsHost: boolean } | null; skipped: Record<string, string> }> | undefined;

/** Sets up what is missing, once. @returns why these tests cannot run here, or null */
export async function cannotRun(): Promise<string | null> {
  setup ??= importModule(join(ROOT, "scripts/lib/setup.mjs")).then(({ ensureSetup }) => ensureSetup({ layers: ["e2e"] }));
  const { pulumi, skipped } = await setup;
  // The Automation API looks for the CLI on this process's own PATH.
  if (pulumi) process.env["PATH"] = pulumi.env["PATH"];
  return skipped["e2e"] ?? null;
}

/** What a process that calls Pulumi needs, and whether the official host of Node programs is there; once `cannotRun` said null. */
export async function pulumiHere(): Promise<{ env: Record<string, string>; nodejsHost: boolean }> {
  return (await setup)!.pulumi!;
}

export interface TestStack {
  stack: Stack;
  /** Its backend. */
  folder: string;
  /** What Pulumi runs as. */
  env: Record<string, string>;
  /** @returns what was printed, and what stands on the fleet's row, live texts included */
  preview(options?: { plan?: string }): Promise<Outcome>;
  up(options?: { replace?: string[]; plan?: string }): Promise<Outcome>;
  /** An `up` that must fail. */
  failingUp(): Promise<Outcome>;
  refresh(): Promise<Outcome>;
  destroy(): Promise<Outcome>;
  /** The recorded outputs of the one fleet in the stack. */
  fleet(): Promise<FleetState & { id: string; urn: string }>;
  /** The state as it lies in the backend, secrets encrypted. */
  stateFile(): string;
  close(): Promise<void>;
}

export interface Outcome {
  output: string;
  /** Texts on the rows of resources, in order. */
  said: { message: string; ephemeral: boolean; severity: string }[];
  /** How often each operation was done, such as `{ create: 1, same: 1 }`. */
  changes: Record<string, number>;
}

export interface StackOptions {
  program: InlineProgramArgs["program"];
  /** Where the provider is looked up from. @default test/e2e/project: what is found there is the checkout's own */
  workDir?: string;
  projectName?: string;
  config?: Record<string, string>;
  /** Added to what Pulumi runs as. */
  env?: Record<string, string>;
}

export async function openStack(name: string, options: StackOptions): Promise<TestStack> {
  const folder = mkdtempSync(join(tmpdir(), "vmfleet-e2e-"));
  const env: Record<string, string> = {
    PULUMI_BACKEND_URL: `file://${folder}`,
    PULUMI_CONFIG_PASSPHRASE: "test",
    // What is kept beside the stack is the test's own, too.
    PULUMI_HOME: join(folder, "home"),
    ...(await setup)?.pulumi?.env,
    ...options.env,
  };
  const projectName = options.projectName ?? "e2e";
  const workspace: LocalWorkspaceOptions = {
    workDir: options.workDir ?? join(__dirname, "project"),
    projectSettings: { name: projectName, runtime: "nodejs", backend: { url: `file://${folder}` } },
    envVars: env,
  };
  // A folder with a Pulumi.yaml of its own keeps it: settings given here would overwrite the file.
  if (options.workDir === undefined) delete workspace.projectSettings;
  const project = options.workDir === undefined ? "vmfleet-e2e" : projectName;
  /** Whether the engine said in this run that it deals with a fleet. */
  let isKnown = false;
  const program = async () => await options.program() as Record<string, unknown> | void;
  guardProgram(program, () => isKnown);
  const stack = await LocalWorkspace.createOrSelectStack({ stackName: name, projectName: project, program }, workspace);
  for (const [key, value] of Object.entries(options.config ?? {})) await stack.setConfig(key, { value });

  async function watched(action: (hooks: Hooks) => Promise<unknown>): Promise<Outcome> {
    for (let attempt = 1; ; attempt++) {
      const outcome: Outcome = { output: "", said: [], changes: {} };
      isKnown = false;
      try {
        await action({
          color: "never",
          onOutput: (text) => { outcome.output += text; },
          onEvent: (event) => {
            isKnown ||= /ClonedVmFleet/.test(event.resourcePreEvent?.metadata.type ?? event.diagnosticEvent?.urn ?? "");
            note(outcome, event);
          },
        });
        return outcome;
      } catch (error) {
        if (attempt === 3 || isKnown || !neverBegan(error)) throw error;
      }
    }
  }

  return {
    stack,
    folder,
    env,
    preview: ({ plan } = {}) => watched((hooks) => stack.preview({ ...hooks, ...(plan && { plan }) })),
    up: ({ replace, plan } = {}) => watched((hooks) => stack.up({ ...hooks, ...(replace && { replace }), ...(plan && { plan }) })),
    async failingUp() {
      let failed = false;
      const outcome = await watched(async (hooks) => {
        await stack.up({ ...hooks, onError: hooks.onOutput }).catch((error: unknown) => {
          if (neverBegan(error)) throw error;
          failed = true;
        });
      });
      if (!failed) throw new Error(`expected this up to fail:\n${outcome.output}`);
      return outcome;
    },
    refresh: () => watched((hooks) => stack.refresh(hooks)),
    destroy: () => watched((hooks) => stack.destroy(hooks)),
    async fleet() {
      const exported = await stack.exportStack();
      const resources = (exported.deployment.resources ?? []) as { urn: string; id: string; outputs: FleetState }[];
      const fleets = resources.filter(({ urn }) => urn.includes("ClonedVmFleet"));
      if (fleets.length !== 1) throw new Error(`expected one fleet in the stack, got ${fleets.length}`);
      return { ...fleets[0]!.outputs, id: fleets[0]!.id, urn: fleets[0]!.urn };
    },
    stateFile: () => readFileSync(join(folder, ".pulumi/stacks", project, `${name}.json`), "utf8"),
    async close() {
      await stack.destroy({ color: "never" }).catch(() => undefined);
      await stack.workspace.removeStack(name, { force: true }).catch(() => undefined);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Pulumi's own inline program could not reach its engine, on a loaded machine. */
const neverBegan = (error: unknown): boolean => String(error).includes("14 UNAVAILABLE: No connection established") || String(error).includes(LOST);

interface Hooks {
  color: "never";
  onOutput(text: string): void;
  onEvent(event: EngineEvent): void;
}

function note(outcome: Outcome, event: EngineEvent): void {
  const diagnostic = event.diagnosticEvent;
  if (diagnostic?.urn?.includes("ClonedVmFleet")) {
    const message = diagnostic.message.replace(/<\{%[^%]*%\}>/g, "").trim();
    outcome.said.push({ message, ephemeral: diagnostic.ephemeral ?? false, severity: diagnostic.severity });
  }
  if (event.summaryEvent) outcome.changes = { ...event.summaryEvent.resourceChanges } as Record<string, number>;
}

/** Asks a host's libvirt by virsh, which shares no code with us. */
export function virsh(lab: Lab, host: string, ...args: string[]): string {
  const found = lab.hosts.find((each) => each.name === host);
  if (!found) throw new Error(`no host ${host} in the lab`);
  return execFileSync("virsh", ["-c", found.unixUri, ...args], { encoding: "utf8" }).trim();
}

/** Everything on the lab's hosts that is named after this fleet, as `host: kind name`. */
export function leftovers(lab: Lab, fleetId: string, namePrefix: string): string[] {
  const lines = (text: string) => text.split("\n").map((line) => line.trim()).filter(Boolean);
  return lab.hosts.flatMap(({ name }) => [
    ...lines(virsh(lab, name, "list", "--all", "--name"))
      .filter((domain) => domain.startsWith(`${namePrefix}-`) || domain.includes(fleetId)).map((domain) => `${name}: domain ${domain}`),
    ...lines(virsh(lab, name, "vol-list", "default"))
      .filter((line) => line.includes(fleetId)).map((line) => `${name}: volume ${line.split(/\s+/)[0]}`),
  ]);
}

export const byHost = (members: readonly MemberState[]): Record<string, number> =>
  members.reduce<Record<string, number>>((counts, { host }) => ({ ...counts, [host]: (counts[host] ?? 0) + 1 }), {});

/** A fleet's arguments on the lab; small guests, emulated. */
export function labFleet(lab: Lab, changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    namePrefix: "e2e",
    template: { host: "a1", pool: "default", volume: "golden.qcow2" },
    count: 2,
    policy: "rounds",
    racks: lab.racks.map(({ name, uplinkBitsPerSecond }) => ({ name, uplinkBitsPerSecond })),
    hosts: lab.hosts.map(({ name, rack, uri }) => ({ name, rack, uri, pool: "default", nicBitsPerSecond: 4e8 })),
    allowUnauthenticatedTcp: true,
    shutdownTimeout: 5,
    vm: {
      numCpus: 1, memory: 96, networks: [{ network: "default" }], domainType: "qemu",
      kernel: join(lab.bootDir, "vmlinuz"), initrd: join(lab.bootDir, "initrd"), cmdline: "console=ttyS0 quiet",
    },
    ...changes,
  };
}
