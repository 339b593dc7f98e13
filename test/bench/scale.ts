/**
 * How long and how much memory planning takes: `vmfleet plan` with policy auto, each case in a process of its own, on
 * what `npm run build` made.
 *
 *   node --require tsx/cjs test/bench/scale.ts [--repeat N] [--json]
 */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { table } from "../../provider/cli/table";
import { median } from "./statistics";

export interface ScaleCase {
  racks: number;
  hostsPerRack: number;
  membersPerHost: number;
  /** What must hold. */
  mostSeconds: number;
  mostBytes: number;
}

export interface ScaleResult extends ScaleCase {
  policy: string;
  makespanSeconds: number;
  /** Medians: of reading the file, planning and making the JSON; of all threads; and the most memory the process had. */
  wallSeconds: number;
  cpuSeconds: number;
  rssBytes: number;
}

export const SCALE_CASES: readonly ScaleCase[] = [
  { racks: 2, hostsPerRack: 4, membersPerHost: 4, mostSeconds: 0.5, mostBytes: 2e9 },
  { racks: 10, hostsPerRack: 20, membersPerHost: 10, mostSeconds: 0.5, mostBytes: 2e9 },
  { racks: 100, hostsPerRack: 40, membersPerHost: 25, mostSeconds: 10, mostBytes: 2e9 },
];

const PLANNER = join(__dirname, "../../dist/provider/cli/plan.js");
/** Plans once everything is loaded, and tells what that took. */
const MEASURED = `
  const { plan } = require(process.argv[1]);
  const cpuSeconds = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e6; };
  const [wall, cpu] = [performance.now(), cpuSeconds()];
  plan(process.argv[2], { json: true, time: "network" }).then(({ stdout }) => {
    const { policy, makespanSeconds } = JSON.parse(stdout);
    const usage = { wallSeconds: (performance.now() - wall) / 1000, cpuSeconds: cpuSeconds() - cpu, rssBytes: process.resourceUsage().maxRSS * 1024 };
    console.log(JSON.stringify({ plan: { policy, makespanSeconds }, usage }));
  });`;

/** Inputs with the default rates: 10 GB images, 10 Gbit/s NICs, 40 Gbit/s uplinks, 1 GB/s disks. */
function inputsOf({ racks, hostsPerRack, membersPerHost }: ScaleCase): unknown {
  return {
    namePrefix: "w", template: { host: "h0", pool: "default", volume: "golden.qcow2" }, policy: "auto", countPerHost: membersPerHost, imageBytes: 10e9,
    racks: Array.from({ length: racks }, (_, rack) => ({ name: `r${rack}` })),
    hosts: Array.from({ length: racks * hostsPerRack }, (_, host) => ({ name: `h${host}`, rack: `r${Math.floor(host / hostsPerRack)}` })),
  };
}

/** @throws Error when there is no build, or the CLI fails */
export async function measureScale(one: ScaleCase, repeat: number): Promise<ScaleResult> {
  if (!existsSync(PLANNER)) throw new Error("expected a build of the planner, found none: npm run build");
  const folder = mkdtempSync(join(tmpdir(), "vmfleet-scale-"));
  try {
    const file = join(folder, "fleet.json");
    writeFileSync(file, JSON.stringify(inputsOf(one)));
    const runs: Planned[] = [];
    for (let i = 0; i < repeat; i++) runs.push(await run(file));
    const { policy, makespanSeconds } = runs[0]!.plan;
    const of = (pick: (usage: Usage) => number): number => median(runs.map(({ usage }) => pick(usage)));
    return {
      ...one, policy, makespanSeconds, wallSeconds: of((u) => u.wallSeconds), cpuSeconds: of((u) => u.cpuSeconds), rssBytes: of((u) => u.rssBytes),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Usage {
  wallSeconds: number;
  cpuSeconds: number;
  rssBytes: number;
}

interface Planned {
  plan: { policy: string; makespanSeconds: number };
  usage: Usage;
}

async function run(file: string): Promise<Planned> {
  const { stdout } = await promisify(execFile)(process.execPath, ["-e", MEASURED, PLANNER, file]);
  return JSON.parse(stdout) as Planned;
}

export const isWithin = (result: ScaleResult): boolean => result.wallSeconds <= result.mostSeconds && result.rssBytes <= result.mostBytes;

export function scaleTable(results: readonly ScaleResult[]): string {
  return table(["racks x hosts x members", "policy", "makespan s", "planned in s", "at most", "CPU s", "memory MB", ""], results.map((one) => [
    `${one.racks} x ${one.hostsPerRack} x ${one.membersPerHost}`, one.policy, one.makespanSeconds, one.wallSeconds.toFixed(2), one.mostSeconds,
    one.cpuSeconds.toFixed(2), (one.rssBytes / 1e6).toFixed(0), isWithin(one) ? "" : "TOO MUCH",
  ]));
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { repeat: { type: "string", default: "3" }, json: { type: "boolean" } } });
  const repeat = Number(values.repeat);
  if (!Number.isInteger(repeat) || repeat < 1) throw new Error(`--repeat: expected an integer of at least 1, got "${values.repeat}"`);
  const results: ScaleResult[] = [];
  for (const one of SCALE_CASES) results.push(await measureScale(one, repeat));
  console.log(values.json ? JSON.stringify(results, undefined, 2) : scaleTable(results));
  if (!results.every(isWithin)) process.exitCode = 1;
}

if (require.main === module) {
  main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
