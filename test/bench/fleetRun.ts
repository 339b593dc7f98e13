/** One fleet: predicted, made on real daemons under a clock and the interfaces' counters, and removed again. */
import { applyFleet, FleetRunError, previewFleet, realClock, removeFleet, type CloneTrace } from "../../provider/engine";
import type { FleetSpec, RunSummary } from "../../provider/fleet/model";
import type { CallContext, CloneOrder, Hypervisor } from "../../provider/hypervisors/hypervisor";
import { createLibvirt } from "../../provider/hypervisors/libvirt";
import { freshFleetId, inventory } from "../hypervisors/libvirt/labFleet";
import type { Lab } from "../lab/lab.mjs";
import { readCounters, trafficBetween, type TrafficCounts } from "./counters";
import { loadAverage, watchCpu } from "./machine";

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
  /** Share of all cores' time that was busy meanwhile, with this and with everything else the machine did. */
  cpuBusyShare: number;
  /** First call to last member ready: locking and looking included. */
  fromCallSeconds: number;
  /** First call to its end: the last consolidation included. */
  callSeconds: number;
  traffic: TrafficCounts;
  predicted: RunTimes;
  clones: CloneTrace[];
  /** Copies that were tried and did not end well; the engine gave them to another source, or another time. */
  failedCopies: FailedCopy[];
  predictedClones: CloneTrace[];
  /** What virsh finds after the removal that was not there before. */
  leftovers: string[];
}

export interface FailedCopy {
  sourceHost: string | null;
  targetHost: string;
  /** Since the first call. */
  startSeconds: number;
  endSeconds: number;
  error: string;
}

export async function runFleet(lab: Lab, spec: FleetSpec): Promise<FleetRun> {
  const fleetId = freshFleetId();
  const incarnation = "bench";
  const stockBefore = await stock(lab);
  const load = loadAverage();
  const prediction = await predict(spec, fleetId, incarnation);
  const failedCopies: FailedCopy[] = [];
  const hypervisor = watchCopies(createLibvirt({ spec }), failedCopies);
  const common = { spec, fleetId, incarnation, hypervisor, clock: realClock, holder: "bench" };
  try {
    const before = await readCounters(lab);
    const cpuBusy = watchCpu();
    const startMs = performance.now();
    let readyMs = startMs;
    const result = await applyFleet({
      ...common,
      onProgress: ({ membersDone, membersTotal, note }) => {
        if (membersTotal > 0 && membersDone === membersTotal && note !== undefined) readyMs = performance.now();
      },
    });
    const endMs = performance.now();
    const cpuBusyShare = cpuBusy();
    const traffic = trafficBetween(before, await readCounters(lab));
    await removeFleet({ ...common, previous: result.state });
    return {
      ...timesOf(result.summary, result.clones),
      loadAverage: load,
      cpuBusyShare,
      fromCallSeconds: (readyMs - startMs) / 1000,
      callSeconds: (endMs - startMs) / 1000,
      traffic,
      predicted: timesOf(prediction.summary, prediction.clones),
      clones: result.clones,
      failedCopies,
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

/** The same hypervisor, whose failed copies are written down; the engine itself does not tell of those that it mended. */
function watchCopies(hypervisor: Hypervisor, failed: FailedCopy[]): Hypervisor {
  const zeroMs = performance.now();
  const seconds = (): number => (performance.now() - zeroMs) / 1000;
  return Object.assign(Object.create(hypervisor) as Hypervisor, {
    async clone(order: CloneOrder, context?: CallContext) {
      const startSeconds = seconds();
      try {
        return await hypervisor.clone(order, context);
      } catch (error) {
        failed.push({
          sourceHost: order.source.host, targetHost: order.target.host, startSeconds, endSeconds: seconds(),
          error: context?.signal?.aborted ? `ended by the engine: ${String(context.signal.reason)}` : String(error),
        });
        throw error;
      }
    },
  });
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
