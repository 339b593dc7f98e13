/** Whether all members of a plan can be told who they are, and have memory to start: what is refused, and what is said. */
import assert from "node:assert/strict";
import { formatProblem, type FleetInputs } from "../../provider/fleet";
import type { FleetPlan, FleetSpec, Observation, Reconfiguration } from "../../provider/fleet/model";
import { guestRefusals } from "../../provider/fleet/plan/guests";
import { memoryRefusals, memoryWarnings } from "../../provider/fleet/plan/memory";
import type { PlanContext } from "../../provider/fleet/plan/context";
import { empty, FLEET, made, member, plan, reachable, spec, template } from "./build";

const GIB = 2 ** 30;
const RANGE = { from: "10.0.0.10", to: "10.0.0.19", prefix: 24 };

/** A plan of nothing but what is given. */
function planOf(declared: FleetSpec, more: Partial<FleetPlan> = {}): FleetPlan {
  const { create: _create, ...rest } = plan(declared, empty(declared));
  return { ...rest, create: [], ...more };
}
const created = (slot: number, host = "a1"): FleetPlan["create"][number] => (
  { slot, generation: 0, name: `workers-00${slot}`, host, rack: `rack-${host[0]}`, kind: "full", image: { contentId: "c1", disks: [] }, reason: "", wave: 0 }
);
const kept = (slot: number): FleetPlan["keep"][number] => ({ slot, name: `workers-00${slot}`, host: "a1", reason: "" });
const changed = (slot: number, changes: Reconfiguration[]): FleetPlan["reconfigure"][number] => ({ slot, name: `workers-00${slot}`, host: "a1", changes, reason: "", wave: 0 });

/** As of a program that takes its members' hardware from the template, which has so many cards, if it was seen. */
function inheriting(declared: FleetSpec, cards?: number, memory = 2048): { spec: FleetSpec; observation: Observation } {
  const { networks: _networks, memory: _memory, ...vm } = declared.vm;
  return {
    spec: { ...declared, vm } as FleetSpec,
    observation: { hosts: [], template: { ...template, ...(cards !== undefined && { hardware: { cards, memory } as NonNullable<NonNullable<Observation["template"]>["hardware"]> }) } },
  };
}
const refused = (declared: FleetSpec, changes: Partial<FleetPlan>, more: Partial<Pick<PlanContext, "spec" | "observation">> = {}): string[] => (
  guestRefusals({ spec: declared, fleetId: FLEET, ...more } as Pick<PlanContext, "spec" | "fleetId" | "observation">, planOf(declared, changes)).map(formatProblem)
);

describe("a range of addresses", () => {
  const declared = spec({ count: 1, guest: { addresses: [RANGE] } });

  it("is refused where the highest slot has none, whoever has that slot and wherever it stands", () => {
    const short = ["guest.addresses[0].to: expected a range that reaches as far as slot 10 (workers-0010), got 10 addresses from 10.0.0.10 on; raise to"];
    assert.deepEqual(refused(declared, { create: [created(3), created(10)], keep: [kept(5)] }), short);
    assert.deepEqual(refused(declared, { create: [created(10), created(3)] }), short);
    assert.deepEqual(refused(declared, { create: [created(3)], keep: [kept(10), kept(5)] }), short);
    assert.deepEqual(refused(declared, { adopt: [kept(10)], reconfigure: [changed(4, [])] }), short);
    assert.deepEqual(refused(declared, { reconfigure: [changed(10, [])] }), short);
  });

  it("may end with the highest slot's, and is asked of nobody where there are no members", () => {
    assert.deepEqual(refused(declared, { create: [created(9)], keep: [kept(5)] }), []);
    assert.deepEqual(refused(declared, {}), []);
  });
});

describe("cards that members inherit", () => {
  const on = (card: number): FleetSpec => spec({ count: 1, guest: { addresses: [{ card, ...RANGE }] }, vm: { networks: [{ network: "default" }, { network: "default" }, { network: "default" }] } });

  it("are as many as the template's machine has", () => {
    const judged = (card: number, cards?: number) => refused(on(card), { create: [created(1)] }, inheriting(on(card), cards));
    assert.deepEqual(judged(1, 2), []);
    assert.deepEqual(judged(2, 2), ["guest.addresses[0]: expected a network card of vm.networks, which has 2, got card 2; cards count from 0"]);
  });

  it("are not judged where the template was not seen, or is no machine", () => {
    assert.deepEqual(refused(on(2), { create: [created(1)] }, inheriting(on(2))), []);
    assert.deepEqual(refused(on(2), { create: [created(1)] }, { ...inheriting(on(2)), observation: { hosts: [] } }), []);
    assert.deepEqual(guestRefusals({ spec: inheriting(on(2)).spec, fleetId: FLEET }, planOf(on(2), { create: [created(1)] })), []);
  });

  it("must be there for name servers or domains, whichever are declared", () => {
    const judged = (guest: FleetInputs["guest"], cards: number) => refused(spec({ guest }), { create: [created(1)] }, inheriting(spec({ guest }), cards));
    const none = "expected a network card in vm.networks for it, got none; add one, or remove it";
    assert.deepEqual(judged({ dnsServers: ["10.0.0.2"] }, 0), [`guest.dnsServers: ${none}`]);
    assert.deepEqual(judged({ dnsDomains: ["example.com"] }, 0), [`guest.dnsDomains: ${none}`]);
    assert.deepEqual(judged({ dnsServers: ["10.0.0.2"], dnsDomains: ["example.com"] }, 0), [`guest.dnsServers: ${none}`]);
    assert.deepEqual(judged({ dnsServers: ["10.0.0.2"] }, 1), []);
    assert.deepEqual(judged({}, 0), []);
  });
});

describe("disks and cards beside the one that tells a guest who it is", () => {
  const disks = (count: number) => Array.from({ length: count }, (_, i) => ({ label: `d${i}`, sizeBytes: 1e9 }));
  const judged = (count: number, cards: number | undefined, changes: Partial<FleetPlan> = { create: [created(1)] }, guest?: "none") => {
    const declared = spec({ vm: { networks: [{ network: "default" }], disks: disks(count) }, ...(guest && { guest }) });
    return refused(declared, changes, inheriting(declared, cards));
  };

  it("are 55 at most where members are made", () => {
    assert.deepEqual(judged(53, 2), []);
    assert.deepEqual(judged(53, 3), ['vm.disks: expected at most 55 disks and network cards beside the disk that tells a guest who it is, got 53 and 3; want fewer, larger disks, or guest: "none"']);
    assert.equal(judged(54, 3).length, 1);
  });

  it("are not counted where no member is made, none has data disks, nobody knows the cards, or guests are told nothing", () => {
    assert.deepEqual([judged(53, 3, { keep: [kept(1)] }), judged(0, 60), judged(55, undefined), judged(53, 3, undefined, "none")], [[], [], [], []]);
  });
});

describe("a host name", () => {
  it("is filled in with the rack of the host that its member comes to", () => {
    const declared = spec({ guest: { hostname: "{rack}-{slot}" } });
    const named: FleetSpec = { ...declared, hosts: declared.hosts.map((one) => (one.name === "b1" ? { ...one, rack: "rack_b" } : one)) };
    assert.deepEqual(refused(named, { create: [created(1)] }), []);
    assert.match(refused(named, { create: [created(1), created(2, "b1"), created(3, "b1")] }).join("|"), /^guest\.hostname: expected a host name [^|]*got "rack_b-2"; it would be that of workers-002$/);
  });

  it("is that of no rack on a host that is declared no more", () => {
    const declared = spec({ guest: { hostname: "x{rack}{slot}" } });
    assert.deepEqual(refused(declared, { reconfigure: [{ ...changed(1, []), host: "gone" }] }), []);
  });
});

describe("memory", () => {
  const host = (totalBytes: number, availableBytes: number, members = [member(1, { memory: 1024 }), member(2, { memory: 512 })]): Observation => ({ hosts: [reachable("a1", members, { memory: { totalBytes, availableBytes } })], template });
  const contextOf = (declared: FleetSpec, observation?: Observation) => ({ spec: declared, fleetId: FLEET, observation }) as unknown as PlanContext;
  const START: Reconfiguration = { kind: "power", to: "running" };
  const declared = spec({ vm: { networks: [{ network: "default" }], memory: 4096 } });
  const said = (changes: Partial<FleetPlan>, found = host(64 * GIB, 0)) => memoryWarnings(contextOf(declared, found), planOf(declared, changes)).join();

  it("of a whole host is enough for one member that wants all of it", () => {
    const judged = (totalBytes: number) => memoryRefusals(contextOf(declared, host(totalBytes, 0)), planOf(declared, { create: [created(1)] })).length;
    assert.deepEqual([judged(4 * GIB), judged(4 * GIB - 1)], [0, 1]);
  });

  it("that members inherit is the template machine's, and nobody's where that was not seen", () => {
    const judged = (memory: number | undefined, seen = true) => {
      const { spec: without, observation } = inheriting(declared, memory === undefined ? undefined : 1, memory);
      const found: Observation = { ...host(4 * GIB, 0), ...(seen && { template: observation.template! }) };
      if (!seen) delete (found as Partial<Observation>).template;
      return memoryRefusals(contextOf(without, found), planOf(declared, { create: [created(1)] })).length;
    };
    assert.deepEqual([judged(4097), judged(4096), judged(undefined), judged(4097, false)], [1, 0, 0, 0]);
    assert.deepEqual(memoryRefusals(contextOf(inheriting(declared).spec), planOf(declared, { create: [created(1)] })), []);
  });

  it("is wanted by those that start, among whatever else changes of them, and by no other", () => {
    assert.match(said({ reconfigure: [changed(1, [{ kind: "guest" }, START])] }), /^a1: 1 member to start there wants 1\.1 GB of memory/);
    assert.match(said({ reconfigure: [changed(1, [START]), changed(2, [START])] }), /^a1: 2 members to start there want 1\.6 GB of memory/);
    assert.equal(said({ reconfigure: [changed(1, [{ kind: "guest" }])] }), "");
    assert.equal(said({ reconfigure: [changed(1, [{ kind: "power", to: "stopped" }])] }), "");
  });

  it("is counted together for those that are made and those that start", () => {
    assert.match(said({ create: [created(3)], reconfigure: [changed(2, [START])] }), /^a1: 2 members to start there want 4\.8 GB of memory, and 0 B of 68\.7 GB is free/);
    assert.equal(said({ create: [created(3)], reconfigure: [changed(2, [START])] }, host(64 * GIB, (4096 + 512) * 2 ** 20)), "");
  });

  it("is asked of hosts alone that answered", () => {
    const { declared: all, found } = made({ count: 4 });
    const gone: Observation = { ...found, hosts: found.hosts.map(({ name }) => ({ status: "unreachable", name, reason: "connection refused" })) };
    assert.deepEqual(memoryWarnings(contextOf(all, gone), planOf(all, { create: [created(1)] })), []);
    assert.deepEqual(memoryWarnings(contextOf(all), planOf(all, { create: [created(1)] })), []);
  });
});
