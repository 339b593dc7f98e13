import assert from "node:assert/strict";
import {
  HostUnreachableError, HypervisorError, NoSpaceError, SourceLostError, TemplateChangedError,
} from "../../../provider/hypervisors/hypervisor";
import { createSimulated } from "../../../provider/hypervisors/simulated";
import { fleet, spec, world } from "./fixtures";

const reachable = (observation: Awaited<ReturnType<ReturnType<typeof world>["observe"]>>, name: string) => {
  const host = observation.hosts.find((h) => h.name === name)!;
  assert.equal(host.status, "reachable");
  return host as Extract<typeof host, { status: "reachable" }>;
};

describe("simulated hypervisor: time", () => {
  it("shares the template's disk between two copies", async () => {
    const { clone, template, base, seconds } = world();
    await Promise.all([clone(template, base("a2", 0)), clone(template, base("b1", 1))]);
    assert.equal(seconds(), 2);
  });

  it("takes one second a copy in unit time", async () => {
    const { clone, template, base, seconds } = world({ time: "unit", imageBytes: 1e15 });
    await Promise.all([clone(template, base("a2", 0)), clone(template, base("b1", 1))]);
    assert.equal(seconds(), 1);
  });

  it("adds the start-up of a copy and the costs of calls", async () => {
    const { clone, template, base, seconds, define } = world({ startupSeconds: 0.5, costs: { defineSeconds: 2 } });
    await clone(template, base("a2", 0));
    await define("a2", 0);
    assert.equal(seconds(), 3.5);
  });

  it("slows a slow host from its time on", async () => {
    const { clone, template, base, seconds } = world({ faults: [{ kind: "slowHost", host: "a1", factor: 0.1, fromSeconds: 0.5 }] });
    await clone(template, base("a2", 0));
    assert.equal(seconds(), 5.5);
  });

  it("holds thousands of copies", async function () {
    this.timeout(60_000);
    const big = spec();
    big.hosts = Array.from({ length: 1000 }, (_, i) => ({ ...big.hosts[0]!, name: `h${i}`, maxConcurrent: 8 }));
    big.template = { hypervisor: "libvirt", kind: "volume", host: "h0", pool: "default", volume: "golden.qcow2" };
    const { hypervisor, clock } = createSimulated({ spec: big });
    await Promise.all(big.hosts.flatMap(({ name: host }, i) => [0, 1, 2].map((n) => hypervisor.clone({
      fleet, image: { contentId: "0".repeat(64), disks: [{ bytes: big.imageBytes! }] },
      source: { kind: "template", host: i === 0 ? "h0" : null }, target: { kind: "base", host, slot: 3 * i + n, generation: 0, name: `w-${3 * i + n}` },
    }))));
    assert.equal(clock.nowMs(), 3000);
  });
});

describe("simulated hypervisor: bad days", () => {
  it("breaks a copy at the given part, leaving a leftover of that size, and goes on from it the next time", async () => {
    const { clone, template, base, observe, seconds } = world({
      faults: [{ kind: "cloneFails", targetHost: "a2", slot: 0, atFraction: 0.25, error: "sourceLost" }],
    });
    await assert.rejects(clone(template, base("a2", 0)), SourceLostError);
    assert.equal(seconds(), 0.25);
    assert.deepEqual(reachable(await observe(), "a2").leftovers.map((p) => [p.slot, p.bytes]), [[0, 2.5e8]]);
    assert.equal((await clone(template, base("a2", 0))).bytesMoved, 7.5e8);
    assert.equal(seconds(), 1);
  });

  it("loses a host with all it sends and receives, until it comes back", async () => {
    const { clone, template, base, observe, clock } = world({
      faults: [{ kind: "hostDown", host: "a1", atSeconds: 0.5, untilSeconds: 3 }],
    });
    const results = await Promise.allSettled([clone(template, base("a2", 0)), clone(template, base("a1", 1))]);
    assert.ok((results[0] as PromiseRejectedResult).reason instanceof SourceLostError);
    assert.ok((results[1] as PromiseRejectedResult).reason instanceof HostUnreachableError);
    const seen = await observe();
    assert.equal(seen.hosts[0]!.status, "unreachable");
    assert.equal(seen.templateProblem?.property, "host");
    await assert.rejects(clone(template, base("a2", 0)), SourceLostError);
    await clock.sleep(3000);
    await clone(template, base("a2", 0));
  });

  it("refuses a copy for which the pool has no room, and gives the room back when one is removed", async () => {
    const { clone, template, base, hypervisor, member } = world({ freeBytes: { a2: 1.5e9 } });
    await clone(template, base("a2", 0));
    await assert.rejects(clone(template, base("a2", 1)), NoSpaceError);
    await hypervisor.destroy({ kind: "member", ...member("a2", 0), shutdownMs: 0 });
    await clone(template, base("a2", 1));
  });

  it("fails copies from a template that changed", async () => {
    const { clone, template, base, clock } = world({ faults: [{ kind: "templateChanges", atSeconds: 1 }] });
    await clock.sleep(2000);
    await assert.rejects(clone(template, base("a2", 0)), TemplateChangedError);
  });

  it("tells the holder when the lock is lost", async () => {
    const { hypervisor, clock } = world({ faults: [{ kind: "lockLost", atSeconds: 1 }] });
    const lock = await hypervisor.lock({ fleetId: "f1", hosts: [], holder: "me", timeoutMs: 1 });
    await clock.sleep(2000);
    assert.equal(lock.lost.aborted, true);
  });

  it("breaks the copies of a base that is removed", async () => {
    const { clone, template, base, hypervisor, member } = world();
    await clone(template, base("a2", 0));
    const copying = clone(base("a2", 0), base("b1", 1));
    await hypervisor.destroy({ kind: "member", ...member("a2", 0), shutdownMs: 0 });
    await assert.rejects(copying, SourceLostError);
  });
});

describe("simulated hypervisor: what an engine must not do", () => {
  it("copies at no host more than maxConcurrent at once", async () => {
    const { clone, template, base } = world();
    const results = await Promise.allSettled([0, 1, 2].map((slot) => clone(template, base("a2", slot))));
    assert.deepEqual(results.map((r) => r.status), ["fulfilled", "fulfilled", "rejected"]);
    assert.match(String((results[2] as PromiseRejectedResult).reason), /a1: clone: more than 2 copies at once \(maxConcurrent\)/);
  });

  it("copies no base that a guest writes", async () => {
    const { clone, template, base, define, hypervisor, member } = world();
    await clone(template, base("a2", 0));
    await define("a2", 0);
    await hypervisor.power({ ...member("a2", 0), to: "running", shutdownMs: 0 });
    await assert.rejects(clone(base("a2", 0), base("b1", 1)), SourceLostError);
  });

  it("consolidates no base that still feeds clones", async () => {
    const { clone, template, base, define, hypervisor, member } = world();
    await clone(template, base("a2", 0));
    await hypervisor.snapshot({ fleet, host: "a2", slot: 0, generation: 0, contentId: "c1" });
    await define("a2", 0);
    const copying = clone(base("a2", 0), base("b1", 1));
    await assert.rejects(hypervisor.consolidate(member("a2", 0)), HypervisorError);
    await copying;
    await hypervisor.consolidate(member("a2", 0));
  });
});

describe("simulated hypervisor: seeded from an observation", () => {
  it("shows again what was observed", async () => {
    const { clone, template, base, define, hypervisor, observe } = world({ freeBytes: { a1: 1e10, a2: 1e10, b1: 1e10 } });
    await clone(template, base("a2", 0));
    await hypervisor.snapshot({ fleet, host: "a2", slot: 0, generation: 0, contentId: "c1" });
    await define("a2", 0);
    await clone(template, base("b1", 1));
    hypervisor.takeDown("a1");
    const observation = await observe();
    const again = createSimulated({ spec: spec(), observation, fleetId: "f1" });
    assert.deepEqual(await again.hypervisor.observe({
      fleetId: "f1", namePrefix: "w", hosts: spec().hosts, spec: spec(), deadlineMs: 1, preflight: true,
    }), observation);
  });

  it("asks whose members it is given", async () => {
    const observation = await world().observe();
    assert.throws(() => createSimulated({ spec: spec(), observation }), /Expected `fleetId`/);
  });
});
