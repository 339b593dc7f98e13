import assert from "node:assert/strict";
import { assertSettled, inputs, look, reachable, specOf, up, world, COSTS, type World } from "./world";
import { FleetRunError, previewFleet, refreshFleet, type RunResult } from "../../provider/engine";
import type { FleetSpec, FleetState } from "../../provider/fleet";
import { HostUnreachableError } from "../../provider/hypervisors/hypervisor";
import type { SimulatedOptions } from "../../provider/hypervisors/simulated";
import { crashing, recording, supervised, wrap } from "./wrappers";

const BOOT_SECONDS = 20;
const waiting = (more: Record<string, unknown> = {}, hosts = 4) => specOf(inputs(hosts, 2, { count: 8, waitFor: "guestAgent", waitForTimeoutSeconds: 60, ...more }));
const booting = (spec: FleetSpec, options: SimulatedOptions = {}): World => world(spec, { ...options, costs: { ...COSTS, bootSeconds: BOOT_SECONDS } });

/** Like the hypervisor, and knows how many guests were at any time between their start and being ready. */
function counting(where: World): World & { most(): number } {
  let most = 0;
  const hypervisor = wrap(where.hypervisor, async (method, _order, _context, proceed) => {
    const result = await proceed();
    if (method === "power" || method === "startEarly") {
      const members = [...where.hypervisor.hosts.values()].flatMap((host) => [...host.members.values()].map((member) => ({ host: host.name, member })));
      most = Math.max(most, members.filter(({ host, member }) => member.power === "running" && !where.hypervisor.guests.isReady(host, member)).length);
    }
    return result;
  });
  return { hypervisor: hypervisor as World["hypervisor"], clock: where.clock, most: () => most };
}

async function failureOf(running: Promise<RunResult>): Promise<FleetRunError> {
  const error = await running.then(() => undefined, (e: unknown) => e);
  assert.ok(error instanceof FleetRunError, String(error));
  return error;
}
const configuringIn = (state: FleetState) => state.members.filter((one) => one.configuring).map((one) => one.name);

describe("members whose guests are waited for", () => {
  it("are done when their guests are ready, and their addresses and names are recorded", async () => {
    const spec = waiting();
    const where = booting(spec);
    const { state, summary } = await up(spec, where);
    await assertSettled(spec, where, 8);
    assert.deepEqual(state.members.map(({ ipAddresses, hostname }) => [ipAddresses, hostname]), state.members.map(({ slot, name }) => [[`10.99.0.${slot}`], name]));
    assert.deepEqual(configuringIn(state), []);
    assert.ok(summary.makespanSeconds >= BOOT_SECONDS, `${summary.makespanSeconds}`);
    assert.ok(state.learned!.guestSeconds! >= BOOT_SECONDS && state.learned!.guestSeconds! < BOOT_SECONDS + 5, `${state.learned!.guestSeconds}`);
    assert.ok(state.learned!.memberSeconds === undefined || state.learned!.memberSeconds < 5);
  });

  it("are not waited for where nobody asked for it: nothing is asked, nothing marked, nothing limited", async () => {
    const spec = specOf(inputs(4, 2, { count: 8 }));
    const where = booting(spec);
    const { hypervisor, calls } = recording(where.hypervisor);
    const { state, summary } = await up(spec, { ...where, hypervisor });
    assert.deepEqual(calls.filter((call) => /askGuest|markConfiguring/.test(call)), []);
    assert.ok(summary.makespanSeconds < BOOT_SECONDS);
    assert.deepEqual([configuringIn(state), state.members[0]!.ipAddresses], [[], []]);
    assert.equal(state.learned?.guestSeconds, undefined);
  });

  it("are asked nothing by an up that changes nothing", async () => {
    const spec = waiting();
    const where = booting(spec);
    const { state } = await up(spec, where);
    const { hypervisor, calls } = recording(where.hypervisor);
    const again = await up(spec, { ...where, hypervisor }, state);
    assert.deepEqual(calls.filter((call) => call !== "lock" && call !== "observe"), []);
    assert.deepEqual(again.state.members, state.members);
  });

  for (const [clone, start] of [["full", "whenCopied"], ["linked", "whenCopied"], ["full", "immediately"], ["linked", "immediately"]]) {
    it(`boot at most maxConfiguring at once: ${clone}, ${start}`, async () => {
      const spec = waiting({ maxConfiguring: 3, count: 12, clone, start, policy: "relay" });
      const where = counting(booting(spec));
      await up(spec, where);
      assert.equal(where.most(), 3);
      await assertSettled(spec, where, 12);
      const all = counting(booting(waiting({ count: 12, clone, start, policy: "relay" })));
      await up(waiting({ count: 12, clone, start, policy: "relay" }), all);
      assert.ok(all.most() > 6, `a control without a limit: ${all.most()}`);
    });
  }

  it("keep the engine's promises while others are made", async () => {
    const spec = waiting({ count: 16, maxConfiguring: 4, clone: { mixed: { linkedShare: 0.5 } }, maxConcurrentOperations: 3 });
    const where = booting(spec);
    const { hypervisor, offences } = supervised(where.hypervisor, spec);
    await up(spec, { ...where, hypervisor });
    assert.deepEqual(offences, []);
    await assertSettled(spec, where, 16);
  });

  it("fail by name when they are not ready in time, hold up nobody, and are waited for alone by the next up", async () => {
    const spec = waiting();
    const where = booting(spec);
    where.hypervisor.guests.silent.add(3);
    const failure = await failureOf(up(spec, where));
    assert.match(failure.reasons.join("\n"), /^\w\d: w-003: wait for its guest: its guest's agent did not answer within 60 s \(waitForTimeoutSeconds\); the next `pulumi up` waits for it again$/);
    assert.equal(failure.state.members.length, 8);
    assert.deepEqual(configuringIn(failure.state), ["w-003"]);
    assert.equal(failure.state.members.filter((one) => one.ipAddresses.length > 0).length, 7);
    await assertSettled(spec, where, 8);
    where.hypervisor.guests.silent.clear();
    const { hypervisor, calls } = recording(where.hypervisor);
    const { state, plan } = await up(spec, { ...where, hypervisor }, failure.state);
    assert.deepEqual(plan.awaiting.map((one) => one.name), ["w-003"]);
    const at = state.members.find((one) => one.slot === 3)!.host;
    assert.deepEqual([...new Set(calls)].filter((call) => call !== "lock" && call !== "observe"), [`askGuest ${at}/3`, `markConfiguring ${at}/3`]);
    assert.deepEqual([configuringIn(state), state.members[3]!.ipAddresses], [[], ["10.99.0.3"]]);
  });

  it("are cloned, merged and started while one is waited for", async () => {
    const spec = waiting({ waitForTimeoutSeconds: 1000 });
    const where = booting(spec);
    where.hypervisor.guests.silent.add(0);
    let settledAt = 0;
    const timer = where.clock.at(500_000, () => {
      const bases = [...where.hypervisor.hosts.values()].flatMap((host) => [...host.bases.values()]);
      if (bases.length === 8 && bases.every((base) => base.state === "consolidated")) settledAt = 500;
    }, { daemon: true });
    await failureOf(up(spec, where));
    timer();
    assert.equal(settledAt, 500);
  });

  it("are told apart when their machines go off, and are started by the next up", async () => {
    const spec = waiting();
    const where = booting(spec);
    where.clock.at(10_000, () => { for (const host of where.hypervisor.hosts.values()) for (const member of host.members.values()) if (member.slot === 2) member.power = "stopped"; }, { daemon: true });
    const failure = await failureOf(up(spec, where));
    assert.match(failure.reasons.join(), /w-002: wait for its guest: its machine was switched off/);
    const { state } = await up(spec, where, failure.state);
    assert.deepEqual(configuringIn(state), []);
    await assertSettled(spec, where, 8);
  });

  it("that are found stopped are started and waited for, within the same limit", async () => {
    const spec = waiting({ maxConfiguring: 2 });
    const where = booting(spec);
    const { state } = await up(spec, where);
    for (const host of where.hypervisor.hosts.values()) for (const member of host.members.values()) member.power = "stopped";
    const counted = counting(where);
    const fromMs = where.clock.nowMs();
    const again = await up(spec, counted, state);
    assert.equal(counted.most(), 2);
    assert.ok(where.clock.nowMs() - fromMs >= 4 * BOOT_SECONDS * 1000);
    assert.deepEqual(configuringIn(again.state), []);
  });

  it("fail alone where their host does not let them be asked, and nothing else of it is given up", async () => {
    const spec = waiting({ waitForTimeoutSeconds: 3600, waitFor: "address" });
    const where = booting(spec);
    const mute = wrap(where.hypervisor, (method, order, _context, proceed) => (
      method === "askGuest" && order.host === "a1" ? Promise.reject(new HostUnreachableError("a1", "ask guest", "too many connections")) : proceed()
    ));
    const fromMs = where.clock.nowMs();
    const failure = await failureOf(up(spec, { hypervisor: mute as World["hypervisor"], clock: where.clock }));
    assert.match(failure.message, /^a1: w-000, w-004: wait for its guest: too many connections; the next `pulumi up` waits for it again$/);
    assert.ok(where.clock.nowMs() - fromMs < 120_000);
    await assertSettled(spec, where, 8);
  });

  it("are not waited for with powerOn false, and once it is true again they are", async () => {
    const off = waiting({ powerOn: false });
    const where = booting(off);
    const { state, summary } = await up(off, where);
    assert.ok(summary.makespanSeconds < BOOT_SECONDS);
    const on = waiting();
    const { state: after } = await up(on, where, state);
    assert.deepEqual(after.members.map((one) => one.ipAddresses), after.members.map(({ slot }) => [`10.99.0.${slot}`]));
  });

  for (const clone of ["full", "linked"]) {
    for (const start of ["whenCopied", "immediately"]) {
      for (const when of ["before", "after"] as const) {
        it(`are found and completed after a kill ${when} any call: ${clone}, ${start}`, async () => {
          const spec = waiting({ count: 4, clone, start, maxConfiguring: 2 }, 2);
          const clean = booting(spec);
          const counted = crashing(clean.hypervisor, Infinity, when, ["power", "startEarly", "reconfigure", "askGuest", "markConfiguring"]);
          await up(spec, { ...clean, hypervisor: counted.hypervisor });
          assert.ok(counted.calls() > 12, `${counted.calls()}`);
          for (let at = 1; at <= counted.calls(); at++) {
            const where = booting(spec);
            const { hypervisor } = crashing(where.hypervisor, at, when, ["power", "startEarly", "reconfigure", "askGuest", "markConfiguring"]);
            await up(spec, { ...where, hypervisor }).then(() => undefined, () => undefined);
            const before = (await reachable(spec, where)).flatMap((host) => host.members).filter((one) => one.configuring && one.power === "running").map((one) => one.name);
            const { state, plan } = await up(spec, where, undefined, { incarnation: "two" });
            assert.deepEqual(plan.awaiting.filter((one) => before.includes(one.name)).map((one) => one.name).sort(), before.sort());
            assert.deepEqual(configuringIn(state), []);
            await assertSettled(spec, where, 4);
            const found = (await look(spec, where)).hosts.flatMap((host) => (host.status === "reachable" ? host.members : []));
            assert.ok(found.every((one) => one.configuring === undefined && where.hypervisor.guests.isReady(state.members[one.slot]!.host, { ...one, fleetId: "fleetaaaaa" })));
          }
        }).timeout(60_000);
      }
    }
  }
});

describe("a refresh", () => {
  it("hears what addresses guests have by now, and keeps what is on record of those that say nothing", async () => {
    const spec = waiting();
    const where = booting(spec);
    const { state } = await up(spec, where);
    where.hypervisor.guests.moved.set(1, "10.98.7.6");
    where.hypervisor.guests.silent.add(2);
    const seen = await refreshFleet({ spec, fleetId: "fleetaaaaa", incarnation: "one", previous: state, hypervisor: where.hypervisor, clock: where.clock, holder: "test" });
    assert.deepEqual(seen!.members.slice(0, 3).map((one) => one.ipAddresses), [["10.99.0.0"], ["10.98.7.6"], ["10.99.0.2"]]);
    const again = await up(spec, where, seen!);
    assert.deepEqual(again.plan.reconfigure, []);
    assert.deepEqual(again.state.members, seen!.members);
  });

  it("never fails for a guest, nor waits longer than a look may take", async () => {
    const spec = waiting();
    const where = booting(spec);
    const { state } = await up(spec, where);
    const hanging = wrap(where.hypervisor, (method, order, _context, proceed) => (
      method !== "askGuest" ? proceed() : order.slot % 2 === 0 ? Promise.reject(new Error("no")) : where.clock.sleep(1e7)
    ));
    const fromMs = where.clock.nowMs();
    const seen = await refreshFleet({ spec, fleetId: "fleetaaaaa", incarnation: "one", previous: state, hypervisor: hanging, clock: where.clock, holder: "test" });
    assert.deepEqual(seen!.members, state.members);
    assert.ok(where.clock.nowMs() - fromMs <= spec.timeouts.connectMs + spec.timeouts.callMs);
  });
});

describe("a preview of a fleet whose guests are waited for", () => {
  const secondsOf = async (more: Record<string, unknown>, learned?: FleetState["learned"]) => {
    const { summary } = await previewFleet({ spec: waiting({ count: 40, ...more }), fleetId: "fleetaaaaa", incarnation: "one", previous: undefined, ...(learned && { learned }) });
    return summary.makespanSeconds;
  };

  it("reckons with their boots, and with how many may boot at once", async () => {
    const without = await secondsOf({ waitFor: "started", waitForTimeoutSeconds: undefined });
    assert.ok(Math.abs(await secondsOf({}) - without - 30) < 3, "30 s for all at once");
    assert.ok(await secondsOf({ maxConfiguring: 10 }) >= 4 * 30);
  });

  it("reckons with what the fleet's own runs taught", async () => {
    const learned = { runs: 1, networkFactor: 1, diskFactor: 1, finishSeconds: 0, memberSeconds: 0 };
    assert.ok(await secondsOf({ maxConfiguring: 1 }, { ...learned, guestSeconds: 5 }) < 40 * 5 + 20);
    assert.ok(await secondsOf({ maxConfiguring: 1 }, { ...learned, guestSeconds: 5 }) >= 40 * 5);
  });
});
