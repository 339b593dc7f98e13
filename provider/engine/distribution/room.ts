import { byStore, imageBytes, overheadBytes, roomOf, sharesOf } from "../../fleet";
import type { FleetPlan, FleetSpec, Observation, ReachableHost } from "../../fleet/model";
import type { BookedTransfer, SourceBook } from "./sourceBook";

/** One store in this run: what is free there is told once, when the run begins, and may be wrong. */
interface Store {
  freeBytes: number;
  /** Copies that write to it. */
  readonly underWay: Set<BookedTransfer>;
  /** It was full with several copies under way: the figures are wrong, and new ones are tried one at a time. */
  crowded: boolean;
  /** It was told to end, and gives back what it took. */
  leaving: BookedTransfer | undefined;
  /** Of those under way, the next. */
  ends: { next: Promise<void>; over(): void } | undefined;
}

/**
 * The room of the stores that this run writes to. A copy begins where there is room for it beside those under way, else it
 * waits for them. Where the figures were wrong and a store fills all the same, one copy at a time gives back what it has,
 * so that those become whole that fit. A copy that stands still holds up those that read from it, and one that is all there
 * ends when its readers do, in whatever stores they are: who waits for whom is judged over all stores.
 */
export class Room {
  private readonly stores: readonly Store[];
  /** Those that stand still for want of room, and wait to hear whether to go on. */
  private readonly starving = new Map<BookedTransfer, (goOn: boolean) => void>();
  /** Copies that had others beside them in their store at any time: that it was full says nothing about them alone. */
  private readonly hadCompany = new WeakSet<BookedTransfer>();

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
      freeBytes: free, underWay: new Set(), crowded: false, leaving: undefined, ends: undefined,
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

  begin(transfer: BookedTransfer): void {
    const { underWay } = this.at(transfer.targetHost);
    underWay.add(transfer);
    if (underWay.size > 1) for (const one of underWay) this.hadCompany.add(one);
  }

  /** @param whole it keeps what it wrote */
  end(transfer: BookedTransfer, whole: boolean): void {
    const store = this.at(transfer.targetHost);
    store.underWay.delete(transfer);
    this.starving.delete(transfer);
    if (store.leaving === transfer) store.leaving = undefined;
    const { ends } = store;
    store.ends = undefined;
    ends?.over();
    if (whole) store.freeBytes -= this.bytesOfCopy;
    else for (const one of this.starvingIn(store)) this.answer(one, true);
    this.review();
  }

  /** What else happened may have been the last that a copy without room waited for: asked after every event of the copies. */
  review(): void {
    for (const store of new Set([...this.starving.keys()].map(({ targetHost }) => this.at(targetHost)))) this.judge(store);
  }

  /**
   * The store of this copy is full, and it stands still.
   * @returns whether to go on, once that is known
   */
  starves(transfer: BookedTransfer): Promise<boolean> {
    const store = this.at(transfer.targetHost);
    if (!store.underWay.has(transfer)) return Promise.resolve(false);
    if (store.underWay.size > 1) store.crowded = true;
    return new Promise((resolve) => {
      this.starving.set(transfer, resolve);
      this.review();
    });
  }

  /** Nothing may have been in its way but what was there before this run: it does not fit, nor does another like it. */
  wasAlone(transfer: BookedTransfer): boolean {
    return !this.hadCompany.has(transfer);
  }

  /** It failed for want of room with others beside it, which may be whole soon or give back theirs. */
  isCrowded(host: number): void {
    this.at(host).crowded = true;
  }

  /**
   * What is made in this host's store beside copies, and finds no room, may find some when the next copy has ended.
   * Undefined: none is under way that could give any back. Those that are all there keep what they have, and may serve
   * others for long.
   */
  nextEnd(host: string): Promise<void> | undefined {
    const index = this.indexOf.get(host);
    const store = index === undefined ? undefined : this.at(index);
    if (!store || [...store.underWay].every(({ done }) => done >= 1)) return undefined;
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

  private starvingIn(store: Store): BookedTransfer[] {
    return [...this.starving.keys()].filter((one) => store.underWay.has(one));
  }

  private answer(transfer: BookedTransfer, goesOn: boolean): void {
    const answer = this.starving.get(transfer)!;
    this.starving.delete(transfer);
    answer(goesOn);
  }

  /** With nobody left in the store who could fill a gap or make one, one must make room. */
  private judge(store: Store): void {
    if (store.leaving !== undefined) return;
    for (const one of store.underWay) if (!this.isStuck(one)) return;
    store.leaving = givesWay(this.starvingIn(store));
    this.answer(store.leaving, false);
  }

  /** It writes nothing now: it has all, or has no source, or it or one it reads from waits for room, in whatever store. */
  private isStuck(transfer: BookedTransfer): boolean {
    if (transfer.done >= 1 || transfer.lost) return true;
    for (let one: BookedTransfer | undefined = transfer; one; one = one.from.arrival) if (this.starving.has(one)) return true;
    return false;
  }
}

/** As the hosts showed it, with what the plan takes away and what its members take beside their images. */
export function roomFor({ topology, image }: Pick<SourceBook, "topology" | "image">, spec: FleetSpec, observation: Observation, plan: FleetPlan): Room {
  const index = new Map(topology.hosts.map((host) => [host.name, host.index]));
  const shareOf = sharesOf(spec, plan);
  const free: number[] = [];
  const storeOf: number[] = [];
  for (const store of byStore(observation.hosts.filter((host): host is ReachableHost => host.status === "reachable"))) {
    const overhead = store.reduce((sum, { name }) => sum + overheadBytes(spec, shareOf(name), name), 0);
    const number = free.push(roomOf(shareOf, store) - overhead) - 1;
    for (const { name } of store) if (index.has(name)) storeOf[index.get(name)!] = number;
  }
  for (const host of topology.hosts) storeOf[host.index] ??= free.push(Infinity) - 1;
  return new Room(storeOf, free, imageBytes(image), index);
}

/** The one that has the least; of equals the last to have begun, as others more likely read from the first. */
export function givesWay(starving: readonly BookedTransfer[]): BookedTransfer {
  return starving.reduce((least, one) => (
    one.bytesDone < least.bytesDone || (one.bytesDone === least.bytesDone && one.makes.id > least.makes.id) ? one : least
  ));
}
