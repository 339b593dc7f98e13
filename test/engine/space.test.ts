import assert from "node:assert/strict";
import fc from "fast-check";
import { FleetRefusedError, FleetRunError, previewFleet } from "../../provider/engine";
import type { RunContext } from "../../provider/engine/context";
import { Distributor } from "../../provider/engine/distributor";
import { TransferLog } from "../../provider/engine/log";
import { SourcePool, type PooledTransfer } from "../../provider/engine/pool";
import { Room } from "../../provider/engine/room";
import { contextOf } from "../../provider/engine/session";
import { linkSignals } from "../../provider/engine/abort";
import { policies, topologyOf } from "../../provider/scheduler";
import { type CallContext, type CloneOrder, type Hypervisor, NoSpaceError } from "../../provider/hypervisors/hypervisor";
import { wrap } from "./wrappers";
import { assertSettled, IMAGE_BYTES, inputs, look, reachable, request, specOf, up, world, type World } from "./world";

async function failed(running: Promise<unknown>): Promise<FleetRunError> {
  const error = await running.then(() => assert.fail("the run succeeded"), (e: unknown) => e);
  assert.ok(error instanceof FleetRunError, String(error));
  return error;
}

/**
 * A store that holds less than anybody thinks: where what is there and arriving is more, the copies that arrive find no
 * room, as on a real file system whichever writes next.
 * @param says whether copies stand still and ask, or fail at once
 */
function cramped(inner: Hypervisor, hosts: readonly string[], holdsBytes: number, says: "asks" | "fails"): { hypervisor: Hypervisor; attempts: () => number } {
  let whole = 0;
  let attempts = 0;
  const arriving = new Map<CloneOrder, number>();
  const taken = (): number => [...arriving.values()].reduce((sum, bytes) => sum + bytes, whole);
  const hypervisor = wrap(inner, async (method, order: CloneOrder, context: CallContext | undefined, proceed) => {
    if (method !== "clone" || !hosts.includes(order.target.host)) return proceed();
    attempts++;
    const link = linkSignals(context?.signal);
    const error = new NoSpaceError(order.target.host, "clone", "storage pool default is full");
    arriving.set(order, 0);
    let asking = false;
    try {
      const result = await proceed({
        ...context, signal: link.signal,
        onProgress: (done, total) => {
          arriving.set(order, done);
          context?.onProgress?.(done, total);
          if (taken() <= holdsBytes || asking) return;
          asking = true;
          const answer = says === "asks" ? context!.onNoSpace!(error) : Promise.resolve(false);
          void answer.then((goesOn) => (goesOn ? asking = false : link.abort(error)));
        },
      });
      // Every byte of it went through the check above but its last ones.
      if (taken() - arriving.get(order)! + IMAGE_BYTES > holdsBytes && says === "fails") throw error;
      whole += IMAGE_BYTES;
      return result;
    } catch (reason) {
      if (link.signal.reason !== error && reason !== error) throw reason;
      const partials = (await reachable(specOf(inputs(4, 2, { count: 1 })), { hypervisor: inner })).find((host) => host.name === order.target.host)!.partials;
      const mine = partials.find((partial) => order.target.kind === "base" && partial.slot === order.target.slot);
      if (mine) await inner.destroy({ kind: "partial", fleet: order.fleet, host: order.target.host, partial: mine });
      throw error;
    } finally {
      arriving.delete(order);
      link.unlink();
    }
  });
  return { hypervisor, attempts: () => attempts };
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
        assert.deepEqual((await reachable(spec, where)).flatMap((host) => host.partials), []);
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
    const { hypervisor } = cramped(sharing(where.hypervisor, [["a2", "b2"]], 9e12, [], { store: "netfs nas:/vm" }), ["a2", "b2"], 3.5 * IMAGE_BYTES, "asks");
    const { state } = await failed(up(spec, { ...where, hypervisor }));
    assert.equal(state.members.length, 4 + 3);
  });
});

function hostCounts(counts: Record<string, number>): Record<string, unknown> {
  const from = inputs(4, 2);
  return { count: undefined, hosts: (from.hosts as { name: string }[]).map((host) => ({ ...host, count: counts[host.name] ?? 0 })) };
}

/** Hosts whose pools lie in one directory: each says what is free there, and the adapter can find out. */
function sharing(inner: Hypervisor, groups: string[][], freeBytes: number, asked: string[][] = [], more: object = { poolCapacityBytes: 100e9 }): Hypervisor {
  const hypervisor = wrap(inner, async (method, _order, _context, proceed) => {
    const result = await proceed() as Awaited<ReturnType<typeof look>>;
    if (method !== "observe") return result;
    for (const host of result.hosts) if (host.status === "reachable" && groups.flat().includes(host.name)) Object.assign(host, { poolFreeBytes: freeBytes, ...more });
    return result;
  });
  return Object.assign(hypervisor, {
    sharedStores: ({ hosts }: { hosts: readonly string[] }) => {
      asked.push([...hosts]);
      return Promise.resolve(groups);
    },
  });
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
    const apart = Object.assign(sharing(where.hypervisor, [["a2", "b2"]], 3 * IMAGE_BYTES), { sharedStores: () => Promise.resolve([]) });
    await up(spec, { ...where, hypervisor: apart });
    await assertSettled(spec, where, 8);
  });
});

describe("room", () => {
  const copy = (id: number, targetHost: number, bytesDone: number): PooledTransfer =>
    ({ targetHost, bytesDone, done: bytesDone / 100, lost: false, from: {}, makes: { id } }) as unknown as PooledTransfer;

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
    const hypervisor = inTurns(where, 0.65);
    Object.assign(hypervisor, { capabilities: { ...hypervisor.capabilities, memberSeconds: 0.5 } });
    const first = await up(spec(40), { ...where, hypervisor });
    assert.ok(first.summary.makespanSeconds > 26);
    assert.ok(Math.abs(first.summary.predictedSeconds! / first.summary.makespanSeconds - 1) < 0.3, `${first.summary.predictedSeconds} said`);
    const learned = first.state.learned!.memberSeconds!;
    assert.ok(Math.abs(learned - 0.65) < 0.05, `${learned} s learned`);
    const preview = await previewFleet({ ...request(spec(60), where), previous: first.state, observation: await look(spec(60), where), memberSeconds: 0.5 });
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
    const { pool, log, distributor, room } = distribution(context);
    const ended: boolean[] = [];
    const end = pool.end.bind(pool);
    pool.end = (transfer, whole) => { ended.push(whole); end(transfer, whole); };
    distributor.want({
      host: 1, target: { kind: "base", host: "a2", slot: 0, generation: 0 }, label: "w-000",
      whole: () => { throw new Error("a fault of our own"); }, failed: () => assert.fail("it did not fail"),
    });
    distributor.begin(policies.rounds);
    await assert.rejects(context.tasks.idle(), /a fault of our own/);
    assert.deepEqual([ended, pool.view.making, pool.view.made, log.traces.length], [[true], [0, 0], [0, 1], 1]);
    assert.ok(room.admits(1));
  });
});

function distribution(context: RunContext) {
  const { spec } = context;
  const pool = new SourcePool(topologyOf(spec), 8, true);
  pool.add({ host: 0, hostName: "a1", kind: "template", ref: { kind: "template", host: "a1" }, label: "template" });
  const log = new TransferLog(context.clock, pool);
  const room = new Room([0, 1], [Infinity, Infinity], IMAGE_BYTES);
  return { pool, log, room, distributor: new Distributor(context, "0".repeat(64), pool, log, room, false, () => undefined) };
}
