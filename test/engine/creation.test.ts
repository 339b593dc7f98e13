/** What a run makes of a plan, and what it says meanwhile and afterwards. */
import assert from "node:assert/strict";
import { FleetRunError, type Progress } from "../../provider/engine";
import type { ExecuteOptions } from "../../provider/engine/steps/execution";
import type { FleetSpec, Observation } from "../../provider/fleet";
import { HypervisorError, NoSpaceError, type Hypervisor } from "../../provider/hypervisors/hypervisor";
import { createSimulated, UNBOUNDED } from "../../provider/hypervisors/simulated";
import { policies } from "../../provider/scheduler";
import { carryOut, planFor } from "./carryOut";
import { assertSettled, COSTS, inputs, reachable, specOf, up, world, type World } from "./world";
import { recording, wrap } from "./wrappers";

const failed = (run: Promise<unknown>): Promise<FleetRunError> => run.then(
  () => assert.fail("the run succeeded"),
  (error: unknown) => {
    assert.ok(error instanceof FleetRunError, String(error));
    return error;
  },
);

const failing = (inner: Hypervisor, method: string, slot: number): Hypervisor => wrap(inner, (called, order, _context, proceed) => (
  called === method && (order.slot ?? order.target?.slot) === slot ? Promise.reject(new HypervisorError(order.host ?? order.target.host, called, "no")) : proceed()
));

/** Every phase as it was entered, and the progress told with each. */
function listener() {
  const events: Progress[] = [];
  return {
    events, onProgress: (progress: Progress) => { events.push(progress); },
    phases: () => events.map(({ phase }) => phase).filter((phase, i, all) => phase !== all[i - 1]),
  };
}

const OTHER = "f".repeat(64);

describe("members whose images have arrived", () => {
  /** A fleet whose run ended when its images were there and its members' disks were not. */
  async function arrived(more: Record<string, unknown>, change: (observation: Observation) => void = () => undefined) {
    const spec = specOf(inputs(3, 1, { countPerHost: 1, ...more }));
    const first = world(spec);
    await up(spec, first);
    const found = await planFor(spec, first);
    for (const host of found.observation.hosts) {
      if (host.status === "reachable") for (const m of host.members) Object.assign(m, { base: "arrived", power: "paused" });
    }
    change(found.observation);
    const where = createSimulated({ spec, observation: found.observation, fleetId: "fleetaaaaa", options: { costs: COSTS } });
    return { spec, where, ...(await planFor(spec, where)) };
  }
  const ofOther = ({ hosts }: Observation): void => {
    for (const host of hosts) if (host.status === "reachable") for (const m of [...host.members, ...host.replicas]) m.contentId = OTHER;
  };

  for (const clone of ["full", "linked"]) {
    it(`are each settled once and counted as no new ones (${clone})`, async () => {
      const { spec, where, ...found } = await arrived({ clone });
      const { hypervisor, calls } = recording(where.hypervisor);
      const { onProgress, phases, events } = listener();
      const { execution, context } = await carryOut(spec, { ...where, hypervisor }, found, { onProgress });
      assert.deepEqual(context.failures.all, []);
      assert.deepEqual(calls.filter((call) => call.startsWith("settle")).sort(), ["settle a1/0", "settle a2/1", "settle a3/2"]);
      assert.deepEqual([execution.policy, execution.created, execution.log.traces, events.at(-1)!.bytesTotal], ["none", 0, [], 0]);
      assert.deepEqual(phases().slice(0, 2), ["clone", "define"]);
      await assertSettled(spec, where, 3);
    });

    it(`cost no copy and no upload, of whatever template they are (${clone})`, async () => {
      const { spec, where, ...found } = await arrived({ clone, template: { file: "./golden.qcow2" } }, (observation) => {
        ofOther(observation);
        for (const host of observation.hosts) if (host.status === "reachable") host.replicas = host.replicas.filter(({ purpose }) => purpose === "replica");
      });
      const { hypervisor, calls } = recording(where.hypervisor);
      const { context } = await carryOut(spec, { ...where, hypervisor }, found);
      assert.equal(found.plan.complete.length, 3);
      assert.deepEqual([calls.filter((call) => call.startsWith("clone")), context.failures.all], [[], []]);
    });
  }

  for (const [what, change, base] of [["stay as seeds", () => undefined, "frozen"], ["are merged where they are of another template", ofOther, "consolidated"]] as const) {
    it(what, async () => {
      const { spec, where, ...found } = await arrived({ keepSeeds: "host" }, change);
      await carryOut(spec, where, found);
      assert.deepEqual((await reachable(spec, where)).flatMap(({ members }) => members.map((m) => m.base)), [base, base, base]);
    });
  }
});

describe("a linked member that is new", () => {
  it("gets a replica of the template as it is now, beside an old one of its host", async () => {
    const of = (count: number) => specOf(inputs(2, 1, { clone: "linked", count }));
    const where = world(of(2));
    const { state } = await up(of(2), where);
    where.hypervisor.rewriteTemplate(OTHER);
    const { clones } = await up(of(4), where, state);
    assert.deepEqual(clones.map(({ slot }) => slot).sort(), ["replica@a1", "replica@a2"]);
    const contents = (await reachable(of(4), where)).map(({ members }) => members.map((m) => m.contentId[0]));
    assert.deepEqual(contents, [["0", "f"], ["0", "f"]]);
  });
});

describe("a template file", () => {
  const spec = specOf(inputs(2, 1, { count: 2, retries: 0, template: { file: "./golden.qcow2" } }));

  it("that no host takes is told with the last host's reason, and nothing is made", async () => {
    const where = world(spec);
    const hypervisor = wrap(where.hypervisor, (method, order, _context, proceed) => (
      method === "clone" ? Promise.reject(new NoSpaceError(order.target.host, "clone", "full")) : proceed()
    ));
    const { reasons } = await failed(up(spec, { ...where, hypervisor }));
    assert.equal(reasons[0], "a1: replica@a1: upload: a2: full; the next `pulumi up` uploads it again");
    await assertSettled(spec, where, 0);
  });
});

describe("a template that nobody can read", () => {
  it("is not taken for a file of the provider's", async () => {
    const spec = specOf(inputs(2, 1, { count: 2 }));
    const where = world(spec);
    const found = await planFor(spec, where);
    delete found.observation.template!.host;
    const { hypervisor, calls } = recording(where.hypervisor);
    const { context } = await carryOut(spec, { ...where, hypervisor }, found);
    assert.deepEqual(calls, []);
    assert.match(context.failures.reasons().join(), /nothing is left to copy from/);
  });
});

describe("a member that cannot be made", () => {
  it("is neither counted, nor its base merged or copied from", async () => {
    const spec = specOf(inputs(2, 1, { count: 4, retries: 0, policy: "singleSource" }));
    const where = world(spec);
    const { hypervisor, calls } = recording(failing(where.hypervisor, "reconfigure", 1));
    const { reasons, state } = await failed(up(spec, { ...where, hypervisor }));
    assert.deepEqual(reasons, ["a2: w-001: define: no; the next `pulumi up` clones it again"]);
    assert.deepEqual([state.lastRun.created, calls.filter((call) => call.startsWith("consolidate")).sort()], [3, ["consolidate a1/0", "consolidate a1/2", "consolidate a2/3"]]);
  });

  it("and is linked is made again, not copied", async () => {
    const spec = specOf(inputs(2, 1, { count: 2, retries: 0, clone: "linked" }));
    const where = world(spec);
    const { reasons } = await failed(up(spec, { ...where, hypervisor: failing(where.hypervisor, "reconfigure", 1) }));
    assert.deepEqual(reasons, ["a2: w-001: define: no; the next `pulumi up` makes it again"]);
  });

  it("is to be started only, where it is defined", async () => {
    const spec = specOf(inputs(2, 1, { count: 2, retries: 0 }));
    const where = world(spec);
    const { reasons, state } = await failed(up(spec, { ...where, hypervisor: failing(where.hypervisor, "power", 1) }));
    assert.deepEqual(reasons, ["a2: w-001: power on: no; the next `pulumi up` starts it"]);
    assert.deepEqual(state.members.map(({ slot, state: is }) => [slot, is]), [[0, "running"], [1, "stopped"]]);
  });

  it("holds up no phase: merges are told of once the others are ready", async () => {
    const spec = specOf(inputs(2, 1, { count: 4, retries: 0 }));
    const where = world(spec);
    const { onProgress, phases } = listener();
    await failed(up(spec, { ...where, hypervisor: failing(where.hypervisor, "clone", 3) }, undefined, { onProgress }));
    assert.deepEqual(phases(), ["lock", "observe", "clone", "define", "consolidate"]);
  });
});

describe("the phases", () => {
  const four = specOf(inputs(2, 1, { count: 4, keepSeeds: "host" }));

  /** What a second run of the fleet tells. */
  async function second(spec: FleetSpec, change: (where: World) => void = () => undefined) {
    const where = world(four);
    const { state } = await up(four, where);
    change(where);
    const told = listener();
    await up(spec, where, state, { onProgress: told.onProgress });
    return told;
  }

  it("tell of no cloning where nothing is made", async () => {
    assert.deepEqual((await second(four)).phases(), ["lock", "observe", "done"]);
  });

  it("tell how many members are changed, and count those that are", async () => {
    const { phases, events } = await second(specOf({
      ...inputs(2, 1, { count: 4, keepSeeds: "host" }), vm: { numCpus: 2, memory: 256, networks: [{ network: "default" }], domainType: "qemu" },
    }));
    assert.deepEqual(phases(), ["lock", "observe", "define", "done"]);
    assert.ok(events.some(({ note }) => note === "changing 4 members"));
    assert.deepEqual([events.at(-1)!.membersDone, events.at(-1)!.membersTotal], [4, 4]);
  });

  it("tell of merges alone", async () => {
    assert.deepEqual((await second(specOf(inputs(2, 1, { count: 4 })))).phases(), ["lock", "observe", "consolidate", "done"]);
  });

  it("go on from cloning once every byte is there, and not in a run that is cancelled", async () => {
    const { onProgress, events } = listener();
    const cancel = new AbortController();
    const where = world(four);
    await up(four, where, undefined, { onProgress });
    for (const { phase, bytesDone, bytesTotal } of events) if (phase === "define") assert.equal(bytesDone, bytesTotal);
    const again = world(four);
    const cancelled = listener();
    again.clock.at(1500, () => cancel.abort(new Error("ctrl-c")));
    await failed(up(four, again, undefined, { onProgress: cancelled.onProgress, signal: cancel.signal }));
    assert.equal(cancelled.phases().at(-1), "clone");
  });

  it("count members that stand, that change and that are made", async () => {
    const where = world(four);
    const { state } = await up(four, where);
    const fleet = { fleetId: "fleetaaaaa", incarnation: "one", namePrefix: "w" };
    await where.hypervisor.power({ fleet, ...state.members[0]!, to: "stopped", shutdownMs: 0 });
    const { events, onProgress } = listener();
    await up(specOf(inputs(2, 1, { count: 7, keepSeeds: "host" })), where, state, { onProgress });
    const counts = events.filter(({ phase }) => phase !== "lock" && phase !== "observe").map(({ membersDone, membersTotal }) => `${membersDone}/${membersTotal}`);
    assert.deepEqual([counts[0], counts.at(-1), new Set(counts).size], ["3/7", "7/7", 5]);
  });
});

describe("a change of a member", () => {
  const of = (memory: number, more: Record<string, unknown> = {}) => specOf(inputs(2, 1, {
    count: 4, retries: 0, vm: { numCpus: 1, memory, networks: [{ network: "default" }], domainType: "qemu" }, ...more,
  }));

  it("that fails is named and not counted", async () => {
    const where = world(of(256));
    const { state } = await up(of(256), where);
    const { onProgress, events } = listener();
    const { reasons, state: after } = await failed(up(of(512), { ...where, hypervisor: failing(where.hypervisor, "reconfigure", 2) }, state, { onProgress }));
    assert.deepEqual(reasons, ["a1: w-002: reconfigure: no; the next `pulumi up` tries it again"]);
    assert.deepEqual([after.lastRun.reconfigured, events.at(-1)!.membersDone], [3, 3]);
  });

  for (const [step, powerOn] of [["power off", false], ["power on", true]] as const) {
    it(`of its power is called by its step: ${step}`, async () => {
      const where = world(of(256, { powerOn: !powerOn }));
      const { state } = await up(of(256, { powerOn: !powerOn }), where);
      const { reasons } = await failed(up(of(256, { powerOn }), { ...where, hypervisor: failing(where.hypervisor, "power", 2) }, state));
      assert.deepEqual(reasons, [`a1: w-002: ${step}: no; the next \`pulumi up\` tries it again`]);
    });
  }

  it("is no failure of its own where the run was cancelled meanwhile", async () => {
    const where = world(of(256));
    const { state } = await up(of(256), where);
    const cancel = new AbortController();
    where.clock.at(where.clock.nowMs() + 100, () => cancel.abort(new Error("ctrl-c")));
    const { reasons } = await failed(up(of(512), where, state, { signal: cancel.signal }));
    assert.equal(reasons.length, 1);
    assert.match(reasons[0]!, /^cancelled: /);
  });
});

describe("a fault of the engine's own", () => {
  const faults: [what: string, choosePolicy: ExecuteOptions["choosePolicy"]][] = [
    ["before the copies begin", () => Promise.reject(new Error("oops"))],
    ["while they are decided on", () => Promise.resolve({ policy: { ...policies.rounds, next: () => { throw new Error("oops"); } } })],
  ];
  for (const [when, choosePolicy] of faults) {
    it(`is recorded once like any failure, so that no state is lost over it: ${when}`, async () => {
      const spec = specOf(inputs(2, 1, { count: 2 }));
      const where = world(spec);
      const { context } = await carryOut(spec, where, await planFor(spec, where), { choosePolicy });
      assert.deepEqual(context.failures.reasons(), ["this run: internal error: oops; the next `pulumi up` tries it again"]);
      assert.equal(context.failures.all.length, 1);
    });
  }

  it("is none where the run was cancelled", async () => {
    const spec = specOf(inputs(2, 1, { count: 2 }));
    const where = world(spec);
    const cancel = new AbortController();
    const { context } = await carryOut(spec, where, await planFor(spec, where), {
      signal: cancel.signal, choosePolicy: () => { cancel.abort(new Error("ctrl-c")); return Promise.reject(new Error("oops")); },
    });
    assert.deepEqual(context.failures.all, []);
  });
});

describe("a prediction", () => {
  it("counts what starting a copy takes, and each member's turn after its own copy", async () => {
    const spec = specOf(inputs(1, 1, { count: 1, maxConcurrentOperations: 1 }));
    const traits = { ...UNBOUNDED, costs: { copyStartupSeconds: 3, memberSeconds: 10, freeLocalCopies: false } };
    const { summary } = await up(spec, world(spec, { traits }));
    assert.equal(summary.predictedSeconds, 3 + 1 + 10);
  });
});
