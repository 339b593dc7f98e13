/** Which source a copy under way gets instead of its own, and which copies count as lagging. */
import assert from "node:assert/strict";
import { Refeeder } from "../../provider/engine/distribution/refeeder";
import { type BookedSource, type BookedTransfer, SourceBook } from "../../provider/engine/distribution/sourceBook";
import { StragglerWatch } from "../../provider/engine/distribution/straggler";
import { TransferLog } from "../../provider/engine/distribution/transferLog";
import { contextOf } from "../../provider/engine/run/session";
import type { ImageRef, RefeedOrder } from "../../provider/hypervisors/hypervisor";
import { topologyOf } from "../../provider/scheduler";
import { IMAGE, inputs, request, specOf, world } from "./world";
import { refitted } from "./wrappers";

/** Hosts a1, b1, a2, b2, a3, b3 in racks a and b, and what reads from where. */
function setUp({ cap = 8, relays = true, retries = 3, refeed = () => Promise.resolve() }: { cap?: number; relays?: boolean; retries?: number; refeed?: (order: RefeedOrder) => Promise<void> } = {}) {
  const from = inputs(6, 2, { count: 4, retries });
  const spec = specOf({ ...from, hosts: (from["hosts"] as object[]).map((host) => ({ ...host, maxConcurrent: cap })) });
  const where = world(spec);
  const turned: RefeedOrder[] = [];
  const abilities = relays ? { relaying: { hopSeconds: 0, refeed: (order: RefeedOrder) => { turned.push(order); return refeed(order); } } } : { relaying: undefined };
  const cancel = new AbortController();
  const context = contextOf(request(spec, { ...where, hypervisor: refitted(where.hypervisor, { abilities }) }), cancel.signal);
  const book = new SourceBook(topologyOf(spec), IMAGE, 64, relays);
  const log = new TransferLog(where.clock, book);
  let asked = 0;
  const refeeder = new Refeeder(context, book, log, () => { asked++; });
  const indexOf = (name: string) => spec.hosts.findIndex((host) => host.name === name);
  let slot = 0;
  return {
    context, cancel, book, log, refeeder, turned, clock: where.clock, asked: () => asked,
    source: (host: string, kind: BookedSource["kind"] = "base"): BookedSource => book.add({
      host: indexOf(host), hostName: host, kind, label: host,
      ref: kind === "template" ? { kind, host } : { kind: "base", host, slot: slot++, generation: 0 },
    }),
    copy: (source: BookedSource, host: string, done = 0): BookedTransfer => {
      book.want(indexOf(host), 1);
      const made = { ref: { kind: "base", host, slot: slot++, generation: 0 }, label: host, kind: "base" } as const;
      const transfer = book.begin(source, { targetHost: indexOf(host) }, 0, made);
      Object.assign(transfer, { done, bytesDone: done * 1e9 });
      return transfer;
    },
  };
}

const nameOf = (ref: ImageRef | null) => (ref === null ? null : `${ref.kind} ${ref.host}`);

describe("a copy that lost its source", () => {
  it("reads on from its own host, its rack, then any", async () => {
    const { copy, source, refeeder } = setUp();
    const lost = source("b1");
    const transfer = copy(lost, "a2");
    const far = source("b2");
    assert.equal(nameOf(await refeeder.replace(transfer)), "base b2");
    source("a1");
    assert.deepEqual([transfer.from, nameOf(await refeeder.replace(transfer))], [far, "base a1"]);
    source("a2");
    assert.equal(nameOf(await refeeder.replace(transfer)), "base a2");
  });

  it("reads on from who serves least, the template before others, whole ones before arriving, the eldest first", async () => {
    const next = async (prepare: (all: ReturnType<typeof setUp>) => void): Promise<BookedSource> => {
      const all = setUp();
      const transfer = all.copy(all.source("b1"), "a2", 0.5);
      prepare(all);
      await all.refeeder.replace(transfer);
      return transfer.from;
    };
    assert.equal((await next(({ source }) => { source("a1"); source("a3", "template"); source("a3"); })).kind, "template");
    assert.equal((await next(({ source, copy }) => { copy(source("a3", "template"), "b3"); source("a1"); })).hostName, "a1");
    assert.equal((await next(({ source, copy }) => { copy(source("b2"), "a3", 0.9); source("a1"); })).hostName, "a1");
    assert.equal((await next(({ source }) => { source("a3"); source("a1"); })).hostName, "a3");
  });

  it("reads on only from an arriving copy that has more, and not from one that reads from itself", async () => {
    const { book, copy, source, refeeder } = setUp();
    const lost = source("b1");
    const transfer = copy(lost, "a2", 0.5);
    const behind = copy(source("b2"), "a1", 0.4);
    copy(transfer.makes, "a3", 0.4);
    book.drop(behind.from);
    book.drop(lost);
    assert.equal(await refeeder.replace(transfer), null);
    assert.equal(transfer.lost, true);
    behind.bytesDone = 0.6e9;
    assert.equal(nameOf(await refeeder.replace(transfer)), "base a1");
  });

  it("reads on from its own host though another of its rack has served longer", async () => {
    const { copy, source, refeeder } = setUp();
    const transfer = copy(source("b1"), "a2");
    source("a1");
    const own = source("a2");
    await refeeder.replace(transfer);
    assert.equal(transfer.from, own);
  });

  it("reads on from none that has just as much, less, or reads from itself however much it has", async () => {
    const { book, copy, source, refeeder } = setUp();
    const [one, other] = [source("b1"), source("b2")];
    const first = copy(one, "b3", 0.6);
    const transfer = copy(first.makes, "a2", 0.5);
    const through = copy(transfer.makes, "a3", 0.9);
    copy(through.makes, "b1", 0.8);
    copy(other, "a1", 0.5);
    copy(other, "b2", 0.4);
    for (const gone of [one, other]) book.drop(gone);
    assert.equal(await refeeder.replace(transfer), null);
  });

  it("reads on from what its own source read from, though that has no more than it", async () => {
    const { book, copy, source, refeeder } = setUp();
    const template = source("b1", "template");
    const first = copy(template, "a1", 0.5);
    const second = copy(first.makes, "a2", 0.5);
    const third = copy(second.makes, "a3", 0.5);
    book.drop(template);
    assert.equal(nameOf(await refeeder.replace(third)), "base a1");
    assert.equal(third.from, first.makes);
  });

  it("reads on from none that has no source itself, or lags", async () => {
    const { book, copy, source, refeeder } = setUp();
    const [one, other] = [source("b1"), source("b2")];
    const transfer = copy(one, "a2", 0.2);
    const [sourceless, lagging] = [copy(other, "a1", 0.9), copy(other, "a3", 0.9)];
    lagging.straggling = true;
    for (const gone of [one, other]) book.drop(gone);
    book.lose(sourceless);
    assert.equal(await refeeder.replace(transfer), null);
  });

  it("is given up in a cancelled run, and when it was lost more often than it may be tried", async () => {
    const { cancel, copy, source, refeeder } = setUp({ retries: 1 });
    const [one] = [source("b1"), source("b2"), source("a1")];
    const transfer = copy(one!, "a2");
    assert.notEqual(await refeeder.replace(transfer), null);
    assert.notEqual(await refeeder.replace(transfer), null);
    assert.equal(await refeeder.replace(transfer), null);
    const other = copy(one!, "a3");
    cancel.abort(new Error("ctrl-c"));
    assert.equal(await refeeder.replace(other), null);
  });

  it("waits until there is room at a source, and no longer than a copy may stall", async () => {
    const { book, clock, context, copy, source, refeeder } = setUp({ cap: 1 });
    const [one, other] = [source("b1"), source("b2")];
    const [transfer, keeps] = [copy(one, "a2"), copy(other, "a1")];
    let answer: ImageRef | null | undefined;
    const waiting = refeeder.replace(transfer).then((ref) => { answer = ref; });
    await clock.sleep(10);
    refeeder.offer();
    await clock.sleep(10);
    assert.equal(answer, undefined);
    book.end(keeps, true);
    refeeder.offer();
    await waiting;
    assert.deepEqual([nameOf(answer!), transfer.from], ["base b2", other]);
    const late = copy(one, "a3");
    const before = clock.nowMs();
    assert.equal(await refeeder.replace(late), null);
    assert.equal(clock.nowMs() - before, context.spec.timeouts.stallMs);
  });

  it("waits no more once nothing has more, or the run is cancelled", async () => {
    for (const end of ["gone", "cancelled"]) {
      const { book, cancel, clock, copy, source, refeeder } = setUp({ cap: 1 });
      const [one, other] = [source("b1"), source("b2")];
      const transfer = copy(one, "a2");
      copy(other, "a1");
      const waiting = refeeder.replace(transfer);
      if (end === "gone") {
        for (const gone of [one, other]) book.drop(gone);
        book.exclude(2);
        for (const arriving of [...book.arriving]) book.drop(arriving);
        refeeder.offer();
      } else cancel.abort(new Error("ctrl-c"));
      assert.equal(await waiting, null);
      assert.equal(clock.nowMs(), 0);
    }
  });
});

describe("copies that read from a host that is gone", () => {
  it("are turned to another, those within it are not, and their host hears of it", async () => {
    const { book, context, copy, source, refeeder, turned, asked } = setUp();
    const [gone, other] = [source("b1"), source("b2")];
    const [reads, within] = [copy(gone, "b3"), copy(gone, "b1")];
    refeeder.hostGone(1);
    assert.deepEqual([reads.from, within.from, reads.leaving], [other, gone, { source: gone }]);
    await context.tasks.idle();
    assert.deepEqual([turned.map(({ target, source: to }) => [target, to]), reads.leaving, asked()], [[[reads.makes.ref, other.ref]], undefined, 1]);
    assert.equal(book.mayFeed(1, reads), true);
  });

  it("read on where they did when they could not be turned", async () => {
    const { context, copy, source, refeeder } = setUp({ refeed: () => Promise.reject(new Error("no")) });
    const [gone] = [source("b1"), source("b2")];
    const reads = copy(gone!, "b3");
    refeeder.hostGone(1);
    await context.tasks.idle();
    assert.deepEqual([reads.from, reads.leaving, reads.earlier], [gone, undefined, []]);
  });

  it("stay where no other source has room", () => {
    const { copy, source, refeeder, turned } = setUp({ cap: 1 });
    const [gone, other] = [source("b1"), source("b2")];
    const reads = copy(gone, "b3");
    copy(other, "b2");
    refeeder.hostGone(1);
    assert.deepEqual([reads.from, turned], [gone, []]);
  });

  it("and have lost it since, or are being turned, are left to those that see to that", () => {
    const { book, copy, source, refeeder, turned } = setUp({ refeed: () => new Promise(() => undefined) });
    const [gone] = [source("b1"), source("b2"), source("b1")];
    const [lost, turning] = [copy(gone!, "b3"), copy(gone!, "a3")];
    book.lose(lost);
    refeeder.hostGone(1);
    refeeder.hostGone(3);
    assert.deepEqual([turned.length, lost.lost, turning.leaving !== undefined], [1, true, true]);
  });

  it("are judged by their latest turn alone, whenever an earlier one ends", async () => {
    for (const fails of [false, true]) {
      const ends: (() => void)[] = [];
      const { book, context, copy, source, refeeder } = setUp({
        refeed: () => new Promise((resolve, reject) => { ends.push(() => { if (fails) reject(new Error("no")); else resolve(); }); }),
      });
      const [gone, next] = [source("b1"), source("b2")];
      const reads = copy(gone, "b3");
      refeeder.hostGone(1);
      assert.equal(reads.from, next);
      // Its source is lost under the turn: it is given another, and turned once more.
      book.lose(reads);
      book.refeed(reads, next, 1);
      book.exclude(3);
      refeeder.hostGone(3);
      const { leaving } = reads;
      assert.deepEqual([reads.from, leaving?.source], [gone, next]);
      ends[0]!();
      await new Promise(setImmediate);
      assert.equal(reads.leaving, leaving, "the first turn says nothing of the second");
      ends[1]!();
      await context.tasks.idle();
      assert.equal(reads.leaving, undefined);
    }
  });

  it("stay where the hypervisor cannot turn them", () => {
    const { copy, source, refeeder, turned } = setUp({ relays: false });
    const [gone] = [source("b1"), source("b2")];
    const reads = copy(gone!, "b3");
    refeeder.hostGone(1);
    assert.deepEqual([reads.from, turned], [gone, []]);
  });
});

describe("a copy that lags", () => {
  it("gets another source first, and nobody is sent to the one it had, unless that is the template", async () => {
    const { book, context, copy, source, refeeder } = setUp();
    const [slow, other, template] = [source("b1"), source("b2"), source("a1", "template")];
    const [one, two] = [copy(slow, "b3"), copy(template, "a3")];
    refeeder.relieve(one, 0);
    refeeder.relieve(two, 0);
    await context.tasks.idle();
    assert.deepEqual([one.from, slow.lags, book.sources.includes(slow)], [other, true, false]);
    assert.notEqual(two.from, template);
    assert.deepEqual([template.lags, book.sources.includes(template)], [undefined, true]);
  });

  it("keeps its source where there is no other, and so do others", () => {
    const { book, copy, source, refeeder } = setUp();
    const slow = source("b1");
    const one = copy(slow, "b3");
    refeeder.relieve(one, 0);
    assert.deepEqual([one.from, slow.lags, book.sources], [slow, undefined, [slow]]);
  });

  it("on with another loses its readers after three seconds", async () => {
    const { context, copy, source, refeeder } = setUp();
    const [slow, other] = [source("b1"), source("b2")];
    const one = copy(slow, "b3", 0.5);
    const reader = copy(one.makes, "a3", 0.1);
    refeeder.relieve(one, 10);
    await context.tasks.idle();
    refeeder.relieve(one, 13);
    assert.equal(reader.from, one.makes);
    refeeder.relieve(one, 13.1);
    await context.tasks.idle();
    assert.equal(reader.from, other);
  });

  it("and has lost its source, or is being turned, is left alone", () => {
    const { book, copy, source, refeeder, turned } = setUp({ refeed: () => new Promise(() => undefined) });
    const [slow] = [source("b1"), source("b2")];
    const [lost, turning] = [copy(slow!, "b3"), copy(slow!, "a3")];
    book.lose(lost);
    refeeder.relieve(lost, 0);
    refeeder.relieve(turning, 0);
    refeeder.relieve(turning, 9);
    assert.equal(turned.length, 1);
  });
});

describe("a copy that is all there and goes on for a reader alone", () => {
  function lingering({ done = 0.3, at = "a3", ...more }: { done?: number; at?: string; relays?: boolean } = {}) {
    const all = setUp(more);
    const template = all.source("b1", "template");
    const relay = all.copy(template, "a2", 1);
    const reader = all.copy(relay.makes, at, done);
    return { ...all, template, relay, reader };
  }

  it("hands it to a whole, idle source of the reader's rack, once", async () => {
    const { context, reader, refeeder, relay, source, turned } = lingering();
    const idle = source("a1");
    refeeder.handOver();
    assert.equal(turned.length, 0, "it is not all there yet");
    refeeder.allThere(relay);
    refeeder.handOver();
    await context.tasks.idle();
    assert.equal(reader.from, idle);
    refeeder.handOver();
    assert.equal(turned.length, 1);
  });

  it("hands it to none that is busy, has copies of its own to make, arrives, or stands in another rack", async () => {
    const { book, copy, reader, refeeder, relay, source } = lingering();
    const busy = source("a1");
    const served = copy(busy, "b2", 0.5);
    refeeder.allThere(relay);
    refeeder.handOver();
    assert.equal(reader.from, relay.makes);
    served.done = 1;
    book.want(0, 1);
    refeeder.handOver();
    assert.equal(reader.from, relay.makes, "a1's disk is spoken for");
    book.want(0, -1);
    refeeder.handOver();
    assert.equal(reader.from, busy, "one that only serves on keeps nobody busy");
  });

  it("hands it to none that has no room, stands where the relay does, or is arriving itself", async () => {
    const full = lingering();
    full.source("a1");
    full.book.topology.hosts[0]!.maxConcurrent = 0;
    const same = lingering();
    same.source("a2");
    const arrives = lingering();
    arrives.copy(arrives.template, "a1", 0.9);
    for (const { refeeder, relay, reader } of [full, same, arrives]) {
      refeeder.allThere(relay);
      refeeder.handOver();
      assert.equal(reader.from, relay.makes);
    }
  });

  it("hands it to one whose copies are all under way, and leaves alone what reads from another image of its host", async () => {
    const { copy, reader, refeeder, relay, source } = lingering();
    const beside = copy(source("a2"), "b3", 0.2);
    const idle = source("a1");
    copy(source("b2"), "a1", 0.5);
    refeeder.allThere(relay);
    const before = beside.from;
    refeeder.handOver();
    assert.deepEqual([reader.from, beside.from], [idle, before]);
  });

  it("keeps one that is nearly done, in parts and in time", async () => {
    for (const [done, seconds, keeps] of [[0.95, 10, true], [0.95, 100, false], [0.89, 1, false]] as const) {
      const { clock, context, reader, refeeder, relay, source } = lingering({ done });
      const idle = source("a1");
      await clock.sleep(1000 * seconds);
      refeeder.allThere(relay);
      refeeder.handOver();
      await context.tasks.idle();
      assert.equal(reader.from, keeps ? relay.makes : idle, `${done} after ${seconds} s`);
    }
  });

  it("keeps one within its own host", () => {
    const { reader, refeeder, relay, source } = lingering({ at: "a2" });
    source("a1");
    refeeder.allThere(relay);
    refeeder.handOver();
    assert.equal(reader.from, relay.makes);
  });

  it("has nobody to hand on when it has ended", () => {
    const { book, reader, refeeder, relay, source, turned } = lingering();
    source("a1");
    refeeder.allThere(relay);
    book.end(relay, true);
    refeeder.handOver();
    assert.deepEqual([turned, reader.from], [[], relay.makes]);
  });
});

describe("a copy that follows its source", () => {
  it("has nearly what that has, while that still arrives", () => {
    const { copy, source } = setUp();
    const up = copy(source("b1"), "a1", 0.5);
    const follows = (done: number) => Refeeder.followsItsSource(copy(up.makes, "a2", done));
    assert.deepEqual([follows(0.4), follows(0.39)], [true, false]);
    assert.equal(Refeeder.followsItsSource(up), false);
    Object.assign(up, { done: 1, bytesDone: 1e9 });
    assert.equal(follows(0.95), false);
  });
});

describe("the watch for stragglers", () => {
  const BYTES = 100e9;
  const topology = topologyOf(specOf(inputs(6, 1, { count: 1 })));
  const transfer = (sourceHost: number, targetHost: number, more: Partial<BookedTransfer> = {}) => (
    { source: sourceHost, from: {}, sourceHost, targetHost, startedAtSeconds: 0, done: 0, bytesDone: 0, straggling: false, lost: false, ...more } as BookedTransfer
  );
  /** Copies of so many GB a second for 10 s. */
  const watched = (rates: number[], pairs: [number, number][] = [[0, 1], [2, 3], [4, 5]], factor = 0.3) => {
    const watch = new StragglerWatch(topology, BYTES, factor);
    const transfers = pairs.map(([from, to]) => transfer(from, to));
    watch.update(transfers, 0);
    transfers.forEach((one, i) => { one.bytesDone = rates[i]! * 10e9; });
    watch.update(transfers, 10);
    return { watch, transfers, lags: transfers.map(({ straggling }) => straggling) };
  };

  it("takes a tenth of what a copy ideally takes for a pace, and a second at the least", () => {
    const watch = new StragglerWatch(topology, BYTES, 0.3);
    const slow = { ...topology, hosts: topology.hosts.map((host) => (host.index === 1 ? { ...host, nicBytesPerSecond: 1e8 } : host)) };
    const slowWatch = new StragglerWatch(slow, BYTES, 0.3);
    assert.equal(watch.paceSeconds(transfer(0, 1)), 10);
    assert.equal(new StragglerWatch(topology, 1e9, 0.3).paceSeconds(transfer(0, 1)), 1);
    assert.deepEqual([slowWatch.paceSeconds(transfer(0, 1)), slowWatch.paceSeconds(transfer(1, 2)), slowWatch.paceSeconds(transfer(1, 1)), slowWatch.paceSeconds(transfer(-1, 1))], [100, 100, 10, 10]);
    const up = transfer(1, 2);
    assert.equal(slowWatch.paceSeconds(transfer(2, 2, { from: { arrival: up } as BookedSource })), 100);
    assert.equal(slowWatch.paceSeconds(transfer(2, 3, { from: { arrival: up } as BookedSource })), 10);
  });

  it("flags what is below its part of the others, and nothing with factor 0", () => {
    assert.deepEqual(watched([1, 1, 0.29]).lags, [false, false, true]);
    assert.deepEqual(watched([1, 1, 0.31]).lags, [false, false, false]);
    assert.deepEqual(watched([1, 1, 0.01], undefined, 0).lags, [false, false, false]);
  });

  it("holds copies within a host against others within hosts alone", () => {
    assert.deepEqual(watched([0.1, 0.1, 1], [[0, 1], [2, 3], [4, 4]]).lags, [false, false, false]);
    assert.deepEqual(watched([1, 1, 0.1], [[0, 0], [2, 2], [4, 4]]).lags, [false, false, true]);
  });

  it("flags none that has no source, is all there, or follows a relay", () => {
    for (const change of [{ lost: true }, { done: 1 }, { from: { arrival: { bytesDone: 1.1e9, done: 0.1 } } as BookedSource }] as Partial<BookedTransfer>[]) {
      const { watch, transfers } = watched([1, 1, 1]);
      Object.assign(transfers[2]!, change);
      transfers.forEach((one, i) => { one.bytesDone += i < 2 ? 20e9 : 0; });
      if (change.from) transfers[2]!.bytesDone = 1e9;
      watch.update(transfers, 30);
      assert.equal(transfers[2]!.straggling, false, JSON.stringify(Object.keys(change)));
    }
  });

  it("says whether anything changed", () => {
    const { watch, transfers } = watched([1, 1, 0.2]);
    assert.equal(watch.update(transfers, 10), false);
    transfers.forEach((one) => { one.bytesDone += 20e9; });
    assert.equal(watch.update(transfers, 30), true);
    assert.equal(transfers[2]!.straggling, false);
  });

  it("gives one up whose rest takes more than twice what others took", () => {
    const { watch, transfers } = watched([1, 1, 0.2]);
    const lag = transfers[2]!;
    assert.equal(watch.isHopeless(lag, 10), false, "nobody has ended: nobody knows");
    watch.ended(transfers[0]!, true, 100);
    // 98 GB at 0.2 GB/s: 490 s, and at 0.51: 194 s.
    assert.deepEqual([watch.isHopeless(lag, 10), watch.isHopeless(transfers[1]!, 10)], [true, false]);
    lag.bytesDone = 51e9;
    assert.equal(watch.isHopeless(lag, 100), false);
    lag.bytesDone = 30e9;
    assert.equal(watch.isHopeless(lag, 100), true);
  });

  it("learns how long copies take of those alone that ended whole and did not lag", () => {
    for (const [whole, straggling] of [[false, false], [true, true]] as const) {
      const { watch, transfers } = watched([1, 1, 0.2]);
      transfers[0]!.straggling = straggling;
      watch.ended(transfers[0]!, whole, 100);
      assert.equal(watch.isHopeless(transfers[2]!, 10), false);
    }
  });

  it("remembers what those reached that have ended", () => {
    const { watch, transfers } = watched([1, 1, 1]);
    const [one, two, left] = transfers as [BookedTransfer, BookedTransfer, BookedTransfer];
    for (const ended of [one, two]) watch.ended(ended, true, 10);
    left.bytesDone += 1e9;
    assert.equal(watch.update([left], 30), true);
    assert.equal(left.straggling, true);
  });
});
