/** Two runs never hold one host's lock, whatever clocks, processes, wires and daemons do. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { BEAT_MS, SILENCE_MS, TERM_MS } from "../../../provider/hypervisors/libvirt/connection/lease";
import { random } from "../../random";
import { LeaseWorld, Run, type Disturbance, type Faults } from "./leaseWorld";

const SECONDS = 400;
/** More of them by hand: VMFLEET_LEASE_STORIES=5000. */
const STORIES = Number(process.env.VMFLEET_LEASE_STORIES ?? 300);

const disturbance: fc.Arbitrary<Disturbance> = fc.record({
  atMs: fc.integer({ min: 0, max: SECONDS * 1000 }),
  forMs: fc.oneof(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 10_000, max: 90_000 })),
  kind: fc.constantFrom("pause" as const, "pause" as const, "sleep" as const, "slow" as const, "slow" as const, "drop" as const, "crash" as const),
  run: fc.nat(3),
});
const story = fc.record({
  seed: fc.nat(),
  runs: fc.integer({ min: 2, max: 4 }),
  disturbances: fc.array(disturbance, { maxLength: 12 }),
});

async function play({ seed, runs, disturbances }: { seed: number; runs: number; disturbances: Disturbance[] }, faults: Faults = {}): Promise<LeaseWorld> {
  const world = new LeaseWorld(random(seed), faults);
  for (let i = 0; i < runs; i++) void new Run(world, `run${i}`).live();
  for (const each of disturbances) world.disturb(each);
  await world.play(SECONDS * 1000);
  return world;
}

describe("the lock of one host", function () {
  this.timeout(STORIES > 300 ? 0 : 120_000);
  const { now } = Date;
  // Wall clocks jump by years: nothing here may look at one.
  before(() => { Date.now = () => Math.random() * 1e13; });
  after(() => { Date.now = now; });

  it("is never held by two, in any interleaving of runs that stand still, sleep, are slow and lose their wires", async () => {
    let taken = 0;
    let acts = 0;
    let lost = 0;
    await fc.assert(fc.asyncProperty(story, async (told) => {
      const world = await play(told);
      taken += world.taken;
      acts += world.acts;
      lost += world.lost.length;
      assert.deepEqual(world.broken, []);
    }), { seed: 7, numRuns: STORIES });
    assert.ok(taken > 5 * STORIES && acts > 50 * STORIES && lost > STORIES / 2, `the stories hold something: ${taken} locks, ${acts} acts, ${lost} lost`);
  });

  it("would be held by two if holders went on in silence, or waiters removed whatever bears the name", async () => {
    for (const faults of [{ holdsForEver: true }, { removesByName: true }]) {
      const told = await fc.check(fc.asyncProperty(story, async (one) => { assert.deepEqual((await play(one, faults)).broken, []); }), { seed: 7, numRuns: 1000, endOnFailure: true });
      assert.ok(told.failed, `${JSON.stringify(faults)} shows`);
    }
  });

  it("is never taken from one that lives, and comes to everybody in turn", async () => {
    await fc.assert(fc.asyncProperty(fc.nat(), async (seed) => {
      const world = await play({ seed, runs: 3, disturbances: [] });
      assert.deepEqual(world.lost, []);
      assert.ok(world.taken > 6);
    }), { seed: 7, numRuns: 20 });
  });

  it("goes by figures that the documents tell", () => {
    assert.ok(SILENCE_MS * 2 === TERM_MS && TERM_MS >= 4 * BEAT_MS);
    const read = (file: string): string => readFileSync(join(__dirname, "../../..", file), "utf8").replace(/\s+/g, " ");
    assert.ok(read("README.md").includes(`taken away after ${TERM_MS / 1000} seconds without a sign of its holder`));
    assert.ok(read("docs/how-it-works.md").includes(`stopped beating for ${TERM_MS / 1000} seconds`));
  });
});
