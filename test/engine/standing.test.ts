/** What of the hosts' images a run counts and copies from. */
import assert from "node:assert/strict";
import { SourceBook } from "../../provider/engine/distribution/sourceBook";
import { contextOf } from "../../provider/engine/run/session";
import { BaseKeeper } from "../../provider/engine/steps/baseKeeper";
import { countStanding } from "../../provider/engine/steps/standing";
import type { FleetPlan, Observation, ObservedMember, ReachableHost } from "../../provider/fleet";
import { topologyOf } from "../../provider/scheduler";
import { disk, member, reachable } from "../fleet/build";
import { wrap } from "./wrappers";
import { IMAGE, inputs, request, specOf, world } from "./world";

const { contentId } = IMAGE;
const OTHER = "f".repeat(64);
const full = (slot: number, base: ObservedMember["base"], changes: Partial<ObservedMember> = {}) => member(slot, { base, contentId, ...changes });
const replica = (purpose: "replica" | "template", of = contentId) => ({ contentId: of, purpose, disk: disk("replica"), users: [] });

/** What one host stands for in the books: images made, sources, and bases merged at once. */
async function stood(
  { members = [], replicas = [] }: Partial<Pick<ReachableHost, "members" | "replicas">>,
  { destroy = [], removeReplicas = [], ...more }: { destroy?: unknown[]; removeReplicas?: unknown[]; [input: string]: unknown } = {},
) {
  const spec = specOf(inputs(2, 1, { count: 1, ...more }));
  const where = world(spec);
  const merged: string[] = [];
  const hypervisor = wrap(where.hypervisor, (_method, order) => { merged.push(order.name); return Promise.resolve(); });
  const context = contextOf(request(spec, { ...where, hypervisor }), new AbortController().signal);
  const book = new SourceBook(topologyOf(spec), IMAGE, 64);
  const keeper = new BaseKeeper(context, book);
  const observation: Observation = { hosts: [reachable("a1"), reachable("a2", members, { replicas })] };
  countStanding(context, { destroy, removeReplicas } as unknown as FleetPlan, observation, book, keeper);
  keeper.review();
  const sources = book.sources.map(({ label }) => label);
  await context.tasks.idle();
  assert.deepEqual([book.view.made[0], book.view.targets], [0, book.view.made]);
  return { made: book.view.made[1], sources, merged };
}

describe("an image counts as made on its host", () => {
  const cases: [what: string, host: Parameters<typeof stood>[0], made: number][] = [
    ["a frozen base", { members: [full(0, "frozen")] }, 1],
    ["a merged one", { members: [full(0, "consolidated")] }, 1],
    ["a replica, beside a base", { members: [full(0, "consolidated")], replicas: [replica("replica")] }, 2],
    ["but not one that still arrives", { members: [full(0, "arriving")] }, 0],
    ["nor another template's", { members: [full(0, "consolidated", { contentId: OTHER })], replicas: [replica("replica", OTHER)] }, 0],
    ["nor the upload of a template", { replicas: [replica("template")] }, 0],
    ["nor a linked member, which has none of its own", { members: [full(0, "replica", { kind: "linked" })] }, 0],
  ];
  for (const [what, host, made] of cases) it(what, async () => assert.equal((await stood(host)).made, made));

  it("nor that of a member that goes", async () => {
    const members = [full(0, "frozen"), full(1, "frozen")];
    const { made, sources } = await stood({ members }, { destroy: [{ host: "a2", slot: 0, generation: 0 }], keepSeeds: "host" });
    assert.deepEqual([made, sources], [1, ["workers-001"]]);
  });
});

describe("a replica", () => {
  it("is a source unless the plan removes just this one", async () => {
    const replicas = [replica("replica"), replica("template")];
    assert.deepEqual((await stood({ replicas })).sources, ["replica@a2", "template"]);
    const going = { host: "a2", contentId, purpose: "replica" };
    assert.deepEqual((await stood({ replicas }, { removeReplicas: [going] })).sources, ["template"]);
    for (const other of [{ ...going, host: "a1" }, { ...going, contentId: OTHER }]) {
      assert.deepEqual((await stood({ replicas }, { removeReplicas: [other] })).sources, ["replica@a2", "template"]);
    }
  });
});

describe("a base that was found frozen", () => {
  it("is a source of its own template, by slot: the first stays as the seed", async () => {
    const found = await stood({ members: [full(5, "frozen"), full(2, "frozen"), full(3, "frozen")] }, { keepSeeds: "host" });
    assert.deepEqual([found.sources, found.merged], [["workers-002"], ["workers-003", "workers-005"]]);
  });

  it("of another template is merged, and so is one half merged", async () => {
    const found = await stood({ members: [full(0, "frozen", { contentId: OTHER }), full(1, "consolidating"), full(2, "consolidated")] }, { keepSeeds: "host" });
    assert.deepEqual([found.sources, found.merged], [[], ["workers-000", "workers-001"]]);
  });
});
