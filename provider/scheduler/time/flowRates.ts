import { maxMinRates } from "../../maxmin";
import { arrivedAt, countArrived, relayOf, type LiveFlow } from "./flow";
import { capacitiesOf } from "./timeModel";
import type { Topology } from "../types";

/** Part of an image by which a reader may lag and still counts as caught up: rounding. */
const CAUGHT_UP = 1e-9;
/** Rates that differ by less are the same. */
const SAME_RATE = 1e-12;
/** A chain's rates follow each other hop by hop; what does not settle so soon is settled all at once. */
const FEW_ROUNDS = 50;

/**
 * The rates of all copies that move: max-min fair, computed anew for those copies only that share a resource with one
 * that changed or read from it, directly or through others.
 */
export class FlowRates<T> {
  private readonly capacities: Float64Array;
  private readonly users: (Set<LiveFlow<T>> | undefined)[] = [];
  /** By resource: the mark of the round that looked at it last. */
  private readonly lookedAt: Int32Array;
  private dirty: number[] = [];
  private dirtyFlows: LiveFlow<T>[] = [];
  private marks = 0;

  /**
   * @param copyBytes what one copy moves
   * @param onForeseen called with each copy whose next event is another now
   */
  constructor(topology: Topology, private readonly copyBytes: number, private readonly onForeseen: (flow: LiveFlow<T>) => void) {
    this.capacities = capacitiesOf(topology);
    this.lookedAt = new Int32Array(this.capacities.length);
  }

  setCapacity(resource: number, bytesPerSecond: number): void {
    this.capacities[resource] = bytesPerSecond;
    this.dirty.push(resource);
  }

  /** It uses its path's resources from now on. */
  add(flow: LiveFlow<T>): void {
    for (const resource of flow.cost.path) {
      (this.users[resource] ??= new Set()).add(flow);
      this.dirty.push(resource);
    }
  }

  remove(flow: LiveFlow<T>): void {
    for (const resource of flow.cost.path) {
      this.users[resource]!.delete(flow);
      this.dirty.push(resource);
    }
  }

  /** What it reads from is another, or is over. */
  touch(flow: LiveFlow<T>): void {
    this.dirtyFlows.push(flow);
  }

  /** New rates for all that is connected to a resource whose users changed, or to a copy whose relay did. */
  settle(nowSeconds: number): void {
    for (let round = 0; this.dirty.length > 0 || this.dirtyFlows.length > 0; round++) this.settleOnce(round >= FEW_ROUNDS, nowSeconds);
  }

  /** @param together with all that read from the affected, else those follow in a round of their own if they must */
  private settleOnce(together: boolean, now: number): void {
    const affected = this.affected(together);
    const paths: number[][] = [];
    const followers: (number[] | undefined)[] = [];
    let limits: Float64Array | undefined;
    affected.forEach((flow, i) => {
      paths.push(flow.cost.path);
      const relay = relayOf(flow);
      flow.caughtUp = relay !== undefined &&
        arrivedAt(relay, now) - arrivedAt(flow, now) <= CAUGHT_UP * this.copyBytes;
      if (!relay || !flow.caughtUp) return;
      if (relay.mark === this.marks) (followers[relay.position] ??= []).push(i);
      else (limits ??= new Float64Array(affected.length).fill(Infinity))[i] = relay.bytesPerSecond;
    });
    const rates = maxMinRates(paths, this.capacities, followers, limits);
    const changed: LiveFlow<T>[] = [];
    affected.forEach((flow, i) => {
      const rate = rates[i]!;
      // An unchanged rate keeps its end: no drift, no new entry in the queue.
      const same = Math.abs(rate - flow.bytesPerSecond) <= SAME_RATE * rate;
      const free = flow.caughtUp || !relayOf(flow);
      if (same && free && flow.dueIsEnd && flow.dueSeconds < Infinity) return;
      changed.push(flow);
      if (!same && flow.readers) for (const reader of flow.readers) if (reader.mark !== this.marks) this.dirtyFlows.push(reader);
      countArrived(flow, now);
      flow.bytesPerSecond = rate;
    });
    for (const flow of changed) {
      foresee(flow, now);
      this.onForeseen(flow);
    }
  }

  private affected(together: boolean): LiveFlow<T>[] {
    const mark = ++this.marks;
    const { lookedAt } = this;
    const affected: LiveFlow<T>[] = [];
    const resources = this.dirty;
    const flows = this.dirtyFlows;
    this.dirty = [];
    this.dirtyFlows = [];
    for (;;) {
      const flow = flows.pop();
      if (flow) {
        if (flow.mark === mark || flow.phase !== "moving") continue;
        flow.mark = mark;
        flow.position = affected.length;
        affected.push(flow);
        for (const other of flow.cost.path) if (lookedAt[other] !== mark) resources.push(other);
        if (together && flow.readers) for (const reader of flow.readers) flows.push(reader);
        continue;
      }
      const resource = resources.pop();
      if (resource === undefined) return affected;
      if (lookedAt[resource] === mark) continue;
      lookedAt[resource] = mark;
      const users = this.users[resource];
      if (users) for (const user of users) if (user.mark !== mark) flows.push(user);
    }
  }
}

/** Sets the flow's next event at its present rate. */
function foresee<T>(flow: LiveFlow<T>, now: number): void {
  const { bytesPerSecond: rate } = flow;
  const relay = relayOf(flow);
  flow.dueIsEnd = true;
  flow.dueSeconds = rate > 0 ? now + (flow.cost.bytes - flow.bytesArrived) / rate : Infinity;
  if (!relay || flow.caughtUp || rate <= relay.bytesPerSecond) return;
  const catchesUp = now + (arrivedAt(relay, now) - flow.bytesArrived) / (rate - relay.bytesPerSecond);
  if (catchesUp >= flow.dueSeconds) return;
  flow.dueIsEnd = false;
  flow.dueSeconds = catchesUp;
}
