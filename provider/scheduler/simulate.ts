/** A policy run to its end on the time model alone: no promises, no hypervisor. Used by `auto` and for estimates. */
import { FlowNetwork, type Flow } from "./time/flows";
import { HostIndex } from "./hostIndex";
import type { Source, Topology, Transfer } from "./types";
import type { Decision, Policy, BookView } from "./policy";

export interface SimulatedTransfer {
  /** Source.id */
  source: number;
  /** Source.id of what was made. */
  made: number;
  sourceHost: number;
  targetHost: number;
  startSeconds: number;
  endSeconds: number;
}

export interface SimulatedRun {
  makespanSeconds: number;
  /** Over the network: same-host copies move nothing. */
  bytesMoved: number;
  bytesAcrossRacks: number;
  /** In the order they started. */
  transfers: SimulatedTransfer[];
  /** Bases that the policy found no way to make. */
  unmade: number;
}

export interface SimulateOptions {
  /** Over the whole fleet at once. @default unlimited */
  maxConcurrentClones?: number;
  /** Hosts that are neither source nor target, by index. @default none */
  excluded?: boolean[];
  /** Copies under way may serve. @default false */
  relay?: boolean;
  /** What is not made by then is `unmade`, and the makespan Infinity. @default never */
  giveUpSeconds?: number;
}

/** How often it is looked whether a run can still be done in time. */
const LOOKS = 50;

/** No host writes what it lacks faster than its disk does. */
function leastSecondsLeft({ topology, targets, made, transfers, excluded }: BookView): number {
  if (topology.time === "unit" || topology.freeLocalCopies) return 0;
  const images = topology.hosts.map(({ index }) => (excluded[index] ? 0 : targets[index]! - made[index]!));
  for (const { targetHost, done } of transfers) images[targetHost]! -= done;
  return images.reduce((most, lacking, host) => Math.max(most, (lacking * topology.imageBytes) / topology.hosts[host]!.diskBytesPerSecond), 0);
}

/** A transfer of the view and what goes with it. */
interface Copy {
  record: SimulatedTransfer;
  feeder: Source;
  /** What it makes: serves already while it arrives, where copies can relay. */
  source: Source;
  transfer: Transfer;
  flow: Flow<Copy>;
  /** Position in the view's transfers, and in its arriving. */
  position: number;
}

/**
 * @param targets bases wanted by host, those in `made` included, the template not
 * @param made bases that exist, by host
 * @param sources what can be copied from at the start
 */
export function simulatePolicy(...asked: Parameters<typeof simulationSteps>): SimulatedRun {
  return drained(simulationSteps(...asked));
}

/** Runs steps that nobody has to wait between. */
export function drained<T>(steps: Generator<void, T, void>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** The same, one event after the other, for a caller that has other things to do in between: ten thousand bases take seconds. */
export function* simulationSteps(
  topology: Topology,
  targets: readonly number[],
  made: readonly number[],
  sources: readonly Source[],
  policy: Policy,
  options: SimulateOptions = {},
): Generator<void, SimulatedRun, void> {
  const limit = options.maxConcurrentClones ?? Infinity;
  const index = new HostIndex();
  const view: BookView = {
    nowSeconds: 0,
    topology,
    targets: [...targets],
    made: [...made],
    making: topology.hosts.map(() => 0),
    sources: sources.map((source) => ({ ...source, serving: 0 })),
    transfers: [],
    excluded: options.excluded ?? topology.hosts.map(() => false),
    index,
    ...(options.relay && { arriving: [] }),
    freeSlots: limit,
  };
  const { arriving } = view;
  for (const source of view.sources) index.addSource(source);
  for (const { index: host } of topology.hosts) index.touch(host);
  const network = new FlowNetwork<Copy>(topology);
  const byId = new Map(view.sources.map((source) => [source.id, source]));
  const run: SimulatedRun = { makespanSeconds: 0, bytesMoved: 0, bytesAcrossRacks: 0, transfers: [], unmade: 0 };
  let nextId = view.sources.reduce((most, source) => Math.max(most, source.id + 1), 0);
  const copies: Copy[] = [];
  const underWay = new Map<number, Copy>();

  const start = (feeder: Source, { targetHost, bytesPerSecond }: Decision): Copy => {
    const id = nextId++;
    const record: SimulatedTransfer = {
      source: feeder.id, made: id, sourceHost: feeder.host, targetHost, startSeconds: view.nowSeconds, endSeconds: Infinity,
    };
    const source: Source = { id, host: targetHost, kind: "base", serving: 0, arriving: options.relay ?? false };
    const copy = { record, feeder, source, position: copies.length } as Copy;
    const flow = copy.flow = network.start(feeder.host, targetHost, copy, view.nowSeconds, { upstream: underWay.get(feeder.id)?.flow });
    copy.transfer = {
      source: feeder.id, madeId: id, sourceHost: feeder.host, targetHost, startedAtSeconds: view.nowSeconds, straggling: false,
      ...(bytesPerSecond !== undefined && { bytesPerSecond }),
      // Worked out only when asked for.
      get done() { return network.fraction(flow, view.nowSeconds); },
    };
    copies.push(copy);
    view.transfers.push(copy.transfer);
    index.begin(copy.transfer);
    if (arriving) {
      index.addSource(source);
      underWay.set(id, copy);
      byId.set(id, source);
      arriving.push(source);
    }
    feeder.serving++;
    view.making[targetHost]!++;
    view.freeSlots--;
    run.transfers.push(record);
    if (feeder.host !== targetHost) {
      run.bytesMoved += topology.imageBytes;
      if (topology.hosts[feeder.host]!.rack !== topology.hosts[targetHost]!.rack) run.bytesAcrossRacks += topology.imageBytes;
    }
    return copy;
  };
  const end = (copy: Copy, atSeconds: number): void => {
    const { record, feeder, source } = copy;
    record.endSeconds = atSeconds;
    feeder.serving--;
    view.making[record.targetHost]!--;
    view.made[record.targetHost]!++;
    view.freeSlots++;
    const last = copies.pop()!;
    view.transfers.pop();
    const lastArriving = arriving?.pop();
    if (last !== copy) {
      copies[copy.position] = last;
      view.transfers[copy.position] = last.transfer;
      if (lastArriving) arriving![copy.position] = lastArriving;
      last.position = copy.position;
    }
    underWay.delete(source.id);
    source.arriving = false;
    view.sources.push(source);
    index.end(copy.transfer);
    if (!arriving) index.addSource(source);
    byId.set(source.id, source);
    run.makespanSeconds = atSeconds;
  };

  const { giveUpSeconds = Infinity } = options;
  let nextLook = giveUpSeconds < Infinity ? giveUpSeconds / LOOKS : Infinity;
  for (;;) {
    const batch: Copy[] = [];
    const decisions = policy.next(view);
    index.seen();
    for (const decision of decisions) {
      const feeder = typeof decision.source === "number" ? byId.get(decision.source)! : batch[decision.source.decision]!.source;
      batch.push(start(feeder, decision));
    }
    const atSeconds = network.nextSeconds();
    if (atSeconds === Infinity) break;
    const looks = atSeconds >= nextLook;
    if (looks) nextLook = atSeconds + giveUpSeconds / LOOKS;
    if (atSeconds > giveUpSeconds || (looks && view.nowSeconds + leastSecondsLeft(view) > giveUpSeconds * (1 + 1e-9))) {
      run.makespanSeconds = Infinity;
      break;
    }
    yield;
    view.nowSeconds = atSeconds;
    for (const { tag: copy } of network.advanceTo(atSeconds)) end(copy, atSeconds);
    for (const { tag: copy } of network.takeServing()) {
      index.touch(copy.record.sourceHost);
      index.touch(copy.record.targetHost);
    }
  }
  run.unmade = view.targets.reduce((sum, target, host) =>
    sum + (view.excluded[host] ? 0 : Math.max(0, target - view.made[host]!)), 0);
  return run;
}
