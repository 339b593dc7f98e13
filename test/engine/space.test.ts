import assert from "node:assert/strict";
import fc from "fast-check";
import { FleetRefusedError, FleetRunError, previewFleet } from "../../provider/engine";
import type { RunContext } from "../../provider/engine/run/context";
import { Distributor } from "../../provider/engine/distribution/distributor";
import { TransferLog } from "../../provider/engine/distribution/transferLog";
import { SourceBook, type BookedTransfer } from "../../provider/engine/distribution/sourceBook";
import { Room } from "../../provider/engine/distribution/room";
import { contextOf } from "../../provider/engine/run/session";
import { policies, topologyOf } from "../../provider/scheduler";
import { type CallContext, type CloneOrder, type Hypervisor, NoSpaceError } from "../../provider/hypervisors/hypervisor";
import { UNBOUNDED } from "../../provider/hypervisors/simulated";
import { cramped, crampedStores } from "./cramped";
import { refitted, wrap } from "./wrappers";
import { assertSettled, IMAGE, IMAGE_BYTES, inputs, look, reachable, request, specOf, up, world, type World } from "./world";

async function failed(running: Promise<unknown>): Promise<FleetRunError> {
  const error = await running.then(() => assert.fail("the run succeeded"), (e: unknown) => e);
  assert.ok(error instanceof FleetRunError, String(error));
  return error;
}

describe("a store that holds less than it said", () => {
  for (const policy of ["rounds", "earliestCompletion", "relay", "singleSource"]) {
    for (const says of ["asks", "fails"] as const) {
      it(`ends with as many members as fit: ${policy}, an adapter that ${says}`, async () => {
        const spec = specOf(inputs(4, 2, { policy, countPerHost: 5 }));
        const where = world(spec, { progressSeconds: 0.05 });
        const { hypervisor } = cramped(where.hypervisor, ["a2"], 2.5 * IMAGE_BYTES, says);
        const { state, reasons } = await failed(up(spec, { ...where, hypervisor }));
        assert.equal(state.members.filter((m) => m.host !== "a2").length, 15);
        assert.equal(state.members.filter((m) => m.host === "a2").length, 2, reasons.join("\n"));
        assert.match(reasons.join("\n"), /^a2: w-\d+, w-\d+, w-\d+: clone: storage pool default is full/);
        assert.deepEqual((await reachable(spec, where)).flatMap((host) => host.leftovers), []);
        await up(spec, where, state);
        await assertSettled(spec, where, 20);
      });
    }
  }

  it("is tried once more for nothing at most, however many wait", async () => {
    const spec = specOf(inputs(4, 2, { policy: "singleSource", hosts: undefined, ...inputs(4, 2), count: 1, ...hostCounts({ a2: 30 }) }));
    const where = world(spec, { progressSeconds: 0.05 });
    const { hypervisor, attempts } = cramped(where.hypervisor, ["a2"], 2.5 * IMAGE_BYTES, "asks");
    const { state } = await failed(up(spec, { ...where, hypervisor }));
    assert.equal(state.members.length, 2);
    assert.ok(attempts() <= 8 + 1, `${attempts()} copies begun, 8 at once`);
  });

  it("shared by two hosts ends with as many members as fit in it", async () => {
    const spec = specOf(inputs(4, 2, { countPerHost: 2 }));
    const where = world(spec, { progressSeconds: 0.05 });
    const { hypervisor } = cramped(sharing(where.hypervisor, [["a2", "b2"]], 9e12, [], "netfs nas:/vm"), ["a2", "b2"], 3.5 * IMAGE_BYTES, "asks");
    const { state } = await failed(up(spec, { ...where, hypervisor }));
    assert.equal(state.members.length, 4 + 3);
  });
});

describe("stores that hold less than they said", () => {
  const stores = fc.array(fc.record({ of: fc.integer({ min: 0, max: 2 }), holds: fc.double({ min: 0.3, max: 4, noNaN: true }) }), { minLength: 2, maxLength: 4 });
  const limits = fc.record({ policy: fc.constantFrom("relay", "rounds", "earliestCompletion"), countPerHost: fc.integer({ min: 1, max: 4 }), maxConcurrent: fc.integer({ min: 2, max: 8 }) });
  type Drawn = [{ of: number; holds: number }[], { policy: string; countPerHost: number; maxConcurrent: number }];

  /** @returns by store, how many members it has, is to have, and holds */
  async function ended([of, { maxConcurrent, ...more }]: Drawn, moments?: ReadonlyMap<number, number>): Promise<{ has: number; wants: number; holds: number }[]> {
    const from = inputs(of.length, 2, more);
    const spec = specOf({ ...from, hosts: (from.hosts as { name: string }[]).map((host) => ({ ...host, maxConcurrent })) });
    const groups = [0, 1, 2].map((number) => spec.hosts.flatMap(({ name }, index) => (of[index]!.of === number ? [name] : []))).filter((hosts) => hosts.length > 0);
    const full = groups.map((hosts) => ({ hosts, holdsBytes: of[spec.hosts.findIndex(({ name }) => name === hosts[0])]!.holds * IMAGE_BYTES }));
    const where = world(spec, { progressSeconds: 0.05 });
    const shared = groups.reduce((inner, hosts, index) => sharing(inner, [hosts], 9e12, [], `netfs nas:/${index}`), where.hypervisor as Hypervisor);
    const { hypervisor } = crampedStores(shared, full, "asks", moments);
    let over = false;
    const running = up(spec, { ...where, hypervisor }).catch((error: unknown) => {
      assert.ok(error instanceof FleetRunError, String(error));
      return error;
    }).finally(() => { over = true; });
    // Virtual time: what has not ended after so many turns of the loop waits for what never comes.
    for (let turn = 0; !over && turn < 20_000; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(over, "the run goes on for ever");
    const { state } = await running;
    return full.map(({ hosts, holdsBytes }) => ({
      has: state.members.filter((member) => hosts.includes(member.host)).length, wants: hosts.length * more.countPerHost, holds: Math.floor(holdsBytes / IMAGE_BYTES),
    }));
  }

  it("get as many members as fit, whoever reads from whom", async () => {
    await fc.assert(fc.asyncProperty(stores, limits, async (...drawn) => {
      for (const { has, wants, holds } of await ended(drawn)) assert.equal(has, Math.min(wants, holds));
    }), { numRuns: Number(process.env.RUNS ?? 20) });
  });

  it("let every run end, also where room is short for a moment only, anywhere", async () => {
    const moments = fc.dictionary(fc.integer({ min: 0, max: 15 }).map(String), fc.double({ min: 0.1, max: 1, noNaN: true }));
    await fc.assert(fc.asyncProperty(stores, limits, moments, async (of, more, at) => {
      const all = await ended([of, more], new Map(Object.entries(at).map(([slot, part]) => [Number(slot), part])));
      for (const { has, wants, holds } of all) assert.ok(has <= Math.min(wants, holds));
    }), { numRuns: Number(process.env.RUNS ?? 50) });
  });
});

function hostCounts(counts: Record<string, number>): Record<string, unknown> {
  const from = inputs(4, 2);
  return { count: undefined, hosts: (from.hosts as { name: string }[]).map((host) => ({ ...host, count: counts[host.name] ?? 0 })) };
}

/** Hosts whose pools lie in one directory: each says what is free there, and the adapter can find out. */
function sharing(inner: Hypervisor, groups: string[][], freeBytes: number, asked: string[][] = [], store?: string): Hypervisor {
  const hypervisor = wrap(inner, async (method, _order, _context, proceed) => {
    const result = await proceed() as Awaited<ReturnType<typeof look>>;
    if (method !== "observe") return result;
    for (const host of result.hosts) if (host.status === "reachable" && groups.flat().includes(host.name)) Object.assign(host, store === undefined ? { room: { freeBytes, capacityBytes: 100e9 } } : { room: { freeBytes }, store });
    return result;
  });
  return refitted(hypervisor, { abilities: { findsSharedStores: { sharedStores: ({ hosts }) => {
    asked.push([...hosts]);
    return Promise.resolve(groups);
  } } } });
}

describe("a store that two hosts reach", () => {
  it("counts once: a plan that fits each alone is refused before anything is touched", async () => {
    const spec = specOf(inputs(4, 2, { countPerHost: 2 }));
    const where = world(spec);
    const asked: string[][] = [];
    const error = await up(spec, { ...where, hypervisor: sharing(where.hypervisor, [["a2", "b2"]], 3 * IMAGE_BYTES, asked) }).then(() => assert.fail(), (e: unknown) => e);
    assert.ok(error instanceof FleetRefusedError);
    assert.match(error.message, /^hosts\[2\]\.pool: .*4 new members on a2, b2 together, which share it.* 3 GB free; make room on it/);
    assert.deepEqual(asked, [["a2", "b2"]]);
    await assertSettled(spec, where, 0);
  });

  it("is not asked about where the answer changes nothing", async () => {
    const spec = specOf(inputs(4, 2, { countPerHost: 2 }));
    const where = world(spec);
    const asked: string[][] = [];
    await up(spec, { ...where, hypervisor: sharing(where.hypervisor, [["a2", "b2"]], 5 * IMAGE_BYTES, asked) });
    assert.deepEqual(asked, []);
  });

  it("is no reason to refuse where the adapter says that it is two", async () => {
    const spec = specOf(inputs(4, 2, { countPerHost: 2 }));
    const where = world(spec);
    const findsNone = { findsSharedStores: { sharedStores: () => Promise.resolve([]) } };
    const apart = refitted(sharing(where.hypervisor, [["a2", "b2"]], 3 * IMAGE_BYTES), { abilities: findsNone });
    await up(spec, { ...where, hypervisor: apart });
    await assertSettled(spec, where, 8);
  });
});

describe("room", () => {
  const copy = (id: number, targetHost: number, bytesDone: number): BookedTransfer =>
    ({ targetHost, bytesDone, done: bytesDone / 100, lost: false, from: {}, makes: { id } }) as unknown as BookedTransfer;

  it("lets begin what fits beside those under way, and anything in a store where nothing is", () => {
    const room = new Room([0, 0, 1], [250, 50], 100);
    const [first, second] = [copy(1, 0, 0), copy(2, 1, 0)];
    room.begin(first);
    assert.ok(room.admits(1));
    room.begin(second);
    assert.ok(!room.admits(0) && !room.admits(1) && room.admits(2));
    room.end(first, true);
    assert.ok(!room.admits(0), "what became whole keeps its room");
    room.end(second, false);
    assert.ok(room.admits(0));
  });

  it("is made by one that waits once the one it reads from is all there, and waits for it in turn", async () => {
    const room = new Room([0], [200], 100);
    const relay = copy(1, 0, 60);
    const reader = { ...copy(2, 0, 50), from: { arrival: relay } } as BookedTransfer;
    for (const one of [relay, reader]) room.begin(one);
    const answer = room.starves(reader);
    room.review();
    assert.equal(await Promise.race([answer, Promise.resolve("none yet")]), "none yet");
    relay.done = 1;
    room.review();
    assert.equal(await answer, false);
  });

  it("is made where those that wait in two stores wait for each other", async () => {
    const room = new Room([0, 1], [200, 200], 100);
    const [one, other] = [copy(1, 0, 50), copy(2, 1, 50)];
    const [readsOther, readsOne] = [{ ...copy(3, 0, 40), from: { arrival: other } }, { ...copy(4, 1, 40), from: { arrival: one } }] as BookedTransfer[];
    for (const each of [one, other, readsOther!, readsOne!]) room.begin(each);
    assert.equal(await Promise.race([room.starves(one), room.starves(other)]), false);
  });

  it("is no more waited for by what is made beside copies when those are all there: they serve others, and keep it", () => {
    const room = new Room([0, 0], [200], 100, new Map([["a1", 0]]));
    const [first, second] = [copy(1, 0, 100), copy(2, 0, 50)];
    room.begin(first);
    assert.equal(room.nextEnd("a1"), undefined);
    room.begin(second);
    assert.ok(room.nextEnd("a1"));
  });

  it("never leaves all that wait waiting: each time all stand still, one of them gives way, and all others go on", async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 99 }), { minLength: 1, maxLength: 12 }), fc.integer({ min: 0, max: 12 }), async (sizes, fitting) => {
      const room = new Room([0], [Infinity], 100);
      const copies = sizes.map((bytes, id) => copy(id, 0, bytes));
      for (const one of copies) room.begin(one);
      let left = copies;
      let rounds = 0;
      while (left.length > fitting && left.length > 0) {
        assert.ok(++rounds <= copies.length);
        const answers = left.map(async (one) => ({ one, goesOn: await room.starves(one) }));
        const ended = await Promise.race(answers);
        assert.equal(ended.goesOn, false);
        assert.equal(ended.one.bytesDone, Math.min(...left.map((one) => one.bytesDone)));
        room.end(ended.one, false);
        const others = await Promise.all(answers);
        assert.equal(others.filter(({ goesOn }) => goesOn).length, left.length - 1);
        left = left.filter((one) => one !== ended.one);
      }
      for (const one of left) room.end(one, true);
      assert.equal(left.length, Math.min(fitting, copies.length));
    }));
  });
});

describe("a copy that stands still for want of room", () => {
  it("hears whether to go on once the copy that it reads from is all there and goes on for it alone", async () => {
    const spec = specOf(inputs(2, 1, { countPerHost: 1, policy: "relay" }));
    const where = world(spec);
    const { clock } = where;
    const said: string[] = [];
    let starved = (): void => undefined;
    let ended = (): void => undefined;
    const [starves, ends] = [new Promise<void>((resolve) => { starved = resolve; }), new Promise<void>((resolve) => { ended = resolve; })];
    const hypervisor = wrap(where.hypervisor, async (method, order: CloneOrder, context: CallContext | undefined, proceed) => {
      if (method !== "clone") return proceed();
      if (order.source.kind === "template") {
        if (said.length === 0) {
          await starves;
          await clock.sleep(20);
          context!.onProgress!(100, 100);
          await ends;
        }
        return { bytesMoved: 100 };
      }
      context!.onProgress!(50, 100);
      const full = new NoSpaceError("a2", "clone", "full");
      const goesOn = context!.onNoSpace!(full);
      starved();
      said.push(`goes on: ${await goesOn}`);
      ended();
      throw full;
    });
    const context = contextOf(request(spec, { hypervisor, clock }), new AbortController().signal);
    const { book, distributor } = distribution(context);
    for (const slot of [0, 1]) {
      distributor.want({
        host: 1, target: { kind: "base", host: "a2", slot, generation: 0, name: `w-00${slot}` }, label: `w-00${slot}`,
        whole: () => said.push(`${slot} is whole`), failed: (error) => said.push(String(error)),
      });
    }
    let asked = false;
    distributor.begin({
      ...policies.relay,
      next: () => {
        if (book.open() === 0) return [];
        const first = { source: book.sources[0]!.id, targetHost: 1 };
        if (asked) return [first];
        asked = true;
        return [first, { source: { decision: 0 }, targetHost: 1 }];
      },
    });
    let over = false;
    const running = context.tasks.idle().finally(() => { over = true; });
    for (let turn = 0; !over && turn < 20_000; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(over, `waits for ever; heard: ${said.join(", ")}`);
    await running;
    assert.deepEqual(said, ["goes on: false", "0 is whole", "1 is whole"]);
  });
});

describe("figures", () => {
  it("count what a copy that failed had moved over the network", async () => {
    const spec = specOf(inputs(2, 2, { policy: "singleSource", countPerHost: 1, retries: 0 }));
    const where = world(spec, { faults: [{ kind: "cloneFails", targetHost: "b1", atFraction: 0.6, error: "noSpace" }] });
    const { state } = await failed(up(spec, where));
    assert.deepEqual([state.lastRun.bytesMoved, state.lastRun.bytesAcrossRacks], [0.6 * IMAGE_BYTES, 0.6 * IMAGE_BYTES]);
  });

  it("say of the first run how long many members of one host take to start, and of the next as it was", async () => {
    const spec = (count: number) => specOf(inputs(1, 1, { clone: "linked", count }));
    const where = world(spec(1), { costs: { defineSeconds: 0, snapshotSeconds: 0 } });
    const hypervisor = refitted(inTurns(where, 0.65), { costs: { memberSeconds: 0.5 } });
    const first = await up(spec(40), { ...where, hypervisor });
    assert.ok(first.summary.makespanSeconds > 26);
    assert.ok(Math.abs(first.summary.predictedSeconds! / first.summary.makespanSeconds - 1) < 0.3, `${first.summary.predictedSeconds} said`);
    const learned = first.state.learned!.memberSeconds!;
    assert.ok(Math.abs(learned - 0.65) < 0.05, `${learned} s learned`);
    const preview = await previewFleet({ ...request(spec(60), where), previous: first.state, observation: await look(spec(60), where), traits: { ...UNBOUNDED, costs: { memberSeconds: 0.5 } } });
    const second = await up(spec(60), { ...where, hypervisor }, first.state);
    assert.ok(Math.abs(preview.summary.makespanSeconds / second.summary.makespanSeconds - 1) < 0.1, `${preview.summary.makespanSeconds} said, ${second.summary.makespanSeconds} taken`);
  });
});

/** Starts on one host follow each other. */
function inTurns({ hypervisor, clock }: World, seconds: number): Hypervisor {
  let before = Promise.resolve();
  return wrap(hypervisor, (method, _order, _context, proceed) => {
    if (method !== "power") return proceed();
    before = before.then(() => clock.sleep(1000 * seconds));
    return before.then(() => proceed());
  });
}

describe("one slow host among fast ones", () => {
  const slowAmongFast = (policy: string) => {
    const from = inputs(9, 1, { policy, countPerHost: 1, imageBytes: 20e9 });
    return specOf({ ...from, hosts: (from.hosts as { name: string }[]).map((host) => ({ ...host, nicBitsPerSecond: host.name === "a9" ? 1e8 : 1e10 })) });
  };
  for (const policy of ["relay", "earliestCompletion", "rounds"]) {
    it(`keeps nobody from noticing a fast one's straggler in time: ${policy}`, async () => {
      const spec = slowAmongFast(policy);
      // What reads from a3 would take a quarter of an hour.
      const where = world(spec, { faults: [{ kind: "slowHost", host: "a3", factor: 0.02, fromSeconds: 5, direction: "out" }] });
      const { clones } = await up(spec, where);
      const last = Math.max(...clones.filter((clone) => clone.targetHost !== "a9").map((clone) => clone.endSeconds));
      assert.ok(last < 150, `${last} s`);
    });
  }

  it("is no straggler itself", async () => {
    const spec = slowAmongFast("relay");
    const { clones } = await up(spec, world(spec));
    assert.deepEqual(clones.filter((clone) => clone.targetHost === "a9").flatMap((clone) => clone.replaced ?? []).length <= 1, true);
    assert.ok(Math.max(...clones.filter((clone) => clone.targetHost !== "a9").map((clone) => clone.endSeconds)) < 50);
  });
});

describe("a run that makes members and copies nothing", () => {
  it("merges the frozen bases that it was to merge", async () => {
    const mixed = { clone: { mixed: { linkedShare: 0.5 } } };
    const seeded = specOf(inputs(2, 1, { ...mixed, count: 5, keepSeeds: "host" }));
    const grown = specOf(inputs(2, 1, { ...mixed, count: 6 }));
    const where = world(seeded);
    const { state } = await up(seeded, where);
    assert.ok(state.members.some((member) => member.base === "frozen"));
    const { clones, plan } = await up(grown, where, state);
    assert.deepEqual([clones.length, plan.create.map((one) => one.kind)], [0, ["linked"]]);
    assert.ok(plan.consolidate.length > 0);
    await assertSettled(grown, where, 6);
  });
});

describe("a copy that is whole", () => {
  it("is counted out once, whatever goes wrong with its member", async () => {
    const spec = specOf(inputs(2, 1, { countPerHost: 1, policy: "rounds" }));
    const context = contextOf(request(spec, world(spec)), new AbortController().signal);
    const { book, log, distributor, room } = distribution(context);
    const ended: boolean[] = [];
    const end = book.end.bind(book);
    book.end = (transfer, whole) => { ended.push(whole); end(transfer, whole); };
    distributor.want({
      host: 1, target: { kind: "base", host: "a2", slot: 0, generation: 0, name: "w-000" }, label: "w-000",
      whole: () => { throw new Error("a fault of our own"); }, failed: () => assert.fail("it did not fail"),
    });
    distributor.begin(policies.rounds);
    await assert.rejects(context.tasks.idle(), /a fault of our own/);
    assert.deepEqual([ended, book.view.making, book.view.made, log.traces.length], [[true], [0, 0], [0, 1], 1]);
    assert.ok(room.admits(1));
  });
});

function distribution(context: RunContext) {
  const { spec } = context;
  const book = new SourceBook(topologyOf(spec), IMAGE, 8, true);
  book.add({ host: 0, hostName: "a1", kind: "template", ref: { kind: "template", host: "a1" }, label: "template" });
  const log = new TransferLog(context.clock, book);
  const room = new Room([0, 1], [Infinity, Infinity], IMAGE_BYTES);
  return { book, log, room, distributor: new Distributor(context, book, log, room, false, () => undefined) };
}
