/** What the distributor starts, and what becomes of copies that fail. */
import assert from "node:assert/strict";
import type { FleetRunError } from "../../provider/engine";
import { Distributor } from "../../provider/engine/distribution/distributor";
import { Room, roomFor } from "../../provider/engine/distribution/room";
import { type BookedSource, type BookedTransfer, SourceBook } from "../../provider/engine/distribution/sourceBook";
import { TransferLog } from "../../provider/engine/distribution/transferLog";
import { upload } from "../../provider/engine/distribution/sources";
import { abilityProblems, policyFor } from "../../provider/engine/distribution/policy";
import { Looks } from "../../provider/engine/distribution/looks";
import { contextOf } from "../../provider/engine/run/session";
import type { FleetPlan, Observation } from "../../provider/fleet";
import {
  HostUnreachableError, HypervisorError, InUseError, NoSpaceError, SourceLostError, TemplateChangedError,
  type CallContext, type CloneOrder, type HintedCloneOrder, type HintedCloneResult,
} from "../../provider/hypervisors/hypervisor";
import { policies, topologyOf, type Policy } from "../../provider/scheduler";
import { reachable } from "../fleet/build";
import { IMAGE, IMAGE_BYTES, inputs, lacking, request, specOf, up, world } from "./world";
import { refitted, wrap } from "./wrappers";

type Cloning = (order: CloneOrder, call: CallContext, nth: number) => Promise<HintedCloneResult>;
const A1 = 0;
const [A2, A3] = [1, 2];
const MOVED = { bytesMoved: IMAGE_BYTES };

/** Hosts a1, a2, a3, the template on a1. A copy takes a second, unless `clone` says otherwise. */
function setUp({ clone = () => Promise.resolve(MOVED), relays = false, room, watches = false, policy = policies.singleSource, ...more }: {
  clone?: Cloning; relays?: boolean; room?: Room; watches?: boolean; policy?: Policy;
} & Record<string, unknown> = {}) {
  const spec = specOf(inputs(3, 1, { count: 1, retries: 1, ...more }));
  const where = world(spec);
  const orders: string[] = [];
  const clones: HintedCloneOrder[] = [];
  const cloning = async (order: HintedCloneOrder, call: CallContext) => {
    const from = order.source.kind === "base" ? `${order.source.host}/${order.source.slot}` : order.source.host;
    clones.push(order);
    orders.push(`${from}>${order.target.kind === "base" ? order.target.name : order.target.host}`);
    const nth = orders.length;
    await where.clock.sleep(1000, call.signal);
    return clone(order, call, nth);
  };
  const wrapped = wrap(where.hypervisor, (_method, order: HintedCloneOrder, context) => cloning(order, context ?? {}));
  const hypervisor = refitted(wrapped, { abilities: { ...(relays ? {} : { relaying: undefined }), startsEarly: { clone: cloning } as never } });
  const cancel = new AbortController();
  const context = contextOf(request(spec, { ...where, hypervisor }), cancel.signal);
  const book = new SourceBook(topologyOf(spec), IMAGE, 8, relays);
  const template = book.add({ host: A1, hostName: "a1", kind: "template", ref: { kind: "template", host: "a1" }, label: "template" });
  const log = new TransferLog(context.clock, book);
  let events = 0;
  const distributor = new Distributor(context, book, log, room ?? new Room([0, 1, 2], [Infinity, Infinity, Infinity], IMAGE_BYTES), watches, () => { events++; });
  const told: string[] = [];
  let slot = 0;
  const names = ["a1", "a2", "a3"];
  return {
    context, cancel, book, log, distributor, template, orders, clones, told, clock: where.clock, events: () => events,
    source: (host: number): BookedSource => book.add({ host, hostName: names[host]!, kind: "base", ref: { kind: "base", host: names[host]!, slot: 90 + host, generation: 0 }, label: `on ${names[host]!}` }),
    want: (host: number, more: object = {}): void => {
      const name = `w-${slot}`;
      distributor.want({
        host, target: { kind: "base", host: names[host]!, slot: slot++, generation: 0, name }, label: name,
        whole: (source) => told.push(`${name} ${source ? "is whole" : "is whole, on a host that is gone"}`),
        failed: (error) => told.push(`${name} failed: ${(error as Error).message}`), ...more,
      });
    },
    run: async (): Promise<string[]> => {
      distributor.begin(policy);
      await context.tasks.idle();
      return told;
    },
  };
}

/** Fails the copies with these numbers, from 1. */
const failing = (errors: Record<number, Error>): Cloning => (_order, _call, nth) => (errors[nth] ? Promise.reject(errors[nth]) : Promise.resolve(MOVED));

describe("copies that are wanted", () => {
  it("are made, counted and logged, one after the other where the policy says so", async () => {
    const { want, run, book, orders, log, events } = setUp();
    for (const host of [A2, A2, A3]) want(host);
    assert.deepEqual(await run(), ["w-0 is whole", "w-1 is whole", "w-2 is whole"]);
    assert.deepEqual(orders, ["a1>w-0", "a1>w-1", "a1>w-2"]);
    assert.deepEqual([book.view.made, book.view.making, book.open(), book.copies, log.traces.length, log.bytesMoved], [[0, 2, 1], [0, 0, 0], 0, 3, 3, 3 * IMAGE_BYTES]);
    assert.ok(events() > 0);
  });

  it("on a host that is given up fail at once", async () => {
    const { context, want, told, distributor, orders } = setUp();
    context.hostBook.giveUp(new HostUnreachableError("a2", "connect", "gone"));
    want(A2);
    assert.deepEqual(told, ["w-0 failed: a2: connect: gone"]);
    distributor.begin(policies.singleSource);
    await context.tasks.idle();
    assert.deepEqual(orders, []);
  });

  it("are decided on once for all that happens at one instant, and on nobody when none is left to start", async () => {
    const asked: number[] = [];
    const policy: Policy = { ...policies.singleSource, next: (view) => { asked.push(view.nowSeconds); return policies.singleSource.next(view); } };
    const { want, run, distributor } = setUp({ policy });
    for (const host of [A2, A3]) want(host);
    distributor.ask();
    await run();
    assert.deepEqual(asked, [0]);
  });

  it("wait neither for a decision that names no source or no copy, nor without room", async () => {
    const room = new Room([0, 1, 2], [Infinity, 1.5 * IMAGE_BYTES, Infinity], IMAGE_BYTES);
    let first = true;
    const policy: Policy = { ...policies.singleSource, next: (view) => {
      const wrong = first ? [{ source: 77, targetHost: A2 }, { source: view.sources[0]!.id, targetHost: A1 }] : [];
      first = false;
      return [...wrong, ...policies.singleSource.next(view)];
    } };
    const { want, run, orders } = setUp({ policy, room });
    for (const host of [A2, A2, A3]) want(host);
    assert.deepEqual((await run()).sort(), ["w-0 is whole", "w-1 is whole", "w-2 is whole"]);
    assert.deepEqual(orders, ["a1>w-0", "a1>w-2", "a1>w-1"], "the second to a2 waits for the first");
  });

  it("fail where the policy finds no way to make them, or nothing is left to copy from", async () => {
    const idle = setUp({ policy: { ...policies.rounds, next: () => [] } });
    idle.want(A2);
    assert.deepEqual(await idle.run(), ["w-0 failed: policy rounds found no copy to start"]);
    const { book, template, want, run } = setUp();
    book.drop(template);
    want(A2);
    assert.deepEqual(await run(), ["w-0 failed: nothing is left to copy from: the template and every finished copy are out of reach"]);
  });

  it("are neither started nor told of once the run is cancelled", async () => {
    const { cancel, clock, want, run, orders, book } = setUp({ maxConcurrentClones: 8 });
    clock.at(500, () => cancel.abort(new Error("ctrl-c")));
    const from = [A2, A2, A2];
    for (const host of from) want(host);
    book.exclude(A3);
    assert.deepEqual(await run(), []);
    assert.equal(orders.length, 3);
    const before = setUp();
    before.want(A2);
    before.cancel.abort(new Error("ctrl-c"));
    assert.deepEqual([await before.run(), before.orders], [[], []]);
  });

  it("are called local where they come from a whole image of their own host", async () => {
    const policy: Policy = { ...policies.rounds, next: ({ sources }) => [{ source: sources[0]!.id, targetHost: A3 }, { source: sources[1]!.id, targetHost: A2 }] };
    const { want, run, source } = setUp({ policy });
    const begun: string[] = [];
    const hints: boolean[] = [];
    source(A2);
    for (const host of [A2, A3]) want(host, { begun: (local: boolean) => begun.push(`${host} ${local}`), hints: (local: boolean) => { hints.push(local); return undefined; } });
    await run();
    assert.deepEqual([begun.sort(), hints.sort()], [[`${A2} true`, `${A3} false`], [false, true]]);
  });

  it("are ordered with what is known of their guests' reads, and teach them", async () => {
    const ranges = [{ offsetBytes: 0, lengthBytes: 8 }];
    const { want, run, clones, context } = setUp({ clone: () => Promise.resolve({ ...MOVED, readProfile: ranges }) });
    want(A2, { hints: () => context.reads.hints(IMAGE.contentId) });
    await run();
    assert.deepEqual([clones[0]!.recordReads, context.reads.all], [true, [{ contentId: IMAGE.contentId, ranges }]]);
  });

  it("tell how far they are", async () => {
    const seen: unknown[] = [];
    const { want, run, book } = setUp({ clone: (_order, call) => {
      const [transfer] = book.transfers as readonly BookedTransfer[];
      for (const [done, total] of [[0, 0], [30, 100], [120, 100]] as const) {
        call.onProgress!(done, total);
        seen.push([transfer!.bytesDone, transfer!.done]);
      }
      assert.equal(call.onSourceLost, undefined, "it cannot change its source");
      return Promise.resolve(MOVED);
    } });
    want(A2);
    await run();
    assert.deepEqual(seen, [[0, 0], [30, 0.3], [120, 1]]);
  });
});

describe("a copy that fails", () => {
  const busy = new HypervisorError("a2", "clone", "busy");

  it("is tried again after a while, as often as it may, and others go on meanwhile", async () => {
    const { want, run, orders, clock } = setUp({ clone: failing({ 1: busy }) });
    for (const host of [A2, A3]) want(host);
    assert.deepEqual(await run(), ["w-1 is whole", "w-0 is whole"]);
    assert.deepEqual([orders, clock.nowMs()], [["a1>w-0", "a1>w-1", "a1>w-0"], 1000 + 500 + 1000]);
    const often = setUp({ clone: failing({ 1: busy, 2: busy }) });
    often.want(A2);
    assert.deepEqual([await often.run(), often.book.open(), often.book.view.targets[A2]], [["w-0 failed: a2: clone: busy"], 0, 0]);
  });

  it("with what trying again cannot mend is not tried again", async () => {
    const { want, run, orders } = setUp({ clone: failing({ 1: new InUseError("a2", "clone", "used") }) });
    want(A2);
    assert.deepEqual([await run(), orders.length], [["w-0 failed: a2: clone: used"], 1]);
  });

  it("fails with its host while it rests", async () => {
    const { want, run, context, clock } = setUp({ clone: failing({ 1: busy }) });
    clock.at(1200, () => context.hostBook.giveUp(new HostUnreachableError("a2", "connect", "gone")));
    want(A2);
    assert.deepEqual(await run(), ["w-0 failed: a2: connect: gone"]);
  });

  it("is no failure where the run is cancelled while it rests", async () => {
    const { want, run, cancel, clock } = setUp({ clone: failing({ 1: busy }) });
    clock.at(1200, () => cancel.abort(new Error("ctrl-c")));
    want(A2);
    assert.deepEqual([await run(), clock.nowMs()], [[], 1200]);
  });

  it("as its source is lost is made from another at once", async () => {
    const { want, run, orders, clock, source, book } = setUp({ clone: failing({ 1: new SourceLostError("a1", "a2", "lost") }) });
    source(A3);
    want(A2);
    assert.deepEqual([await run(), orders, clock.nowMs()], [["w-0 is whole"], ["a1>w-0", "a3/92>w-0"], 2000]);
    assert.ok(!book.sources.some(({ kind }) => kind === "template"));
  });

  it("as it loses one source after the other is to blame itself: the first is a source again", async () => {
    const lost = (host: string) => new SourceLostError(host, "a2", "lost");
    const { want, run, orders, source, book } = setUp({ retries: 5, clone: failing({ 1: lost("a1"), 2: lost("a3") }) });
    source(A3);
    want(A2);
    assert.deepEqual(await run(), ["w-0 is whole"]);
    assert.deepEqual(orders.slice(0, 2), ["a1>w-0", "a3/92>w-0"]);
    assert.deepEqual(book.sources.map(({ label }) => label).sort(), ["on a3", "template", "w-0"].sort());
  });

  it("as the only source there is is lost is tried from there again, later", async () => {
    const { want, run, orders, clock } = setUp({ clone: failing({ 1: new SourceLostError("a1", "a2", "lost") }) });
    want(A2);
    assert.deepEqual([await run(), orders, clock.nowMs()], [["w-0 is whole"], ["a1>w-0", "a1>w-0"], 2500]);
  });

  it("as its host does not answer costs that host's alone, those that wait there too", async () => {
    const { want, run, context, book } = setUp({ clone: failing({ 1: new HostUnreachableError("a2", "clone", "gone") }) });
    book.topology.hosts[A2]!.maxConcurrent = 1;
    for (const host of [A2, A2, A3]) want(host);
    assert.deepEqual((await run()).sort(), ["w-0 failed: a2: clone: gone", "w-1 failed: a2: clone: gone", "w-2 is whole"]);
    assert.deepEqual([context.hostBook.failure("a2")!.message, book.isExcluded(A2), book.isExcluded(A3)], ["a2: clone: gone", true, false]);
  });

  it("as its source's host is gone is made from another, and that is no failure of its own", async () => {
    const { want, run, orders, source } = setUp({ retries: 0, clone: failing({ 1: new HostUnreachableError("a1", "clone", "gone") }) });
    source(A3);
    want(A2);
    assert.deepEqual([await run(), orders], [["w-0 is whole"], ["a1>w-0", "a3/92>w-0"]]);
  });

  it("as the template changed ends with it all that has not begun; what is under way may end", async () => {
    const { want, run, orders, book } = setUp({ maxConcurrentClones: 8, clone: failing({ 1: new TemplateChangedError("a1", "clone", "changed"), 2: busy }) });
    const capped = book.topology.hosts[A1]!;
    capped.maxConcurrent = 3;
    for (const host of [A2, A3, A3, A2]) want(host);
    assert.deepEqual((await run()).sort(), ["w-0 failed: a1: clone: changed", "w-1 is whole", "w-2 failed: a1: clone: changed", "w-3 failed: a1: clone: changed"].sort());
    assert.deepEqual([orders.length, book.sources.some(({ kind }) => kind === "template")], [3, false]);
  });
});

describe("a copy that finds no room", () => {
  const full = new NoSpaceError("a2", "clone", "full");
  const shared = () => new Room([0, 1, 1], [Infinity, Infinity], IMAGE_BYTES);

  it("alone in its store fails, and with it all that is to go there", async () => {
    let first = true;
    const policy: Policy = { ...policies.singleSource, next: (view) => (first ? (first = false, [{ source: 0, targetHost: A2 }]) : policies.singleSource.next(view)) };
    const { want, run } = setUp({ policy, room: shared(), clone: failing({ 1: full }) });
    for (const host of [A2, A3, A2, A1]) want(host);
    // The policy starts one at once and is asked again when that has failed.
    assert.deepEqual((await run()).sort(), ["w-0 failed: a2: clone: full", "w-1 failed: a2: clone: full", "w-2 failed: a2: clone: full", "w-3 is whole"]);
  });

  it("beside others in its store is tried again when one of those has ended, first of all that wait there", async () => {
    const { want, run, orders } = setUp({ room: shared(), clone: failing({ 1: full }) });
    for (const host of [A2, A3, A2]) want(host);
    assert.deepEqual((await run()).sort(), ["w-0 is whole", "w-1 is whole", "w-2 is whole"]);
    assert.equal(orders.filter((order) => order === "a1>w-0").length, 2);
  });
});

describe("a copy whose target goes", () => {
  it("when it is whole is no source", async () => {
    const { want, run, context, book } = setUp({ clone: () => {
      context.hostBook.giveUp(new HostUnreachableError("a2", "connect", "gone"));
      return Promise.resolve(MOVED);
    } });
    want(A2);
    assert.deepEqual(await run(), ["w-0 is whole, on a host that is gone"]);
    assert.deepEqual(book.sources.map(({ label }) => label), ["template"]);
  });
});

describe("a host that is given up", () => {
  it("is no source any more, and what reads from it hears so", async () => {
    const { want, run, context, clock, orders, source, book } = setUp({ policy: policies.rounds });
    source(A3);
    clock.at(500, () => context.hostBook.giveUp(new HostUnreachableError("a1", "connect", "gone")));
    want(A2);
    assert.deepEqual(await run(), ["w-0 is whole"]);
    assert.deepEqual([orders.length, book.sources.map(({ label }) => label).sort()], [orders[0] === "a1>w-0" ? 2 : 1, ["on a3", "w-0"]]);
  });

  it("before copies began is out from the start", () => {
    const { context, book, log } = setUp();
    context.hostBook.giveUp(new HostUnreachableError("a3", "connect", "gone"));
    context.hostBook.giveUp(new HostUnreachableError("elsewhere", "connect", "gone"));
    new Distributor(context, book, log, new Room([0, 1, 2], [1, 1, 1], 1), false, () => undefined);
    assert.deepEqual([book.isExcluded(A3), book.isExcluded(A2)], [true, false]);
  });
});

describe("where copies cannot change their source", () => {
  it("a host that dies while it sends costs its own members alone: its readers are copied from elsewhere", async () => {
    const of = (counts: number[]) => {
      const from = inputs(3, 1, { policy: "singleSource", keepSeeds: "host" });
      return specOf({ ...from, hosts: (from["hosts"] as object[]).map((host, i) => ({ ...host, count: counts[i] })) });
    };
    const where = world(of([0, 0, 1]), { traits: lacking("relaying") });
    const { state } = await up(of([0, 0, 1]), where);
    where.clock.at(where.clock.nowMs() + 500, () => where.hypervisor.takeDown("a1"));
    const { clones, summary } = await up(of([0, 3, 1]), where, state).catch((error: FleetRunError) => ({ clones: error.clones, summary: error.state.lastRun }));
    assert.deepEqual([clones.map(({ sourceHost, targetHost }) => `${sourceHost}>${targetHost}`), summary.created], [["a3>a2", "a3>a2", "a3>a2"], 3]);
  });
});

describe("room for a plan", () => {
  const spec = specOf(inputs(4, 2, { count: 4 }));
  const room = (hosts: Observation["hosts"]): Room => {
    const plan = { create: [], complete: [], destroy: [], cleanup: [], removeReplicas: [], consolidate: [], keep: [], adopt: [], reconfigure: [] } as unknown as FleetPlan;
    return roomFor({ topology: topologyOf(spec), image: IMAGE }, spec, { hosts }, plan);
  };
  const copy = (targetHost: number) => ({ targetHost, makes: {}, from: {}, done: 0 }) as unknown as BookedTransfer;
  const free = (bytes: number, store?: string) => ({ room: { freeBytes: bytes }, ...(store && { store }) });
  const admits = (one: Room, host: number): number => {
    let n = 0;
    for (; n < 5 && one.admits(host); n++) one.begin(copy(host));
    return n;
  };

  it("is what each host's store has free, no end where nobody said", () => {
    const one = room([reachable("a1", [], free(25e9)), reachable("b1", [], free(12e9)), { status: "unreachable", name: "a2", reason: "no" }]);
    assert.deepEqual([0, 1, 2, 3].map((host) => admits(one, host)), [2, 1, 5, 5]);
  });

  it("is one where hosts share a store", () => {
    const one = room([reachable("a1", [], free(25e9, "nfs")), reachable("b1", [], free(25e9, "nfs")), reachable("elsewhere", [], free(1e9))]);
    assert.deepEqual([one.isSameStore(0, 1), one.isSameStore(0, 2)], [true, false]);
    assert.equal(admits(one, 0), 2);
    assert.equal(one.admits(1), false);
  });

  it("is less by what was put there beside copies", () => {
    const one = room([reachable("a1", [], free(25e9))]);
    one.take(0);
    assert.equal(admits(one, 0), 1);
  });

  it("is waited for by name, where a copy may give some back", async () => {
    const one = room([reachable("a1", [], free(25e9))]);
    const [first, second] = [copy(0), copy(0)];
    assert.deepEqual([one.nextEnd("a1"), one.nextEnd("nobody")], [undefined, undefined]);
    for (const each of [first, second]) one.begin(each);
    const next = one.nextEnd("a1");
    assert.equal(one.nextEnd("a1"), next);
    one.end(first, false);
    await next;
    assert.deepEqual([one.wasAlone(first), one.wasAlone(copy(0))], [false, true]);
  });

  it("is told at once to one that is not under way there", async () => {
    assert.equal(await room([]).starves(copy(0)), false);
  });
});

describe("a template file", () => {
  function uploading(errors: Record<string, Error>, excluded: number[] = []) {
    const spec = specOf(inputs(3, 1, { count: 1, retries: 0, template: { file: "./golden.qcow2" } }));
    const where = world(spec);
    const tried: string[] = [];
    const hypervisor = wrap(where.hypervisor, (_method, { target, source }: CloneOrder, call) => {
      assert.deepEqual(source, { kind: "template", host: null });
      tried.push(target.host);
      call!.onProgress!(40, 100);
      const error = errors[target.host];
      if (error) call!.onBroken!({ bytesMoved: 40 });
      return error ? Promise.reject(error) : Promise.resolve({ bytesMoved: 100 });
    });
    const cancel = new AbortController();
    const context = contextOf(request(spec, { ...where, hypervisor }), cancel.signal);
    const book = new SourceBook(topologyOf(spec), IMAGE, 8);
    for (const host of excluded) book.exclude(host);
    const log = new TransferLog(context.clock, book);
    return { context, cancel, book, log, tried, run: () => upload(context, book, log) };
  }

  it("goes to the first host that takes it, which is the source then", async () => {
    const { run, tried, book, log, context } = uploading({ a2: new NoSpaceError("a2", "clone", "full") }, [0]);
    assert.equal(await run(), 2);
    assert.deepEqual([tried, log.bytesMoved, log.traces.map(({ slot }) => slot)], [["a2", "a3"], 140, ["replica@a3"]]);
    assert.deepEqual(book.sources.map(({ host, kind, ref, label }) => [host, kind, ref, label]), [
      [2, "template", { kind: "replica", purpose: "template", host: "a3", contentId: IMAGE.contentId }, "template"],
    ]);
    assert.equal(context.hostBook.failure("a2"), undefined);
  });

  it("passes over hosts that do not answer, and gives up those that stop answering", async () => {
    const gone = new HostUnreachableError("a2", "clone", "gone");
    const { run, tried, context } = uploading({ a2: gone, a3: new NoSpaceError("a3", "clone", "full") });
    context.hostBook.giveUp(new HostUnreachableError("a1", "connect", "no"));
    await assert.rejects(run(), /a3: clone: full/);
    assert.deepEqual([tried, context.hostBook.failure("a2")], [["a2", "a3"], gone]);
    const none = uploading({}, [0, 1, 2]);
    await assert.rejects(none.run(), /no declared host answers/);
  });

  it("goes nowhere once the run is cancelled", async () => {
    const { run, tried, cancel, context } = uploading({ a1: new NoSpaceError("a1", "clone", "full") });
    context.clock.nowMs();
    cancel.abort(new Error("ctrl-c"));
    await assert.rejects(run(), /ctrl-c/);
    assert.deepEqual(tried, []);
  });
});

describe("the policy of a run", () => {
  const bookOf = (spec: ReturnType<typeof specOf>, wants: number) => {
    const book = new SourceBook(topologyOf(spec), IMAGE, 64, true);
    book.add({ host: 0, hostName: "a1", kind: "template", ref: { kind: "template", host: "a1" }, label: "template" });
    for (let n = 0; n < wants; n++) book.want(1, 1);
    return book;
  };

  it("is the declared one, with what it will take where that is asked", async () => {
    const spec = specOf(inputs(2, 1, { count: 1, policy: "singleSource" }));
    const clock = world(spec).clock;
    assert.deepEqual(await policyFor(spec, bookOf(spec, 2), clock, false), { policy: policies.singleSource });
    const { policy, makespanSeconds, transfers } = await policyFor(spec, bookOf(spec, 2), clock, true);
    assert.deepEqual([policy.name, makespanSeconds, transfers!.length], ["singleSource", 20, 2]);
  });

  it("is tried with what the run can do: relays, and without hosts that are given up", async () => {
    const spec = specOf(inputs(4, 1, { count: 1, policy: "relay" }));
    const clock = world(spec).clock;
    const of = (relays: boolean, excluded?: number): SourceBook => {
      const book = new SourceBook(topologyOf(spec), IMAGE, 64, relays);
      book.add({ host: 0, hostName: "a1", kind: "template", ref: { kind: "template", host: "a1" }, label: "template" });
      for (const host of [1, 2, 3]) for (let n = 0; n < (host === 3 ? 5 : 1); n++) book.want(host, 1);
      if (excluded !== undefined) book.exclude(excluded);
      return book;
    };
    const seconds = async (book: SourceBook) => (await policyFor(spec, book, clock, true)).makespanSeconds!;
    const [relayed, stored, without] = [await seconds(of(true)), await seconds(of(false)), await seconds(of(true, 3))];
    assert.ok(without < relayed && relayed < stored, `${without}, ${relayed}, ${stored}`);
  });

  it("promises nothing where something stays unmade", async () => {
    const spec = specOf(inputs(2, 1, { count: 1, policy: "rounds" }));
    const book = bookOf(spec, 1);
    book.drop(book.sources[0]!);
    assert.deepEqual(await policyFor(spec, book, world(spec).clock, true), { policy: policies.rounds });
  });

  it("is tried on the sources as they were when it was asked for", async () => {
    const spec = specOf(inputs(2, 1, { count: 1, policy: "rounds" }));
    const book = bookOf(spec, 30);
    const choosing = policyFor(spec, book, world(spec).clock, true);
    book.exclude(0);
    book.stand(1, 0);
    assert.ok((await choosing).makespanSeconds! > 0);
  });

  it("is refused with shares of linked clones, or relays, that the hypervisor cannot make", () => {
    const of = (more: Record<string, unknown>) => specOf(inputs(2, 1, { count: 2, ...more }));
    const paths = (more: Record<string, unknown>, abilities = {}) => abilityProblems(of(more), abilities).map(({ path }) => path);
    assert.deepEqual(paths({ policy: "relay", clone: "linked" }), ["policy", "clone"]);
    assert.deepEqual(paths({ policy: "relay", clone: "linked" }, { relaying: {}, linksClones: {} }), []);
    assert.deepEqual([paths({ clone: { mixed: { linkedShare: 0.5 } } }), paths({ clone: { mixed: { linkedShare: 0 } } }), paths({ clone: "full" })], [["clone.mixed.linkedShare"], [], []]);
  });
});

describe("looks at copies under way", () => {
  it("go on at the pace that was asked for last, and sooner where something quicker begins", async () => {
    const spec = specOf(inputs(1, 1, { count: 1 }));
    const where = world(spec);
    const context = contextOf(request(spec, where), new AbortController().signal);
    const seen: number[] = [];
    let everyMs = 1000;
    const looks = new Looks(context, () => everyMs, () => seen.push(where.clock.nowMs()));
    looks.begun(1000);
    await where.clock.sleep(2100);
    looks.begun(5000);
    everyMs = 300;
    looks.begun(300);
    await where.clock.sleep(650);
    looks.ended();
    await context.tasks.idle();
    await where.clock.sleep(5000);
    assert.deepEqual(seen, [1000, 2000, 2400, 2700]);
    looks.begun(300);
    await where.clock.sleep(350);
    looks.ended();
    await context.tasks.idle();
    assert.equal(seen.length, 5);
  });

  it("come no sooner where something slower begins", async () => {
    const spec = specOf(inputs(1, 1, { count: 1 }));
    const where = world(spec);
    const context = contextOf(request(spec, where), new AbortController().signal);
    const seen: number[] = [];
    const looks = new Looks(context, () => 1000, () => seen.push(where.clock.nowMs()));
    looks.begun(1000);
    await where.clock.sleep(400);
    looks.begun(5000);
    await where.clock.sleep(1000);
    looks.ended();
    await context.tasks.idle();
    assert.deepEqual(seen, [1000]);
  });

  it("end with the run", async () => {
    const spec = specOf(inputs(1, 1, { count: 1 }));
    const where = world(spec);
    const cancel = new AbortController();
    const context = contextOf(request(spec, where), cancel.signal);
    const looks = new Looks(context, () => 1000, () => assert.fail("the run is cancelled"));
    looks.begun(1000);
    where.clock.at(500, () => cancel.abort(new Error("ctrl-c")));
    await context.tasks.idle();
    assert.equal(where.clock.nowMs(), 500);
  });
});
