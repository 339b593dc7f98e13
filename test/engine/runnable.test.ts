import assert from "node:assert/strict";
import { FleetRefusedError } from "../../provider/engine";
import { contextOf } from "../../provider/engine/run/session";
import { executePlan, executeRemoval } from "../../provider/engine/steps/execute";
import { planRemoval, reconcile, type FleetPlan } from "../../provider/fleet";
import { policies } from "../../provider/scheduler";
import { recording } from "./wrappers";
import { inputs, look, request, specOf, up, world } from "./world";

const OTHER = { contentId: "f".repeat(64), disks: [{ bytes: 1e9 }] };

describe("a plan that says more than the engine runs", () => {
  const spec = specOf(inputs(4, 2, { count: 4 }));

  /** Runs what `change` makes of the plan that removes, changes and makes members. */
  async function refused(change: (plan: FleetPlan) => void) {
    const inner = world(spec);
    const { state } = await up(spec, inner);
    const { hypervisor, calls } = recording(inner.hypervisor);
    const grown = specOf(inputs(4, 2, { hosts: (inputs(4, 2).hosts as unknown[]).slice(0, 3), count: 8, vm: { numCpus: 2, memory: 256 } }));
    const observation = await look(spec, inner);
    const plan = reconcile({ spec: grown, fleetId: "fleetaaaaa", incarnation: "one", observation, previous: state });
    for (const bucket of [plan.create, plan.destroy, plan.reconfigure]) assert.ok(bucket.length > 0);
    change(plan);
    const context = contextOf(request(grown, { ...inner, hypervisor }), new AbortController().signal);
    const running = executePlan(context, plan, observation, { time: "network", watch: true, choosePolicy: () => Promise.resolve({ policy: policies.rounds }) });
    const error = await running.then(() => assert.fail("it ran"), (e: unknown) => e);
    assert.ok(error instanceof FleetRefusedError, String(error));
    assert.deepEqual(calls, [], "nothing was touched");
    return error.problems;
  }

  for (const bucket of ["create", "destroy", "reconfigure"] as const) {
    it(`is refused with a second wave in ${bucket}`, async () => {
      assert.deepEqual(await refused((plan) => { plan[bucket][0]!.wave = 1; }), [{
        path: "", message: "expected a plan with one wave, got waves 0 and 1; this version runs no such plan, and nothing was touched",
      }]);
    });
  }

  it("is refused with copies of a second image, made anew or still arriving", async () => {
    const message = new RegExp(`^expected a plan with copies of one image, got copies of 0{64} and f{64}; this version runs no such plan`);
    for (const change of [
      (plan: FleetPlan) => { plan.create[1] = { ...plan.create[1]!, image: OTHER }; },
      (plan: FleetPlan) => { plan.complete.push({ ...plan.create[0]!, slot: 9, base: "arriving", image: OTHER }); },
    ]) {
      const problems = await refused(change);
      assert.equal(problems.length, 1);
      assert.match(problems[0]!.message, message);
    }
  });

  it("is refused as a whole, with all that is too much of it", async () => {
    const problems = await refused((plan) => { plan.create[0] = { ...plan.create[0]!, wave: 3, image: OTHER }; });
    assert.equal(problems.length, 2);
  });

  it("is refused where it removes the fleet, too", async () => {
    const inner = world(spec);
    const { state } = await up(spec, inner);
    const { hypervisor, calls } = recording(inner.hypervisor);
    const observation = await look(spec, inner);
    const plan = planRemoval({ spec, fleetId: "fleetaaaaa", incarnation: "one", observation, previous: state });
    plan.destroy[0]!.wave = 1;
    const context = contextOf(request(spec, { ...inner, hypervisor }), new AbortController().signal);
    await assert.rejects(executeRemoval(context, plan, observation), FleetRefusedError);
    assert.deepEqual(calls, []);
  });
});

describe("a plan whose members are made of what has arrived", () => {
  it("runs, of whatever content that is: nothing of it is copied", async () => {
    const spec = specOf(inputs(2, 1, { count: 2 }));
    const { hypervisor, clock } = world(spec);
    const observation = await look(spec, { hypervisor });
    const plan = reconcile({ spec, fleetId: "fleetaaaaa", incarnation: "one", observation });
    const [first, ...rest] = plan.create;
    const arrived: FleetPlan = { ...plan, create: rest, complete: [{ ...first!, base: "arrived", image: { ...OTHER, disks: [] } }] };
    const context = contextOf(request(spec, { hypervisor, clock }), new AbortController().signal);
    const { image, created } = await executePlan(context, arrived, observation, {
      time: "network", watch: false, choosePolicy: () => Promise.resolve({ policy: policies.rounds }),
    });
    assert.deepEqual([image, created], [first!.image, 1]);
  });
});
