/** Copies that lag, fail or stand still beside others: which are made anew, and which are left alone. */
import assert from "node:assert/strict";
import { Distributor } from "../../provider/engine/distribution/distributor";
import { givesWay, Room } from "../../provider/engine/distribution/room";
import { type BookedSource, type BookedTransfer, SourceBook } from "../../provider/engine/distribution/sourceBook";
import { StragglerWatch } from "../../provider/engine/distribution/straggler";
import { TransferLog } from "../../provider/engine/distribution/transferLog";
import { contextOf } from "../../provider/engine/run/session";
import { HypervisorError } from "../../provider/hypervisors/hypervisor";
import { policies, topologyOf, type Policy } from "../../provider/scheduler";
import { assertSettled, IMAGE, IMAGE_BYTES, inputs, lacking, request, specOf, up, world } from "./world";
import { refitted, wrap } from "./wrappers";

describe("a copy that lags hopelessly, where copies cannot change their source", () => {
  const of = (more: Record<string, unknown> = {}) => specOf(inputs(4, 1, { count: 12, policy: "rounds", ...more }));
  const slow = (declared = of()) => world(declared, { traits: lacking("relaying"), faults: [{ kind: "slowHost", host: "a2", factor: 0.01, direction: "out", fromSeconds: 1.5 }] });
  const lastEnd = (clones: readonly { endSeconds: number }[]) => Math.max(...clones.map(({ endSeconds }) => endSeconds));

  it("is made by another source once those are idle, and its own serves no more", async () => {
    const where = slow();
    const { clones } = await up(of(), where);
    // At its pace it would take 100 s.
    assert.ok(lastEnd(clones) < 40, `${lastEnd(clones)} s`);
    assert.equal(clones.length, 12);
    await assertSettled(of(), where, 12);
  });

  it("is left alone with stragglerFactor 0", async () => {
    const declared = of({ stragglerFactor: 0 });
    const { clones } = await up(declared, slow(declared));
    assert.ok(lastEnd(clones) > 60, `${lastEnd(clones)} s`);
  });

  it("is left alone where all other sources stand on the same host", async () => {
    const declared = specOf(inputs(2, 1, { count: 2, policy: "singleSource", imageBytes: 5e9 }));
    const where = world(declared, { traits: lacking("relaying"), faults: [{ kind: "slowHost", host: "a1", factor: 0.1, direction: "out", fromSeconds: 0.5 }] });
    const { clones } = await up(declared, where);
    assert.equal(clones.filter(({ sourceHost }) => sourceHost === "a1").length, 2);
  });
});

describe("a copy that fails, beside others", () => {
  const busy = new HypervisorError("a2", "clone", "busy");
  function setUp(policy: Policy) {
    const spec = specOf(inputs(3, 1, { count: 1, retries: 1 }));
    const where = world(spec);
    let nth = 0;
    const starts: string[] = [];
    const hypervisor = refitted(wrap(where.hypervisor, async (_method, order, context) => {
      starts.push(`${order.source.host as string}>${order.target.name as string} ${where.clock.nowMs()}`);
      const fails = ++nth === 1;
      await where.clock.sleep(1000, context?.signal);
      if (fails) throw busy;
      return { bytesMoved: IMAGE_BYTES };
    }), { abilities: { relaying: undefined } });
    const context = contextOf(request(spec, { ...where, hypervisor }), new AbortController().signal);
    const book = new SourceBook(topologyOf(spec), IMAGE, 8);
    for (const [host, hostName, kind] of [[0, "a1", "template"], [2, "a3", "base"]] as const) {
      book.add({ host, hostName, kind, label: hostName, ref: kind === "template" ? { kind, host: hostName } : { kind, host: hostName, slot: 90, generation: 0 } });
    }
    const distributor = new Distributor(context, book, new TransferLog(context.clock, book), new Room([0, 1, 2], [Infinity, Infinity, Infinity], IMAGE_BYTES), false, () => undefined);
    const told: string[] = [];
    for (const slot of [0, 1]) {
      const name = `w-${slot}`;
      distributor.want({
        host: 1, target: { kind: "base", host: "a2", slot, generation: 0, name }, label: name,
        whole: () => told.push(`${name} is whole`), failed: (error) => told.push(`${name}: ${(error as Error).message}`),
      });
    }
    return { book, starts, told, run: async () => { distributor.begin(policy); await context.tasks.idle(); } };
  }

  it("of its own leaves its source what it is, and waits before it is tried again", async () => {
    const { book, starts, told, run } = setUp(policies.singleSource);
    await run();
    assert.deepEqual(told, ["w-1 is whole", "w-0 is whole"]);
    assert.deepEqual(starts, ["a1>w-0 0", "a1>w-1 0", "a1>w-0 1500"]);
    assert.deepEqual(book.sources.map(({ label }) => label).sort(), ["a1", "a3", "w-0", "w-1"]);
  });

  it("and rests keeps those alive that a policy does not start meanwhile", async () => {
    let asked = 0;
    const policy: Policy = { ...policies.singleSource, next: (view) => {
      asked++;
      if (asked === 1) return [{ source: view.sources[0]!.id, targetHost: 1 }];
      return asked === 2 ? [] : policies.singleSource.next(view);
    } };
    const { told, run } = setUp(policy);
    await run();
    assert.deepEqual(told.sort(), ["w-0 is whole", "w-1 is whole"]);
  });
});

describe("the watch for stragglers, in doubt", () => {
  const BYTES = 100e9;
  const topology = topologyOf(specOf(inputs(6, 1, { count: 1 })));
  const transfer = (sourceHost: number, targetHost: number): BookedTransfer => (
    { source: sourceHost, from: {} as BookedSource, sourceHost, targetHost, startedAtSeconds: 0, done: 0, bytesDone: 0, straggling: false, lost: false } as BookedTransfer
  );

  it("takes no copy between hosts for one that lags behind copies within hosts, nor one alone", () => {
    for (const pairs of [[[0, 1], [2, 2], [4, 4]], [[0, 1]]] as [number, number][][]) {
      const watch = new StragglerWatch(topology, BYTES, 0.3);
      const transfers = pairs.map(([from, to]) => transfer(from, to));
      watch.update(transfers, 0);
      transfers.forEach((one, i) => { one.bytesDone = (i === 0 ? 0.1 : 1) * 10e9; });
      assert.equal(watch.update(transfers, 10), false);
    }
  });

  it("waits ten seconds for a first byte, and for the start-up that is known", () => {
    for (const [startupSeconds, from] of [[0, 15], [20, 35]] as const) {
      const watch = new StragglerWatch({ ...topology, startupSeconds }, BYTES, 0.3);
      const transfers = [transfer(0, 1), transfer(2, 3), transfer(4, 5)];
      let flagged: number | undefined;
      for (let now = 0; now <= 60 && flagged === undefined; now++) {
        for (const one of transfers.slice(0, 2)) one.bytesDone = Math.max(0, now - startupSeconds) * 1e9;
        watch.update(transfers, now);
        if (transfers[2]!.straggling) flagged = now;
      }
      assert.equal(flagged, from);
    }
  });

  it("calls none hopeless whose rest takes less than twice what the slowest took", () => {
    const watch = new StragglerWatch(topology, BYTES, 0.3);
    const [quick, slow, lags] = [transfer(0, 1), transfer(2, 3), transfer(4, 5)];
    watch.ended(quick, true, 10);
    watch.ended(slow, true, 400);
    Object.assign(lags, { straggling: true, bytesDone: 10e9 });
    // 90 GB at 0.2 GB/s: 450 s.
    assert.equal(watch.isHopeless(lags, 50), false);
    Object.assign(lags, { bytesDone: 5e9 });
    assert.equal(watch.isHopeless(lags, 50), true);
    Object.assign(lags, { startedAtSeconds: 40 });
    assert.equal(watch.isHopeless(lags, 50), false);
  });
});

describe("a store that turned out full", () => {
  const copy = (id: number, targetHost: number, bytesDone: number) => ({ targetHost, bytesDone, done: bytesDone / 100, lost: false, from: {}, makes: { id } }) as unknown as BookedTransfer;

  it("takes one more at a time from then on, unless the one that found so was alone", () => {
    const crowded = new Room([0], [9000], 100);
    const [one, other] = [copy(1, 0, 50), copy(2, 0, 50)];
    for (const each of [one, other]) crowded.begin(each);
    assert.equal(crowded.admits(0), true);
    void crowded.starves(one);
    assert.equal(crowded.admits(0), false);
    const alone = new Room([0], [9000], 100);
    alone.begin(one);
    void alone.starves(one);
    assert.equal(alone.admits(0), true);
  });

  it("takes what just fits", () => {
    const room = new Room([0], [200], 100);
    room.begin(copy(1, 0, 0));
    assert.equal(room.admits(0), true);
  });

  it("gets room from the one that has least, of equals from the last to have begun", () => {
    const [first, second, less] = [copy(1, 0, 50), copy(2, 0, 50), copy(0, 0, 49)];
    assert.equal(givesWay([second, less, first]), less);
    assert.equal(givesWay([first, second]), second);
    assert.equal(givesWay([second, first]), second);
  });
});
