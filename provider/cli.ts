#!/usr/bin/env node
/** The planner without Pulumi and without a hypervisor: `vmfleet plan FILE`, `vmfleet picture FILE`. */
import { createRequire } from "node:module";
import { Command } from "commander";
import { InputError } from "./cli/input";
import { picture, type PictureOptions } from "./cli/picture";
import { plan, type Output, type PlanOptions } from "./cli/plan";
import { redact } from "./fleet";
import { policyNames } from "./scheduler";

const { version } = createRequire(__filename)("pulumi-vmfleet/package.json") as { version: string };

const program = new Command("vmfleet")
  .description("Plans fleets of virtual machines cloned from one template onto many hosts.")
  .version(version)
  .showHelpAfterError("(vmfleet --help, vmfleet plan --help, vmfleet picture --help)")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

program.command("plan")
  .description("Show what a fleet file would do: placement, clones, time, bytes across racks. Asks no hypervisor.")
  .argument("<file>", "fleet description in YAML or JSON, the same fields as the resource's inputs; - for standard input")
  .option("--json", "print the plan as JSON: policy, makespanSeconds, bytesMoved, bytesAcrossRacks, placement, clones")
  .option("--policy <name>", `auto, ${policyNames.join(", ")} (default: the file's, else auto)`)
  .option("--time <model>", "network: disks, NICs and uplinks are shared; unit: every clone takes one second", "network")
  .option("--svg <file>", "draw the plan as a picture: hosts down, time across, who feeds whom")
  .option("--compare", "compare all policies instead")
  .addHelpText("after", `
The file says which racks and hosts there are, how many members are wanted, and optionally the rates:

  namePrefix: workers
  template: { host: a1, pool: default, volume: golden.qcow2 }
  count: 12
  racks: [{ name: rack-a, uplinkBitsPerSecond: 4e10 }]
  hosts:
    - { name: a1, rack: rack-a, nicBitsPerSecond: 1e10, diskBytesPerSecond: 1e9 }
  imageBytes: 10e9

Rates left out: NICs of 10 Gbit/s, uplinks of 40 Gbit/s, disks of 1 GB/s; images of 10 GB.
Exit code: 0 planned, 2 the file or an option is wrong (each problem on a line of its own), 1 anything else.`)
  .action(async (file: string, options: PlanOptions) => {
    tell(await plan(file, options));
  });

program.command("picture")
  .description("Draw what a run really did: hosts down, time across, who fed whom, how fast.")
  .argument("<file>", "the fleet's timeline output in JSON, or what holds it, such as a stack's outputs or export; - for standard input")
  .option("--svg <file>", "where the picture goes (default: standard output)")
  .addHelpText("after", `
  pulumi stack output timeline | vmfleet picture - --svg run.svg

A timeline holds at most 256 copies; the input timelineFile has a picture of all of them written after each run.`)
  .action((file: string, options: PictureOptions) => tell(picture(file, options)));

function tell({ stdout, stderr }: Output): void {
  process.stderr.write(redact(stderr));
  process.stdout.write(redact(stdout));
}

// `vmfleet plan … | head` closes the pipe early: nobody is left to tell.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

program.parseAsync().catch((error: unknown) => {
  process.exitCode = error instanceof InputError ? 2 : 1;
  process.stderr.write(`${redact(error instanceof InputError ? error.message : (error as Error).stack ?? String(error))}\n`);
});
