import assert from "node:assert/strict";
import fc from "fast-check";
import { assertSettled, down, inputs, look, specOf, up, world } from "./world";
import { crashing } from "./wrappers";

/** Runs to the crash; how the dying run reports it is nobody's business. */
const attempt = (run: Promise<unknown>) => run.then(() => undefined, () => undefined);

describe("a run after a crash", () => {
  for (const clone of ["full", "linked", { mixed: { linkedShare: 0.5 } }]) {
    for (const when of ["before", "after"] as const) {
      it(`completes a ${typeof clone === "string" ? clone : "mixed"} create that died ${when} any of its calls`, async () => {
        const spec = specOf(inputs(3, 2, { clone, count: 6, policy: "auto" }));
        const clean = world(spec);
        const counted = crashing(clean.hypervisor, Infinity, when);
        await up(spec, { ...clean, hypervisor: counted.hypervisor });
        assert.ok(counted.calls() > 10);
        for (let at = 1; at <= counted.calls(); at++) {
          const where = world(spec);
          await attempt(up(spec, { ...where, hypervisor: crashing(where.hypervisor, at, when).hypervisor }));
          await up(spec, where, undefined, { incarnation: "two" });
          await assertSettled(spec, where, 6);
        }
      }).timeout(60_000);
    }
  }

  it("completes after any number of crashes in growth, shrink, moves and template uploads", async () => {
    await fc.assert(fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 3 }),
      fc.array(fc.record({ at: fc.integer({ min: 1, max: 60 }), when: fc.constantFrom("before" as const, "after" as const) }), { maxLength: 3 }),
      fc.constantFrom("full", "linked", { mixed: { linkedShare: 0.3 } }),
      fc.constantFrom("none", "rack", "host"),
      fc.boolean(),
      async (counts, crashes, clone, keepSeeds, fromFile) => {
        const of = (count: number) => specOf(inputs(3, 2, {
          clone, keepSeeds, count, policy: "auto", allowRecreate: true, ...(fromFile && { template: { file: "./golden.qcow2" } }),
        }));
        const where = world(of(0));
        let state;
        for (const count of counts) {
          for (const { at, when } of crashes) {
            await attempt(up(of(count), { ...where, hypervisor: crashing(where.hypervisor, at, when).hypervisor }, state));
          }
          state = (await up(of(count), where, state)).state;
          await assertSettled(of(count), where, count);
        }
        for (const { at, when } of crashes) {
          await attempt(down(of(0), { ...where, hypervisor: crashing(where.hypervisor, at, when).hypervisor }, state));
        }
        await down(of(0), where, state);
        for (const host of (await look(of(0), where)).hosts) {
          assert.ok(host.status === "reachable");
          assert.deepEqual([host.members, host.replicas, host.partials], [[], [], []]);
        }
      },
    ), { numRuns: 60 });
  }).timeout(60_000);
});
