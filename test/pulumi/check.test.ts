import assert from "node:assert/strict";
import { SIMULATED_WORDS } from "../../provider/hypervisors/simulated";
import { inputs, plan, UNKNOWN, URN, world } from "./fakes";

describe("check", () => {
  it("reports every problem at once, each under its property path", async () => {
    const { provider } = world();
    const { failures } = await provider.check({}, inputs({ count: -1, namePrefix: "no spaces", policy: "fastest" }, true));
    assert.deepEqual(failures?.map((failure) => failure.reason.split(":")[0]), ["count", "namePrefix", "policy"]);
    assert.match(failures![0]!.reason, /^count: expected an integer from 0 to 1000000, got -1/);
  });

  it("looks at no host when the inputs are wrong", async () => {
    let looked = 0;
    const { provider, entered } = world({ observe: async () => (looked++, { hosts: [] }) });
    await provider.check({}, inputs({ count: -1 }, true));
    assert.equal(looked, 0);
    assert.deepEqual(entered, []);
  });

  it("hands the inputs on unchanged, so that defaults never show up as changes", async () => {
    const given = inputs();
    assert.deepEqual((await world().provider.check({}, given)).inputs, given);
  });

  it("hands on nothing of the preview, for `pulumi up --plan` refuses inputs that differ from the preview's", async () => {
    const { provider } = world();
    assert.deepEqual((await provider.check({}, inputs({}, true))).inputs, (await provider.check({}, inputs())).inputs);
  });

  it("says the plan of a new fleet once, so that it stays after the preview", async () => {
    const { provider, said } = world();
    await provider.check({}, inputs({}, true));
    assert.deepEqual(said, [{ urn: URN, message: "+2 VMs on 2 hosts in 2 racks", severity: "info", ephemeral: false }]);
  });

  it("leaves the plan to diff when there is a fleet already", async () => {
    const { provider, said } = world();
    await provider.check(inputs(), inputs({}, true));
    assert.deepEqual(said, []);
  });

  it("is silent and asks no host outside a preview", async () => {
    const { provider, said, entered } = world();
    await provider.check({}, inputs());
    assert.deepEqual([said, entered], [[], []]);
  });

  it("plans from the inputs and says so when no host answers", async () => {
    const { provider, said } = world({ observe: async () => { throw new Error("connection refused"); } });
    const { failures } = await provider.check({}, inputs({}, true));
    assert.deepEqual(failures ?? [], []);
    assert.match(said[0]!.message, /\+2 VMs .* \(no host asked: connection refused\)$/);
  });

  it("does not wait for a host that never answers", async () => {
    const { provider, said } = world({ observe: () => new Promise(() => undefined) });
    await provider.check({}, inputs({}, true));
    assert.match(said[0]!.message, /no answer within 0\.05 s/);
  }).timeout(5000);

  it("names the hosts that are out of reach beside those that answer", async () => {
    const { provider, said } = world({
      observe: async () => ({ hosts: [{ status: "unreachable", name: "b1", reason: "timed out" }, reachable("a1")] }),
    });
    await provider.check({}, inputs({}, true));
    assert.match(said[0]!.message, /\(b1 not in reach\)$/);
  });

  it("warns of what the run would refuse, and does not fail", async () => {
    const { provider, said } = world({ preview: { plan: plan({ problems: [{ path: "hosts[1].pool", message: "expected a pool" }] }) } });
    const { failures } = await provider.check({}, inputs({}, true));
    assert.deepEqual(failures ?? [], []);
    assert.deepEqual(said[1], {
      urn: URN, message: "`pulumi up` would refuse this: hosts[1].pool: expected a pool", severity: "warning", ephemeral: false,
    });
  });

  it("does not call the template missing when it is its host that does not answer", async () => {
    const problem = { message: "cannot be looked at" };
    const observe = (silent: string, other: string) => async () => ({
      hosts: [{ status: "unreachable" as const, name: silent, reason: "timed out" }, reachable(other)], templateProblem: problem,
    });
    const [hostSilent, otherSilent] = [world({ observe: observe("a1", "b1") }), world({ observe: observe("b1", "a1") })];
    await hostSilent.provider.check({}, inputs({}, true));
    await otherSilent.provider.check({}, inputs({}, true));
    assert.deepEqual(hostSilent.said.filter((each) => each.severity === "warning"), []);
    assert.match(otherSilent.said[1]!.message, /would refuse this: template: cannot be looked at/);
  });

  for (const [what, changes] of Object.entries({
    "the count": { count: UNKNOWN },
    "all hosts": { hosts: UNKNOWN },
    "the template": { template: UNKNOWN },
    "a host's uri": { hosts: [{ name: "a1", uri: UNKNOWN }] },
    "the fleet id": { fleetId: UNKNOWN },
  })) {
    it(`accepts ${what} as not known yet`, async () => {
      const { provider, said } = world();
      const { failures } = await provider.check({}, inputs(changes, true));
      assert.deepEqual(failures ?? [], []);
      assert.match(said[0]!.message, /not known yet/);
    });
  }

  it("still reports what is wrong beside an unknown value", async () => {
    const { failures } = await world().provider.check({}, inputs({ count: UNKNOWN, namePrefix: "" }, true));
    assert.deepEqual(failures?.map((failure) => failure.reason.split(":")[0]), ["namePrefix"]);
  });

  it("refuses inputs that did not come through the sdk's class", async () => {
    await assert.rejects(world().provider.check({}, { namePrefix: "x" }), /ClonedVmFleet of pulumi-vmfleet/);
  });
});

const reachable = (name: string) => ({
  status: "reachable" as const, name, uuid: name, hypervisorVersion: "9", words: SIMULATED_WORDS, members: [], replicas: [], leftovers: [], kept: [],
  strangers: [], heldGenerations: [], foreignNames: [], room: { freeBytes: 1e12 }, problems: [],
});
