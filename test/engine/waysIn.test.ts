/** What each way into the engine looks at, and what it must not touch or forget. */
import assert from "node:assert/strict";
import { FleetRefusedError, FleetRunError, previewFleet, refreshFleet, removeFleet } from "../../provider/engine";
import { assumeObservation } from "../../provider/engine/doors/assumed";
import { HypervisorError } from "../../provider/hypervisors/hypervisor";
import type { FleetState, ReachableHost } from "../../provider/fleet";
import { assertSettled, inputs, reachable, request, specOf, up, world } from "./world";
import { wrap } from "./wrappers";

const spec = specOf(inputs(4, 2, { count: 8, retries: 0 }));

describe("hosts are asked whether they are fit", () => {
  const unfit = () => {
    const where = world(spec);
    const asked: boolean[] = [];
    const hypervisor = wrap(where.hypervisor, (method, order, _context, proceed) => {
      if (method === "observe") asked.push(order.preflight as boolean);
      return proceed();
    });
    return { where: { ...where, hypervisor }, asked, spoil: () => { where.hypervisor.host("a1").problems = [{ message: "it has no room for helpers" }]; } };
  };

  it("before a fleet is made or changed, which is refused where one is not", async () => {
    const { where, asked, spoil } = unfit();
    spoil();
    await assert.rejects(up(spec, where), (error) => error instanceof FleetRefusedError && error.message.includes("no room for helpers"));
    assert.deepEqual(asked, [true]);
  });

  it("not when it is read or removed", async () => {
    const { where, asked, spoil } = unfit();
    const { state } = await up(spec, where);
    spoil();
    asked.length = 0;
    await refreshFleet(request(spec, where, { previous: state }));
    await removeFleet(request(spec, where, { previous: state }));
    assert.deepEqual(asked, [false, false]);
  });
});

describe("removing one incarnation of a fleet", () => {
  it("leaves leftovers where it fails: they may be the other's", async () => {
    const where = world(spec);
    const { state } = await up(spec, where);
    for (const member of where.hypervisor.host("b2").members.values()) member.incarnation = "two";
    where.hypervisor.host("b1").leftovers.push({ fleetId: "fleetaaaaa", leftover: { kind: "volume", name: "w-old", bytes: 1 } });
    const hypervisor = wrap(where.hypervisor, (method, order, _context, proceed) => (
      method === "destroy" && order.host === "a2" ? Promise.reject(new HypervisorError("a2", method, "no")) : proceed()
    ));
    await assert.rejects(removeFleet(request(spec, { ...where, hypervisor }, { previous: state })), FleetRunError);
    const hosts = await reachable(spec, where);
    assert.deepEqual(hosts.flatMap(({ name, leftovers }) => leftovers.map((one) => `${name} ${one.name}`)), ["b1 w-old"]);
    assert.deepEqual(hosts.map(({ name, members }) => `${name} ${members.length}`).sort(), ["a1 0", "a2 2", "b1 0", "b2 2"]);
  });
});

describe("a fleet that is read", () => {
  async function left(change: (where: ReturnType<typeof world>, state: FleetState) => void): Promise<FleetState | null> {
    const two = specOf(inputs(2, 1, { count: 2 }));
    const where = world(two);
    const { state } = await up(two, where);
    change(where, state);
    return refreshFleet(request(two, where, { previous: state }));
  }
  const empty = (where: ReturnType<typeof world>, name: string): void => {
    const host = where.hypervisor.host(name);
    for (const held of [host.members, host.bases, host.deltas, host.replicas]) held.clear();
  };

  it("is not forgotten while no host answers, or one with members does not", async () => {
    const all = await left(({ hypervisor }) => { for (const name of ["a1", "a2"]) hypervisor.takeDown(name); });
    assert.equal(all?.members.length, 2);
    const one = await left((where) => { empty(where, "a1"); where.hypervisor.takeDown("a2"); });
    assert.deepEqual(one?.members.filter(({ state }) => state !== "lost").map(({ host }) => host), ["a2"]);
  });

  it("is not forgotten while a host on which anything may be is out of sight", async () => {
    const kept = await left((where, state) => {
      for (const name of ["a1", "a2"]) empty(where, name);
      where.hypervisor.takeDown("a2");
      state.members = state.members.filter(({ host }) => host === "a1");
      Object.assign(state.hosts.find(({ name }) => name === "a2")!, { unsettled: true });
    });
    assert.deepEqual(kept?.hosts.filter(({ unsettled }) => unsettled).map(({ name }) => name), ["a2"]);
    const gone = await left((where, state) => {
      for (const name of ["a1", "a2"]) empty(where, name);
      where.hypervisor.takeDown("a2");
      state.members = state.members.filter(({ host }) => host === "a1");
    });
    assert.equal(gone, null);
  });

  it("is not forgotten while one host holds anything of it", async () => {
    assert.equal((await left((where) => { empty(where, "a1"); }))?.members.filter(({ state }) => state !== "lost").length, 1);
  });
});

describe("hosts as they are assumed", () => {
  const contentId = "0".repeat(64);
  const hostOf = (observation: ReturnType<typeof assumeObservation>, name: string) => observation.hosts.find((host) => host.name === name) as ReachableHost;

  it("have the template where it was declared", () => {
    const other = specOf({ ...inputs(4, 2, { count: 1 }), template: { host: "b1", pool: "default", volume: "golden.qcow2" } });
    assert.equal(assumeObservation(other, other.hosts, undefined, undefined, contentId).template!.host, "b1");
    assert.equal("host" in assumeObservation({ ...other, abandonHosts: ["b1"] }, other.hosts, undefined, undefined, contentId).template!, false);
    assert.equal(assumeObservation({ ...other, abandonHosts: ["a1"] }, other.hosts, undefined, undefined, contentId).template!.host, "b1");
  });

  it("have replicas over which linked members stand, and no full ones", async () => {
    const mixed = specOf(inputs(1, 1, { count: 4, clone: { mixed: { linkedShare: 0.5 } } }));
    const { state } = await up(mixed, world(mixed));
    const linked = state.members.filter(({ kind }) => kind === "linked").map(({ slot }) => slot);
    assert.equal(linked.length, 2);
    assert.deepEqual(hostOf(assumeObservation(mixed, mixed.hosts, state, undefined, contentId), "a1").replicas[0]!.users, linked);
  });

  it("are recognized by their name when their address changed", async () => {
    const { state } = await up(spec, world(spec));
    const moved = { ...spec, hosts: spec.hosts.map((host) => (host.name === "a2" ? specOf({
      ...inputs(4, 2, { count: 8 }), hosts: (inputs(4, 2)["hosts"] as { name: string; uri: string }[]).map((one) => (one.name === "a2" ? { ...one, uri: "qemu+ssh://root@elsewhere/system" } : one)),
    }).hosts[2]! : host)) };
    assert.equal(hostOf(assumeObservation(moved, moved.hosts, state, undefined, contentId), "a2").uuid, state.hosts.find(({ name }) => name === "a2")!.uuid);
  });
});

describe("a preview that finds what cannot be done", () => {
  it("tells it as a plan's problem, and fails no member's copy loudly", async () => {
    const full = specOf(inputs(2, 1, { count: 2 }));
    const where = world(full);
    where.hypervisor.host("a2").freeBytes = 1;
    const observation = await where.hypervisor.observe({ fleetId: "fleetaaaaa", namePrefix: "w", hosts: full.hosts, spec: full, deadlineMs: 1, preflight: false });
    const { plan, summary } = await previewFleet({ spec: full, fleetId: "fleetaaaaa", incarnation: "one", observation });
    assert.deepEqual([plan.create.length, summary.created], [2, 1]);
    await assertSettled(full, where, 0);
  });
});
