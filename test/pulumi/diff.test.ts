import assert from "node:assert/strict";
import { create, inPreview, inputs, outputs, plan, UNKNOWN, world } from "./fakes";

describe("diff", () => {
  it("finds nothing to do in an unchanged fleet, and says nothing", async () => {
    const { provider, said } = world();
    const result = await inPreview(provider, await outputs(), inputs({}, true));
    assert.equal(result.changes, false);
    assert.deepEqual(result.replaces ?? [], []);
    assert.deepEqual(said, []);
  });

  it("takes a default written out for no change", async () => {
    const result = await world().provider.diff("abcdefghij", await outputs(), inputs({ policy: "auto", connectTimeout: 10 }));
    assert.equal(result.changes, false);
  });

  it("takes another URN for no change, so that a rename with aliases touches nothing", async () => {
    const result = await world().provider.diff("abcdefghij", await outputs(), { ...inputs(), __urn: "urn:pulumi:dev::proj::t::renamed" });
    assert.equal(result.changes, false);
  });

  it("takes a fleet id that repeats the recorded one for no change", async () => {
    const result = await world().provider.diff("abcdefghij", await outputs(), inputs({ fleetId: "abcdefghij" }));
    assert.deepEqual([result.changes, result.replaces ?? []], [false, []]);
  });

  it("replaces for another fleet id, the old fleet first", async () => {
    const result = await world().provider.diff("abcdefghij", await outputs(), inputs({ fleetId: "otherfleet" }));
    assert.deepEqual(result, { changes: true, replaces: ["fleetId"], deleteBeforeReplace: true });
  });

  it("keeps the fleet when its id is no longer given", async () => {
    const result = await world().provider.diff("abcdefghij", await outputs({ fleetId: "abcdefghij" }), inputs());
    assert.deepEqual([result.changes, result.replaces ?? []], [false, []]);
  });

  it("tells the plan of a grown fleet once, and replaces nothing", async () => {
    const { provider, said } = world({ preview: { plan: plan({ create: [create] }), text: "+1 VM on 1 host" } });
    const result = await inPreview(provider, await outputs(), inputs({ count: 3 }, true));
    assert.deepEqual([result.changes, result.replaces ?? []], [true, []]);
    assert.deepEqual(said.map((each) => each.message), ["+1 VM on 1 host"]);
  });

  it("tells of inputs that members which exist do not follow", async () => {
    const member = { slot: 0, name: "workers-000", host: "a1" };
    const olds = await outputs();
    const vm = { kernel: "/boot/k", autostart: true, networks: [{ network: "default", adapterType: "e1000" }] };
    const warnings = async (outs: typeof olds, changes: object) => {
      const { provider, said } = world();
      await inPreview(provider, outs, inputs({ ...changes }, true));
      return said.map((each) => each.message);
    };
    const made = { ...olds, members: [member], vm: { networks: [{ network: "default" }] } };
    assert.deepEqual(await warnings(made, { namePrefix: "nodes", vm }), [
      "namePrefix, vm.kernel, vm.autostart, vm.networks[].adapterType: the change concerns new members; those that exist keep what they were made with until something else redefines them",
    ]);
    assert.deepEqual(await warnings(made, { vm: { networks: [{ network: "default" }], memory: 2048 } }), []);
    assert.deepEqual(await warnings({ ...made, members: [] }, { vm }), []);
  });

  it("refuses nothing for a template that is still being read", async () => {
    const { provider, said } = world({
      observe: async () => ({ hosts: [], templateUnread: true }),
    });
    await inPreview(provider, await outputs(), inputs({}, true));
    assert.deepEqual(said, []);
  });

  it("finds a member that is missing on its host, though the inputs are the same", async () => {
    const { provider } = world({ preview: { plan: plan({ create: [create] }) } });
    assert.equal((await provider.diff("abcdefghij", await outputs(), inputs())).changes, true);
  });

  it("counts a change that only later runs will feel", async () => {
    assert.equal((await world().provider.diff("abcdefghij", await outputs(), inputs({ deletionProtection: true }))).changes, true);
  });

  it("changes when an input is not known yet", async () => {
    const { provider, said } = world();
    assert.equal((await inPreview(provider, await outputs(), inputs({ count: UNKNOWN }, true))).changes, true);
    assert.match(said[0]!.message, /not known yet: count/);
  });

  it("plans from the recorded state and says so when no host answers", async () => {
    const { provider, said } = world({ observe: async () => { throw new Error("connection refused"); } });
    const result = await inPreview(provider, await outputs(), inputs({}, true));
    assert.equal(result.changes, false);
    assert.match(said[0]!.message, /\(no host asked: connection refused\)$/);
  });
});
