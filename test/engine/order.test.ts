import assert from "node:assert/strict";
import type { Phase } from "../../provider/engine";
import { wrap, supervised } from "./wrappers";
import { assertSettled, inputs, specOf, up, world } from "./world";

describe("what is done to one member", () => {
  it("is done one thing after the other: its change, then the merge of its disks", async () => {
    const seeded = specOf(inputs(4, 2, { count: 8, keepSeeds: "host" }));
    const changed = specOf(inputs(4, 2, {
      count: 8, powerOn: false, vm: { numCpus: 2, memory: 512, networks: [{ network: "default" }], domainType: "qemu" },
    }));
    const where = world(seeded);
    const { state } = await up(seeded, where);
    const { hypervisor, offences } = supervised(where.hypervisor, changed);
    const { summary, plan } = await up(changed, { ...where, hypervisor }, state);
    assert.deepEqual([offences, summary.reconfigured, plan.consolidate.length], [[], 8, 4]);
    await assertSettled(changed, where, 8);
  });

  it("ends with the merge of a base that was found half merged", async () => {
    const seeded = specOf(inputs(2, 1, { count: 2, keepSeeds: "host", powerOn: false }));
    const running = specOf(inputs(2, 1, { count: 2 }));
    const where = world(seeded);
    const { state } = await up(seeded, where);
    const halfMerged = wrap(where.hypervisor, async (method, _order, _context, proceed) => {
      const result = await proceed() as { hosts: { members: { base: string }[] }[] };
      if (method === "observe") for (const host of result.hosts) for (const member of host.members) if (member.base === "frozen") member.base = "consolidating";
      return result;
    });
    const { hypervisor, offences } = supervised(halfMerged, running);
    await up(running, { ...where, hypervisor }, state);
    assert.deepEqual(offences, []);
    await assertSettled(running, where, 2);
  });
});

describe("merges", () => {
  it("keep no new member waiting", async () => {
    const seeded = specOf(inputs(4, 1, { count: 8, keepSeeds: "host", maxConcurrentOperations: 1 }));
    const grown = specOf(inputs(4, 1, { count: 16, maxConcurrentOperations: 1 }));
    const where = world(seeded, { costs: { consolidateSeconds: 100 } });
    const { state } = await up(seeded, where);
    const started: number[] = [];
    const begin = where.clock.nowMs();
    const timed = wrap(where.hypervisor, async (method, _order, _context, proceed) => {
      const result = await proceed();
      if (method === "power") started.push((where.clock.nowMs() - begin) / 1000);
      return result;
    });
    await up(grown, { ...where, hypervisor: timed }, state);
    assert.equal(started.length, 8);
    assert.ok(Math.max(...started) < 100, `the last one ran after ${Math.max(...started)} s`);
  });
});

describe("phases", () => {
  it("go from cloning to defining to consolidating, and never back", async () => {
    const spec = specOf(inputs(4, 2, { count: 8 }));
    const seen: Phase[] = [];
    await up(spec, world(spec), undefined, { onProgress: ({ phase }) => { if (seen.at(-1) !== phase) seen.push(phase); } });
    assert.deepEqual(seen, ["lock", "observe", "clone", "define", "consolidate", "done"]);
    const linked = specOf(inputs(4, 2, { count: 8, clone: "linked" }));
    seen.length = 0;
    await up(linked, world(linked), undefined, { onProgress: ({ phase }) => { if (seen.at(-1) !== phase) seen.push(phase); } });
    assert.deepEqual(seen, ["lock", "observe", "clone", "define", "done"]);
  });
});
