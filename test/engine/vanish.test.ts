import assert from "node:assert/strict";
import { FleetRefusedError, FleetRunError, refreshFleet } from "../../provider/engine";
import type { Hypervisor } from "../../provider/hypervisors/hypervisor";
import { assertSettled, down, inputs, look, request, specOf, up, world, type World } from "./world";
import { wrap } from "./wrappers";

async function failed(run: Promise<unknown>): Promise<FleetRunError> {
  const error = await run.then(() => assert.fail("the run succeeded"), (e: unknown) => e);
  assert.ok(error instanceof FleetRunError, String(error));
  return error;
}
const refused = (run: Promise<unknown>, path: string) => assert.rejects(run, (error: unknown) =>
  error instanceof FleetRefusedError && error.problems.some((problem) => problem.path === path) && error.message.includes("abandonHosts"));

describe("a host that vanishes in mid-run", () => {
  const four = inputs(4, 2, { count: 12 });
  const spec = specOf(four);
  const without = (more: Record<string, unknown> = {}) =>
    specOf({ ...four, hosts: (four["hosts"] as { name: string }[]).filter((host) => host.name !== "b2"), ...more });
  const onB2 = async (where: World) => {
    where.hypervisor.bringUp("b2");
    const host = (await look(spec, where)).hosts.find((one) => one.name === "b2")!;
    where.hypervisor.takeDown("b2");
    return host.status === "reachable" ? host.members : [];
  };

  it("is recorded with the members it had got, and none is made a second time", async () => {
    const where = world(spec, { faults: [{ kind: "hostDown", host: "b2", atSeconds: 4 }] });
    const { state } = await failed(up(spec, where));
    const real = (await onB2(where)).map((member) => member.name);
    assert.ok(real.length > 0);
    assert.deepEqual(state.members.filter((member) => member.host === "b2").map((member) => member.name), real);
    await refused(up(without(), where, state), "abandonHosts");
    await refused(up(spec, where, state), "hosts[3]");
    await refused(down(without(), where, state), "abandonHosts");
    const { state: after, summary } = await up(without({ abandonHosts: ["b2"] }), where, state);
    assert.deepEqual([summary.created > 0, after.members.length, after.hosts.map((host) => host.name)], [true, 12, ["a1", "b1", "a2"]]);
    const again = after.members.filter((member) => real.includes(member.name));
    assert.deepEqual(again.map((member) => member.generation), real.map(() => 1));
  });

  it("must be abandoned even when nothing on it is known to be whole", async () => {
    const where = world(spec, { faults: [{ kind: "hostDown", host: "b2", atSeconds: 0.5 }] });
    const { state } = await failed(up(spec, where));
    assert.deepEqual(state.members.filter((member) => member.host === "b2"), []);
    await refused(up(without(), where, state), "abandonHosts");
    const refreshed = await refreshFleet(request(without(), where, { previous: state }));
    assert.deepEqual(refreshed?.hosts.filter((host) => host.unsettled).map((host) => host.name), ["b2"]);
    await up(without({ abandonHosts: ["b2"] }), where, state);
  });

  it("keeps on record what was adopted there", async () => {
    const where = world(spec);
    await up(spec, where);
    let adopted = 0;
    const hypervisor = wrap(where.hypervisor, async (method, _order, _context, proceed) => {
      const result = await proceed();
      if (method === "adopt" && ++adopted === 12) where.hypervisor.takeDown("b2");
      return result;
    });
    const { state } = await up(spec, { ...where, hypervisor }, undefined, { incarnation: "two" });
    assert.equal(state.members.length, 12);
  });
});

describe("a last look that fails", () => {
  it("fails the run, and keeps what is known", async () => {
    const spec = specOf(inputs(2, 1, { count: 4 }));
    const where = world(spec);
    let looks = 0;
    const hypervisor: Hypervisor = wrap(where.hypervisor, (method, _order, _context, proceed) => (
      method === "observe" && ++looks === 2 ? Promise.reject(new Error("no route")) : proceed()
    ));
    const { reasons, state } = await failed(up(spec, { ...where, hypervisor }));
    assert.deepEqual(reasons, ["the hosts could not be looked at after the run: no route; recorded is what this run knows, and the next `pulumi up` looks again"]);
    assert.deepEqual(state.members.map((member) => member.slot), [0, 1, 2, 3]);
    const { summary, state: after } = await up(spec, where, state);
    assert.equal(summary.created, 0);
    assert.deepEqual([after.lastRun, after.hosts.some((host) => host.unsettled)], [state.lastRun, false]);
    await assertSettled(spec, where, 4);
  });
});

describe("reading", () => {
  it("keeps a fleet that is recorded with no members, and tells of one that went away", async () => {
    const none = specOf(inputs(2, 1, { count: 0 }));
    const where = world(none);
    const { state } = await up(none, where);
    assert.deepEqual((await refreshFleet(request(none, where, { previous: state })))?.members, []);
    const two = specOf(inputs(2, 1, { count: 2 }));
    const { state: made } = await up(two, where, state);
    await down(two, where, made);
    assert.equal(await refreshFleet(request(two, where, { previous: made })), null);
  });
});
