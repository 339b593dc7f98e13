/** One fleet: predicted, made on real daemons under a clock and the interfaces' counters, and removed again. */
import { applyFleet, FleetRunError, previewFleet, realClock, removeFleet, type CloneTrace } from "../../provider/engine";
import type { FleetSpec, RunSummary } from "../../provider/fleet/model";
import { createLibvirt } from "../../provider/hypervisors/libvirt";
import { freshFleetId, inventory } from "../hypervisors/libvirt/labFleet";
import type { Lab } from "../lab/lab.mjs";
import { readCounters, trafficBetween, type TrafficCounts } from "./counters";

/** Seconds of a run, measured or predicted, from the engine's first copy on (measured: see `FleetRun`). */
export interface RunTimes {
  policy: RunSummary["policy"];
  /** First byte to last member ready. */
  makespanSeconds: number;
  /** First byte to last copy done. */
  clonePhaseSeconds: number;
  bytesMoved: number;
  bytesAcrossRacks: number;
}

export interface FleetRun extends RunTimes {
  /** Of the whole machine over the minute before. */
  loadAverage: number;
  /** First call to last member ready: locking and looking included. */
  fromCallSeconds: number;
  /** First call to its end: the last consolidation included. */
  callSeconds: number;
  traffic: TrafficCounts;
  predicted: RunTimes;
  clones: CloneTrace[];
  predictedClones: CloneTrace[];
  /** What virsh finds after the removal that was not there before. */
  leftovers: string[];
}

export async function runFleet(lab: Lab, spec: FleetSpec, loadAverage: number): Promise<FleetRun> {
  const fleetId = freshFleetId();
  const incarnation = "bench";
  const stockBefore = await stock(lab);
  const prediction = await predict(spec, fleetId, incarnation);
  const hypervisor = createLibvirt({ spec });
  const common = { spec, fleetId, incarnation, hypervisor, clock: realClock, holder: "bench" };
  try {
    const before = await readCounters(lab);
    const startMs = performance.now();
    let readyMs = startMs;
    const result = await applyFleet({
      ...common,
      onProgress: ({ membersDone, membersTotal, note }) => {
        if (membersTotal > 0 && membersDone === membersTotal && note !== undefined) readyMs = performance.now();
      },
    });
    const endMs = performance.now();
    const traffic = trafficBetween(before, await readCounters(lab));
    await removeFleet({ ...common, previous: result.state });
    return {
      ...timesOf(result.summary, result.clones),
      loadAverage,
      fromCallSeconds: (readyMs - startMs) / 1000,
      callSeconds: (endMs - startMs) / 1000,
      traffic,
      predicted: timesOf(prediction.summary, prediction.clones),
      clones: result.clones,
      predictedClones: prediction.clones,
      leftovers: (await stock(lab)).filter((name) => !stockBefore.includes(name)),
    };
  } catch (error) {
    // The lab may not be ours to throw away.
    if (error instanceof FleetRunError) await removeFleet({ ...common, previous: error.state });
    throw error;
  } finally {
    await hypervisor.close();
  }
}

async function predict(spec: FleetSpec, fleetId: string, incarnation: string): ReturnType<typeof previewFleet> {
  const hypervisor = createLibvirt({ spec });
  try {
    const observation = await hypervisor.observe({
      fleetId, namePrefix: spec.namePrefix, hosts: spec.hosts, spec, preflight: true,
      deadlineMs: spec.timeouts.connectMs + spec.timeouts.callMs,
    });
    const { copyStartupSeconds } = hypervisor.capabilities;
    return await previewFleet({ spec, fleetId, incarnation, observation, startupSeconds: copyStartupSeconds });
  } finally {
    await hypervisor.close();
  }
}

function timesOf({ policy, makespanSeconds, bytesMoved, bytesAcrossRacks }: RunSummary, clones: readonly CloneTrace[]): RunTimes {
  const first = Math.min(...clones.map((clone) => clone.startSeconds));
  const last = Math.max(...clones.map((clone) => clone.endSeconds));
  return { policy, makespanSeconds, clonePhaseSeconds: last - first, bytesMoved, bytesAcrossRacks };
}

async function stock(lab: Lab): Promise<string[]> {
  const hosts = await Promise.all(lab.hosts.map(async (host) => ({ host, found: await inventory(host) })));
  return hosts.flatMap(({ host, found }) => [
    ...found.domains.map((name) => `${host.name}: domain ${name}`), ...found.volumes.map((name) => `${host.name}: volume ${name}`),
  ]);
}
