/** Single members: what is known of them where their host cannot be asked any more, and those that start early. */
import assert from "node:assert/strict";
import { FleetRunError } from "../../provider/engine";
import { contextOf } from "../../provider/engine/run/session";
import { asDefined, definition } from "../../provider/engine/steps/definition";
import { HostUnreachableError, HypervisorError, type Hypervisor } from "../../provider/hypervisors/hypervisor";
import { assertSettled, inputs, reachable, request, specOf, up, world, type World } from "./world";
import { recording, wrap } from "./wrappers";

const failed = (run: Promise<unknown>): Promise<FleetRunError> => run.then(
  () => assert.fail("the run succeeded"),
  (error: unknown) => {
    assert.ok(error instanceof FleetRunError, String(error));
    return error;
  },
);

describe("what is taken for a member once its definition was sent", () => {
  for (const [clone, autostart] of [["full", true], ["linked", undefined]] as const) {
    it(`is what its host shows then, but for its disks and how it runs (${clone})`, async () => {
      const spec = specOf(inputs(1, 1, {
        count: 1, clone, keepSeeds: "none", vm: { numCpus: 2, memory: 512, networks: [{ network: "default" }, { network: "back" }], domainType: "qemu", ...(autostart && { autostart }) },
      }));
      const where = world(spec);
      const autostarts: boolean[] = [];
      const hypervisor = wrap(where.hypervisor, (method, order, _context, proceed) => {
        if (method === "reconfigure") autostarts.push(order.autostart as boolean);
        return proceed();
      });
      await up(spec, { ...where, hypervisor });
      const [seen] = (await reachable(spec, where))[0]!.members;
      const context = contextOf(request(spec, where), new AbortController().signal);
      const { name, kind, slot, generation, contentId } = seen!;
      const { running: _how, ...shown } = seen!;
      const taken = asDefined(context, definition(context, { slot, name, host: "a1", kind, generation, image: { contentId } }));
      assert.deepEqual(taken, { ...shown, chain: [], disks: [] });
      assert.deepEqual(autostarts, [autostart ?? false]);
    });
  }
});

describe("on a host that goes silent at the end, a member", () => {
  const spec = specOf(inputs(2, 1, { count: 4, retries: 0 }));

  /** What is recorded of a2's members (slots 1 and 3) when `method` fails for slot 3 and the host is not seen again. */
  async function recordedOf(where: World, method: string, more = spec, fails: () => Promise<never> = () => Promise.reject(new HypervisorError("a2", method, "no"))): Promise<number[]> {
    const hypervisor: Hypervisor = wrap(where.hypervisor, (called, order, _context, proceed) => {
      if (called === "observe" && where.clock.nowMs() > 0) where.hypervisor.takeDown("a2");
      return called === method && (order.slot ?? order.target?.slot) === 3 ? fails() : proceed();
    });
    const { state } = await failed(up(more, { ...where, hypervisor }));
    return state.members.filter(({ host }) => host === "a2").map(({ slot }) => slot);
  }

  it("that the host itself refused to define is none", async () => {
    assert.deepEqual(await recordedOf(world(spec), "reconfigure"), [1]);
  });

  it("that was defined and did not start is recorded", async () => {
    assert.deepEqual(await recordedOf(world(spec), "power"), [1, 3]);
  });

  it("whose definition was under way when the host went is recorded: it may exist", async () => {
    const where = world(spec);
    const members = await recordedOf(where, "reconfigure", spec, () => {
      where.hypervisor.takeDown("a2");
      return Promise.reject(new HostUnreachableError("a2", "reconfigure", "gone"));
    });
    assert.deepEqual(members, [1, 3]);
  });

  it("that was started before its disk was there is recorded, whatever failed since", async () => {
    const early = specOf(inputs(2, 1, { count: 4, retries: 0, start: "immediately", policy: "singleSource" }));
    for (const method of ["settle", "snapshot", "reconfigure"]) assert.deepEqual(await recordedOf(world(early), method, early), [1, 3], method);
  });
});

describe("a member that starts early", () => {
  const spec = specOf(inputs(3, 1, { countPerHost: 1, retries: 0, start: "immediately", policy: "singleSource" }));

  it("is recorded as arriving on a host that goes silent while its copy is under way", async () => {
    const where = world(spec);
    where.clock.at(1900, () => where.hypervisor.takeDown("a2"));
    const { state } = await failed(up(spec, where));
    assert.deepEqual(state.members.filter(({ host }) => host === "a2").map(({ slot, base }) => [slot, base]), [[1, "arriving"]]);
  });

  it("is settled after its start has ended, not during it", async () => {
    const where = world(spec);
    const order: string[] = [];
    const hypervisor = wrap(where.hypervisor, async (method, of, _context, proceed) => {
      if (of?.slot !== 1 || (method !== "startEarly" && method !== "settle")) return proceed();
      order.push(`${method} begins`);
      if (method === "startEarly") await where.clock.sleep(20_000);
      const result = await proceed().catch(() => undefined);
      order.push(`${method} ends`);
      return result;
    });
    await up(spec, { ...where, hypervisor });
    assert.deepEqual(order, ["startEarly begins", "startEarly ends", "settle begins", "settle ends"]);
    await assertSettled(spec, where, 3);
  });

  it("hears that the run is cancelled", async () => {
    const where = world(spec);
    const cancel = new AbortController();
    const heard: unknown[] = [];
    const hypervisor = wrap(where.hypervisor, (method, _order, context, proceed) => {
      if (method === "startEarly") context!.signal!.addEventListener("abort", () => heard.push(context!.signal!.reason));
      return proceed();
    });
    const why = new Error("ctrl-c");
    where.clock.at(500, () => cancel.abort(why));
    await failed(up(spec, { ...where, hypervisor }, undefined, { signal: cancel.signal }));
    assert.ok(heard.length > 0 && heard.every((reason) => reason === why));
  });

  it("whose disk cannot be put over its image has it completed by the next run", async () => {
    const where = world(spec);
    const hypervisor = wrap(where.hypervisor, (method, order, _context, proceed) => (
      method === "settle" && order.slot === 1 ? Promise.reject(new HypervisorError("a2", method, "no")) : proceed()
    ));
    const { reasons, state } = await failed(up(spec, { ...where, hypervisor }));
    assert.deepEqual(reasons, ["a2: w-001: settle: no; the next `pulumi up` completes its disk"]);
    await up(spec, where, state);
    await assertSettled(spec, where, 3);
  });

  it("and was found so is stopped once it is whole, where the program wants none running", async () => {
    const where = world(spec);
    const cancel = new AbortController();
    where.clock.at(1800, () => cancel.abort(new Error("ctrl-c")));
    const { state } = await failed(up(spec, where, undefined, { signal: cancel.signal }));
    assert.ok(state.members.some(({ base }) => base === "arriving"));
    const stopped = { ...spec, powerOn: false };
    const { hypervisor, calls } = recording(where.hypervisor);
    const { plan } = await up(stopped, { ...where, hypervisor }, state);
    await assertSettled(stopped, where, 3);
    // One that is made anew was never running.
    const made = new Set(plan.create.map(({ host, slot }) => `power ${host}/${slot}`));
    assert.deepEqual(calls.filter((call) => made.has(call)), []);
    assert.ok(plan.complete.length > 0);
  });
});

describe("a change of a member that runs", () => {
  it("is ordered for at once as far as the plan says, and what the hypervisor says of it reaches whoever asked for the run", async () => {
    const of = (numCpus: number, memory: number) => specOf(inputs(1, 1, { count: 1, vm: { numCpus, memory, maxCpus: 4, maxMemory: 512, domainType: "qemu" } }));
    const where = world(of(1, 256));
    const { state } = await up(of(1, 256), where);
    const live: unknown[] = [];
    const notices: string[] = [];
    const hypervisor = wrap(where.hypervisor, (method, order, context, proceed) => {
      if (method === "reconfigure") {
        live.push(order.live);
        context?.onNotice?.("w-000 kept its memory");
      }
      return proceed();
    });
    const { state: after } = await up(of(3, 512), { ...where, hypervisor }, state, { onNotice: (notice) => notices.push(notice) });
    await up(of(2, 512), { ...where, hypervisor }, after);
    assert.deepEqual([live, notices], [[["cpus", "memory"], undefined], ["w-000 kept its memory"]]);
    assert.equal((await reachable(of(2, 512), where))[0]!.members[0]!.running!.numCpus, 3);
  });
});
