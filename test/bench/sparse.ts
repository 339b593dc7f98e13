/**
 * Sparse images: a large disk with little in it, in few large and in thousands of small extents, through a relay of
 * three hops; each beside a plain copy of the same data without the holes.
 */
import { execFile } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { chmodSync, closeSync, fsyncSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { imageOf } from "../../provider/fleet";
import type { FleetSpec } from "../../provider/fleet/model";
import type { CloneTarget, Hypervisor } from "../../provider/hypervisors/hypervisor";
import { createLibvirt } from "../../provider/hypervisors/libvirt";
import { freshFleetId, inventory, specOf, virsh } from "../hypervisors/libvirt/labFleet";
import type { Lab, LabHost } from "../lab/lab.mjs";
import { random as seeded } from "../random";
import { readCounters, trafficBetween } from "./counters";
import { watchCpu } from "./machine";
import { PlainCopies } from "./plain";
import { median } from "./statistics";

const run = promisify(execFile);
const MIB = 1 << 20;
const CLUSTER_BYTES = 65_536;

export interface SparseSize {
  virtualBytes: number;
  dataBytes: number;
}
/** What the project promises its figures for. */
export const SPARSE_SIZE: SparseSize = { virtualBytes: 10 * 1024 * MIB, dataBytes: 300 * MIB };

export interface SparseCase {
  format: "qcow2" | "raw";
  /** `few`: ten extents; `many`: each one cluster of 64 KiB, scattered. */
  extents: "few" | "many";
}
export const SPARSE_CASES: readonly SparseCase[] = [
  { format: "qcow2", extents: "few" }, { format: "qcow2", extents: "many" },
  { format: "raw", extents: "few" }, { format: "raw", extents: "many" },
];
export const sparseName = ({ format, extents }: SparseCase): string => `${format}, ${extents} extents`;

export interface SparseRun {
  /** From the first call to the last of the hops' files closed. */
  seconds: number;
  /** By hop, from the template's host on. */
  sentBytes: number[];
  receivedBytes: number[];
  cpuBusyShare: number;
  /** What `qemu-img compare` and virsh found wrong. */
  faults: string[];
}

/** A sparse image as a volume of a host's pool. */
export class SparseImage {
  readonly volume: string;
  readonly path: string;

  constructor(readonly lab: Lab, readonly kind: SparseCase, readonly size: SparseSize = SPARSE_SIZE) {
    this.volume = `sparse-${kind.extents}.${kind.format}`;
    this.path = join(this.host.poolDir, this.volume);
  }
  get host(): LabHost {
    return this.lab.hosts[0]!;
  }

  async prepare(): Promise<void> {
    const raw = this.kind.format === "raw" ? this.path : `${this.path}.part`;
    writeSparse(raw, this.kind.extents, this.size);
    if (raw !== this.path) {
      await run("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", raw, this.path]);
      await rm(raw);
    }
    chmodSync(this.path, 0o644);
    await run("sync", ["-f", this.path]);
    await virsh(this.host, "pool-refresh", "default");
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true });
    await virsh(this.host, "pool-refresh", "default");
  }

  spec(): FleetSpec {
    return specOf({
      namePrefix: "sparse", count: 1, policy: "relay",
      template: { host: this.host.name, pool: "default", volume: this.volume },
      hosts: this.lab.hosts.map((host) => ({
        name: host.name, uri: host.uri, rack: host.rack, pool: "default", transferAddress: host.address, nicBitsPerSecond: host.nicBitsPerSecond,
      })),
      racks: this.lab.racks.map(({ name, uplinkBitsPerSecond }) => ({ name, uplinkBitsPerSecond })),
      vm: { numCpus: 1, memory: 96, networks: [{ network: "default" }], domainType: "qemu" },
      allowUnauthenticatedTcp: true,
    });
  }
}

function writeSparse(path: string, extents: SparseCase["extents"], { virtualBytes, dataBytes }: SparseSize): void {
  const extentBytes = extents === "few" ? dataBytes / 10 : CLUSTER_BYTES;
  const count = dataBytes / extentBytes;
  // One extent somewhere in each of as many equal parts.
  const partClusters = Math.floor(virtualBytes / CLUSTER_BYTES / count);
  const random = seeded(1);
  const file = openSync(path, "w");
  ftruncateSync(file, virtualBytes);
  const data = Buffer.alloc(extentBytes);
  for (let i = 0; i < count; i++) {
    randomFillSync(data);
    const free = partClusters - extentBytes / CLUSTER_BYTES;
    writeSync(file, data, 0, extentBytes, (i * partClusters + Math.floor(random() * free)) * CLUSTER_BYTES);
  }
  fsyncSync(file);
  closeSync(file);
}

/** Copies the image from the first host to the second, from there to the third, and so on, all at once. */
export async function runSparse(image: SparseImage): Promise<SparseRun> {
  const { lab, size } = image;
  const spec = image.spec();
  const fleet = { fleetId: freshFleetId(), incarnation: "bench", namePrefix: "sparse" };
  const hypervisor: Hypervisor = createLibvirt({ spec });
  const base = (i: number): Extract<CloneTarget, { kind: "base" }> => ({ kind: "base", host: lab.hosts[i]!.name, slot: i, generation: 0, name: `sparse-00${i}` });
  try {
    const seen = await hypervisor.observe({ fleetId: fleet.fleetId, namePrefix: "sparse", hosts: spec.hosts, spec, deadlineMs: 30_000, preflight: false });
    if (!seen.template) throw new Error(`template: ${seen.templateProblem?.message ?? "not found"}`);
    const content = imageOf(seen.template);
    const before = await readCounters(lab);
    const cpuBusy = watchCpu();
    const startMs = performance.now();
    await Promise.all(lab.hosts.slice(1).map((_, i) => hypervisor.clone({
      fleet, image: content, source: i === 0 ? { kind: "template", host: image.host.name } : base(i), target: base(i + 1),
    })));
    const seconds = (performance.now() - startMs) / 1000;
    const cpuBusyShare = cpuBusy();
    const { nics } = trafficBetween(before, await readCounters(lab));
    return {
      seconds, cpuBusyShare,
      sentBytes: lab.hosts.map(({ name }) => nics[name]!.tx), receivedBytes: lab.hosts.map(({ name }) => nics[name]!.rx),
      faults: (await Promise.all(lab.hosts.slice(1).map((host) => faultsOf(host, fleet.fleetId, image, size)))).flat(),
    };
  } finally {
    await hypervisor.close();
    for (const host of lab.hosts) {
      for (const volume of (await inventory(host)).volumes) if (volume.includes(fleet.fleetId)) await virsh(host, "vol-delete", volume, "default");
    }
  }
}

async function faultsOf(host: LabHost, fleetId: string, image: SparseImage, { dataBytes }: SparseSize): Promise<string[]> {
  const { domains, volumes } = await inventory(host);
  // A base bears its arriving mark until its member is defined.
  const made = volumes.filter((name) => name.includes(fleetId) && !name.includes(".arriving."));
  const faults = [
    ...domains.filter((name) => name.includes(fleetId)).map((name) => `${host.name}: domain ${name} is left`),
    ...(made.length === 1 ? [] : [`${host.name}: expected one volume, got ${made.join(", ") || "none"}`]),
  ];
  for (const name of made) {
    const file = join(host.poolDir, name);
    const check = async (what: string, ...args: string[]): Promise<string> => {
      try {
        return (await run("qemu-img", args)).stdout;
      } catch (error) {
        faults.push(`${host.name}: ${what}: ${(error as Error).message}`);
        return "{}";
      }
    };
    await check("compare", "compare", "-U", "-f", "qcow2", "-F", image.kind.format, file, image.path);
    await check("check", "check", "-f", "qcow2", file);
    const info = JSON.parse(await check("info", "info", "-f", "qcow2", "--output=json", file)) as { "actual-size"?: number; "backing-filename"?: string };
    if (info["backing-filename"] !== undefined) faults.push(`${host.name}: stands over ${info["backing-filename"]}`);
    if ((info["actual-size"] ?? 0) > dataBytes * 1.1) faults.push(`${host.name}: takes ${info["actual-size"]} bytes`);
  }
  return faults;
}

export interface SparseReport {
  name: string;
  plainSeconds: number;
  seconds: number;
  /** Of the medians. */
  toPlainCopy: number;
  /** The most that any hop carried, as a multiple of the data. */
  carried: number;
  faults: string[];
}

/** All cases, `repeat` times in turns, each beside a plain copy of the data across racks. Leaves nothing. */
export async function benchSparse(
  lab: Lab, repeat: number, log: (line: string) => void, cases = SPARSE_CASES, size = SPARSE_SIZE,
): Promise<SparseReport[]> {
  const plain = new PlainCopies(lab, size.dataBytes);
  const images = cases.map((kind) => new SparseImage(lab, kind, size));
  const plainSeconds: number[] = [];
  const runs = images.map((): SparseRun[] => []);
  try {
    await plain.prepare();
    for (const image of images) await image.prepare();
    for (let turn = 0; turn < repeat; turn++) {
      plainSeconds.push(await plain.copy(lab.hosts[0]!, lab.hosts.at(-1)!));
      log(`plain copy: ${plainSeconds.at(-1)!.toFixed(2)} s`);
      for (const [i, image] of images.entries()) {
        const one = await runSparse(image);
        runs[i]!.push(one);
        log(`${sparseName(image.kind)}: ${one.seconds.toFixed(2)} s, CPU ${Math.round(100 * one.cpuBusyShare)} % busy, sent MiB ${one.sentBytes.map((bytes) => Math.round(bytes / MIB)).join(" ")} ${one.faults.join("; ")}`);
      }
    }
  } finally {
    await plain.remove();
    for (const image of images) await image.remove();
  }
  const reference = median(plainSeconds);
  return images.map(({ kind }, i) => {
    const seconds = median(runs[i]!.map((one) => one.seconds));
    return {
      name: sparseName(kind), plainSeconds: reference, seconds, toPlainCopy: seconds / reference,
      carried: Math.max(...runs[i]!.flatMap((one) => [...one.sentBytes, ...one.receivedBytes])) / size.dataBytes,
      faults: runs[i]!.flatMap((one) => one.faults),
    };
  });
}
