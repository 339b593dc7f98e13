/** A policy run to its end on the time model alone: no promises, no hypervisor. Used by `auto` and for estimates. */
import { FlowNetwork, type Flow } from "./time/flows";
import { CopyBook, type SourceEntry, type TransferEntry } from "./copyBook";
import { imageBytes } from "../fleet/images";
import type { Image } from "../fleet/model";
import { storeRate } from "./time/timeModel";
import type { Source, Topology } from "./types";
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

/** No host writes what it lacks faster than its store does. */
function leastSecondsLeft({ topology, image, targets, made, transfers, excluded }: BookView): number {
  if (topology.time === "unit" || topology.freeLocalCopies) return 0;
  const bytes = imageBytes(image);
  const images = topology.hosts.map(({ index }) => (excluded[index] ? 0 : targets[index]! - made[index]!));
  for (const { targetHost, done } of transfers) images[targetHost]! -= done;
  return images.reduce((most, lacking, host) => Math.max(most, (lacking * bytes) / storeRate(topology, host)), 0);
}

/** A copy under way and what goes with it. A class, as an object with a getter of its own takes ten times the memory. */
class Copy implements TransferEntry {
  readonly source: number;
  readonly madeId: number;
  readonly sourceHost: number;
  readonly targetHost: number;
  readonly startedAtSeconds: number;
  readonly straggling = false;
  position = -1;
  readonly flow: Flow<Copy>;

  /** @param makes what the copy makes: serves already while it arrives, where copies can relay */
  constructor(
    readonly record: SimulatedTransfer, readonly feeder: SourceEntry, readonly makes: SourceEntry, readonly bytesPerSecond: number | undefined,
    private readonly network: FlowNetwork<Copy>, private readonly view: BookView, upstream: Flow<Copy> | undefined,
  ) {
    this.source = feeder.id;
    this.madeId = makes.id;
    this.sourceHost = feeder.host;
    this.targetHost = makes.host;
    this.startedAtSeconds = record.startSeconds;
    this.flow = network.start(feeder.host, makes.host, this, record.startSeconds, { upstream });
  }

  /** Worked out only when asked for. */
  get done(): number {
    return this.network.fraction(this.flow, this.view.nowSeconds);
  }
}

/**
 * @param image what all sources hold, and each copy brings
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
  image: Image,
  targets: readonly number[],
  made: readonly number[],
  sources: readonly Source[],
  policy: Policy,
  options: SimulateOptions = {},
): Generator<void, SimulatedRun, void> {
  const { maxConcurrentClones = Infinity, relay = false, excluded } = options;
  const book = new CopyBook<SourceEntry, Copy>(topology, image, { maxConcurrentClones, relays: relay, targets, made, ...(excluded && { excluded }) });
  book.touchAll();
  for (const source of sources) book.enter({ ...source, serving: 0, position: -1 });
  const network = new FlowNetwork<Copy>(topology, image);
  const copyBytes = imageBytes(image);
  const run: SimulatedRun = { makespanSeconds: 0, bytesMoved: 0, bytesAcrossRacks: 0, transfers: [], unmade: 0 };
  /** By what it makes: copies that others may read from. */
  const relaying = new Map<number, Copy>();

  const start = (feeder: SourceEntry, { targetHost, bytesPerSecond }: Decision): Copy => {
    const { nowSeconds } = book.view;
    const id = book.newId();
    const record: SimulatedTransfer = {
      source: feeder.id, made: id, sourceHost: feeder.host, targetHost, startSeconds: nowSeconds, endSeconds: Infinity,
    };
    const makes: SourceEntry = { id, host: targetHost, kind: "base", serving: 0, arriving: relay, position: -1 };
    const copy = new Copy(record, feeder, makes, bytesPerSecond, network, book.view, relaying.get(feeder.id)?.flow);
    book.enterTransfer(copy);
    if (relay) {
      book.enter(copy.makes);
      relaying.set(id, copy);
    }
    book.serve(feeder, 1);
    run.transfers.push(record);
    if (feeder.host !== targetHost) {
      run.bytesMoved += copyBytes;
      if (topology.hosts[feeder.host]!.rack !== topology.hosts[targetHost]!.rack) run.bytesAcrossRacks += copyBytes;
    }
    return copy;
  };
  const end = (copy: Copy, atSeconds: number): void => {
    const { record, feeder, makes } = copy;
    record.endSeconds = atSeconds;
    book.serve(feeder, -1);
    book.endTransfer(copy, true);
    book.leave(makes);
    makes.arriving = false;
    book.enter(makes);
    relaying.delete(makes.id);
    run.makespanSeconds = atSeconds;
  };

  const { giveUpSeconds = Infinity } = options;
  let nextLook = giveUpSeconds < Infinity ? giveUpSeconds / LOOKS : Infinity;
  for (;;) {
    const batch: Copy[] = [];
    const decisions = policy.next(book.at(book.view.nowSeconds));
    book.seen();
    for (const decision of decisions) {
      const feeder = typeof decision.source === "number" ? book.source(decision.source)! : batch[decision.source.decision]!.makes;
      batch.push(start(feeder, decision));
    }
    const atSeconds = network.nextSeconds();
    if (atSeconds === Infinity) break;
    const looks = atSeconds >= nextLook;
    if (looks) nextLook = atSeconds + giveUpSeconds / LOOKS;
    if (atSeconds > giveUpSeconds || (looks && book.view.nowSeconds + leastSecondsLeft(book.view) > giveUpSeconds * (1 + 1e-9))) {
      run.makespanSeconds = Infinity;
      break;
    }
    yield;
    book.at(atSeconds);
    for (const { tag: copy } of network.advanceTo(atSeconds)) end(copy, atSeconds);
    for (const { tag: copy } of network.takeServing()) {
      book.touch(copy.sourceHost);
      book.touch(copy.targetHost);
    }
  }
  run.unmade = book.lacking();
  return run;
}
