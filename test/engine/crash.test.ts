import assert from "node:assert/strict";
import fc from "fast-check";
import { assertSettled, down, inputs, look, reachable, specOf, up, world, type World } from "./world";
import type { FleetSpec } from "../../provider/fleet";
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

  for (const when of ["before", "after"] as const) {
    it(`gives kept disks again to their slots, each once, whichever of its calls a run died ${when}`, async () => {
      const of = (count: number, start: string, sizeBytes = 1 << 20) => specOf(inputs(2, 1, { count, start, policy: "relay", vm: { domainType: "qemu", disks: [{ label: "data", sizeBytes, onDelete: "keep" }] } }));
      const disksIn = async (where: World) => (await reachable(of(0, "whenCopied"), where)).flatMap(({ members, kept }) => [...members.flatMap(({ slot, disks }) => disks.map(({ name }) => `${slot} ${name}`)), ...kept.map(({ slot, name }) => `${slot} ${name}`)]).sort();
      for (const start of ["whenCopied", "immediately"]) {
        for (let at = 1, isOver = false; !isOver; at++) {
          const where = world(of(3, start));
          let { state } = await up(of(3, start), where);
          const made = await disksIn(where);
          assert.equal(made.length, 3);
          const crash = async (count: number) => {
            const { hypervisor, calls } = crashing(where.hypervisor, at, when);
            await attempt(up(of(count, start, 2 << 20), { ...where, hypervisor }, state));
            ({ state } = await up(of(count, start, 2 << 20), where, state));
            return calls();
          };
          const calls = [await crash(0), await crash(3)];
          assert.deepEqual(await disksIn(where), made, `call ${at}`);
          assert.ok((await reachable(of(3, start), where)).every(({ members, kept }) => kept.length === 0 && members.every(({ disks }) => disks[0]!.capacityBytes === 2 << 20)));
          isOver = calls.every((count) => count < at);
        }
      }
    }).timeout(60_000);
  }

  it("completes after any number of crashes in growth, shrink, moves and template uploads", async () => {
    await fc.assert(fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 3 }),
      fc.array(fc.record({ at: fc.integer({ min: 1, max: 60 }), when: fc.constantFrom("before" as const, "after" as const) }), { maxLength: 3 }),
      fc.constantFrom("full", "linked", { mixed: { linkedShare: 0.3 } }),
      fc.constantFrom("none", "rack", "host"),
      fc.boolean(),
      fc.constantFrom("whenCopied", "immediately"),
      async (counts, crashes, clone, keepSeeds, fromFile, start) => {
        const of = (count: number) => specOf(inputs(3, 2, {
          clone, keepSeeds, count, start, policy: "auto", allowRecreate: true, ...(fromFile && { template: { file: "./golden.qcow2" } }),
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
          assert.deepEqual([host.members, host.replicas, host.leftovers], [[], [], []]);
        }
      },
    ), { numRuns: 60 });
  }).timeout(60_000);
});

describe("a run after a crash among guests that start early", () => {
  const kinds: [what: string, more: Record<string, unknown>][] = [
    ["full", { clone: "full", policy: "relay" }], ["linked", { clone: "linked", policy: "rounds" }],
    ["mixed", { clone: { mixed: { linkedShare: 0.5 } }, policy: "singleSource" }],
  ];
  const early = ["startEarly", "settle"] as const;
  const dying = (spec: FleetSpec, where: World, at: number, when: "before" | "after", incarnation: string) => (
    attempt(up(spec, { ...where, hypervisor: crashing(where.hypervisor, at, when, early).hypervisor }, undefined, { incarnation }))
  );
  const membersOf = async (spec: FleetSpec, where: World) => (await reachable(spec, where)).flatMap((host) => (
    host.members.map(({ slot, generation }) => `${slot}.${generation} on ${host.name}`)
  ));
  /** What ran stays where and what it is, and the rest is made. */
  const completes = async (spec: FleetSpec, where: World) => {
    const before = await membersOf(spec, where);
    const { plan } = await up(spec, where, undefined, { incarnation: "last" });
    assert.deepEqual(plan.destroy, []);
    const after = await membersOf(spec, where);
    assert.deepEqual(before.filter((member) => !after.includes(member)), []);
    await assertSettled(spec, where, 6);
  };

  for (const [what, more] of kinds) {
    for (const when of ["before", "after"] as const) {
      it(`keeps the ${what} members there are and completes the rest, whichever early call it died ${when}`, async () => {
        const spec = specOf(inputs(3, 1, { countPerHost: 2, start: "immediately", ...more }));
        const clean = world(spec);
        const counted = crashing(clean.hypervisor, Infinity, when, early);
        await up(spec, { ...clean, hypervisor: counted.hypervisor });
        assert.ok(counted.calls() >= 6, `${counted.calls()} calls`);
        for (let at = 1; at <= counted.calls(); at++) {
          const where = world(spec);
          await dying(spec, where, at, when, "one");
          await completes(spec, where);
        }
      }).timeout(60_000);

      it(`keeps what a second run that died ${when} any of its early calls found of ${what} members begun by a first`, async () => {
        const spec = specOf(inputs(3, 1, { countPerHost: 2, start: "immediately", ...more }));
        const begun = async () => {
          const where = world(spec);
          await dying(spec, where, 1, "after", "one");
          return where;
        };
        const clean = await begun();
        const counted = crashing(clean.hypervisor, Infinity, when, early);
        await up(spec, { ...clean, hypervisor: counted.hypervisor }, undefined, { incarnation: "two" });
        assert.ok(counted.calls() > 1, `${counted.calls()} calls`);
        for (let at = 1; at <= counted.calls(); at++) {
          const where = await begun();
          await dying(spec, where, at, when, "two");
          await completes(spec, where);
        }
      }).timeout(60_000);
    }
  }
});
