/**
 * How long and how much memory planning takes, each case in a process of its own, on what `npm run build` made: of new
 * fleets, `vmfleet plan` with policy auto; of fleets that are there, what must change.
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
  { racks: 100, hostsPerRack: 40, membersPerHost: 25, mostSeconds: 8, mostBytes: 0.8e9 },
];

/** A fleet that is there and recorded, planned anew with another count. */
export interface ChangeCase extends Pick<ScaleCase, "racks" | "hostsPerRack" | "membersPerHost"> {
  count: number;
  /** What must hold. */
  mostSeconds: number;
}

export type ChangeResult = ChangeCase & { destroyed: number; created: number; wallSeconds: number; cpuSeconds: number };

export const CHANGE_CASES: readonly ChangeCase[] = [
  { racks: 100, hostsPerRack: 40, membersPerHost: 25, count: 50_000, mostSeconds: 1 },
  { racks: 1, hostsPerRack: 4000, membersPerHost: 25, count: 150_000, mostSeconds: 2 },
  { racks: 40, hostsPerRack: 40, membersPerHost: 10, count: 0, mostSeconds: 0.5 },
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
function inputsOf({ racks, hostsPerRack, membersPerHost }: ScaleCase) {
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

const FLEET = join(__dirname, "../../dist/provider/fleet/index.js");
/** Plans a change of a fleet that stands as it would be placed afresh, once everything is loaded. */
const CHANGED = `
  const { parseFleetSpec, reconcile, recordState, memberUuid, NO_RUN } = require(process.argv[1]);
  const { inputs, members, count } = JSON.parse(require("fs").readFileSync(process.argv[2], "utf8"));
  const specOf = (count) => parseFleetSpec({ ...inputs, count }, { planning: true }).spec;
  const [fleet, disk] = [{ fleetId: "abcdefghij", incarnation: "one" }, { path: "/p", format: "qcow2", capacityBytes: 1e10, allocationBytes: 1e9 }];
  const template = { contentId: "c", host: "h0", capacityBytes: 1e10, allocationBytes: 1e9, format: "qcow2" };
  const hostOf = (name, held) => ({ status: "reachable", name, uuid: "u-" + name, hypervisorVersion: "9", words: { machine: "domain", store: "pool" }, members: held, replicas: [], leftovers: [], kept: [], foreignNames: [], room: { freeBytes: 1e15 }, problems: [], strangers: [], heldGenerations: [] });
  const memberOf = ({ slot, name, kind, generation }) => ({
    slot, name, uuid: memberUuid(fleet.fleetId, slot), kind, generation, incarnation: "one", contentId: "c", cardAddresses: [], power: "running", base: "consolidated",
    chain: [{ name: "b" + slot, ...disk }], disks: [], numCpus: 1, memory: 1024, networks: [],
  });
  const held = new Map(inputs.hosts.map(({ name }) => [name, []]));
  const none = { template, hosts: inputs.hosts.map(({ name }) => hostOf(name, [])) };
  for (const one of reconcile({ spec: specOf(members), ...fleet, observation: none }).create) held.get(one.host).push(memberOf(one));
  const observation = { template, hosts: inputs.hosts.map(({ name }) => hostOf(name, held.get(name))) };
  const previous = recordState({ spec: specOf(members), ...fleet, observation, lastRun: NO_RUN });
  const spec = specOf(count);
  const cpu = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e6; };
  const [begun, before] = [performance.now(), cpu()];
  const plan = reconcile({ spec, ...fleet, observation, previous });
  console.log(JSON.stringify({ wallSeconds: (performance.now() - begun) / 1000, cpuSeconds: cpu() - before, destroyed: plan.destroy.length, created: plan.create.length }));`;

/** @throws Error when there is no build */
export async function measureChange(one: ChangeCase, repeat: number): Promise<ChangeResult> {
  if (!existsSync(FLEET)) throw new Error("expected a build of the planner, found none: npm run build");
  const folder = mkdtempSync(join(tmpdir(), "vmfleet-scale-"));
  try {
    const file = join(folder, "change.json");
    const { countPerHost: _, ...inputs } = inputsOf({ ...one, mostBytes: 0 });
    writeFileSync(file, JSON.stringify({ inputs, members: one.racks * one.hostsPerRack * one.membersPerHost, count: one.count }));
    const runs: Omit<ChangeResult, keyof ChangeCase>[] = [];
    for (let i = 0; i < repeat; i++) {
      const { stdout } = await promisify(execFile)(process.execPath, ["-e", CHANGED, FLEET, file]);
      runs.push(JSON.parse(stdout) as typeof runs[number]);
    }
    return { ...one, ...runs[0]!, wallSeconds: median(runs.map(({ wallSeconds }) => wallSeconds)), cpuSeconds: median(runs.map(({ cpuSeconds }) => cpuSeconds)) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export const isSoon = ({ wallSeconds, mostSeconds }: ChangeResult): boolean => wallSeconds <= mostSeconds;

export function changeTable(results: readonly ChangeResult[]): string {
  return table(["racks x hosts x members", "to", "removed", "made", "planned in s", "at most", "CPU s", ""], results.map((one) => [
    `${one.racks} x ${one.hostsPerRack} x ${one.membersPerHost}`, one.count, one.destroyed, one.created, one.wallSeconds.toFixed(2), one.mostSeconds,
    one.cpuSeconds.toFixed(2), isSoon(one) ? "" : "TOO MUCH",
  ]));
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
  const changes: ChangeResult[] = [];
  for (const one of CHANGE_CASES) changes.push(await measureChange(one, repeat));
  console.log(values.json ? JSON.stringify({ plans: results, changes }, undefined, 2) : `${scaleTable(results)}\n\n${changeTable(changes)}`);
  if (!results.every(isWithin) || !changes.every(isSoon)) process.exitCode = 1;
}

if (require.main === module) {
  main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
