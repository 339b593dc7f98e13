import assert from "node:assert/strict";
import { policyNames } from "../../provider/scheduler";
import { assertSettled, down, inputs, look, specOf, up, world } from "./world";

describe("applyFleet", () => {
  for (const policy of [...policyNames, "auto"]) {
    for (const clone of ["full", "linked", { mixed: { linkedShare: 0.5 } }]) {
      it(`makes 12, then 20, then 5, then none ${typeof clone === "string" ? clone : "mixed"} members by ${policy}`, async () => {
        const of = (count: number) => specOf(inputs(4, 2, { policy, clone, count }));
        const where = world(of(12));
        let state;
        for (const count of [12, 20, 5, 0]) {
          const result = await up(of(count), where, state);
          await assertSettled(of(count), where, count);
          assert.equal(result.state.members.length, count);
          state = result.state;
        }
        await down(of(0), where, state);
        for (const host of (await look(of(0), where)).hosts) {
          assert.ok(host.status === "reachable");
          assert.deepEqual([host.members, host.replicas, host.leftovers], [[], [], []]);
        }
      });
    }
  }
});
