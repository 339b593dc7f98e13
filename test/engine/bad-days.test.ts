import assert from "node:assert/strict";
import fc from "fast-check";
import { FleetRefusedError, FleetRunError } from "../../provider/engine";
import type { FleetState } from "../../provider/fleet";
import type { Fault } from "../../provider/hypervisors/simulated";
import { LockTimeoutError } from "../../provider/hypervisors/hypervisor";
import { assertSettled, down, inputs, lacking, look, reachable, specOf, up, world } from "./world";
import { recording, supervised } from "./wrappers";

/** The run must fail in its own words; those are returned. */
async function failed(run: Promise<unknown>): Promise<FleetRunError> {
  const error = await run.then(() => assert.fail("the run succeeded"), (e: unknown) => e);
  assert.ok(error instanceof FleetRunError, String(error));
  return error;
}

async function refused(run: Promise<unknown>): Promise<FleetRefusedError> {
  const error = await run.then(() => assert.fail("the run succeeded"), (e: unknown) => e);
  assert.ok(error instanceof FleetRefusedError, String(error));
  return error;
}

describe("on a bad day", () => {
  it("a clone whose source is lost in mid-copy is made from another source", async () => {
    const spec = specOf(inputs(4, 2, { count: 12 }));
    const where = world(spec, { faults: [{ kind: "cloneFails", targetHost: "b2", atFraction: 0.5, error: "sourceLost" }] });
    await up(spec, where);
    await assertSettled(spec, where, 12);
  });

  it("a host that can reach no source costs its own members only, and no other host its sources", async () => {
    const spec = specOf(inputs(4, 1, { countPerHost: 3 }));
    const where = world(spec, { faults: [{ kind: "cloneFails", targetHost: "a3", atFraction: 0.1, error: "sourceLost", times: 1000 }] });
    const { reasons, state } = await failed(up(spec, where));
    assert.ok(reasons.every((r) => r.startsWith("a3: ")), reasons.join("\n"));
    assert.equal(state.members.length, 9);
    assert.ok(state.lastRun.makespanSeconds < 30, `${state.lastRun.makespanSeconds} s`);
  });

  it("whatever breaks, every run ends, tells the truth, and the first sound one completes the fleet", async () => {
    const hosts = ["a1", "b1", "a2", "b2"];
    const host = fc.constantFrom(...hosts);
    const seconds = fc.double({ min: 0, max: 8, noNaN: true });
    const fault: fc.Arbitrary<Fault> = fc.oneof(
      fc.record({
        kind: fc.constant("cloneFails" as const), targetHost: host, atFraction: fc.double({ min: 0, max: 1, noNaN: true }),
        error: fc.constantFrom("sourceLost" as const, "noSpace" as const, "hostUnreachable" as const), times: fc.integer({ min: 1, max: 6 }),
      }),
      fc.record({ kind: fc.constant("hostDown" as const), host, atSeconds: seconds }),
      fc.record({ kind: fc.constant("slowHost" as const), host, factor: fc.double({ min: 0.01, max: 1, noNaN: true }), fromSeconds: seconds }),
      fc.record({ kind: fc.constant("lockLost" as const), atSeconds: seconds }),
    );
    await fc.assert(fc.asyncProperty(
      fc.array(fault, { maxLength: 4 }), fc.constantFrom("rounds", "earliestCompletion", "relay", "relay", "singleSource", "auto"),
      fc.constantFrom("full", { mixed: { linkedShare: 0.4 } }), fc.constantFrom("none", "host"),
      async (faults, policy, clone, keepSeeds) => {
        const spec = specOf(inputs(4, 2, { count: 14, policy, clone, keepSeeds }));
        const where = world(spec, { faults });
        const { hypervisor, offences } = supervised(where.hypervisor, spec);
        let state: FleetState | undefined;
        for (let run = 0; run < 26; run++) { // four faults, six times each, and then some
          const error = await up(spec, { ...where, hypervisor }, state).then(() => undefined, (e: unknown) => e);
          assert.deepEqual(offences, []);
          for (const name of hosts) where.hypervisor.bringUp(name);
          if (!error) return assertSettled(spec, where, 14);
          assert.ok(error instanceof FleetRunError || error instanceof FleetRefusedError, String(error));
          if (!(error instanceof FleetRunError)) continue;
          assert.ok(error.reasons.length > 0 && !error.message.includes("internal error"), error.message);
          state = error.state;
        }
        assert.fail("no run of 26 succeeded");
      },
    ), { numRuns: 60 });
  }).timeout(120_000);

  it("a source that became slow is overtaken by the others", async () => {
    const spec = specOf(inputs(4, 1, { count: 24, policy: "rounds" }));
    const slow = world(spec, { faults: [{ kind: "slowHost", host: "a2", factor: 0.05, direction: "out", fromSeconds: 1.5 }] });
    const { clones } = await up(spec, slow);
    const fed = (from: (host: string) => boolean) => clones.filter((c) => from(c.sourceHost)).length;
    assert.ok(fed((host) => host === "a2") <= 2);
    assert.equal(fed(() => true), 24);
    const { summary } = await up(spec, world(spec));
    const end = Math.max(...clones.map((c) => c.endSeconds));
    // A copy from a2 takes 20 s; whoever waited for those would end after 40.
    assert.ok(end < 20, `${end} s, ${summary.makespanSeconds} s with all sources sound`);
  });

  it("a copy that lags hopelessly is made by another source once sources idle", async () => {
    const spec = specOf(inputs(4, 1, { count: 12, policy: "rounds" }));
    const where = world(spec, { faults: [{ kind: "slowHost", host: "a2", factor: 0.01, direction: "out", fromSeconds: 1.5 }] });
    const { clones } = await up(spec, where);
    assert.ok(Math.max(...clones.map((c) => c.endSeconds)) < 25, "one copy from a2 takes 100 s");
    await assertSettled(spec, where, 12);
  });

  for (const relay of [true, false]) {
    it(`singleSource, the yardstick, has one source however slow its copies are (relay ${relay})`, async () => {
      const spec = specOf(inputs(4, 2, { policy: "singleSource", countPerHost: 3, imageBytes: 20e9 }));
      const faults: Fault[] = [{ kind: "slowHost", host: "b2", factor: 0.05, fromSeconds: 2 }, { kind: "slowHost", host: "a1", factor: 0.2, fromSeconds: 60 }];
      const { clones } = await up(spec, world(spec, { faults, ...(!relay && { traits: lacking("relaying") }) }));
      assert.equal(clones.length, 12);
      assert.deepEqual(clones.filter((clone) => clone.source !== "template" || clone.sourceHost !== "a1" || clone.replaced), []);
    });
  }

  it("singleSource goes on from another source when its own is lost", async () => {
    const spec = specOf(inputs(3, 1, { policy: "singleSource", countPerHost: 2, maxConcurrentClones: 2 }));
    const where = world(spec, { faults: [{ kind: "hostDown", host: "a1", atSeconds: 5 }] });
    const error = await up(spec, where).then(() => undefined, (e: unknown) => e as FleetRunError);
    assert.equal(error!.state.members.filter((member) => member.host !== "a1").length, 4);
  });

  it("a host that dies in mid-run costs its own members only, and the next run completes them", async () => {
    const spec = specOf(inputs(4, 2, { countPerHost: 3 }));
    const where = world(spec, { faults: [{ kind: "hostDown", host: "b1", atSeconds: 2.2 }] });
    const { reasons, state } = await failed(up(spec, where));
    assert.equal(reasons.length > 0 && reasons.every((r) => r.startsWith("b1: ") && r.includes("the next `pulumi up`")), true, reasons.join("\n"));
    assert.deepEqual(state.members.filter((m) => m.host !== "b1").length, 9);
    where.hypervisor.bringUp("b1");
    await up(spec, where, state);
    await assertSettled(spec, where, 12);
  });

  it("a host that dies while it sends loses its readers to other sources", async () => {
    const spec = specOf(inputs(3, 1, { count: 9, policy: "singleSource" }));
    const grown = specOf(inputs(3, 1, { count: 18, policy: "rounds" }));
    const seeded = specOf(inputs(3, 1, { count: 9, policy: "singleSource", keepSeeds: "host" }));
    const where = world(spec);
    const { state } = await up(seeded, where);
    where.clock.at(where.clock.nowMs() + 500, () => where.hypervisor.takeDown("a1"));
    const { state: left } = await failed(up(grown, where, state));
    // a1 holds the template too; the seeds on a2 and a3 finish their hosts' shares.
    assert.equal(left.members.filter((m) => m.host !== "a1").length, 12);
  });

  it("a host that does not answer at start refuses the run before anything is touched", async () => {
    const spec = specOf(inputs(4, 2, { count: 12 }));
    const where = world(spec);
    where.hypervisor.takeDown("b2");
    const { hypervisor, calls } = recording(where.hypervisor);
    const { problems } = await refused(up(spec, { ...where, hypervisor }));
    assert.ok(problems.some((p) => p.message.includes("b2") && p.message.includes("abandonHosts")));
    assert.deepEqual(calls, ["lock", "observe"]);
  });

  it("a full pool costs its own host's members only", async () => {
    const spec = specOf(inputs(4, 2, { countPerHost: 3 }));
    const where = world(spec, { faults: [{ kind: "cloneFails", targetHost: "b1", atFraction: 0.5, error: "noSpace" }] });
    const { reasons, state } = await failed(up(spec, where));
    assert.match(reasons.join("\n"), /^b1: w-\d+.*clone: the pool is full/);
    assert.equal(state.members.filter((m) => m.host !== "b1").length, 9);
    assert.deepEqual((await reachable(spec, where)).flatMap((h) => h.leftovers), []);
    await up(spec, where, state);
    await assertSettled(spec, where, 12);
  });

  it("two fleets on the same hosts leave each other alone", async () => {
    const one = specOf(inputs(4, 2, { count: 8, namePrefix: "one" }));
    const two = specOf(inputs(4, 2, { count: 8, namePrefix: "two" }));
    const where = world(one);
    const [a] = await Promise.all([
      up(one, where, undefined, { fleetId: "fleetone" }), up(two, where, undefined, { fleetId: "fleettwo", incarnation: "other" }),
    ]);
    await down(one, where, undefined).catch(() => undefined); // fleetaaaaa: nothing of it exists
    assert.equal(a.state.members.length, 8);
    for (const fleetId of ["fleetone", "fleettwo"]) {
      assert.equal((await look(one, where, fleetId)).hosts.flatMap((h) => (h.status === "reachable" ? h.members : [])).length, 8);
    }
  });

  it("two runs of one fleet follow each other, the second finding it done", async () => {
    const spec = specOf(inputs(4, 2, { count: 12 }));
    const where = world(spec);
    const second = recording(where.hypervisor);
    const notes: string[] = [];
    const [, late] = await Promise.all([
      up(spec, where),
      up(spec, { ...where, hypervisor: second.hypervisor }, undefined, { onProgress: (p) => notes.push(p.note ?? "") }),
    ]);
    assert.deepEqual(second.calls, ["lock", "observe"]);
    assert.equal(late.state.members.length, 12);
    assert.ok(notes.some((note) => note.includes("waiting for another run of this fleet (test)")));
  });

  it("a second run gives up after lockTimeout and names the holder", async () => {
    const spec = specOf(inputs(2, 1, { count: 2 }));
    const where = world(spec);
    const hold = await where.hypervisor.lock({ fleetId: "fleetaaaaa", hosts: spec.hosts, holder: "pid 7 on ci", timeoutMs: 1 });
    await assert.rejects(up(spec, where), (e: unknown) => e instanceof LockTimeoutError && e.message.includes("pid 7 on ci"));
    await hold.release();
  });

  it("a cancelled run keeps what is whole and what can be gone on with, and the next one completes it", async () => {
    const spec = specOf(inputs(4, 2, { count: 12 }));
    for (const atMs of [100, 1500, 2300, 3600]) {
      const where = world(spec);
      const cancel = new AbortController();
      where.clock.at(atMs, () => cancel.abort(new Error("ctrl-c")));
      const { reasons, state } = await failed(up(spec, where, undefined, { signal: cancel.signal }));
      assert.match(reasons[0]!, /^cancelled: \d+ of 12 members exist; the next `pulumi up` completes the rest$/);
      assert.equal(reasons.length, 1);
      const hosts = await reachable(spec, where);
      const leftovers = hosts.flatMap((h) => h.leftovers);
      assert.ok(leftovers.every((p) => p.resumable?.contentId === state.contentId), "nothing else stays");
      assert.deepEqual(hosts.flatMap((h) => h.members.map((m) => m.slot)).sort(), state.members.map((m) => m.slot).sort());
      const { summary } = await up(spec, where, state);
      await assertSettled(spec, where, 12);
      assert.ok(leftovers.length === 0 || summary.created === 12 - state.members.length);
    }
  });

  it("a run after a cancelled one fetches only what is missing", async () => {
    const spec = specOf(inputs(4, 1, { countPerHost: 1 }));
    const where = world(spec);
    const cancel = new AbortController();
    where.clock.at(900, () => cancel.abort(new Error("ctrl-c")));
    const { state } = await failed(up(spec, where, undefined, { signal: cancel.signal }));
    const arrived = (await reachable(spec, where)).flatMap((h) => h.leftovers).reduce((sum, p) => sum + p.bytes, 0);
    const wanted = spec.hosts.slice(1).length * 1e9 - (await reachable(spec, where)).slice(1).flatMap((h) => h.members).length * 1e9;
    assert.ok(arrived > 0);
    const { summary } = await up(spec, where, state);
    const local = (await reachable(spec, where))[0]!.members.length;
    assert.ok(local > 0 && summary.bytesMoved <= wanted - arrived + 1e9 && summary.bytesMoved < wanted, `${summary.bytesMoved} moved, ${arrived} had arrived`);
  });

  it("a run cancelled before it began touches nothing", async () => {
    const spec = specOf(inputs(2, 1, { count: 2 }));
    const where = world(spec);
    const { message } = await refused(up(spec, where, undefined, { signal: AbortSignal.abort() }));
    assert.equal(message, "cancelled before anything was touched");
    await assertSettled(spec, where, 0);
  });

  it("a run that loses its lock stops and leaves leftovers to whoever holds it now", async () => {
    const spec = specOf(inputs(4, 2, { count: 12 }));
    const where = world(spec, { faults: [{ kind: "lockLost", atSeconds: 1.5 }] });
    const { hypervisor, calls } = recording(where.hypervisor);
    const { reasons, state } = await failed(up(spec, { ...where, hypervisor }));
    assert.match(reasons[0]!, /^the fleet's lock was lost: /);
    assert.deepEqual(calls.filter((call) => call.startsWith("destroy")), []);
    await up(spec, where, state);
    await assertSettled(spec, where, 12);
  });

  it("a template that changes under the run ends it with what is whole", async () => {
    const spec = specOf(inputs(4, 2, { count: 12, policy: "singleSource" }));
    const where = world(spec, { faults: [{ kind: "templateChanges", atSeconds: 3.5 }] });
    const { reasons, state } = await failed(up(spec, where));
    assert.match(reasons.join("\n"), /the template is not what it was when the run began/);
    assert.ok(state.members.length > 0 && state.members.length < 12);
    assert.deepEqual((await reachable(spec, where)).flatMap((h) => h.leftovers), []);
  });

  it("an operation that fails once is tried again", async () => {
    const spec = specOf(inputs(2, 1, { count: 4 }));
    const where = world(spec);
    let failures = 0;
    const define = where.hypervisor.reconfigure.bind(where.hypervisor);
    where.hypervisor.reconfigure = (order, context) => (failures++ === 0 ? Promise.reject(new Error("busy")) : define(order, context));
    await up(spec, where);
    await assertSettled(spec, where, 4);
  });

  it("a member that cannot be defined costs nobody else, and its copy does not stay behind", async () => {
    const spec = specOf(inputs(2, 1, { count: 6 }));
    const where = world(spec);
    const define = where.hypervisor.reconfigure.bind(where.hypervisor);
    where.hypervisor.reconfigure = (order, context) => (order.slot === 2 ? Promise.reject(new Error("no such machine type")) : define(order, context));
    const { reasons, state } = await failed(up(spec, where));
    assert.deepEqual(reasons, ["a1: w-002: define: no such machine type; the next `pulumi up` clones it again"]);
    assert.deepEqual(state.members.map((m) => m.slot), [0, 1, 3, 4, 5]);
    await assertSettled(spec, where, 5);
  });

  it("a move is refused unless allowed, and then says that data is lost", async () => {
    const from = inputs(2, 1, {});
    const of = (counts: number[], more = {}) => specOf({
      ...from, hosts: (from.hosts as object[]).map((h, i) => ({ ...h, count: counts[i] })), ...more,
    });
    const where = world(of([4, 0]));
    const { state } = await up(of([4, 0]), where);
    const { problems } = await refused(up(of([2, 2]), where, state));
    assert.ok(problems.some((p) => p.path === "allowRecreate" && p.message.includes("data is lost")));
    const moved = await up(of([2, 2], { allowRecreate: true }), where, state);
    assert.deepEqual(moved.state.placement, { a1: 2, a2: 2 });
    assert.equal(moved.plan.move.length, 2);
    await assertSettled(of([2, 2]), where, 4);
  });

  it("deletionProtection refuses shrink and delete", async () => {
    const of = (count: number) => specOf(inputs(2, 1, { count, deletionProtection: true }));
    const where = world(of(4));
    const { state } = await up(of(4), where);
    for (const run of [up(of(2), where, state), down(of(4), where, state)]) {
      const { problems } = await refused(run);
      assert.ok(problems.some((p) => p.path === "deletionProtection"));
    }
    await assertSettled(of(4), where, 4);
  });

  it("a name taken by something without our tag is refused", async () => {
    const spec = specOf(inputs(2, 1, { count: 4 }));
    const where = world(spec, { foreignNames: { a1: ["w-000"], a2: ["w-000"] } });
    const { problems } = await refused(up(spec, where));
    assert.ok(problems.some((p) => p.path === "namePrefix" && p.message.includes("w-000")));
  });

  it("a host that dies during a delete is named, and the rest is removed", async () => {
    const spec = specOf(inputs(4, 2, { count: 12 }));
    const where = world(spec);
    const { state } = await up(spec, where);
    where.clock.at(where.clock.nowMs() + 100, () => where.hypervisor.takeDown("a2"));
    const { reasons, state: left } = await failed(down(spec, where, state));
    assert.ok(reasons.every((r) => r.startsWith("a2: ")), reasons.join("\n"));
    assert.deepEqual([...new Set(left.members.map((m) => m.host))], ["a2"]);
    where.hypervisor.bringUp("a2");
    await down(spec, where, left);
    await assertSettled(spec, where, 0);
  });

  it("is told with the clone's cause once, however many members it hit", async () => {
    const spec = specOf(inputs(2, 1, { clone: "linked", count: 10 }));
    const where = world(spec, { faults: [{ kind: "cloneFails", targetHost: "a2", atFraction: 0.5, error: "noSpace" }] });
    const { reasons } = await failed(up(spec, where));
    assert.equal(reasons.length, 1);
    assert.match(reasons[0]!, /^a2: w-\d+, .*clone: the pool is full/);
  });

});
