import assert from "node:assert/strict";
import { refreshFleet } from "../../provider/engine";
import { assertSettled, down, inputs, look, reachable, request, specOf, up, world } from "./world";
import { recording } from "./wrappers";

describe("a fleet's life", () => {
  it("grows from the template when no seeds were kept", async () => {
    const of = (count: number) => specOf(inputs(4, 2, { count }));
    const where = world(of(4));
    const { state } = await up(of(4), where);
    const { clones } = await up(of(8), where, state);
    assert.equal(clones[0]!.source, "template");
    await assertSettled(of(8), where, 8);
  });

  for (const [keepSeeds, seeds] of [["rack", 2], ["host", 4]] as const) {
    it(`keeps one frozen base a ${keepSeeds}, always the same, and grows from them`, async () => {
      const of = (count: number) => specOf(inputs(4, 2, { count, keepSeeds, policy: "earliestCompletion" }));
      const where = world(of(12));
      const first = await up(of(12), where);
      assert.equal(first.state.snapshots.length, seeds);
      const grown = await up(of(20), where, first.state);
      assert.deepEqual(grown.state.snapshots, first.state.snapshots);
      assert.ok(grown.clones.some((c) => first.state.members.some((m) => m.name === c.source)));
      await assertSettled(of(20), where, 20);
    });
  }

  it("merges the seeds once none are to be kept", async () => {
    const of = (keepSeeds: string) => specOf(inputs(4, 2, { count: 8, keepSeeds }));
    const where = world(of("host"));
    const { state } = await up(of("host"), where);
    await up(of("none"), where, state);
    await assertSettled(of("none"), where, 8);
  });

  it("uploads a local file once, and removes the upload with the fleet", async () => {
    const of = (count: number) => specOf(inputs(4, 2, { count, template: { file: "./golden.qcow2" } }));
    const where = world(of(4));
    const { hypervisor, calls } = recording(where.hypervisor);
    let { state, clones } = await up(of(4), { ...where, hypervisor });
    assert.deepEqual({ slot: clones[0]!.slot, source: clones[0]!.source }, { slot: "replica@a1", source: "template" });
    ({ state, clones } = await up(of(8), { ...where, hypervisor }, state));
    assert.equal(clones.filter((c) => c.sourceHost === "local").length, 0);
    assert.equal(calls.filter((call) => call === "clone a1").length, 1);
    await down(of(8), where, state);
    assert.deepEqual((await reachable(of(8), where)).flatMap((h) => h.replicas), []);
  });

  it("uploads to the next host when the first is full", async () => {
    const spec = specOf(inputs(4, 2, { count: 2, template: { file: "./golden.qcow2" } }));
    const where = world(spec, { faults: [{ kind: "cloneFails", targetHost: "a1", atFraction: 0, error: "noSpace" }] });
    const { clones } = await up(spec, where);
    assert.equal(clones[0]!.slot, "replica@b1");
  });

  it("sends each host of a linked fleet one image, however many members it has", async () => {
    const spec = specOf(inputs(4, 2, { clone: "linked", count: 40 }));
    const { clones, state } = await up(spec, world(spec));
    assert.deepEqual(clones.map((c) => c.slot).sort(), ["replica@a1", "replica@a2", "replica@b1", "replica@b2"]);
    assert.equal(state.members.length, 40);
  });

  it("repairs what was stopped or removed by hand, and nothing else", async () => {
    const spec = specOf(inputs(4, 2, { count: 8 }));
    const where = world(spec);
    const { state } = await up(spec, where);
    const fleet = { fleetId: "fleetaaaaa", incarnation: "one", namePrefix: "w" };
    const [stopped, gone] = state.members;
    await where.hypervisor.power({ fleet, ...stopped!, to: "stopped", shutdownMs: 0 });
    await where.hypervisor.destroy({ ...gone!, kind: "member", fleet, shutdownMs: 0 });
    const seen = await refreshFleet(request(spec, where, { previous: state }));
    assert.equal(seen!.members.find((m) => m.slot === stopped!.slot)!.state, "stopped");
    const { summary } = await up(spec, where, state);
    assert.deepEqual([summary.created, summary.reconfigured, summary.destroyed], [1, 1, 0]);
    await assertSettled(spec, where, 8);
  });

  it("changes hardware without cloning", async () => {
    const of = (memory: number) => specOf(inputs(2, 1, { count: 4, vm: { numCpus: 1, memory, networks: [{ network: "default" }], domainType: "qemu" } }));
    const where = world(of(256));
    const { state } = await up(of(256), where);
    const { clones, summary } = await up(of(512), where, state);
    assert.deepEqual([clones.length, summary.reconfigured], [0, 4]);
    assert.deepEqual((await reachable(of(512), where)).flatMap((h) => h.members.map((m) => m.memory)), [512, 512, 512, 512]);
  });

  it("finishes a merge that a crashed run left half done, without cloning", async () => {
    const spec = specOf(inputs(2, 1, { count: 4 }));
    const where = world(spec);
    const merge = where.hypervisor.consolidate.bind(where.hypervisor);
    const abort = new AbortController();
    where.hypervisor.consolidate = (order, context) => {
      const made = [...where.hypervisor.hosts.values()].reduce((sum, host) => sum + host.members.size, 0);
      if (made === 4) where.clock.at(where.clock.nowMs() + 500, () => abort.abort());
      return merge(order, context);
    };
    await up(spec, where, undefined, { signal: abort.signal }).catch(() => undefined);
    where.hypervisor.consolidate = merge;
    const before = (await reachable(spec, where)).flatMap((h) => h.members.map((m) => m.base));
    assert.ok(before.includes("consolidating"), before.join());
    const { clones } = await up(spec, where);
    assert.equal(clones.length, 0);
    await assertSettled(spec, where, 4);
  });

  it("adopts the members of another incarnation, whose delete then takes none of them", async () => {
    const spec = specOf(inputs(2, 1, { count: 4 }));
    const where = world(spec);
    const { state } = await up(spec, where);
    const adopted = await up(spec, where, undefined, { incarnation: "two" });
    assert.equal(adopted.plan.adopt.length, 4);
    await down(spec, where, state);
    await assertSettled(spec, where, 4);
  });

  it("empties a host that was taken out of the program", async () => {
    const four = specOf(inputs(4, 2, { countPerHost: 2 }));
    const from = inputs(4, 2, { countPerHost: 2 });
    const three = specOf({ ...from, hosts: (from.hosts as object[]).slice(0, 3) });
    const where = world(four);
    const { state } = await up(four, where);
    const { hypervisor, calls } = recording(where.hypervisor);
    const after = await up(three, { ...where, hypervisor }, state);
    assert.deepEqual(calls.slice(0, 2), ["lock", "observe"]);
    assert.deepEqual(after.state.hosts.map((h) => h.name), ["a1", "b1", "a2"]);
    await assertSettled(four, where, 6);
  });

  it("refreshes to nothing when nothing of the fleet exists", async () => {
    const spec = specOf(inputs(2, 1, { count: 2 }));
    assert.equal(await refreshFleet(request(spec, world(spec))), null);
  });

  it("tells the members of a host that does not answer as they were recorded", async () => {
    const spec = specOf(inputs(2, 1, { count: 4 }));
    const where = world(spec);
    const { state: made } = await up(spec, where);
    const state = (await refreshFleet(request(spec, where, { previous: made })))!; // hears their guests
    where.hypervisor.takeDown("a2");
    const seen = await refreshFleet(request(spec, where, { previous: state }));
    assert.deepEqual(seen!.members, state.members);
  });

  it("reports progress up to the last member and byte", async () => {
    const spec = specOf(inputs(4, 2, { count: 12 }));
    const events: { phase: string; membersDone: number; bytesDone: number; etaSeconds?: number; bytesPerSecond: number }[] = [];
    await up(spec, world(spec), undefined, { onProgress: (p) => events.push(p) });
    const { phase, membersDone, bytesDone } = events.at(-1)!;
    assert.deepEqual({ phase, membersDone, bytesDone }, { phase: "done", membersDone: 12, bytesDone: 12e9 });
    assert.ok(events.some((e) => e.bytesPerSecond > 0 && (e.etaSeconds ?? 0) > 0));
    events.forEach((e, i) => assert.ok(i === 0 || e.bytesDone >= events[i - 1]!.bytesDone));
  });

  it("leaves what it may not touch alone: another fleet's members and a foreign domain", async () => {
    const spec = specOf(inputs(2, 1, { count: 4 }));
    const where = world(spec, { foreignNames: { a1: ["w-other"] } });
    await up(spec, where, undefined, { fleetId: "otherfleet" }).catch(() => undefined);
    const other = await look(spec, where, "otherfleet");
    const { state } = await up(specOf(inputs(2, 1, { count: 4, namePrefix: "mine" })), where);
    await down(specOf(inputs(2, 1, { count: 4, namePrefix: "mine" })), where, state);
    assert.deepEqual(await look(spec, where, "otherfleet"), other);
  });
});
