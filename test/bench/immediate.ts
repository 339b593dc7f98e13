/**
 * Case `immediate`: from the request to the first line of a guest that reads 40 MB of its disk to boot, as a share of
 * the whole copy; at the lab's own rate, and at a quarter of it, where the guest's own time weighs less.
 */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { table } from "../../provider/cli/table";
import { imageOf } from "../../provider/fleet";
import type { FleetSpec, Image } from "../../provider/fleet/model";
import type { EarlyOrder, Hypervisor } from "../../provider/hypervisors/hypervisor";
import { createLibvirt } from "../../provider/hypervisors/libvirt";
import { freshFleetId, inventory } from "../hypervisors/libvirt/labFleet";
import { setRate, until } from "../lab";
import type { LabHost } from "../lab/lab.mjs";
import type { BenchCase, CaseReport } from "./cases";
import { routeOf, type BenchGround } from "./ground";
import { benchSpec } from "./inputs";
import type { BenchOptions } from "./options";
import { median } from "./statistics";

/** Forty megabytes from all over the image, at MiB, MiB: shares of the image and fixed lengths. */
const READS: readonly (readonly [at: number, mebibytes: number])[] = [[0.11, 10], [0.37, 10], [0.62, 10], [0.87, 8]];
const BOOTED = "VMFLEET BOOTED";
const PATIENCE_MS = 300_000;

interface ImmediateRun {
  turn: number;
  nicBitsPerSecond: number;
  /** Since the request: QEMU runs; the guest's first line; the copy is there; the disk is the guest's own. */
  startedSeconds: number;
  firstLineSeconds: number;
  copiedSeconds: number;
  settledSeconds: number;
  /** The same boot over the finished local disk: the guest's own time. */
  localBootSeconds: number;
  faults: string[];
}

async function measure(ground: BenchGround, options: BenchOptions, found: unknown, save: (measured: unknown) => void): Promise<ImmediateRun[]> {
  const { lab, log } = ground;
  const runs = (found as ImmediateRun[] | undefined) ?? [];
  const { from, to } = routeOf(lab.hosts);
  for (const nicBitsPerSecond of [to.nicBitsPerSecond, to.nicBitsPerSecond / 4]) {
    for (let turn = 0; turn < options.repeat; turn++) {
      if (runs.some((one) => one.turn === turn && one.nicBitsPerSecond === nicBitsPerSecond)) continue;
      if (!ground.mayGoOn()) return runs;
      const one = { turn, nicBitsPerSecond, ...(await withRate(lab.name, [from, to], nicBitsPerSecond, () => bootEarly(ground, to))) };
      runs.push(one);
      save(runs);
      log(`${nicBitsPerSecond / 1e6} Mbit/s, turn ${turn + 1}: first line after ${one.firstLineSeconds.toFixed(2)} s of ${one.copiedSeconds.toFixed(2)} s`);
      for (const fault of one.faults) log(`  FAULT: ${fault}`);
    }
  }
  return runs;
}

async function withRate<T>(name: string, hosts: LabHost[], bitsPerSecond: number, act: () => Promise<T>): Promise<T> {
  try {
    for (const host of hosts) await setRate({ name, host: host.name, bitsPerSecond });
    return await act();
  } finally {
    for (const host of hosts) await setRate({ name, host: host.name });
  }
}

async function bootEarly(ground: BenchGround, target: LabHost): Promise<Omit<ImmediateRun, "turn" | "nicBitsPerSecond">> {
  const spec = guestSpec(ground);
  const hypervisor = createLibvirt({ spec });
  const { image, order } = await earlyOrder(hypervisor, spec, target);
  const log = join(target.poolDir, "..", "log", "qemu", `${order.name}.serial.log`);
  const boots = async (): Promise<number> => (await readFile(log, "utf8").catch(() => "")).split(BOOTED).length - 1;
  const bootNumber = (n: number) => until(async () => (await boots()) >= n, { what: `boot ${n} of ${order.name}`, timeoutMs: PATIENCE_MS });
  const { fleet, host, slot, generation, name } = order;
  try {
    const seconds = stopwatch();
    const copying = hypervisor.clone({ fleet, image, source: { kind: "template", host: spec.hosts[0]!.name }, target: { kind: "base", host, slot, generation, name } }, {}).then(seconds);
    const starting = hypervisor.abilities.startsEarly.startEarly(order).then(seconds);
    const settling = Promise.all([copying, starting]).then(() => hypervisor.abilities.startsEarly.settle(order)).then(seconds);
    settling.catch(() => undefined); // awaited below
    await bootNumber(1);
    const firstLineSeconds = seconds();
    const [startedSeconds, copiedSeconds, settledSeconds] = await Promise.all([starting, copying, settling]);
    const faults = await stillServed(ground, fleet.fleetId);
    await hypervisor.power({ ...order, to: "stopped", shutdownMs: 0 });
    const again = stopwatch();
    await hypervisor.power({ ...order, to: "running", shutdownMs: 0 });
    await bootNumber(2);
    return { startedSeconds, firstLineSeconds, copiedSeconds, settledSeconds, localBootSeconds: again(), faults };
  } finally {
    await hypervisor.destroy({ ...order, kind: "member", shutdownMs: 0 });
    await hypervisor.close();
    await rm(log, { force: true });
  }
}

const stopwatch = (): (() => number) => {
  const began = performance.now();
  return () => (performance.now() - began) / 1000;
};

/** One guest of the bench's fleet, which reads before its first line. */
function guestSpec(ground: BenchGround): FleetSpec {
  const { kernel, initrd, cmdline } = ground.template;
  const reads = READS.map(([share, mebibytes]) => `vmfleet.read=${Math.floor((share * ground.imageBytes) / 2 ** 20)},${mebibytes}`);
  const spec = benchSpec(ground, "relay", 1, {
    kernel, initrd, cmdline: [cmdline, ...reads].join(" "), serialLog: "/var/log/libvirt/qemu/{name}.serial.log",
  });
  return { ...spec, start: "immediately" };
}

async function earlyOrder(hypervisor: Hypervisor, spec: FleetSpec, target: LabHost): Promise<{ image: Image; order: EarlyOrder }> {
  const fleet = { fleetId: freshFleetId(), incarnation: "bench", namePrefix: spec.namePrefix };
  const { template } = await hypervisor.observe({
    fleetId: fleet.fleetId, namePrefix: spec.namePrefix, hosts: spec.hosts, spec, deadlineMs: PATIENCE_MS, preflight: false,
  });
  if (!template) throw new Error("template: not found");
  const order: EarlyOrder = {
    fleet, host: target.name, slot: 0, name: `${spec.namePrefix}-000`,
    kind: "full", generation: 0, contentId: template.contentId, vm: spec.vm, autostart: false,
    base: { kind: "base", host: target.name, slot: 0, generation: 0 },
  };
  return { image: imageOf(template), order };
}

/** Helpers of ours that any host still has, once the guest's disk is its own. */
async function stillServed({ lab }: BenchGround, fleetId: string): Promise<string[]> {
  const all = await Promise.all(lab.hosts.map(async (host) => (await inventory(host)).domains
    .filter((name) => name.startsWith(`vmfleet-helper-${fleetId}`)).map((name) => `${host.name}: ${name} still serves`)));
  return all.flat();
}

function report(measured: unknown): CaseReport {
  const runs = measured as ImmediateRun[];
  const rows = [...new Set(runs.map((one) => one.nicBitsPerSecond))].map((nicBitsPerSecond) => {
    const some = runs.filter((one) => one.nicBitsPerSecond === nicBitsPerSecond);
    const of = (pick: (one: ImmediateRun) => number): number => median(some.map(pick));
    return {
      nicBitsPerSecond, runs: some.length, share: of((one) => one.firstLineSeconds / one.copiedSeconds),
      startedSeconds: of((one) => one.startedSeconds), firstLineSeconds: of((one) => one.firstLineSeconds), copiedSeconds: of((one) => one.copiedSeconds),
      settledSeconds: of((one) => one.settledSeconds), localBootSeconds: of((one) => one.localBootSeconds),
    };
  });
  const text = [
    "a guest that reads 40 MB to boot, started before its disk is there",
    "",
    table(["NIC Mbit/s", "QEMU runs s", "first line s", "copied s", "disk its own s", "share of the copy", "same boot, local disk s", "runs"], rows.map((row) => [
      row.nicBitsPerSecond / 1e6, row.startedSeconds.toFixed(2), row.firstLineSeconds.toFixed(2), row.copiedSeconds.toFixed(2),
      row.settledSeconds.toFixed(2), row.share.toFixed(3), row.localBootSeconds.toFixed(2), row.runs,
    ])),
  ].join("\n");
  return { text, data: rows, faults: runs.flatMap(({ turn, faults }) => faults.map((fault) => `immediate, turn ${turn + 1}: ${fault}`)) };
}

export const immediateCase: BenchCase = { measure, report };
