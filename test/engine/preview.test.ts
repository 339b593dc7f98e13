import assert from "node:assert/strict";
import { previewFleet } from "../../provider/engine";
import { createSimulated } from "../../provider/hypervisors/simulated";
import { policyNames } from "../../provider/scheduler";
import { inputs, look, specOf, up, world } from "./world";

const ask = { fleetId: "fleetaaaaa", incarnation: "one" };

describe("previewFleet", () => {
  for (const policy of policyNames) {
    it(`foretells exactly what a run by ${policy} does on the same hosts`, async () => {
      // 20 GB: copies take long enough to be looked at for stragglers, and there is none.
      const spec = specOf(inputs(6, 2, { count: 60, policy, imageBytes: 20e9 }));
      const { hypervisor, clock } = createSimulated({ spec });
      const preview = await previewFleet({ ...ask, spec, observation: await look(spec, { hypervisor }) });
      const run = await up(spec, { hypervisor, clock });
      assert.deepEqual(preview.clones, run.clones);
      const { predictedSeconds, ...summary } = run.summary;
      assert.deepEqual(preview.summary, summary);
      assert.equal(predictedSeconds, summary.makespanSeconds);
      assert.equal(run.state.timeline!.clones.length, 60);
      assert.deepEqual(preview.plan, run.plan);
    });
  }

  it("says in one line what will be and what it costs", async () => {
    const spec = specOf(inputs(4, 2, { count: 12, policy: "rounds" }));
    const { text, observed } = await previewFleet({ ...ask, spec });
    assert.equal(text, "+12 VMs on 4 hosts in 2 racks, 1 GB across racks, about 5 s, policy rounds");
    assert.equal(observed, false);
  });

  it("says that nothing changes", async () => {
    const spec = specOf(inputs(4, 2, { count: 12 }));
    const where = world(spec);
    const { state } = await up(spec, where);
    for (const observation of [undefined, await look(spec, where)]) {
      const { text, policy, clones } = await previewFleet({ ...ask, spec, previous: state, observation });
      assert.deepEqual([text, policy, clones], ["no change", "none", []]);
    }
  });

  it("plans growth from the recorded state when no host can be asked", async () => {
    const of = (count: number) => specOf(inputs(4, 2, { count, keepSeeds: "host" }));
    const where = world(of(4));
    const { state } = await up(of(4), where);
    const { plan, clones } = await previewFleet({ ...ask, spec: of(8), previous: state });
    assert.equal(plan.create.length, 4);
    assert.ok(clones.some((c) => c.source.startsWith("w-")), "seeds of the record are sources");
  });

  it("takes another policy or unit time when asked to", async () => {
    const spec = specOf(inputs(1, 1, { count: 7, policy: "singleSource" }));
    const { policy, summary } = await previewFleet({ ...ask, spec, policy: "rounds", time: "unit" });
    assert.deepEqual([policy, summary.makespanSeconds], ["rounds", 3]);
  });

  it("chooses the policy with the shortest makespan for auto", async () => {
    const spec = specOf(inputs(4, 2, { count: 16, policy: "auto" }));
    const all = await Promise.all(policyNames.map((policy) => previewFleet({ ...ask, spec, policy })));
    const auto = await previewFleet({ ...ask, spec });
    assert.equal(auto.summary.makespanSeconds, Math.min(...all.map((p) => p.summary.makespanSeconds)));
  });

  it("gives FIG. 3A: seven clones on one host in rounds of 1, 2 and 4", async () => {
    const spec = specOf(inputs(1, 1, { count: 7, policy: "rounds" }));
    const { clones } = await previewFleet({ ...ask, spec, time: "unit" });
    assert.deepEqual([0, 1, 2].map((round) => clones.filter((c) => c.startSeconds === round).length), [1, 2, 4]);
  });

  it("gives FIG. 3B: four hosts with targets 2, 3, 8 and 2, done after round 4", async () => {
    const from = inputs(4, 1, { policy: "rounds" });
    const names = ["312", "314", "316", "318"];
    const counts = [2, 3, 8, 2];
    const hosts = (from.hosts as object[]).map((host, i) => ({ ...host, name: names[i], count: counts[i] }));
    const spec = specOf({ ...from, hosts, template: { host: "312", pool: "default", volume: "golden.qcow2" } });
    const { clones, summary } = await previewFleet({ ...ask, spec, time: "unit" });
    const rounds = [0, 1, 2, 3].map((round) => (
      clones.filter((c) => c.startSeconds === round).map((c) => `${c.sourceHost}>${c.targetHost}`).sort()
    ));
    assert.deepEqual(rounds.slice(0, 3), [
      ["312>314"], ["312>316", "314>318"], ["312>312", "314>314", "316>316", "318>316"],
    ].map((round) => round.sort()));
    assert.equal(summary.makespanSeconds, 4);
  });

  it("plans 2000 members on 200 hosts while one waits", async () => {
    const spec = specOf(inputs(200, 10, { count: 2000, policy: "auto" }));
    const { plan, clones } = await previewFleet({ ...ask, spec });
    assert.deepEqual([plan.create.length, clones.length], [2000, 2000]);
  }).timeout(10_000);
});
