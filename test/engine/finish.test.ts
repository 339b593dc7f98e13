/** The last look of a run: what is removed then, and what is told of hosts that are silent. */
import assert from "node:assert/strict";
import { openSession, contextOf } from "../../provider/engine/run/session";
import { FleetRunError } from "../../provider/engine";
import { lookAgain } from "../../provider/engine/run/finish";
import type { Leftover, Observation, ReachableHost } from "../../provider/fleet";
import type { CallContext, DestroyOrder, Hypervisor, ObserveRequest } from "../../provider/hypervisors/hypervisor";
import { member, reachable, unreachable } from "../fleet/build";
import { inputs, request, specOf, up, world } from "./world";
import { wrap } from "./wrappers";

const spec = specOf(inputs(4, 2, { count: 4 }));
const CONTENT = "0".repeat(64);
const leftover = (name: string, more: Partial<Leftover> = {}): Leftover => ({ kind: "volume", name, bytes: 1, ...more });
const half = leftover("half", { slot: 8, generation: 0, resumable: { contentId: CONTENT } });

/** A look again at hosts that show `after`, with `before` seen before the run. */
function setUp(after: Observation["hosts"], { before = [], removes = () => Promise.resolve() }: { before?: ReachableHost[]; removes?: (name: string) => Promise<void> } = {}) {
  const where = world(spec);
  const cancel = new AbortController();
  const looks: { request: ObserveRequest; context: CallContext }[] = [];
  const removed: string[] = [];
  const signals: (AbortSignal | undefined)[] = [];
  const hypervisor: Hypervisor = wrap(where.hypervisor, (method, order: ObserveRequest & DestroyOrder, context, proceed) => {
    if (method === "observe") {
      looks.push({ request: order, context: context! });
      return Promise.resolve({ hosts: after } satisfies Observation);
    }
    if (method !== "destroy" || order.kind !== "leftover") return proceed();
    removed.push(`${order.host} ${order.leftover.name}`);
    signals.push(context?.signal);
    return removes(order.leftover.name);
  });
  const context = contextOf(request(spec, { ...where, hypervisor }), cancel.signal);
  return {
    context, cancel, looks, removed, signals,
    look: (tidy = true) => lookAgain(context, { hosts: before }, undefined, tidy),
  };
}

const leftoversOf = ({ hosts }: Observation): string[] => hosts.flatMap((host) => (host.status === "reachable" ? host.leftovers.map(({ name }) => `${host.name} ${name}`) : []));

describe("what is left over after a run", () => {
  it("is removed, and told no more, also what could be gone on with where nothing is to go on", async () => {
    const { look, removed, looks, signals } = setUp([reachable("a1", [], { leftovers: [leftover("one"), half] })]);
    assert.deepEqual(leftoversOf((await look()).observation), []);
    assert.deepEqual(removed, ["a1 one", "a1 half"]);
    assert.deepEqual([looks.length, looks[0]!.request.preflight, signals.every((signal) => signal === looks[0]!.context.signal)], [1, false, true]);
  });

  it("stays where the next run can go on with it: after a failure, or when it was cancelled", async () => {
    for (const happens of ["fails", "is cancelled"]) {
      const { look, removed, context, cancel, looks } = setUp([reachable("a1", [], { leftovers: [leftover("one"), half] })]);
      if (happens === "fails") context.failures.add({ host: "a1", step: "clone", error: new Error("no"), next: "clones it again" });
      else cancel.abort(new Error("ctrl-c"));
      assert.deepEqual([leftoversOf((await look()).observation), removed], [["a1 half"], ["a1 one"]]);
      assert.equal(looks[0]!.context.signal!.aborted, false, "looking is right though the run was cancelled");
    }
  });

  it("is told where it could not be removed", async () => {
    const { look } = setUp([reachable("a1", [], { leftovers: [leftover("one"), leftover("two")] })], {
      removes: (name) => (name === "one" ? Promise.reject(new Error("busy")) : Promise.resolve()),
    });
    assert.deepEqual(leftoversOf((await look()).observation), ["a1 one"]);
  });

  it("is nobody's to remove once the lock was lost", async () => {
    const { look, removed } = setUp([reachable("a1", [], { leftovers: [leftover("one")] }), unreachable("b1")], { before: [reachable("b1", [], { leftovers: [leftover("two")] })] });
    assert.deepEqual([leftoversOf((await look(false)).observation), removed], [["a1 one", "b1 two"], []]);
  });

  it("stays where it may be the disk of a member on another host that shares the store", async () => {
    const { look, removed } = setUp([reachable("a1", [], { leftovers: [leftover("theirs", { slot: 5, generation: 0 })] }), reachable("b1", [member(5)])]);
    assert.deepEqual([leftoversOf((await look()).observation), removed], [["a1 theirs"], []]);
  });

  it("stays where that host is silent by now", async () => {
    const { look, removed } = setUp([reachable("a1", [], { leftovers: [leftover("theirs", { slot: 5, generation: 0 })] }), unreachable("b1")], { before: [reachable("b1", [member(5)])] });
    assert.deepEqual([leftoversOf((await look()).observation), removed], [["a1 theirs"], []]);
  });

  it("is removed sixteen at a time", async () => {
    let [now, most] = [0, 0];
    const { look, removed } = setUp([reachable("a1", [], { leftovers: Array.from({ length: 40 }, (_, n) => leftover(`${n}`)) })], {
      removes: async () => {
        most = Math.max(most, ++now);
        await new Promise(setImmediate);
        now--;
      },
    });
    assert.deepEqual(leftoversOf((await look()).observation), []);
    assert.deepEqual([removed.length, most], [40, 16]);
  });
});

describe("a host that is silent after a run", () => {
  it("is told as it was seen before, untouched, and unsettled where it was worked on", async () => {
    const before = [reachable("b1", [member(1)], { leftovers: [leftover("two")] }), reachable("b2", [member(3)])];
    const { context, look, removed } = setUp([reachable("a1"), unreachable("b1"), unreachable("b2"), unreachable("a2")], { before });
    context.ledger.worked.add("b1").add("a1");
    const { observation, unsettled, failure } = await look();
    assert.deepEqual([observation.hosts, removed, [...unsettled], failure], [[reachable("a1"), ...before, unreachable("a2")], [], ["b1"], undefined]);
  });
});

describe("a run as it begins", () => {
  it("gives each host the time to connect and to answer, and up those that do not", async () => {
    const where = world(spec);
    where.hypervisor.takeDown("b2");
    const deadlines: number[] = [];
    const hypervisor = wrap(where.hypervisor, (method, order, _context, proceed) => {
      if (method === "observe") deadlines.push(order.deadlineMs as number);
      return proceed();
    });
    const session = await openSession(request(spec, { ...where, hypervisor }), true);
    assert.deepEqual(deadlines, [spec.timeouts.connectMs + spec.timeouts.callMs]);
    assert.deepEqual(spec.hosts.map(({ name }) => session.context.hostBook.failure(name)?.host), [undefined, undefined, undefined, "b2"]);
    await session.close();
  });

  it("touches nothing where its lock was lost before it looked", async () => {
    const where = world(spec);
    const called: string[] = [];
    const hypervisor = wrap(where.hypervisor, async (method, _order, _context, proceed) => {
      called.push(method);
      const result = await proceed();
      return method === "lock" ? { ...(result as object), lost: AbortSignal.abort(new Error("gone")) } : result;
    });
    const error = await up(spec, { ...where, hypervisor }).then(() => assert.fail("it ran"), (e: unknown) => e);
    assert.ok(error instanceof FleetRunError && error.reasons[0]!.startsWith("the fleet's lock was lost: "), String(error));
    assert.deepEqual(new Set(called), new Set(["lock", "observe"]));
  });

  it("may hold a lock that says nothing of single hosts", async () => {
    const where = world(spec);
    const hypervisor = wrap(where.hypervisor, async (method, _order, _context, proceed) => {
      const result = await proceed();
      return method === "lock" ? { ...(result as object), lockedHosts: undefined } : result;
    });
    assert.equal((await up(spec, { ...where, hypervisor })).state.members.length, 4);
  });
});
