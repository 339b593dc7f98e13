/** One fleet: predicted, made on real daemons under a clock and the interfaces' counters, compared, and removed again. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { applyFleet, FleetRunError, previewFleet, realClock, removeFleet, type CloneTrace } from "../../provider/engine";
import type { FleetSpec, RunSummary } from "../../provider/fleet/model";
import type { CloneOrder, Hypervisor } from "../../provider/hypervisors/hypervisor";
import { wrap } from "../engine/wrappers";
import { createLibvirt } from "../../provider/hypervisors/libvirt";
import { freshFleetId, inventory } from "../hypervisors/libvirt/labFleet";
import type { Lab, LabHost } from "../lab/lab.mjs";
import { readCounters, trafficBetween, type TrafficCounts } from "./counters";
import type { BenchGround } from "./ground";
import { differences } from "./identical";
import { loadAverage, watchCpu } from "./machine";

export interface FleetRun {
  kind: "fleet";
  policy: RunSummary["policy"];
  /** From the first copy's call to the last copy's file closed and the helper that wrote it gone. */
  copySeconds: number;
  /** The whole call: also lock, look, definition of the members, removal of their delta disks. */
  callSeconds: number;
  predictedSeconds: number;
  bytesMoved: number;
  bytesAcrossRacks: number;
  bytesResent: number;
  traffic: TrafficCounts;
  clones: CloneTrace[];
  /** Copies that were tried and did not end well; the engine gave them to another source, or another time. */
  failedCopies: string[];
  /** What `qemu-img compare` says, and what virsh finds after the removal that was not there before. */
  faults: string[];
  /** Of the whole machine over the minute before. */
  loadAverage: number;
  /** Share of all cores' time that was busy meanwhile, with this and with everything else the machine did. */
  cpuBusyShare: number;
}

export interface RunHooks {
  /** The run may fail for members of these hosts. */
  lostHosts?: readonly string[];
  /** While copies run; `done` is their sum. */
  onBytes?: (done: number, fleetId: string) => void;
  /** Before members are compared and removed. */
  afterRun?: () => Promise<void>;
}

export async function runFleet(ground: BenchGround, spec: FleetSpec, hooks: RunHooks = {}): Promise<FleetRun> {
  const { lab, template } = ground;
  const fleetId = freshFleetId();
  const stockBefore = await stock(lab);
  const load = loadAverage();
  const watched = watchCopies(createLibvirt({ spec }));
  const common = { spec, fleetId, incarnation: "bench", hypervisor: watched.hypervisor, clock: realClock, holder: "bench" };
  const predictedSeconds = spanOf((await previewOf(spec, fleetId)).clones);
  try {
    const before = await readCounters(lab);
    const cpuBusy = watchCpu();
    const startMs = performance.now();
    const result = await applyFleet({ ...common, onProgress: ({ bytesDone }) => hooks.onBytes?.(bytesDone, fleetId) })
      .catch((error: unknown) => {
        if (!(error instanceof FleetRunError) || !hooks.lostHosts) throw error;
        return { state: error.state, clones: [], summary: error.state.lastRun };
      });
    const callSeconds = (performance.now() - startMs) / 1000;
    const cpuBusyShare = cpuBusy();
    const traffic = trafficBetween(before, await readCounters(lab));
    await hooks.afterRun?.();
    const expected = lab.hosts.slice(1).filter(({ name }) => !hooks.lostHosts?.includes(name));
    const disks = await disksOf(expected, fleetId);
    const faults = await differences(template.path, disks);
    if (disks.length < expected.length) faults.push(`expected the disks of ${expected.length} members, found ${disks.length}`);
    await removeFleet({ ...common, previous: result.state });
    faults.push(...(await stock(lab)).filter((name) => !stockBefore.includes(name)).map((name) => `left behind: ${name}`));
    const { policy, bytesMoved, bytesAcrossRacks, bytesResent } = result.summary;
    return {
      kind: "fleet", policy, copySeconds: watched.seconds(), callSeconds, predictedSeconds, bytesMoved, bytesAcrossRacks, bytesResent,
      traffic, clones: result.clones, failedCopies: watched.failed, faults, loadAverage: load, cpuBusyShare,
    };
  } catch (error) {
    // The lab may not be ours to throw away.
    if (error instanceof FleetRunError) await removeFleet({ ...common, previous: error.state });
    throw error;
  } finally {
    await watched.hypervisor.close();
  }
}

/** The same hypervisor, under a clock from the first copy's call to the last one's end. */
function watchCopies(hypervisor: Hypervisor): { hypervisor: Hypervisor; failed: string[]; seconds(): number } {
  let firstMs = Infinity;
  let lastMs = 0;
  const failed: string[] = [];
  const watched = wrap(hypervisor, async (method, order: CloneOrder, context, proceed) => {
    if (method !== "clone") return proceed();
    firstMs = Math.min(firstMs, performance.now());
    try {
      return await proceed();
    } catch (error) {
      failed.push(`${order.source.host} -> ${order.target.host}: ${context?.signal?.aborted ? String(context.signal.reason) : String(error)}`);
      throw error;
    } finally {
      lastMs = performance.now();
    }
  });
  return { hypervisor: watched, failed, seconds: () => (lastMs - firstMs) / 1000 };
}

const spanOf = (clones: readonly CloneTrace[]): number =>
  Math.max(...clones.map((clone) => clone.endSeconds)) - Math.min(...clones.map((clone) => clone.startSeconds));

/** What the provider would preview. */
export async function previewOf(spec: FleetSpec, fleetId: string): ReturnType<typeof previewFleet> {
  const hypervisor = createLibvirt({ spec });
  try {
    const observation = await hypervisor.observe({
      fleetId, namePrefix: spec.namePrefix, hosts: spec.hosts, spec, preflight: true,
      deadlineMs: spec.timeouts.connectMs + spec.timeouts.callMs,
    });
    return await previewFleet({ spec, fleetId, incarnation: "bench", observation, traits: hypervisor });
  } finally {
    await hypervisor.close();
  }
}

async function disksOf(hosts: readonly LabHost[], fleetId: string): Promise<string[]> {
  const perHost = await Promise.all(hosts.map(async ({ poolDir }) => (
    (await readdir(poolDir)).filter((name) => name.includes(fleetId) && name.includes(".base.")).map((name) => join(poolDir, name))
  )));
  return perHost.flat();
}

async function stock(lab: Lab): Promise<string[]> {
  const hosts = await Promise.all(lab.hosts.map(async (host) => ({ host, found: await inventory(host) })));
  return hosts.flatMap(({ host, found }) => [
    ...found.domains.map((name) => `${host.name}: domain ${name}`), ...found.volumes.map((name) => `${host.name}: volume ${name}`),
  ]);
}
