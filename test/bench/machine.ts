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
