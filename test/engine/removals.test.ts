/** What a run takes away, and what it leaves where something went wrong. */
import assert from "node:assert/strict";
import { FleetRunError } from "../../provider/engine";
import type { FleetSpec, FleetState } from "../../provider/fleet";
import { HypervisorError, type DestroyOrder, type Hypervisor } from "../../provider/hypervisors/hypervisor";
import { inputs, reachable, specOf, up, world, type World } from "./world";
import { recording, wrap } from "./wrappers";

const failed = (run: Promise<unknown>): Promise<FleetRunError> => run.then(
  () => assert.fail("the run succeeded"),
  (error: unknown) => {
    assert.ok(error instanceof FleetRunError, String(error));
    return error;
  },
);

/** Calls of `method` on one host fail. */
const failing = (inner: Hypervisor, method: string, host: string): Hypervisor => wrap(inner, (called, order, _context, proceed) => (
  called === method && order.host === host ? Promise.reject(new HypervisorError(host, called, "no")) : proceed()
));

const perHost = (counts: number[], more: Record<string, unknown> = {}): FleetSpec => {
  const from = inputs(counts.length, 2, { retries: 0, ...more });
  return specOf({ ...from, hosts: (from["hosts"] as object[]).map((host, i) => ({ ...host, count: counts[i] })) });
};

const replicasOf = async (spec: FleetSpec, where: World): Promise<string[]> => (
  (await reachable(spec, where)).flatMap(({ name, replicas }) => replicas.map(({ contentId }) => `${name} ${contentId[0]!}`)).sort()
);

describe("a leftover", () => {
  /** A fleet, and on a2 what a run left that did not end. */
  async function withLeftover(): Promise<{ spec: FleetSpec; where: World; state: FleetState }> {
    const spec = perHost([1, 1, 0, 0]);
    const where = world(spec);
    const { state } = await up(spec, where);
    where.hypervisor.host("a2").leftovers.push({ fleetId: "fleetaaaaa", leftover: { kind: "volume", name: "w-old-base", bytes: 7 } });
    return { spec, where, state };
  }

  it("is removed before anything is made, and the run says so", async () => {
    const { where, state } = await withLeftover();
    const { hypervisor, calls } = recording(where.hypervisor);
    const told: string[] = [];
    await up(perHost([2, 2, 0, 0]), { ...where, hypervisor }, state, { onProgress: ({ phase, note }) => { if (note) told.push(`${phase}: ${note}`); } });
    assert.deepEqual(calls.slice(0, 3), ["lock", "observe", "destroy a2"]);
    assert.ok(calls.slice(3).some((call) => call.startsWith("clone")));
    assert.ok(told.includes("cleanup: removing 1 leftover"), told.join("\n"));
  });

  it("that cannot be removed is named", async () => {
    const { spec, where, state } = await withLeftover();
    const { reasons } = await failed(up(spec, { ...where, hypervisor: failing(where.hypervisor, "destroy", "a2") }, state));
    assert.deepEqual(reasons, ["a2: w-old-base: remove leftovers: no; the next `pulumi up` tries it again"]);
  });
});

describe("a member that goes", () => {
  it("is named where it cannot be removed, and nothing is made in its slot", async () => {
    const spec = perHost([1, 1, 1, 1], { onTemplateChange: "replace", allowRecreate: true });
    const where = world(spec);
    const { state } = await up(spec, where);
    where.hypervisor.rewriteTemplate("f".repeat(64));
    const { hypervisor, calls } = recording(failing(where.hypervisor, "destroy", "a2"));
    const told: string[] = [];
    const { reasons, state: after } = await failed(up(spec, { ...where, hypervisor }, state, {
      onProgress: ({ phase, note }) => { if (note) told.push(`${phase}: ${note}`); },
    }));
    assert.deepEqual(reasons, ["a2: w-002: destroy: no; the next `pulumi up` tries it again"]);
    assert.deepEqual(calls.filter((call) => call.startsWith("clone")).sort(), ["clone a1/0", "clone b1/1", "clone b2/3"]);
    assert.deepEqual(after.members.map(({ slot, generation, contentId }) => [slot, generation, contentId[0]]), [[0, 1, "f"], [1, 1, "f"], [2, 0, "0"], [3, 1, "f"]]);
    assert.equal(after.lastRun.destroyed, 3);
    assert.ok(told.includes("destroy: removing 4 members"), told.join("\n"));
  });

  it("is no failure of its own where the run was cancelled meanwhile", async () => {
    const spec = perHost([2, 2, 2, 2]);
    const where = world(spec);
    const { state } = await up(spec, where);
    const cancel = new AbortController();
    where.clock.at(where.clock.nowMs() + 100, () => cancel.abort(new Error("ctrl-c")));
    const { reasons } = await failed(up(perHost([1, 1, 1, 1], { allowRecreate: true }), where, state, { signal: cancel.signal }));
    assert.equal(reasons.length, 1);
    assert.match(reasons[0]!, /^cancelled: /);
  });
});

describe("an adopted member", () => {
  const spec = perHost([1, 1], { onTemplateChange: "replace", allowRecreate: true });

  it("is told by its generation, and named where it cannot be", async () => {
    const where = world(spec);
    const { state } = await up(spec, where);
    where.hypervisor.rewriteTemplate("f".repeat(64));
    await up(spec, where, state);
    const adopted: string[] = [];
    const hypervisor = wrap(failing(where.hypervisor, "adopt", "b1"), (method, order, _context, proceed) => {
      if (method === "adopt") adopted.push(`${order.host} ${order.name} ${order.generation}`);
      return proceed();
    });
    const { reasons } = await failed(up(spec, { ...where, hypervisor }, undefined, { incarnation: "two" }));
    assert.deepEqual(adopted.sort(), ["a1 w-000 1", "b1 w-001 1"]);
    assert.deepEqual(reasons, ["b1: w-001: adopt: no; the next `pulumi up` tries it again"]);
  });
});

describe("a replica that no member of the plan stands over", () => {
  const four = perHost([1, 1, 1, 1], { clone: "linked" });
  const shrunk = perHost([2, 0, 1, 1], { clone: "linked", allowRecreate: true });

  it("is removed at the end", async () => {
    const where = world(four);
    const { state } = await up(four, where);
    const { hypervisor, calls } = recording(where.hypervisor);
    await up(shrunk, { ...where, hypervisor }, state);
    assert.deepEqual(await replicasOf(four, where), ["a1 0", "a2 0", "b2 0"]);
    assert.equal(calls.filter((call) => call !== "observe").at(-1), "destroy b1");
  });

  it("stays where any member failed: the next run may want it", async () => {
    const where = world(four);
    const { state } = await up(four, where);
    await failed(up(shrunk, { ...where, hypervisor: failing(where.hypervisor, "reconfigure", "a1") }, state));
    assert.deepEqual(await replicasOf(four, where), ["a1 0", "a2 0", "b1 0", "b2 0"]);
  });

  it("is named where it cannot be removed", async () => {
    const where = world(four);
    const { state } = await up(four, where);
    const hypervisor = wrap(where.hypervisor, (method, order: DestroyOrder, _context, proceed) => (
      method === "destroy" && order.kind === "replica" ? Promise.reject(new HypervisorError(order.host, "destroy", "no")) : proceed()
    ));
    const { reasons } = await failed(up(shrunk, { ...where, hypervisor }, state));
    assert.deepEqual(reasons, ["b1: replica@b1: remove replica: no; the next `pulumi up` tries it again"]);
  });

  it("and is of another template stays on the hosts alone where something failed", async () => {
    const spec = perHost([1, 1, 1, 1], { clone: "linked", onTemplateChange: "replace", allowRecreate: true });
    const where = world(spec);
    const { state } = await up(spec, where);
    where.hypervisor.rewriteTemplate("f".repeat(64));
    await failed(up(spec, { ...where, hypervisor: failing(where.hypervisor, "reconfigure", "a2") }, state));
    assert.deepEqual(await replicasOf(spec, where), ["a1 f", "a2 0", "a2 f", "b1 f", "b2 f"]);
  });
});
