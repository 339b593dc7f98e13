/** Stores that are fuller than anybody thinks. */
import { linkSignals } from "../../provider/async/abort";
import { type CallContext, type CloneOrder, type Hypervisor, type ImageRef, NoSpaceError } from "../../provider/hypervisors/hypervisor";
import { IMAGE_BYTES, inputs, reachable, specOf } from "./world";
import { wrap } from "./wrappers";

export interface CrampedStore {
  hosts: readonly string[];
  holdsBytes: number;
}

/**
 * A store that holds less than anybody thinks: where what is there and arriving is more, the copies that arrive find no
 * room, as on a real file system whichever writes next. One that asks stands still until it is answered, and one that is
 * all there goes on until nobody reads from it any more.
 * @param says whether copies stand still and ask, or fail at once
 */
export function cramped(inner: Hypervisor, hosts: readonly string[], holdsBytes: number, says: "asks" | "fails"): { hypervisor: Hypervisor; attempts: () => number } {
  return crampedStores(inner, [{ hosts, holdsBytes }], says);
}

/**
 * As `cramped`, of several.
 * @param moments by slot, the part of its first copy at which a neighbour has taken the room for a moment
 */
export function crampedStores(
  inner: Hypervisor, stores: readonly CrampedStore[], says: "asks" | "fails", moments: ReadonlyMap<number, number> = new Map(),
): { hypervisor: Hypervisor; attempts: () => number } {
  let attempts = 0;
  const wholeIn = new Map(stores.map((store) => [store, 0]));
  const arriving = new Map<CloneOrder, number>();
  const left = new Map(moments);
  const isTaken = ({ target }: CloneOrder, part: number): boolean => {
    if (target.kind !== "base" || part < (left.get(target.slot) ?? Infinity)) return false;
    return left.delete(target.slot);
  };
  const reading = new Map<CloneOrder, ImageRef>();
  const wake = new Set<() => void>();
  const storeOf = (host: string): CrampedStore | undefined => stores.find((one) => one.hosts.includes(host));
  const taken = (store: CrampedStore): number =>
    [...arriving].reduce((sum, [{ target }, bytes]) => sum + (storeOf(target.host) === store ? bytes : 0), wholeIn.get(store)!);
  const isRead = ({ target }: CloneOrder): boolean => [...reading.values()].some((from) => from.kind === target.kind && from.host === target.host
    && (from.kind !== "base" || target.kind !== "base" || from.slot === target.slot));
  const reads = (order: CloneOrder, from: ImageRef | undefined): void => {
    if (from) reading.set(order, from);
    else reading.delete(order);
    for (const wakeUp of [...wake]) wakeUp();
  };
  const unread = async (order: CloneOrder, signal: AbortSignal): Promise<void> => {
    while (isRead(order)) {
      await new Promise<void>((resolve, reject) => {
        const stop = (): void => { wake.delete(go); reject(signal.reason as Error); };
        const go = (): void => { wake.delete(go); signal.removeEventListener("abort", stop); resolve(); };
        if (signal.aborted) return stop();
        signal.addEventListener("abort", stop, { once: true });
        wake.add(go);
      });
    }
  };
  const hypervisor = wrap(inner, async (method, order: CloneOrder, context: CallContext | undefined, proceed) => {
    if (method === "refeed") {
      const result = await proceed();
      const turned = [...reading.keys()].find(({ target }) => target === order.target);
      if (turned) reads(turned, order.source);
      return result;
    }
    if (method !== "clone") return proceed();
    reads(order, order.source);
    const link = linkSignals(context?.signal);
    const error = new NoSpaceError(order.target.host, "clone", "storage pool default is full");
    const store = storeOf(order.target.host);
    let asking: Promise<boolean> | undefined;
    const writes = (bytes: number, total: number): void => {
      if (asking) return;
      if (store) arriving.set(order, bytes);
      context?.onProgress?.(bytes, total);
      if (!store || (taken(store) <= store.holdsBytes && !isTaken(order, bytes / total))) return;
      const answer = says === "asks" ? context!.onNoSpace!(error) : Promise.resolve(false);
      asking = answer.then((goesOn) => {
        asking = undefined;
        if (!goesOn) link.abort(error);
        return goesOn;
      });
    };
    if (store) {
      attempts++;
      arriving.set(order, 0);
    }
    try {
      const result = await proceed({
        ...context, signal: link.signal, onProgress: writes,
        ...(context?.onSourceLost && {
          onSourceLost: async (lost) => {
            const next = await context.onSourceLost!(lost);
            if (next) reads(order, next);
            return next;
          },
        }),
      });
      while (asking && await asking) writes(IMAGE_BYTES, IMAGE_BYTES);
      link.signal.throwIfAborted();
      // Every byte of it went through the check above but its last ones.
      if (store && taken(store) - arriving.get(order)! + IMAGE_BYTES > store.holdsBytes && says === "fails") throw error;
      reads(order, undefined);
      await unread(order, link.signal);
      if (store) wholeIn.set(store, wholeIn.get(store)! + IMAGE_BYTES);
      return result;
    } catch (reason) {
      if (link.signal.reason !== error && reason !== error) throw reason;
      const leftovers = (await reachable(specOf(inputs(4, 2, { count: 1 })), { hypervisor: inner })).find((host) => host.name === order.target.host)!.leftovers;
      const mine = leftovers.find((leftover) => order.target.kind === "base" && leftover.slot === order.target.slot);
      if (mine) await inner.destroy({ kind: "leftover", fleet: order.fleet, host: order.target.host, leftover: mine });
      throw error;
    } finally {
      arriving.delete(order);
      reads(order, undefined);
      link.unlink();
    }
  });
  return { hypervisor, attempts: () => attempts };
}
