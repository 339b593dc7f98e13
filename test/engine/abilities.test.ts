import assert from "node:assert/strict";
import { FleetRefusedError, previewFleet } from "../../provider/engine";
import { inputs, lacking, specOf, up, world } from "./world";

describe("what a hypervisor cannot do", () => {
  const cases: [what: string, more: Record<string, unknown>, path: string | undefined][] = [
    ["linked clones", { clone: "linked" }, "clone"],
    ["linked clones among others", { clone: { mixed: { linkedShare: 0.5 } } }, "clone.mixed.linkedShare"],
    ["no linked clones at all", { clone: { mixed: { linkedShare: 0 } } }, undefined],
    ["full clones", { clone: "full" }, undefined],
  ];
  for (const [what, more, path] of cases) {
    it(`is refused by property path before anything is touched, in a preview too: ${what}`, async () => {
      const spec = specOf(inputs(2, 1, { count: 2, ...more }));
      const { plan } = await previewFleet({ spec, fleetId: "fleetaaaaa", incarnation: "one", traits: lacking("linksClones") });
      assert.deepEqual(plan.problems.map((one) => one.path), path === undefined ? [] : [path]);
      const run = up(spec, world(spec, { traits: lacking("linksClones") }));
      if (path === undefined) await run;
      else await assert.rejects(run, (error) => error instanceof FleetRefusedError && error.problems[0]?.path === path);
    });
  }
});
