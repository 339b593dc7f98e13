import assert from "node:assert/strict";
import fc from "fast-check";
import { FleetRefusedError, FleetRunError, previewFleet, type CloneTrace } from "../../provider/engine";
import type { FleetSpec, FleetState } from "../../provider/fleet";
import type { Fault } from "../../provider/hypervisors/simulated";
import { assertSettled, COSTS, inputs, lacking, specOf, up, world, type World } from "./world";
import { supervised } from "./wrappers";

const GIGABYTE = 1e9;
/** 10 GB images: 10 s a copy. */
const relayed = (hosts: number, racks: number, more: Record<string, unknown> = {}): FleetSpec =>
  specOf(inputs(hosts, racks, { policy: "relay", countPerHost: 1, imageBytes: 10 * GIGABYTE, ...more }));

/** Copies that came over each uplink: into a rack, and out of one. */
function crossings(spec: FleetSpec, clones: readonly CloneTrace[]): { in: Map<string, number>; out: Map<string, number> } {
  const rackOf = new Map(spec.hosts.map((host) => [host.name, host.rack]));
  const count = (key: "sourceHost" | "targetHost") => {
    const counts = new Map<string, number>();
    for (const clone of clones) {
      if (rackOf.get(clone.sourceHost) === rackOf.get(clone.targetHost)) continue;
      const rack = rackOf.get(clone[key])!;
      counts.set(rack, (counts.get(rack) ?? 0) + 1);
    }
    return counts;
  };
  return { in: count("targetHost"), out: count("sourceHost") };
}

const lastEnd = (clones: readonly CloneTrace[]): number => Math.max(...clones.map((clone) => clone.endSeconds));

/** Whom the image passes on its way to this host, the template's host first. */
function wayTo(clones: readonly CloneTrace[], host: string): string[] {
  const way = [host];
  for (let at = clones.find((c) => c.targetHost === host && c.sourceHost !== host); at; at = clones.find((c) => c.targetHost === at!.sourceHost && c.source !== "template" && c.slot === at!.source)) {
    way.unshift(at.sourceHost);
  }
  return way;
}

async function killed(spec: FleetSpec, where: World, faults: { host: string; atSeconds: number }) {
  const error = await up(spec, where).then(() => assert.fail("the run succeeded"), (e: unknown) => e as FleetRunError);
  assert.ok(error instanceof FleetRunError, String(error));
  assert.ok(error.reasons.every((reason) => reason.startsWith(`${faults.host}: `)), error.message);
  return error;
}

describe("relay", () => {
  it("gives seven hosts the image in the time of one, all hops starting at once", async () => {
    const spec = relayed(8, 2);
    const { clones } = await up(spec, world(spec));
    assert.equal(clones.length, 8);
    assert.ok(clones.every((clone) => clone.startSeconds === 0));
    assert.ok(lastEnd(clones) < 10.01, `${lastEnd(clones)} s`);
  });

  it("passes each uplink once in each direction", async () => {
    const spec = relayed(24, 4);
    const { clones } = await up(spec, world(spec));
    for (const counts of Object.values(crossings(spec, clones))) for (const [rack, count] of counts) assert.equal(count, 1, rack);
  });

  it("makes further members of a host from what has arrived where its disk is faster than its NIC", async () => {
    const inputsOf = inputs(4, 1, { policy: "relay", countPerHost: 4, imageBytes: 10 * GIGABYTE });
    const spec = specOf({ ...inputsOf, hosts: (inputsOf.hosts as object[]).map((host) => ({ ...host, nicBitsPerSecond: 1e9 })) });
    const { clones } = await up(spec, world(spec));
    // 80 s over the network, 10 s each on the disk.
    assert.ok(lastEnd(clones) < 85, `${lastEnd(clones)} s`);
    await assertSettled(spec, world(spec), 0);
  });

  it("hangs slow hosts where they hold up nobody", async () => {
    const inputsOf = inputs(8, 2, { policy: "relay", countPerHost: 1, imageBytes: 10 * GIGABYTE });
    const spec = specOf({
      ...inputsOf, hosts: (inputsOf.hosts as { name: string }[]).map((host) => ({ ...host, nicBitsPerSecond: host.name === "a3" ? 1e9 : 1e10 })),
    });
    const { clones } = await up(spec, world(spec));
    assert.deepEqual(clones.filter((clone) => clone.sourceHost === "a3"), []);
    const quick = clones.filter((clone) => !["a1", "a3"].includes(clone.targetHost) && !clones.some((c) => c.targetHost === "a3" && c.sourceHost === clone.targetHost));
    assert.ok(lastEnd(quick) < 15, `${lastEnd(quick)} s`);
  });

  it("lets the member of a relay go on although its reader is slow, even one with little to come", async () => {
    // 100 GB: the last tenth takes the slow host more than a minute, all others have theirs after 100 s.
    const inputsOf = inputs(5, 1, { policy: "relay", countPerHost: 1, imageBytes: 100 * GIGABYTE });
    const spec = specOf({
      ...inputsOf, hosts: (inputsOf.hosts as { name: string }[]).map((host) => ({ ...host, nicBitsPerSecond: host.name === "a3" ? 7.4e9 : 1e10 })),
    });
    const { clones } = await up(spec, world(spec));
    const last = lastEnd(clones);
    assert.ok(last > 107, `${last} s`);
    for (const clone of clones) if (!["a1", "a3"].includes(clone.targetHost)) assert.ok(clone.endSeconds < 102, `${clone.slot} on ${clone.targetHost}: ${clone.endSeconds} s`);
  });

  it("is refused where the hypervisor cannot, in apply and in preview", async () => {
    const spec = relayed(2, 1);
    const error = await up(spec, world(spec, { traits: lacking("relaying") })).then(() => undefined, (e: unknown) => e);
    assert.ok(error instanceof FleetRefusedError);
    assert.match(error.message, /^policy: expected auto, .*got "relay"; this hypervisor cannot/);
    const { plan } = await previewFleet({ spec, fleetId: "fleetaaaaa", incarnation: "one", traits: lacking("relaying") });
    assert.deepEqual(plan.problems.map((problem) => problem.path), ["policy"]);
  });
});

describe("relay on a bad day", () => {
  it("loses the middle relay half-way: those behind it go on where they were, almost nothing is sent again", async () => {
    const spec = relayed(9, 3);
    const plan = await up(spec, world(spec));
    const way = plan.clones.map((clone) => wayTo(plan.clones, clone.targetHost)).reduce((a, b) => (a.length >= b.length ? a : b));
    const middle = way[Math.floor(way.length / 2)]!;
    const where = world(spec, { faults: [{ kind: "hostDown", host: middle, atSeconds: 5 }] });
    const { state } = await killed(spec, where, { host: middle, atSeconds: 5 });
    assert.equal(state.members.length, 8);
    assert.ok(state.lastRun.bytesResent > 0 && state.lastRun.bytesResent < 0.05 * 10 * GIGABYTE, `${state.lastRun.bytesResent} bytes`);
    assert.ok(state.lastRun.makespanSeconds < 13, `${state.lastRun.makespanSeconds} s`);
    where.hypervisor.bringUp(middle);
    await up(spec, where, state);
    await assertSettled(spec, where, 9);
  });

  it("says whom a copy was fed by before", async () => {
    const spec = relayed(4, 1);
    const where = world(spec, { faults: [{ kind: "cloneFails", targetHost: "a3", atFraction: 0.5, error: "sourceLost" }] });
    const { clones, summary } = await up(spec, where);
    const hit = clones.find((clone) => clone.targetHost === "a3")!;
    assert.equal(hit.replaced?.length, 1);
    assert.equal(hit.replaced[0]!.untilSeconds, 5);
    assert.ok(summary.bytesResent > 0 && summary.bytesResent <= 2 ** 21);
    await assertSettled(spec, where, 4);
  });

  it("takes a slow relay out of the way of those behind it", async () => {
    const spec = relayed(6, 1);
    const { clones: before } = await up(spec, world(spec));
    const first = before.find((clone) => clone.source === "template" && clone.targetHost !== "a1")!.targetHost;
    const where = world(spec, { faults: [{ kind: "slowHost", host: first, factor: 0.05, fromSeconds: 2 }] });
    const { clones } = await up(spec, where);
    const others = clones.filter((clone) => clone.targetHost !== first && clone.sourceHost !== first);
    assert.equal(others.length, 5, "nobody reads from it at the end");
    assert.ok(lastEnd(others) < 30, `${lastEnd(others)} s; at its pace 162 s`);
  });

  it("leaves everything alone with stragglerFactor 0", async () => {
    const spec = relayed(4, 1, { stragglerFactor: 0 });
    const where = world(spec, { faults: [{ kind: "slowHost", host: "a2", factor: 0.2, fromSeconds: 2 }] });
    const { clones } = await up(spec, where);
    assert.ok(clones.every((clone) => clone.replaced === undefined));
  });

  it("ends, tells the truth and is completed by the first sound run, whatever breaks", async () => {
    const hosts = ["a1", "b1", "c1", "a2", "b2", "c2", "a3"];
    const seconds = fc.double({ min: 0, max: 3, noNaN: true });
    const fault: fc.Arbitrary<Fault> = fc.oneof(
      fc.record({ kind: fc.constant("hostDown" as const), host: fc.constantFrom(...hosts), atSeconds: seconds }),
      fc.record({ kind: fc.constant("slowHost" as const), host: fc.constantFrom(...hosts), factor: fc.double({ min: 0.01, max: 1, noNaN: true }), fromSeconds: seconds }),
      fc.record({
        kind: fc.constant("cloneFails" as const), targetHost: fc.constantFrom(...hosts), atFraction: fc.double({ min: 0, max: 1, noNaN: true }),
        error: fc.constantFrom("sourceLost" as const, "noSpace" as const, "hostUnreachable" as const), times: fc.integer({ min: 1, max: 6 }),
      }),
      fc.record({ kind: fc.constant("lockLost" as const), atSeconds: seconds }),
    );
    await fc.assert(fc.asyncProperty(
      fc.array(fault, { minLength: 1, maxLength: 5 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 8 }),
      fc.constantFrom(undefined, 3), fc.constantFrom("none", "rack", "host"), fc.constantFrom(0, 0.3, 2),
      async (faults, each, maxConcurrent, maxConcurrentClones, keepSeeds, refeedSeconds) => {
        const from = inputs(7, 3, { policy: "relay", countPerHost: each, keepSeeds, ...(maxConcurrentClones && { maxConcurrentClones }) });
        const spec = specOf({ ...from, hosts: (from.hosts as object[]).map((host) => ({ ...host, maxConcurrent })) });
        const where = world(spec, { faults, costs: { ...COSTS, refeedSeconds } });
        const { hypervisor, offences } = supervised(where.hypervisor, spec);
        let state: FleetState | undefined;
        for (let run = 0; run < 40; run++) {
          const error = await up(spec, { ...where, hypervisor }, state).then(() => undefined, (e: unknown) => e);
          assert.deepEqual(offences, []);
          for (const name of hosts) where.hypervisor.bringUp(name);
          if (!error) return assertSettled(spec, where, 7 * each);
          assert.ok(error instanceof FleetRunError || error instanceof FleetRefusedError, String(error));
          if (!(error instanceof FleetRunError)) continue;
          assert.ok(error.reasons.length > 0 && !error.message.includes("internal error"), error.message);
          state = error.state;
        }
        assert.fail("no run of forty succeeded");
      },
    ), {
      numRuns: 80,
      // A copy that is being given another source keeps its place at the one it leaves until that is done.
      examples: [[
        [{ kind: "slowHost", host: "a1", factor: 0.01, fromSeconds: 0 }, { kind: "cloneFails", targetHost: "a2", atFraction: 0, error: "sourceLost", times: 4 }],
        3, 2, 3, "none", 0,
      ]],
    });
  }).timeout(180_000);
});
