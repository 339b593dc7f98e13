/** Plans that do several things at once: what is for one is not done to another. */
import assert from "node:assert/strict";
import { FleetRunError } from "../../provider/engine";
import { SourceBook } from "../../provider/engine/distribution/sourceBook";
import { contextOf } from "../../provider/engine/run/session";
import { BaseKeeper } from "../../provider/engine/steps/baseKeeper";
import { HypervisorError } from "../../provider/hypervisors/hypervisor";
import { createSimulated } from "../../provider/hypervisors/simulated";
import { topologyOf } from "../../provider/scheduler";
import { carryOut, planFor } from "./carryOut";
import { COSTS, IMAGE, inputs, lacking, reachable, request, specOf, up, world } from "./world";
import { recording, wrap } from "./wrappers";

describe("a member whose image has arrived, beside one that is made anew", () => {
  for (const clone of ["full", "linked"]) {
    it(`is copied nothing: its guest may write there already (${clone})`, async () => {
      const of = (counts: number[]) => {
        const from = inputs(2, 1, { clone });
        return specOf({ ...from, hosts: (from["hosts"] as object[]).map((host, i) => ({ ...host, count: counts[i] })) });
      };
      const first = world(of([0, 1]));
      await up(of([0, 1]), first);
      const { observation } = await planFor(of([0, 1]), first);
      for (const host of observation.hosts) {
        if (host.status === "reachable") for (const m of host.members) Object.assign(m, { base: "arrived", power: "paused" });
      }
      const where = createSimulated({ spec: of([1, 1]), observation, fleetId: "fleetaaaaa", options: { costs: COSTS } });
      const { hypervisor, calls } = recording(where.hypervisor);
      const found = await planFor(of([1, 1]), where);
      const { context } = await carryOut(of([1, 1]), { ...where, hypervisor }, found);
      assert.deepEqual([found.plan.complete.length, found.plan.create.length, context.failures.all], [1, 1, []]);
      assert.deepEqual(calls.filter((call) => call.startsWith("clone")), [clone === "full" ? "clone a1/1" : "clone a1"]);
      assert.deepEqual(calls.filter((call) => call.startsWith("settle")), ["settle a2/0"]);
    });
  }
});

describe("a host that has the upload of a template file", () => {
  it("gets a replica of its own for its linked members", async () => {
    const spec = specOf(inputs(2, 1, { clone: "linked", count: 4, template: { file: "./golden.qcow2" } }));
    const where = world(spec);
    await up(specOf(inputs(2, 1, { clone: "linked", count: 0, template: { file: "./golden.qcow2" } })), where);
    await up(spec, where);
    const replicas = (await reachable(spec, where)).map((host) => `${host.name} ${host.replicas.map(({ purpose }) => purpose).sort().join(" ")}`);
    assert.deepEqual(replicas, ["a1 replica template", "a2 replica"]);
  });

  it("and was uploaded before, too", async () => {
    const of = (counts: number[]) => {
      const from = inputs(2, 1, { clone: "linked", template: { file: "./golden.qcow2" } });
      return specOf({ ...from, hosts: (from["hosts"] as object[]).map((host, i) => ({ ...host, count: counts[i] })) });
    };
    const where = world(of([0, 1]));
    const { state } = await up(of([0, 1]), where);
    const { clones } = await up(of([1, 1]), where, state);
    assert.deepEqual(clones.map(({ slot }) => slot), ["replica@a1"]);
  });
});

describe("replicas of another template", () => {
  it("stay on each host where something failed, whatever failed elsewhere", async () => {
    const spec = specOf(inputs(4, 2, { clone: "linked", countPerHost: 1, onTemplateChange: "replace", allowRecreate: true, retries: 0 }));
    const where = world(spec);
    const { state } = await up(spec, where);
    where.hypervisor.rewriteTemplate("f".repeat(64));
    const hypervisor = wrap(where.hypervisor, (method, order, _context, proceed) => (
      method === "reconfigure" && ["a2", "b2"].includes(order.host as string) ? Promise.reject(new HypervisorError(order.host, method, "no")) : proceed()
    ));
    await assert.rejects(up(spec, { ...where, hypervisor }, state), FleetRunError);
    const old = (await reachable(spec, where)).filter(({ replicas }) => replicas.some(({ contentId }) => contentId.startsWith("0"))).map(({ name }) => name);
    assert.deepEqual(old.sort(), ["a2", "b2"]);
  });
});

describe("a fault of the engine's own, beside another failure", () => {
  it("is told as well", async () => {
    const spec = specOf(inputs(2, 1, { count: 2, retries: 0 }));
    const where = world(spec);
    where.hypervisor.host("a2").leftovers.push({ fleetId: "fleetaaaaa", leftover: { kind: "volume", name: "w-old", bytes: 1 } });
    const hypervisor = wrap(where.hypervisor, (method, order, _context, proceed) => (
      method === "destroy" ? Promise.reject(new HypervisorError(order.host, method, "no")) : proceed()
    ));
    const { context } = await carryOut(spec, { ...where, hypervisor }, await planFor(spec, where), { choosePolicy: () => Promise.reject(new Error("oops")) });
    assert.deepEqual(context.failures.all.map(({ step }) => step), ["remove leftovers", "internal error"]);
  });
});

describe("a base in a rack that is served", () => {
  it("is merged while copies of another rack are under way and still to start, though it is the last one", async () => {
    const spec = specOf(inputs(4, 2, { count: 1 }));
    const where = world(spec);
    const merged: string[] = [];
    const hypervisor = wrap(where.hypervisor, (_method, order) => { merged.push(order.name as string); return Promise.resolve(); });
    const context = contextOf(request(spec, { ...where, hypervisor }), new AbortController().signal);
    const book = new SourceBook(topologyOf(spec), IMAGE, 8);
    const keeper = new BaseKeeper(context, book);
    const template = book.add({ host: 1, hostName: "b1", kind: "template", ref: { kind: "template", host: "b1" }, label: "template" });
    const source = book.add({ host: 0, hostName: "a1", kind: "base", ref: { kind: "base", host: "a1", slot: 0, generation: 0 }, label: "base" });
    keeper.add({ slot: 0, name: "base", host: "a1", rack: "rack-a", generation: 0, source, seed: false });
    book.want(3, 1);
    book.want(3, 1);
    book.begin(template, { targetHost: 3 }, 0, { ref: { kind: "base", host: "b2", slot: 1, generation: 0 }, label: "copy", kind: "base" });
    keeper.review();
    await context.tasks.idle();
    assert.deepEqual(merged, ["base"]);
  });
});

describe("a hypervisor whose copies cannot be read from while they arrive", () => {
  it("gets no policy for which they would have to be, whatever is the quickest", async () => {
    const spec = specOf(inputs(8, 2, { countPerHost: 1, policy: "auto" }));
    const [without, plain] = [world(spec, { traits: lacking("relaying") }), world(spec)];
    const { summary, clones } = await up(spec, without);
    assert.deepEqual([summary.policy === "relay", clones.length, (await up(spec, plain)).summary.policy], [false, 8, "relay"]);
  });
});

describe("a member that is adopted and changed", () => {
  it("counts once, and as done when it is changed", async () => {
    const spec = specOf(inputs(2, 1, { count: 4 }));
    const where = world(spec);
    await up(spec, where);
    const counts: string[] = [];
    await up({ ...spec, powerOn: false }, where, undefined, { incarnation: "two", onProgress: ({ phase, membersDone, membersTotal }) => { if (phase === "define") counts.push(`${membersDone}/${membersTotal}`); } });
    assert.deepEqual([counts[0], counts.at(-1)], ["0/4", "4/4"]);
  });
});

describe("a run that copies nothing", () => {
  it("is recorded as the last one where it made as many as it removed", async () => {
    const of = (counts: number[]) => {
      const from = inputs(2, 1, { clone: "linked", allowRecreate: true });
      return specOf({ ...from, hosts: (from["hosts"] as object[]).map((host, i) => ({ ...host, count: counts[i] })) });
    };
    const where = world(of([2, 1]));
    const { state } = await up(of([2, 1]), where);
    const { state: { lastRun } } = await up(of([1, 2]), where, state);
    assert.deepEqual([lastRun.policy, lastRun.created, lastRun.destroyed], ["none", 1, 1]);
  });

  it("is recorded where it changed as many as it made", async () => {
    const of = (count: number) => specOf(inputs(1, 1, { clone: "linked", count }));
    const where = world(of(2));
    const { state } = await up(of(2), where);
    await where.hypervisor.power({ fleet: { fleetId: "fleetaaaaa", incarnation: "one", namePrefix: "w" }, ...state.members[0]!, to: "stopped", shutdownMs: 0 });
    const { state: { lastRun } } = await up(of(3), where, state);
    assert.deepEqual([lastRun.policy, lastRun.created, lastRun.reconfigured], ["none", 1, 1]);
  });

  it("is recorded where it tried to, and nothing came of it", async () => {
    const of = (count: number) => specOf(inputs(2, 1, { count, retries: 0 }));
    const where = world(of(1));
    const { state } = await up(of(1), where);
    const hypervisor = wrap(where.hypervisor, (method, order, _context, proceed) => (
      method === "clone" ? Promise.reject(new HypervisorError(order.target.host, method, "no")) : proceed()
    ));
    const error = await up(of(2), { ...where, hypervisor }, state).then(() => assert.fail("nothing can be copied"), (e: unknown) => e);
    assert.ok(error instanceof FleetRunError);
    assert.deepEqual([error.state.lastRun.policy, error.state.lastRun.created, error.state.lastRun.bytesMoved], ["rounds", 0, 0]);
  });
});
