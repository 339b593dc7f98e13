/**
 * What a fleet's own runs teach the time model. Declared rates are often far from the truth, and what a copy costs
 * besides its bytes cannot be declared. The run that was is replayed with other rates and costs until the model ends
 * each copy when it really ended; what the run does not tell stays as it was.
 */
import { imageBytes } from "../fleet/images";
import type { Image, Learned } from "../fleet/model";
import { replay, type ReplayedCopy } from "./time/replay";
import type { LinkLimit, Topology } from "./types";

/** A copy that was made. */
export interface ObservedCopy extends ReplayedCopy {
  endSeconds: number;
  /** Where the copy told. */
  firstByteSeconds?: number;
  lastByteSeconds?: number;
  /** Its source was replaced on the way, or part of it was there before: it loads the network, and tells nothing. @default false */
  disturbed?: boolean;
}

/** A run that was, as its clock and the hosts tell it. */
export interface ObservedRun {
  /** What each copy was of. */
  image: Image;
  /** In the order they started. */
  copies: readonly ObservedCopy[];
  /** From the last copy's end to the last member ready. */
  finishSeconds: number;
}

type Rate = "networkFactor" | "diskFactor";
interface Times {
  startupSeconds: number;
  hopSeconds: number;
}
type Parameters = Record<Rate, number> & Times;

/** Beyond these it is no rate of a host any more, but something that went wrong. */
const BOUNDS: Readonly<Record<Rate | keyof Times | "finishSeconds", { least: number; most: number }>> = {
  networkFactor: { least: 0.02, most: 4 }, diskFactor: { least: 0.02, most: 4 },
  startupSeconds: { least: 0, most: 60 }, hopSeconds: { least: 0, most: 10 }, finishSeconds: { least: 0, most: 600 },
};
/** More are not replayed: later copies are left out, and those that ran beside them tell nothing. */
const MOST_COPIES = 400;
/** A run that moved less measures start-ups only by chance. */
const LEAST_BYTES = 1 << 24;
/** One copy's error counts at most this much (of a natural logarithm). */
const MOST_ERROR = 3;
/** What moving a rate by a factor e adds to the error: one that explains nothing stays where it is. */
const INERTIA = 0.004;
/** What the latest run counts against those before it. */
const LATEST_WEIGHT = 0.6;
/** Steps of the search, from coarse to fine. */
const STEPS = [2.5, 1.6, 1.25, 1.1, 1.04, 1.015];
/** Times are believed of so many copies. */
const ENOUGH = 1;

/** The topology as learned: rates times their factors, start-ups as they are. */
export function asLearned(topology: Topology, learned: Learned | undefined): Topology {
  if (!learned || topology.time === "unit") return topology;
  const { networkFactor, diskFactor, startupSeconds = topology.startupSeconds, hopSeconds = topology.hopSeconds } = learned;
  return {
    ...topology,
    startupSeconds, ...(hopSeconds !== undefined && { hopSeconds }),
    hosts: topology.hosts.map((host) => ({
      ...host, nicBytesPerSecond: learnedRate(host.nicBytesPerSecond, host.nicLimit, networkFactor),
    })),
    stores: topology.stores.map((store) => ({ ...store, bytesPerSecond: store.bytesPerSecond * diskFactor })),
    racks: topology.racks.map((rack) => ({ ...rack, uplinkBytesPerSecond: learnedRate(rack.uplinkBytesPerSecond, rack.uplinkLimit, networkFactor) })),
  };
}

const learnedRate = (bytesPerSecond: number, limit: LinkLimit | undefined, factor: number): number =>
  (limit ? Math.min(limit.ofBytesPerSecond * factor, limit.bytesPerSecond) : bytesPerSecond * factor);

/**
 * @param topology as declared
 * @param before what earlier runs taught
 * @returns what is known now; `before` where the run moved too little to tell
 */
export function learnFrom(topology: Topology, run: ObservedRun, before: Learned | undefined): Learned | undefined {
  const told = telling(run.copies);
  if (topology.time === "unit" || told.length * imageBytes(run.image) < LEAST_BYTES) return before;
  const prior = asLearned(topology, before);
  const times = timesOf(run.copies, { startupSeconds: prior.startupSeconds, hopSeconds: prior.hopSeconds ?? 0 });
  const start = { networkFactor: before?.networkFactor ?? 1, diskFactor: before?.diskFactor ?? 1, ...times };
  const fitted = fit(topology, { ...run, copies: run.copies.slice(0, MOST_COPIES) }, told, start);
  const weight = before ? LATEST_WEIGHT : 1;
  const blend = (old: number, now: number): number => old + weight * (now - old);
  const finishSeconds = bounded("finishSeconds", blend(before?.finishSeconds ?? 0, bounded("finishSeconds", run.finishSeconds)));
  const factor = (name: Rate): number => tidy(Math.exp(blend(Math.log(start[name]), Math.log(fitted[name]))));
  return {
    runs: (before?.runs ?? 0) + 1,
    networkFactor: factor("networkFactor"), diskFactor: factor("diskFactor"),
    startupSeconds: tidy(blend(prior.startupSeconds, times.startupSeconds)), hopSeconds: tidy(blend(prior.hopSeconds ?? 0, times.hopSeconds)),
    finishSeconds: tidy(finishSeconds),
  };
}

/** Copies that ended before any began that is left out, and kept their source. */
function telling(copies: readonly ObservedCopy[]): number[] {
  const unknownFrom = copies[MOST_COPIES]?.startSeconds ?? Infinity;
  return copies.slice(0, MOST_COPIES).flatMap(({ startSeconds, endSeconds, disturbed }, index) => (
    !disturbed && endSeconds > startSeconds && endSeconds <= unknownFrom ? [index] : []));
}

/**
 * Start-ups as the copies themselves tell: what passes before the first byte of one that reads a whole image, and after
 * the last byte of one that nobody reads from; a hop's, by how much later a relay's reader gets its first byte.
 */
function timesOf(copies: readonly ObservedCopy[], prior: Times): Times {
  const isRead = new Set(copies.map(({ upstream }) => upstream));
  const before: number[] = [];
  const after: number[] = [];
  const hops: number[] = [];
  copies.forEach((copy, index) => {
    const { startSeconds, endSeconds, firstByteSeconds, lastByteSeconds, upstream } = copy;
    if (copy.disturbed) return;
    if (lastByteSeconds !== undefined && !isRead.has(index)) after.push(endSeconds - lastByteSeconds);
    if (firstByteSeconds === undefined) return;
    const relayFirst = upstream === undefined ? undefined : copies[upstream]!.firstByteSeconds;
    if (upstream === undefined) before.push(firstByteSeconds - startSeconds);
    // One that began long after its relay waited for itself only.
    else if (relayFirst !== undefined && startSeconds <= copies[upstream]!.startSeconds + SAME_START_SECONDS) hops.push(firstByteSeconds - relayFirst);
  });
  return {
    startupSeconds: before.length < ENOUGH ? prior.startupSeconds : bounded("startupSeconds", median(before) + (after.length < ENOUGH ? 0 : median(after))),
    hopSeconds: hops.length < ENOUGH ? prior.hopSeconds : bounded("hopSeconds", median(hops)),
  };
}

const SAME_START_SECONDS = 0.05;

/**
 * Moves the rates, ever more finely, as long as the replay comes closer. Both also move at once, along and against each
 * other: either may be what limits, and only both together show which.
 */
function fit(topology: Topology, run: ObservedRun, told: readonly number[], start: Parameters): Parameters {
  const errorOf = (parameters: Parameters): number => misfit(topology, run, told, parameters) + inertia(parameters, start);
  let best = start;
  let bestError = errorOf(best);
  for (const step of STEPS) {
    for (let improved = true, rounds = 0; improved && rounds < MOST_ROUNDS; rounds++) {
      improved = false;
      for (const [network, disk] of DIRECTIONS) {
        const moved = {
          ...best,
          networkFactor: bounded("networkFactor", best.networkFactor * step ** network), diskFactor: bounded("diskFactor", best.diskFactor * step ** disk),
        };
        const error = errorOf(moved);
        if (error >= bestError - 1e-6) continue;
        [best, bestError, improved] = [moved, error, true];
      }
    }
  }
  return best;
}

const MOST_ROUNDS = 6;
const DIRECTIONS = [[1, 1], [-1, -1], [1, 0], [-1, 0], [0, 1], [0, -1], [1, -1], [-1, 1]] as const;

/** How far the replay's copies are from the real ones, on the average, and how far its end is. */
function misfit(topology: Topology, { image, copies }: ObservedRun, told: readonly number[], parameters: Parameters): number {
  const ends = replay(asLearned(topology, { runs: 0, finishSeconds: 0, ...parameters }), image, copies);
  let sum = 0;
  let [lastReal, last] = [0, 0];
  for (const index of told) {
    const { startSeconds, endSeconds } = copies[index]!;
    sum += Math.min(MOST_ERROR, Math.abs(Math.log(Math.max(1e-9, ends[index]! - startSeconds) / (endSeconds - startSeconds))));
    lastReal = Math.max(lastReal, endSeconds);
    last = Math.max(last, ends[index]!);
  }
  return sum / told.length + Math.min(MOST_ERROR, Math.abs(Math.log(last / lastReal)));
}

const inertia = (now: Parameters, before: Parameters): number =>
  INERTIA * (Math.abs(Math.log(now.networkFactor / before.networkFactor)) + Math.abs(Math.log(now.diskFactor / before.diskFactor)));

const bounded = (name: keyof typeof BOUNDS, value: number): number => Math.min(BOUNDS[name].most, Math.max(BOUNDS[name].least, value));

/** Four digits: it is no exacter. */
const tidy = (value: number): number => Number(value.toPrecision(4));

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
