/** The four ways into the engine: what each says of what it did, and what it takes for granted. */
import assert from "node:assert/strict";
import { FleetRefusedError, FleetRunError, previewFleet, refreshFleet, removeFleet, type Progress } from "../../provider/engine";
import { assumeObservation } from "../../provider/engine/doors/assumed";
import { NO_RUN, type FleetSpec, type FleetState, type Observation, type ReachableHost } from "../../provider/fleet";
import { HypervisorError, type Hypervisor } from "../../provider/hypervisors/hypervisor";
import { UNBOUNDED } from "../../provider/hypervisors/simulated";
import { member, reachable as shown } from "../fleet/build";
import { assertSettled, COSTS, down, IMAGE_BYTES, inputs, lacking, request, specOf, up, world } from "./world";
import { recording, refitted, wrap } from "./wrappers";

const caught = (run: Promise<unknown>): Promise<unknown> => run.then(() => assert.fail("the run succeeded"), (error: unknown) => error);
async function failed(run: Promise<unknown>): Promise<FleetRunError> {
  const error = await caught(run);
  assert.ok(error instanceof FleetRunError, String(error));
  return error;
}
const failing = (inner: Hypervisor, method: string, host: string): Hypervisor => wrap(inner, (called, order, _context, proceed) => (
  called === method && order.host === host ? Promise.reject(new HypervisorError(host, called, "no")) : proceed()
));
const CONTENT = "0".repeat(64);
const ask = { fleetId: "fleetaaaaa", incarnation: "one" };

describe("hosts as they are assumed for a preview", () => {
  const spec = specOf(inputs(4, 2, { clone: "linked", count: 4 }));
  let state: FleetState;
  before(async () => { state = (await up(spec, world(spec))).state; });
  const assumed = (observation?: Observation, declared = spec, previous: FleetState | undefined = state) => assumeObservation(declared, declared.hosts, previous, observation, CONTENT);
  const hostOf = ({ hosts }: Observation, name: string) => hosts.find((host) => host.name === name) as ReachableHost;

  it("are as they were seen where they answered", () => {
    const answer = shown("a1", [member(9)]);
    const { hosts } = assumed({ hosts: [answer, { status: "unreachable", name: "b1", reason: "no route" }] });
    assert.equal(hosts[0], answer);
    assert.deepEqual(hosts.map(({ name, status }) => [name, status]), [["a1", "reachable"], ["b1", "reachable"], ["a2", "reachable"], ["b2", "reachable"]]);
  });

  it("hold what was recorded: members in their state, replicas and who stands over them", () => {
    const host = hostOf(assumed(), "a2");
    const recorded = state.members.find((one) => one.host === "a2")!;
    const { slot, name, uuid, generation, contentId, macs } = recorded;
    const [found] = host.members;
    assert.deepEqual(
      [found!.slot, found!.name, found!.uuid, found!.kind, found!.generation, found!.contentId, found!.cardAddresses, found!.base, found!.power, found!.incarnation],
      [slot, name, uuid, "linked", generation, contentId, macs, "replica", "running", "one"],
    );
    assert.deepEqual(found!.chain.map((one) => [one.name, one.capacityBytes]), recorded.chain.map((volume) => [volume, IMAGE_BYTES]));
    assert.deepEqual(host.replicas.map(({ contentId: of, purpose, users, disk }) => [of, purpose, users, disk.capacityBytes]), [[CONTENT, "replica", [slot], IMAGE_BYTES]]);
    assert.equal(host.uuid, state.hosts.find((one) => one.name === "a2")!.uuid);
    assert.deepEqual([host.leftovers, host.kept, host.strangers, host.heldGenerations, host.foreignNames, host.problems], [[], [], [], [], [], []]);
  });

  it("hold no member that was recorded as lost, and none of another content stands over a replica", () => {
    const changed: FleetState = {
      ...state, members: state.members.map((one) => (one.host === "a2" ? { ...one, contentId: "f".repeat(64) } : one.host === "b2" ? { ...one, state: "lost" } : one)),
    };
    const found = assumed(undefined, spec, changed);
    assert.deepEqual(hostOf(found, "a2").replicas[0]!.users, []);
    assert.deepEqual([hostOf(found, "a2").members.length, hostOf(found, "b2").members.length], [1, 0]);
  });

  it("are empty, and have the template, where nothing was recorded", () => {
    const found = assumeObservation(spec, spec.hosts, undefined, undefined, CONTENT);
    assert.deepEqual(found.hosts.map((host) => [host.name, (host as ReachableHost).uuid, (host as ReachableHost).members.length]), spec.hosts.map(({ name }) => [name, name, 0]));
    assert.deepEqual([found.template!.contentId, found.template!.host], [CONTENT, "a1"]);
  });

  it("are out of reach where they were given up, by whatever name, and so is a template there", () => {
    const recorded = state.hosts.find((one) => one.name === "a1")!;
    for (const name of ["a1", recorded.uuid!]) {
      const found = assumed(undefined, { ...spec, abandonHosts: [name] });
      assert.deepEqual(found.hosts.map(({ status }) => status), ["unreachable", "reachable", "reachable", "reachable"], name);
      assert.equal("host" in found.template!, false);
    }
    const other = assumed(undefined, { ...spec, abandonHosts: ["b1"] });
    assert.deepEqual([other.hosts[1]!.status, other.template!.host], ["unreachable", "a1"]);
    assert.equal(assumed({ hosts: [shown("a1")] }, { ...spec, abandonHosts: ["a1"] }).hosts[0]!.status, "reachable");
  });

  it("are recognized by their address when their name changed", () => {
    const renamed: FleetSpec = { ...spec, hosts: spec.hosts.map((host) => (host.name === "a2" ? { ...host, name: "new" } : host)) };
    const recorded = state.hosts.find((one) => one.name === "a2")!;
    const found = assumed(undefined, renamed);
    assert.equal((found.hosts[2] as ReachableHost).uuid, recorded.uuid);
    assert.equal(assumed(undefined, { ...renamed, abandonHosts: ["a2"] }).hosts[2]!.status, "unreachable");
  });

  it("have the template that was seen", () => {
    const template = { contentId: "e".repeat(64), host: "b2", disks: [{ bytes: 7e9, capacityBytes: 8e9, format: "raw" }] };
    const found = assumed({ hosts: [], template });
    assert.equal(found.template, template);
    assert.equal(hostOf(found, "a2").replicas[0]!.disk.capacityBytes, 7e9);
  });
});

describe("a preview", () => {
  it("goes by what earlier runs taught, unless told something else", async () => {
    const spec = specOf(inputs(2, 1, { count: 2, policy: "singleSource" }));
    const { state } = await up(spec, world(spec));
    const learned = { runs: 1, networkFactor: 0.1, diskFactor: 1, finishSeconds: 0 };
    const seconds = async (more: object) => (await previewFleet({ ...ask, spec: specOf(inputs(2, 1, { count: 4, policy: "singleSource" })), ...more })).summary.makespanSeconds;
    const [plain, taught, told] = [await seconds({ previous: { ...state, learned: undefined } }), await seconds({ previous: { ...state, learned } }), await seconds({ previous: state, learned })];
    assert.ok(taught > 2 * plain, `${taught} against ${plain}`);
    assert.equal(told, taught);
  });

  it("says whether any host was seen", async () => {
    const spec = specOf(inputs(2, 1, { count: 2 }));
    const observed = async (observation?: Observation) => (await previewFleet({ ...ask, spec, observation })).observed;
    const silent = { status: "unreachable" as const, name: "a2", reason: "no" };
    assert.deepEqual([await observed(), await observed({ hosts: [silent] }), await observed({ hosts: [shown("a1"), silent] })], [false, false, true]);
  });

  it("takes a member's turn into its time, where anything is made and time is the network's", async () => {
    const spec = specOf(inputs(1, 1, { count: 2, maxConcurrentOperations: 1 }));
    const traits = { ...UNBOUNDED, costs: { memberSeconds: 10 } };
    const seconds = async (more: object) => (await previewFleet({ ...ask, spec, traits, ...more })).summary.makespanSeconds;
    const { state } = await up(spec, world(spec));
    assert.deepEqual([await seconds({}), await seconds({ time: "unit" }), await seconds({ previous: state })], [21, 2, 0]);
  });

  it("says that guests do not wait only where they start early: something is made, nothing is refused, the hypervisor can", async () => {
    const spec = specOf(inputs(2, 1, { count: 2, start: "immediately" }));
    const says = async (more: object) => /before their disks/.test((await previewFleet({ ...ask, spec, ...more })).text);
    const { state } = await up(spec, world(spec));
    const refused = specOf(inputs(2, 1, { count: 2, start: "immediately", clone: "linked" }));
    assert.deepEqual(
      [await says({}), await says({ traits: lacking("startsEarly") }), await says({ previous: state }), await says({ spec: refused, traits: lacking("linksClones") })],
      [true, false, false, false],
    );
  });

  it("fails as loudly as a run where the engine itself is at fault", async () => {
    const spec = specOf(inputs(2, 1, { count: 2 }));
    await assert.rejects(previewFleet({ ...ask, spec, policy: "none such" as never }), TypeError);
  });
});

describe("reading a fleet", () => {
  const spec = specOf(inputs(2, 1, { count: 2, clone: "linked" }));

  it("keeps what the last run was, what it taught and its copies", async () => {
    const where = world(spec);
    const { state } = await up(spec, where);
    const seen = (await refreshFleet(request(spec, where, { previous: state })))!;
    assert.deepEqual([seen.lastRun, seen.timeline, seen.learned], [state.lastRun, state.timeline, state.learned]);
    const anew = (await refreshFleet(request(spec, where)))!;
    assert.deepEqual([anew.lastRun, anew.members.length], [NO_RUN, 2]);
  });

  it("finds a fleet of which replicas or leftovers alone are there, and none where nothing is", async () => {
    const where = world(spec);
    const { state } = await up(spec, where);
    for (const host of where.hypervisor.hosts.values()) { host.members.clear(); host.deltas.clear(); }
    assert.deepEqual((await refreshFleet(request(spec, where, { previous: state })))?.members.length, 0);
    for (const host of where.hypervisor.hosts.values()) host.replicas.clear();
    assert.equal(await refreshFleet(request(spec, where, { previous: state })), null);
    where.hypervisor.host("a2").leftovers.push({ fleetId: "fleetaaaaa", leftover: { kind: "volume", name: "w-old", bytes: 1 } });
    assert.ok(await refreshFleet(request(spec, where, { previous: state })));
  });

  it("takes no lock, and hears that it is cancelled", async () => {
    const where = world(spec);
    const { hypervisor, calls } = recording(where.hypervisor);
    await refreshFleet(request(spec, { ...where, hypervisor }));
    assert.deepEqual(calls, ["observe"]);
    await assert.rejects(refreshFleet(request(spec, where, { signal: AbortSignal.abort(new Error("ctrl-c")) })), /ctrl-c/);
  });
});

describe("removing a fleet", () => {
  const spec = specOf(inputs(4, 2, { count: 8, retries: 0 }));

  it("tells its plan before it begins, and that it is done", async () => {
    const where = world(spec);
    const { state } = await up(spec, where);
    const told: string[] = [];
    await removeFleet(request(spec, where, {
      previous: state, onPlan: (plan) => told.push(`${plan.destroy.length} go`), onProgress: ({ phase }: Progress) => told.push(phase),
    }));
    assert.deepEqual([told.indexOf("8 go") < told.indexOf("destroy"), told.at(-1)], [true, "done"]);
    await assertSettled(spec, where, 0);
  });

  it("says what is left and why, and leaves leftovers to the next try", async () => {
    const where = world(spec);
    const { state } = await up(spec, where);
    where.hypervisor.host("b1").leftovers.push({ fleetId: "fleetaaaaa", leftover: { kind: "volume", name: "w-old", bytes: 1 } });
    const { reasons, state: left, cause } = await failed(down(spec, { ...where, hypervisor: failing(where.hypervisor, "destroy", "a2") }, state));
    assert.deepEqual(reasons, ["a2: w-002, w-006: destroy: no; the next `pulumi up` tries it again"]);
    assert.deepEqual([left.members.map(({ host }) => host), left.lastRun.destroyed, (cause as Error).message], [["a2", "a2"], 6, "a2: destroy: no"]);
  });

  it("says that it was cancelled, and what destroys the rest", async () => {
    const where = world(spec);
    const { state } = await up(spec, where);
    const cancel = new AbortController();
    where.clock.at(where.clock.nowMs() + 100, () => cancel.abort(new Error("ctrl-c")));
    const { reasons } = await failed(removeFleet(request(spec, where, { previous: state, signal: cancel.signal })));
    assert.deepEqual(reasons, ["cancelled: some of the fleet still exists; destroying it again removes the rest"]);
  });

  it("says that the hosts could not be looked at where something failed", async () => {
    const where = world(spec);
    const { state } = await up(spec, where);
    let looks = 0;
    const hypervisor = wrap(failing(where.hypervisor, "destroy", "a2"), (method, _order, _context, proceed) => (
      method === "observe" && ++looks === 2 ? Promise.reject(new Error("no route")) : proceed()
    ));
    const { reasons, state: left } = await failed(down(spec, { ...where, hypervisor }, state));
    assert.equal(reasons.length, 2);
    assert.match(reasons[1]!, /^the hosts could not be looked at after the run: no route/);
    assert.deepEqual(left.members.map(({ host }) => host), ["a2", "a2"]);
  });

  it("gives its lock back whatever happens", async () => {
    const guarded = specOf(inputs(4, 2, { count: 8, deletionProtection: true }));
    const where = world(guarded);
    const { state } = await up(guarded, where);
    assert.ok(await caught(down(guarded, where, state)) instanceof FleetRefusedError);
    await up(guarded, where, state);
  });
});

describe("applying a fleet", () => {
  const spec = specOf(inputs(4, 2, { count: 8, retries: 0 }));

  it("tells its plan once, before anything is touched", async () => {
    const where = world(spec);
    const { hypervisor, calls } = recording(where.hypervisor);
    const told: unknown[] = [];
    await up(spec, { ...where, hypervisor }, undefined, { onPlan: (plan, { hosts }) => told.push([plan.create.length, hosts.length, [...calls]]) });
    assert.deepEqual(told, [[8, 4, ["lock", "observe"]]]);
  });

  it("looks no second time where nothing was worked on", async () => {
    const where = world(spec);
    const { state } = await up(spec, where);
    const { hypervisor, calls } = recording(where.hypervisor);
    const { state: again } = await up(spec, { ...where, hypervisor }, state);
    assert.deepEqual([calls, again.lastRun, again.timeline], [["lock", "observe"], state.lastRun, state.timeline]);
  });

  it("records a run that only changed, removed or adopted as the last one", async () => {
    const where = world(spec);
    const { state } = await up(spec, where);
    const stopped = await up({ ...spec, powerOn: false }, where, state);
    assert.deepEqual([stopped.state.lastRun.reconfigured, stopped.state.lastRun.policy, stopped.state.timeline], [8, "none", state.timeline]);
    const smaller = await up(specOf(inputs(4, 2, { count: 4, powerOn: false, allowRecreate: true })), where, stopped.state);
    assert.deepEqual([smaller.state.lastRun.destroyed, smaller.state.lastRun.reconfigured], [4, 0]);
  });

  it("records what it did as the first run even where it did nothing", async () => {
    const none = specOf(inputs(2, 1, { count: 0 }));
    const { state } = await up(none, world(none));
    assert.deepEqual([state.lastRun.policy, state.lastRun.created], ["none", 0]);
  });

  it("says after a failure what was copied nevertheless, and its cause", async () => {
    const where = world(spec);
    const error = await failed(up(spec, { ...where, hypervisor: failing(where.hypervisor, "reconfigure", "a2") }));
    assert.deepEqual([error.clones.length, (error.cause as Error).message, error.state.learned], [8, "a2: reconfigure: no", undefined]);
  });

  it("learns from a run in which nothing failed", async () => {
    const { state } = await up(spec, world(spec, { costs: COSTS }));
    assert.equal(state.learned?.runs, 1);
  });

  it("asks which hosts share a store only where nothing else is wrong, and counts those as one", async () => {
    const asked: (readonly string[])[] = [];
    const declared = specOf(inputs(4, 2, { countPerHost: 2 }));
    const full = (where: ReturnType<typeof world>, freeBytes: number, problem: boolean): Hypervisor => refitted(wrap(where.hypervisor, async (method, _order, _context, proceed) => {
      const result = await proceed() as Observation;
      if (method !== "observe") return result;
      for (const host of result.hosts) {
        if (host.status !== "reachable") continue;
        if (host.name === "a2" || host.name === "b2") host.room = { freeBytes, capacityBytes: 100e9 };
        if (problem && host.name === "a1") host.problems = [{ message: "unfit" }];
      }
      return result;
    }), { abilities: { findsSharedStores: { sharedStores: ({ hosts }, call) => { assert.ok(call?.signal, "it hears when the run is cancelled"); asked.push(hosts); return Promise.resolve([["a2", "b2"]]); } } } });
    const where = world(declared);
    const refused = async (hypervisor: Hypervisor) => (await caught(up(declared, { ...where, hypervisor })) as FleetRefusedError).problems.map(({ message }) => message);
    assert.match((await refused(full(where, 3e9, false))).join(), /a2, b2 together/);
    assert.deepEqual(asked, [["a2", "b2"]]);
    assert.match((await refused(full(where, 3e9, true))).join(), /unfit/);
    assert.equal(asked.length, 1);
  });
});
