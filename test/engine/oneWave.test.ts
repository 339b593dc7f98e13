import assert from "node:assert/strict";
import { executePlan, executeRemoval } from "../../provider/engine/steps/execute";
import type { FleetPlan } from "../../provider/fleet/model";
import { empty, plan as planOf, spec } from "../fleet/build";

describe("a plan that the engine cannot carry out whole", () => {
  const declared = spec({ count: 3 });
  const observed = empty(declared);
  /** A run that would touch anything would ask it for what it has not. */
  const context = { spec: declared } as never;
  const options = {} as never;
  const changed = (change: (plan: FleetPlan) => void): FleetPlan => {
    const plan = structuredClone(planOf(declared, observed));
    change(plan);
    return plan;
  };

  it("is refused before anything is touched: one of two waves", async () => {
    const second = changed(({ create }) => { create[2]!.wave = 1; });
    await assert.rejects(executePlan(context, second, observed, options), /a plan runs in one wave, this one has workers-002 in wave 1/);
    const removal = changed((plan) => { plan.destroy = [{ slot: 0, name: "workers-000", host: "a1", generation: 0, wave: 1, reason: "" }]; });
    await assert.rejects(executeRemoval(context, removal, observed), /one wave/);
  });

  it("is refused before anything is touched: one of two images", async () => {
    const copies = changed(({ create }) => { create[1]!.image = { contentId: "c2", disks: [{ bytes: 1 }] }; });
    const costs = {} as never;
    await assert.rejects(executePlan({ spec: declared, costs, abilities: {} } as never, copies, observed, options), /a plan copies one image at a time, this one c1 and c2/);
  });
});
