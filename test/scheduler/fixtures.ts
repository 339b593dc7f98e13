import fc from "fast-check";
import type { Image } from "../../provider/fleet";
import * as scheduler from "../../provider/scheduler";
import type { BookView, Source, Topology } from "../../provider/scheduler";

export interface Shape {
  /** Hosts in each rack. */
  racks: number[];
  imageBytes?: number;
  nicBytesPerSecond?: number;
  uplinkBytesPerSecond?: number;
  diskBytesPerSecond?: number;
  maxConcurrent?: number;
  startupSeconds?: number;
  time?: "network" | "unit";
  freeLocalCopies?: boolean;
}

/** A datacenter, and the image that is copied in it. */
export type Datacenter = Topology & { image: Image };

/** 10 GB images, 10 Gbit/s NICs, 40 Gbit/s uplinks, 1 GB/s disks unless said otherwise. */
export function topology(shape: Shape): Datacenter {
  const hosts = shape.racks.flatMap((count, rack) => Array.from({ length: count }, () => rack)).map((rack, index) => ({
    index,
    name: `h${index}`,
    rack,
    nicBytesPerSecond: shape.nicBytesPerSecond ?? 1.25e9,
    store: index,
    maxConcurrent: shape.maxConcurrent ?? 8,
  }));
  return {
    racks: shape.racks.map((_, index) => ({ index, name: `r${index}`, uplinkBytesPerSecond: shape.uplinkBytesPerSecond ?? 5e9 })),
    hosts,
    stores: hosts.map(({ index, name }) => ({ index, name, bytesPerSecond: shape.diskBytesPerSecond ?? 1e9 })),
    image: { contentId: "c1", disks: [{ bytes: shape.imageBytes ?? 10e9 }] },
    startupSeconds: shape.startupSeconds ?? 0,
    time: shape.time ?? "network",
    freeLocalCopies: shape.freeLocalCopies ?? false,
  };
}

export const template = (host = 0): Source => ({ id: 0, host, kind: "template", serving: 0 });

export const base = (id: number, host: number, serving = 0): Source => ({ id, host, kind: "base", serving });

/** What the scheduler asks an image for, with the datacenter's. */
type WithoutImage<F> = F extends (t: Topology, image: Image, ...rest: infer Rest) => infer Result ? (t: Datacenter, ...rest: Rest) => Result : never;

export const simulatePolicy: WithoutImage<typeof scheduler.simulatePolicy> = (t, ...rest) => scheduler.simulatePolicy(t, t.image, ...rest);
export const choosePolicy: WithoutImage<typeof scheduler.choosePolicy> = (t, ...rest) => scheduler.choosePolicy(t, t.image, ...rest);

export const networkOf = <T>(t: Datacenter) => new scheduler.FlowNetwork<T>(t, t.image);

export const none = (t: Topology): number[] => t.hosts.map(() => 0);

/** A view with nothing made and nothing under way, but for what is given. */
export function view(t: Datacenter, given: Partial<BookView> & Pick<BookView, "targets">): BookView {
  return {
    nowSeconds: 0, topology: t, image: t.image, made: none(t), making: none(t), sources: [template()], transfers: [],
    excluded: t.hosts.map(() => false), freeSlots: Infinity, ...given,
  };
}

export interface Case {
  topology: Datacenter;
  targets: number[];
  made: number[];
  sources: Source[];
  excluded: boolean[];
  maxConcurrentClones: number;
}

/** Random datacenters: uneven racks, mixed rates, tight caps, fleets that grow, hosts that failed. */
export function cases(time?: "network" | "unit"): fc.Arbitrary<Case> {
  const host = fc.record({
    nic: fc.constantFrom(25e6, 125e6, 1.25e9, 12.5e9),
    disk: fc.constantFrom(1e8, 1e9, 4e9),
    cap: fc.integer({ min: 1, max: 8 }),
    target: fc.integer({ min: 0, max: 6 }),
    had: fc.integer({ min: 0, max: 2 }),
    sources: fc.boolean(),
    excluded: fc.integer({ min: 0, max: 9 }),
  });
  return fc.record({
    racks: fc.array(fc.array(host, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 5 }),
    uplink: fc.constantFrom(5e7, 1.25e8, 5e9, Infinity),
    startup: fc.constantFrom(0, 0.44, 30),
    free: fc.boolean(),
    time: time ? fc.constant(time) : fc.constantFrom("network" as const, "unit" as const),
    limit: fc.constantFrom(1, 3, 64, Infinity),
  }).map(({ racks, uplink, startup, free, time: mode, limit }) => {
    const all = racks.flat();
    const shaped = topology({
      racks: racks.map((r) => r.length), uplinkBytesPerSecond: uplink, startupSeconds: startup, freeLocalCopies: free, time: mode,
    });
    shaped.hosts.forEach((h, i) => Object.assign(h, {
      nicBytesPerSecond: all[i]!.nic, maxConcurrent: all[i]!.cap,
    }));
    shaped.stores.forEach((store, i) => { store.bytesPerSecond = all[i]!.disk; });
    const made = all.map((h) => Math.min(h.had, h.target));
    const sources = [template()];
    all.forEach((h, i) => { if (h.sources) for (let n = 0; n < made[i]!; n++) sources.push(base(sources.length, i)); });
    return {
      topology: shaped, targets: all.map((h) => h.target), made, sources,
      // The template's host stays, so that every case can be finished.
      excluded: all.map((h, i) => i > 0 && h.excluded === 0), maxConcurrentClones: limit,
    };
  });
}
