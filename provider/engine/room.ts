import { byStore, overheadBytes, roomOf, sharesOf, UNKNOWN_ROOM_BYTES } from "../fleet";
import type { FleetPlan, FleetSpec, Observation, ReachableHost } from "../fleet/model";
import type { PooledTransfer, SourcePool } from "./pool";

/** One store in this run: what is free there is told once, when the run begins, and may be wrong. */
interface Store {
  freeBytes: number;
  /** Copies that write to it. */
  readonly underWay: Set<PooledTransfer>;
  /** It was full with several copies under way: the figures are wrong, and new ones are tried one at a time. */
  crowded: boolean;
  /** Those that stand still for want of room, and wait to hear whether to go on. */
  readonly starving: Map<PooledTransfer, (goOn: boolean) => void>;
  /** It was told to end, and gives back what it took. */
  leaving: PooledTransfer | undefined;
  /** Of those under way, the next. */
  ends: { next: Promise<void>; over(): void } | undefined;
}

/**
 * The room of the stores that this run writes to. A copy begins where there is room for it beside those under way, else it
 * waits for them. Where the figures were wrong and a store fills all the same, one copy at a time gives back what it has,
 * so that those become whole that fit.
 */
export class Room {
  private readonly stores: readonly Store[];
  /** Copies that had others beside them in their store at any time: that it was full says nothing about them alone. */
  private readonly hadCompany = new WeakSet<PooledTransfer>();

  /**
   * @param storeOf by host index, the store's number
   * @param freeBytes by the store's number
   * @param bytesOfCopy what one copy writes
   */
  constructor(
    private readonly storeOf: readonly number[], freeBytes: readonly number[], private readonly bytesOfCopy: number,
    private readonly indexOf: ReadonlyMap<string, number> = new Map(),
  ) {
    this.stores = freeBytes.map((free) => ({
      freeBytes: free, underWay: new Set(), crowded: false, starving: new Map(), leaving: undefined, ends: undefined,
    }));
  }

  /** A copy may begin: it fits beside those under way, or there are none and it is the store that will tell. */
  admits(host: number): boolean {
    const { underWay, crowded, freeBytes } = this.at(host);
    return underWay.size === 0 || (!crowded && (underWay.size + 1) * this.bytesOfCopy <= freeBytes);
  }

  /** An image was put there that is no copy between hosts. */
  take(host: number): void {
    this.at(host).freeBytes -= this.bytesOfCopy;
  }

  begin(transfer: PooledTransfer): void {
    const { underWay } = this.at(transfer.targetHost);
    underWay.add(transfer);
    if (underWay.size > 1) for (const one of underWay) this.hadCompany.add(one);
  }

  /** @param whole it keeps what it wrote */
  end(transfer: PooledTransfer, whole: boolean): void {
    const store = this.at(transfer.targetHost);
    store.underWay.delete(transfer);
    store.starving.delete(transfer);
    if (store.leaving === transfer) store.leaving = undefined;
    const { ends } = store;
    store.ends = undefined;
    ends?.over();
    if (whole) {
      store.freeBytes -= this.bytesOfCopy;
      return judge(store);
    }
    for (const goOn of store.starving.values()) goOn(true);
    store.starving.clear();
  }

  /**
   * The store of this copy is full, and it stands still.
   * @returns whether to go on, once that is known
   */
  starves(transfer: PooledTransfer): Promise<boolean> {
    const store = this.at(transfer.targetHost);
    if (!store.underWay.has(transfer)) return Promise.resolve(false);
    if (store.underWay.size > 1) store.crowded = true;
    return new Promise((resolve) => {
      store.starving.set(transfer, resolve);
      judge(store);
    });
  }

  /** Nothing may have been in its way but what was there before this run: it does not fit, nor does another like it. */
  wasAlone(transfer: PooledTransfer): boolean {
    return !this.hadCompany.has(transfer);
  }

  /** It failed for want of room with others beside it, which may be whole soon or give back theirs. */
  isCrowded(host: number): void {
    this.at(host).crowded = true;
  }

  /** What is made in this host's store beside copies, and finds no room, may find some when the next copy has ended. Undefined: there is none. */
  nextEnd(host: string): Promise<void> | undefined {
    const index = this.indexOf.get(host);
    const store = index === undefined ? undefined : this.at(index);
    if (!store || store.underWay.size === 0) return undefined;
    if (!store.ends) {
      let over = (): void => undefined;
      const next = new Promise<void>((resolve) => { over = resolve; });
      store.ends = { next, over };
    }
    return store.ends.next;
  }

  isSameStore(one: number, other: number): boolean {
    return this.storeOf[one] === this.storeOf[other];
  }

  private at(host: number): Store {
    return this.stores[this.storeOf[host]!]!;
  }
}

/** As the hosts showed it, with what the plan takes away and what its members take beside their images. */
export function roomFor({ topology }: Pick<SourcePool, "topology">, spec: FleetSpec, observation: Observation, plan: FleetPlan): Room {
  const index = new Map(topology.hosts.map((host) => [host.name, host.index]));
  const shareOf = sharesOf(spec, plan);
  const free: number[] = [];
  const storeOf: number[] = [];
  for (const store of byStore(observation.hosts.filter((host): host is ReachableHost => host.status === "reachable"))) {
    const overhead = store.reduce((sum, { name }) => sum + overheadBytes(spec, shareOf(name), name), 0);
    const number = free.push(roomOf(shareOf, store) - overhead) - 1;
    for (const { name } of store) if (index.has(name)) storeOf[index.get(name)!] = number;
  }
  for (const host of topology.hosts) storeOf[host.index] ??= free.push(UNKNOWN_ROOM_BYTES) - 1;
  return new Room(storeOf, free, topology.imageBytes, index);
}

/** With nobody left who could fill a gap or make one, one must make room. */
function judge(store: Store): void {
  if (store.leaving !== undefined || store.starving.size === 0) return;
  for (const one of store.underWay) if (!isStuck(one, store)) return;
  const last = givesWay([...store.starving.keys()]);
  const answer = store.starving.get(last)!;
  store.starving.delete(last);
  store.leaving = last;
  answer(false);
}

/** It writes nothing now: it has all, or has no source, or it or one it reads from waits for this store. */
function isStuck(transfer: PooledTransfer, store: Store): boolean {
  if (transfer.done >= 1 || transfer.lost) return true;
  for (let one: PooledTransfer | undefined = transfer; one; one = one.from.arrival) if (store.starving.has(one)) return true;
  return false;
}

/** The one that has the least; of equals the last to have begun, as others more likely read from the first. */
export function givesWay(starving: readonly PooledTransfer[]): PooledTransfer {
  return starving.reduce((least, one) => (
    one.bytesDone < least.bytesDone || (one.bytesDone === least.bytesDone && one.makes.id > least.makes.id) ? one : least
  ));
}
