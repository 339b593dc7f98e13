/** Members that start before their disk is there, run by the engine on the simulator. */
import assert from "node:assert/strict";
import { FleetRunError, previewFleet } from "../../provider/engine";
import { createSimulated } from "../../provider/hypervisors/simulated";
import { assertSettled, COSTS, down, inputs, lacking, look, reachable, specOf, up, world } from "./world";

const spec = (more: Record<string, unknown> = {}) => specOf(inputs(3, 1, { countPerHost: 2, start: "immediately", ...more }));

describe("a fleet that starts immediately", () => {
  for (const clone of ["full", "linked"]) {
    it(`has its ${clone} members running before the last copy ends, and the same disks in the end`, async () => {
      const declared = spec({ clone, policy: "singleSource" });
      const where = world(declared);
      const seen: { seconds: number; base: string }[] = [];
      where.clock.at(2500, () => {
        void look(declared, where).then(({ hosts }) => {
          for (const host of hosts) if (host.status === "reachable") for (const m of host.members) seen.push({ seconds: where.clock.nowMs() / 1000, base: m.base });
        });
      });
      await up(declared, where);
      assert.ok(seen.some(({ base }) => base === "arriving"), JSON.stringify(seen));
      await assertSettled(declared, where, 6);
    });
  }

  it("does as ever where the hypervisor cannot", async () => {
    const declared = spec();
    const where = world(declared, { traits: lacking("startsEarly") });
    await up(declared, where);
    await assertSettled(declared, where, 6);
  });

  it("does not start what is to be stopped", async () => {
    const declared = spec({ powerOn: false });
    const where = world(declared);
    await up(declared, where);
    await assertSettled(declared, where, 6);
  });

  it("tries a copy that failed again, and its member goes on", async () => {
    const declared = spec();
    const where = world(declared, { faults: [{ kind: "cloneFails", targetHost: "a2", error: "sourceLost", atFraction: 0.5, times: 1 }] });
    await up(declared, where);
    await assertSettled(declared, where, 6);
  });

  for (const clone of ["full", "linked"]) {
    it(`completes what a cancelled run left running without its disk (${clone})`, async () => {
      const declared = spec({ clone, policy: "singleSource" });
      const where = world(declared);
      const abort = new AbortController();
      where.clock.at(800, () => abort.abort(new Error("enough")));
      let failed: FleetRunError | undefined;
      await up(declared, where, undefined, { signal: abort.signal }).catch((error: FleetRunError) => { failed = error; });
      assert.ok(failed instanceof FleetRunError);
      const left = (await reachable(declared, where)).flatMap((host) => host.members).filter((m) => m.base === "arriving");
      assert.ok(left.length > 0, "something is left");
      assert.ok(failed.state.members.some((m) => m.base === "arriving"));
      // A later run declares nothing of the kind any more: what runs without its disk is completed all the same.
      const { plan } = await up(spec({ clone, policy: "singleSource", start: "whenCopied" }), where, failed.state);
      assert.equal(plan.complete.length, left.length);
      assert.deepEqual(plan.reconfigure, []);
      await assertSettled(declared, where, 6);
      const again = await up(declared, where, failed.state);
      assert.deepEqual([again.plan.create, again.plan.complete], [[], []]);
    });
  }

  it("settles, without a copy, one whose image is whole", async () => {
    const declared = spec();
    const where = world(declared);
    const made = await up(declared, where);
    const observation = await look(declared, where);
    for (const host of observation.hosts) {
      if (host.status === "reachable") for (const m of host.members) Object.assign(m, { base: "arrived", power: "paused" });
    }
    const later = createSimulated({ spec: declared, observation, fleetId: "fleetaaaaa", options: { costs: COSTS } });
    const { plan, clones } = await up(declared, later, made.state);
    assert.equal(plan.complete.length, 6);
    assert.deepEqual(clones, []);
    await assertSettled(declared, later, 6);
  });

  it("says in the preview that guests do not wait for their disks", async () => {
    const text = async (more: Record<string, unknown>) => (await previewFleet({ spec: spec(more), fleetId: "fleetaaaaa", incarnation: "one" })).text;
    assert.match(await text({}), /guests start before their disks are there$/);
    assert.doesNotMatch(await text({ powerOn: false }), /before their disks/);
    assert.doesNotMatch(await text({ start: "whenCopied" }), /before their disks/);
  });

  it("says so when the template changed and what is missing cannot be had any more", async () => {
    const declared = spec();
    const where = world(declared);
    const made = await up(declared, where);
    const observation = await look(declared, where);
    for (const host of observation.hosts) {
      if (host.status === "reachable") for (const m of host.members) Object.assign(m, { base: "arriving", power: "paused", contentId: "f".repeat(64) });
    }
    const later = createSimulated({ spec: declared, observation, fleetId: "fleetaaaaa", options: { costs: COSTS } });
    const { plan } = await up(declared, later, made.state);
    assert.deepEqual(plan.complete, []);
    assert.ok(plan.warnings.some((w) => w.includes("cannot be fetched any more")));
    const { plan: anew } = await up({ ...declared, onTemplateChange: "replace" }, later, made.state);
    assert.equal(anew.destroy.length, 6);
    await assertSettled(declared, later, 6);
    await down(declared, later, made.state);
  });
});
