import assert from "node:assert/strict";
import fc from "fast-check";
import { policyNames } from "../../provider/scheduler";
import { assertSettled, inputs, specOf, up, world } from "./world";
import { recording, supervised } from "./wrappers";

describe("a run keeps its promises", () => {
  it("does nothing where nothing is to be done", async () => {
    for (const clone of ["full", "linked"]) {
      for (const keepSeeds of ["none", "rack", "host"]) {
        const spec = specOf(inputs(4, 2, { clone, keepSeeds, count: 12 }));
        const where = world(spec);
        const { state } = await up(spec, where);
        const { hypervisor, calls } = recording(where.hypervisor);
        const again = await up(spec, { ...where, hypervisor }, state);
        assert.deepEqual(calls, ["lock", "observe"]);
        assert.deepEqual({ ...again.state, lastRun: state.lastRun }, state);
      }
    }
  });

  it("exceeds no cap, and merges no base that is read, whatever the fleet", async () => {
    await fc.assert(fc.asyncProperty(
      fc.record({
        hosts: fc.integer({ min: 1, max: 6 }), racks: fc.integer({ min: 1, max: 3 }),
        counts: fc.array(fc.integer({ min: 0, max: 15 }), { minLength: 1, maxLength: 3 }),
        policy: fc.constantFrom(...policyNames, "auto"), keepSeeds: fc.constantFrom("none", "rack", "host"),
        clone: fc.constantFrom("full", "linked", { mixed: { linkedShare: 0.5 } }),
        perHost: fc.integer({ min: 1, max: 4 }), clones: fc.integer({ min: 1, max: 6 }), operations: fc.integer({ min: 1, max: 5 }),
      }),
      async ({ hosts, racks, counts, perHost, clones, operations, ...rest }) => {
        const from = inputs(hosts, Math.min(racks, hosts), {
          ...rest, allowRecreate: true, maxConcurrentClones: clones, maxConcurrentOperations: operations,
        });
        const capped = (from.hosts as object[]).map((host) => ({ ...host, maxConcurrent: perHost }));
        const of = (count: number) => specOf({ ...from, hosts: capped, count });
        const where = world(of(0));
        let state;
        for (const count of counts) {
          const { hypervisor, offences } = supervised(where.hypervisor, of(count));
          state = (await up(of(count), { ...where, hypervisor }, state)).state;
          assert.deepEqual(offences, []);
          await assertSettled(of(count), where, count);
        }
      },
    ), { numRuns: 100 });
  }).timeout(60_000);

  it("starts members while others are still being copied", async () => {
    const spec = specOf(inputs(2, 1, { count: 8, policy: "rounds" }));
    const where = world(spec);
    const { hypervisor, calls } = recording(where.hypervisor);
    await up(spec, { ...where, hypervisor });
    const firstStart = calls.findIndex((call) => call.startsWith("power"));
    assert.ok(calls.slice(firstStart).some((call) => call.startsWith("clone")), calls.join("\n"));
  });

  it("merges bases of racks that are done while another rack still copies", async () => {
    const from = inputs(4, 2, { policy: "rounds" });
    const wanted = [1, 9, 1, 0]; // rack-a (a1, a2) is done long before rack-b (b1, b2)
    const hosts = (from.hosts as object[]).map((host, i) => ({ ...host, count: wanted[i] }));
    const spec = specOf({ ...from, hosts });
    const where = world(spec);
    const { hypervisor, calls } = recording(where.hypervisor);
    await up(spec, { ...where, hypervisor });
    const merge = calls.findIndex((call) => call.startsWith("consolidate a"));
    assert.ok(merge >= 0 && calls.slice(merge).some((call) => call.startsWith("clone b1")), calls.join("\n"));
  });
});
