/** What the numbers were measured on. */
import { cpus, loadavg, release, totalmem } from "node:os";
import { run } from "../lab";

export interface MachineFacts {
  cores: number;
  cpu: string;
  memoryBytes: number;
  kernel: string;
  qemu: string;
  libvirt: string;
  node: string;
  loadAverage: number;
}

export async function machineFacts(): Promise<MachineFacts> {
  const firstLine = async (...argv: string[]): Promise<string> => (await run(argv)).trim().split("\n")[0]!;
  return {
    cores: cpus().length,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    memoryBytes: totalmem(),
    kernel: release(),
    qemu: await firstLine("qemu-system-x86_64", "--version"),
    libvirt: await firstLine("libvirtd", "--version"),
    node: process.version,
    loadAverage: loadAverage(),
  };
}

/** Over the last minute. */
export const loadAverage = (): number => Math.round(loadavg()[0]! * 100) / 100;

/** Starts a count; what it returns says which share of all cores' time was busy since, 0 to 1, whoever was at work. */
export function watchCpu(): () => number {
  const now = (): { idle: number; all: number } => cpus().reduce((sum, { times }) => ({
    idle: sum.idle + times.idle, all: sum.all + times.user + times.nice + times.sys + times.idle + times.irq,
  }), { idle: 0, all: 0 });
  const before = now();
  return () => {
    const after = now();
    return after.all === before.all ? 0 : 1 - (after.idle - before.idle) / (after.all - before.all);
  };
}
