import assert from "node:assert/strict";
import { realClock, throttled, type Progress } from "../../provider/engine";
import { linkSignals, onAbort } from "../../provider/async/abort";
import { Failures } from "../../provider/engine/run/failures";
import { Limiter } from "../../provider/async/limiter";
import type { BookedTransfer } from "../../provider/engine/distribution/sourceBook";
import { StragglerWatch } from "../../provider/engine/distribution/straggler";
import { Tasks } from "../../provider/async/tasks";
import { HostUnreachableError } from "../../provider/hypervisors/hypervisor";
import { VirtualClock } from "../../provider/hypervisors/simulated";
import { topologyOf } from "../../provider/scheduler";
import { inputs, specOf } from "./world";

const event = (membersDone: number, phase: Progress["phase"] = "clone"): Progress => (
  { phase, membersDone, membersTotal: 9, bytesDone: 0, bytesTotal: 0, bytesPerSecond: 0 }
);

describe("throttled", () => {
  const setup = () => {
    const clock = new VirtualClock();
    const seen: [number, number][] = [];
    return { clock, seen, sink: throttled((p) => seen.push([clock.nowMs(), p.membersDone]), clock, 1000) };
  };

  it("passes the first on at once, then at most one a period, the newest", async () => {
    const { clock, seen, sink } = setup();
    for (let i = 0; i < 25; i++) {
      sink(event(i));
      await clock.sleep(100);
    }
    await clock.sleep(2000);
    assert.deepEqual(seen, [[0, 0], [1000, 9], [2000, 19], [3000, 24]]);
  });

  it("delivers the last event although nothing follows it", async () => {
    const { clock, seen, sink } = setup();
    sink(event(1));
    sink(event(2));
    await clock.sleep(5000);
    assert.deepEqual(seen, [[0, 1], [1000, 2]]);
  });

  it("delivers what it holds back when flushed, once", async () => {
    const { clock, seen, sink } = setup();
    sink(event(1));
    sink(event(2));
    sink.flush();
    sink.flush();
    await clock.sleep(5000);
    assert.deepEqual(seen, [[0, 1], [0, 2]]);
  });

  it("never holds back that it is done, nor delivers anything older after it", async () => {
    const { clock, seen, sink } = setup();
    for (const p of [event(1), event(2), event(3, "done")]) sink(p);
    await clock.sleep(5000);
    assert.deepEqual(seen, [[0, 1], [0, 3]]);
  });
});

describe("Limiter", () => {
  it("runs no more than its limit, in the order asked", async () => {
    const limiter = new Limiter(2);
    const order: number[] = [];
    let running = 0;
    await Promise.all([0, 1, 2, 3, 4].map((i) => limiter.run(async () => {
      order.push(i);
      assert.ok(++running <= 2);
      await Promise.resolve();
      running--;
    })));
    assert.deepEqual(order, [0, 1, 2, 3, 4]);
  });

  it("lets one that waits give up without taking a place", async () => {
    const limiter = new Limiter(1);
    const abort = new AbortController();
    let release = () => undefined as void;
    const first = limiter.run(() => new Promise<void>((resolve) => { release = resolve; }));
    const second = limiter.run(async () => assert.fail("must not run"), abort.signal);
    const third = limiter.run(async () => "third");
    abort.abort(new Error("enough"));
    await assert.rejects(second, /enough/);
    release();
    await first;
    assert.equal(await third, "third");
  });

  it("gives its place back when a task fails", async () => {
    const limiter = new Limiter(1);
    await assert.rejects(limiter.run(() => Promise.reject(new Error("no"))), /no/);
    assert.equal(await limiter.run(async () => 1), 1);
  });

  it("expects a limit of at least 1", () => {
    assert.throws(() => new Limiter(0), /Expected `limit` to be at least 1, got 0/);
  });
});

describe("Tasks", () => {
  it("waits for tasks that tasks start, and then throws the first error", async () => {
    const tasks = new Tasks();
    const done: string[] = [];
    tasks.start(async () => {
      await Promise.resolve();
      tasks.start(async () => { await Promise.resolve(); done.push("inner"); });
      throw new Error("first");
    });
    await assert.rejects(tasks.idle(), /first/);
    assert.deepEqual(done, ["inner"]);
  });
});

describe("linkSignals", () => {
  it("aborts though another that is told fails, whose error is uncaught as a listener's is", async () => {
    const parent = new AbortController();
    onAbort(parent.signal, () => { throw new Error("its own"); });
    const linked = linkSignals(parent.signal);
    const others = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    const uncaught = new Promise<Error>((resolve) => process.once("uncaughtException", resolve));
    parent.abort("why");
    assert.deepEqual([linked.signal.reason, (await uncaught).message], ["why", "its own"]);
    for (const other of others) process.on("uncaughtException", other);
  });

  it("aborts with the parent's reason, and no more once unlinked", () => {
    const parent = new AbortController();
    const linked = linkSignals(undefined, parent.signal);
    const unlinked = linkSignals(parent.signal);
    unlinked.unlink();
    parent.abort("why");
    assert.deepEqual([linked.signal.reason, unlinked.signal.aborted], ["why", false]);
    assert.equal(linkSignals(parent.signal).signal.reason, "why");
  });
});

describe("Failures", () => {
  it("names host, members, step and what happens next, and tells one cause once", () => {
    const failures = new Failures();
    const error = new HostUnreachableError("a1", "clone", "connection refused");
    for (const name of ["w-002", "w-001"]) failures.add({ host: "a1", name, step: "clone", error, next: "clones it again" });
    failures.add({ host: "a2", name: "w-003", step: "define", error: new Error("busy"), next: "starts it" });
    assert.deepEqual(failures.reasons(), [
      "a1: w-001, w-002: clone: connection refused; the next `pulumi up` clones it again",
      "a2: w-003: define: busy; the next `pulumi up` starts it",
    ]);
  });
});

describe("StragglerWatch", () => {
  const topology = topologyOf(specOf(inputs(4, 1, { count: 1 })));
  const transfer = (sourceHost: number, targetHost: number) => (
    { source: sourceHost, from: {}, sourceHost, targetHost, startedAtSeconds: 0, done: 0, bytesDone: 0, straggling: false } as BookedTransfer
  );

  it("flags a copy far behind the others, and clears it when it caught up", () => {
    const watch = new StragglerWatch(topology, 100e9, 0.3);
    const transfers = [transfer(0, 1), transfer(2, 3)];
    const [good, bad] = transfers as [BookedTransfer, BookedTransfer];
    watch.update(transfers, 0);
    good.bytesDone = 10e9;
    bad.bytesDone = 1e9;
    assert.equal(watch.update(transfers, 10), true);
    assert.deepEqual([good.straggling, bad.straggling], [false, true]);
    good.bytesDone = 20e9;
    bad.bytesDone = 15e9;
    assert.equal(watch.update(transfers, 20), true);
    assert.equal(bad.straggling, false);
  });

  it("flags nobody when all are equally far from the declared rates", () => {
    const watch = new StragglerWatch(topology, 100e9, 0.3);
    const transfers = [transfer(0, 1), transfer(2, 3), transfer(1, 0)];
    watch.update(transfers, 0);
    for (const t of transfers) t.bytesDone = 0.1e9;
    assert.equal(watch.update(transfers, 10), false);
  });

  it("does not take a copy that shares its source with others for a laggard", () => {
    const watch = new StragglerWatch(topology, 100e9, 0.3);
    const transfers = [transfer(0, 1), transfer(0, 2), transfer(0, 3), transfer(1, 0)];
    watch.update(transfers, 0);
    transfers.forEach((t, i) => { t.bytesDone = i < 3 ? 3.3e9 : 10e9; });
    assert.equal(watch.update(transfers, 10), false);
  });

  it("judges nobody in the first seconds", () => {
    const watch = new StragglerWatch(topology, 100e9, 0.3);
    const transfers = [transfer(0, 1), transfer(2, 3)];
    watch.update(transfers, 0);
    transfers[0]!.bytesDone = 2e9;
    assert.equal(watch.update(transfers, 2), false);
  });
});

describe("realClock", () => {
  it("sleeps until aborted", async () => {
    const abort = new AbortController();
    const before = realClock.nowMs();
    const sleeping = realClock.sleep(60_000, abort.signal);
    abort.abort(new Error("up"));
    await assert.rejects(sleeping);
    assert.ok(realClock.nowMs() - before < 10_000);
  });
});
