import assert from "node:assert/strict";
import { fleetIdFromOrigin } from "../../provider/fleet";
import { FleetRefusedError, FleetRunError, type Progress } from "../../provider/engine/types";
import { PartialFailureError } from "../../provider/pulumi/dynamic/lifecycle";
import { create, inputs, outputs, plan, state, URN, world } from "./fakes";

const progress = (changes: Partial<Progress>): Progress => ({
  phase: "clone", membersDone: 0, membersTotal: 2, bytesDone: 0, bytesTotal: 2e9, bytesPerSecond: 1e8, ...changes,
});

describe("create", () => {
  it("derives the fleet id from the origin, so that a crashed create's leftovers are found", async () => {
    const { provider, entered } = world({ backend: "https://api.pulumi.com" });
    const { id } = await provider.create(inputs({ __organization: "acme" }));
    assert.equal(id, fleetIdFromOrigin({ urn: URN, backend: "https://api.pulumi.com", organization: "acme" }));
    assert.equal(entered[0]!.request.fleetId, id);
  });

  it("has the id that its preview planned with", async () => {
    const { provider, entered } = world();
    const { inputs: checked } = await provider.check({}, inputs({}, true));
    await provider.create(checked);
    assert.deepEqual(new Set(entered.map((each) => each.request.fleetId)).size, 1);
  });

  it("says which members it takes over, before it does", async () => {
    const adopt = [{ slot: 0, name: "workers-000", host: "a1", reason: "made by another run" }];
    const { provider, said } = world({ apply: async ({ onPlan }) => (onPlan!(plan({ adopt }), { hosts: [] }), state()) });
    await provider.create(inputs());
    assert.deepEqual(said.map(({ message, severity, ephemeral }) => ({ message, severity, ephemeral })), [{
      message: "takes over 1 member made by an earlier run or another resource of this fleet: workers-000 on a1", severity: "warning", ephemeral: false,
    }]);
  });

  it("adopts the fleet whose id is given", async () => {
    assert.equal((await world().provider.create(inputs({ fleetId: "otherfleet" }))).id, "otherfleet");
  });

  it("gives each create its own incarnation", async () => {
    const { provider, entered } = world();
    await provider.create(inputs());
    assert.equal(entered[0]!.request.incarnation, "fedcba9876543210");
  });

  it("puts the inputs and the state into the outputs, and nothing of the preview", async () => {
    const { outs } = await world({ apply: async () => state() }).provider.create(inputs({}, true));
    assert.deepEqual([outs.namePrefix, outs.placement, outs.fleetId], ["workers", { a1: 1, b1: 1 }, "abcdefghij"]);
    assert.equal("__preview" in outs, false);
  });

  it("is refused with every problem when the inputs are wrong", async () => {
    await assert.rejects(world().provider.create(inputs({ count: -1, namePrefix: "" })), (error: unknown) => {
      assert.ok(error instanceof FleetRefusedError);
      assert.deepEqual(error.problems.map((problem) => problem.path), ["count", "namePrefix"]);
      return true;
    });
  });

  it("saves what was made when some of it failed", async () => {
    const made = state({ placement: { a1: 1 } });
    const { provider, closed } = world({ apply: async () => { throw new FleetRunError(["b1: clone: disk full"], made); } });
    await assert.rejects(provider.create(inputs()), (error: unknown) => {
      assert.ok(error instanceof PartialFailureError);
      assert.deepEqual([error.id, error.reasons], ["abcdefghij", ["b1: clone: disk full"]]);
      assert.deepEqual([error.properties["__provider"], error.properties["placement"]], ["text", { a1: 1 }]);
      return true;
    });
    assert.equal(closed(), 1);
  });

  it("passes on a refusal as it is, with nothing saved", async () => {
    const refusal = new FleetRefusedError([{ path: "hosts[0].pool", message: "expected a pool" }]);
    await assert.rejects(world({ apply: async () => { throw refusal; } }).provider.create(inputs()), refusal);
  });

  it("shows progress on the row while it runs, throttled, the last one always", async () => {
    const { provider, said } = world({
      apply: async ({ onProgress }) => {
        for (let done = 0; done <= 1000; done++) onProgress!(progress({ bytesDone: done * 2e6 }));
        onProgress!(progress({ phase: "done", membersDone: 2, bytesDone: 2e9 }));
        return state();
      },
    });
    await provider.create(inputs());
    assert.ok(said.length < 100, `${said.length} messages`);
    assert.ok(said.every((each) => each.ephemeral && each.urn === URN));
    assert.equal(said.at(-1)!.message, "done: 2 of 2 members, 2 GB");
  });

  it("never shows a password of a URI", async () => {
    const { provider, said } = world({
      apply: async ({ onProgress }) => (onProgress!(progress({ note: "asking qemu+ssh://root:geheim@a1/system" })), state()),
    });
    await provider.create(inputs());
    assert.doesNotMatch(JSON.stringify(said), /geheim/);
  });

  it("is aborted, and the process ends, when the engine is gone", async () => {
    const here = world({
      apply: ({ signal }) => new Promise((_, reject) => {
        signal!.addEventListener("abort", () => reject(signal!.reason), { once: true });
        setImmediate(() => here.engineDies());
      }),
    });
    await assert.rejects(here.provider.create(inputs()), /Pulumi is gone/);
    await new Promise(setImmediate);
    assert.deepEqual(here.exits, [1]);
  });
});

describe("update", () => {
  it("goes on from the recorded state, whatever the URN is now", async () => {
    const { provider, entered } = world();
    await provider.update("abcdefghij", await outputs(), { ...inputs({ count: 5 }), __urn: "urn:pulumi:dev::proj::t::renamed" });
    const { fleetId, incarnation, previous, spec } = entered[0]!.request;
    assert.deepEqual([fleetId, incarnation], ["abcdefghij", "0123456789abcdef"]);
    assert.deepEqual(previous, state());
    assert.deepEqual(spec!.targets, { kind: "count", count: 5 });
  });

  it("goes on from what a partial failure saved", async () => {
    const made = state({ placement: { a1: 1 } });
    const failing = world({ apply: async () => { throw new FleetRunError(["b1: clone: disk full"], made); } });
    const saved = await failing.provider.create(inputs()).catch((error: PartialFailureError) => error.properties);
    const { provider, entered } = world();
    await provider.update("abcdefghij", saved as never, inputs());
    assert.deepEqual(entered[0]!.request.previous, made);
  });
});

describe("errors of any method", () => {
  const uri = "qemu+tcp://root:ge@heim@a1/system";
  const noSecret = (error: unknown) => {
    const { message, stack, cause } = error as Error;
    assert.match(message, /root:\*\*\*@a1/);
    assert.doesNotMatch(`${message} ${stack} ${String((cause as Error | undefined)?.stack)} ${JSON.stringify(error)}`, /heim/);
    return true;
  };
  const thrown = [
    () => new Error(`no way to ${uri}`, { cause: new Error(`${uri}: refused`) }),
    () => new FleetRefusedError([{ path: "hosts[0]", message: `expected a host, got ${uri}` }]),
    () => new FleetRunError([`a1: destroy: ${uri}`], state()),
  ];

  it("name no password of a URI", async () => {
    for (const make of thrown) {
      const fail = async () => { throw make(); };
      const { provider } = world({ apply: fail, refresh: fail, remove: fail });
      await assert.rejects(provider.create(inputs()), noSecret);
      await assert.rejects(async () => provider.update("abcdefghij", await outputs(), inputs()), noSecret);
      await assert.rejects(async () => provider.read("abcdefghij", await outputs()), noSecret);
      await assert.rejects(async () => provider.delete("abcdefghij", await outputs()), noSecret);
    }
  });
});

describe("read", () => {
  it("brings what the hosts hold now", async () => {
    const { provider } = world({ refresh: async () => state({ placement: { a1: 1, b1: 0 } }) });
    const { id, props } = await provider.read("abcdefghij", await outputs());
    assert.equal(id, "abcdefghij");
    assert.deepEqual(props.placement, { a1: 1, b1: 0 });
  });

  it("lets Pulumi forget a fleet of which nothing is left", async () => {
    const { provider } = world({ refresh: async () => null });
    assert.equal((await provider.read("abcdefghij", await outputs())).id, undefined);
  });

  it("looks for the fleet that was recorded, not for one the inputs would name", async () => {
    const { provider, entered } = world();
    await provider.read("abcdefghij", await outputs());
    assert.equal(entered[0]!.request.fleetId, "abcdefghij");
  });
});

describe("delete", () => {
  it("says what it leaves", async () => {
    const { provider, said, noted } = world({ remove: async ({ onPlan }) => onPlan!(plan({ destroy: [create], warnings: ["base-1 on a2 stays"] }), { hosts: [] }) });
    await provider.delete("abcdefghij", await outputs());
    assert.deepEqual(said.filter(({ severity }) => severity === "warning").map(({ message }) => message), ["base-1 on a2 stays"]);
    assert.deepEqual(noted, ["forgotten"]);
  });

  it("removes the recorded incarnation", async () => {
    const { provider, entered } = world();
    await provider.delete("abcdefghij", await outputs());
    assert.deepEqual([entered[0]!.door, entered[0]!.request.incarnation], ["remove", "0123456789abcdef"]);
  });
});

describe("a damaged record", () => {
  const member = { slot: 0, name: "workers-000", host: "a1" };
  const damages: Record<string, object> = {
    "members[0].slot": { members: [{ ...member, slot: "0" }] }, "__incarnation": { __incarnation: undefined }, "fleetId": { fleetId: "" }, "members": { members: 3 },
  };
  for (const [path, damage] of Object.entries(damages)) {
    it(`is refused by every method that would go by it, and no host is touched: ${path}`, async () => {
      const { provider, entered } = world();
      const olds = { ...await outputs(), ...damage };
      const refused = { name: "DamagedRecordError", path };
      await assert.rejects(provider.diff("abcdefghij", olds, inputs()), refused);
      await assert.rejects(provider.update("abcdefghij", olds, inputs()), refused);
      await assert.rejects(provider.read("abcdefghij", olds), refused);
      await assert.rejects(provider.delete("abcdefghij", olds), refused);
      assert.deepEqual(entered, []);
    });
  }
});
