import assert from "node:assert/strict";
import { policies, policyNames } from "../../provider/scheduler";
import { base, choosePolicy, none, simulatePolicy, template, topology } from "./fixtures";

describe("auto", () => {
  it("takes the shortest makespan", () => {
    const t = topology({ racks: [20, 20] });
    const choice = choosePolicy(t, t.hosts.map(() => 10), none(t), [template()], { relay: true });
    assert.equal(choice.name, "relay");
    for (const name of policyNames) assert.ok(choice.run.makespanSeconds <= choice.runs[name]!.makespanSeconds);
  });

  it("leaves relay out where the hypervisor cannot", () => {
    const t = topology({ racks: [20, 20] });
    const choice = choosePolicy(t, t.hosts.map(() => 10), none(t), [template()]);
    assert.equal(choice.name, "earliestCompletion");
    assert.equal(choice.runs.relay, undefined);
  });

  it("takes the first in the order of policies where all are as fast", () => {
    const t = topology({ racks: [1] });
    assert.equal(choosePolicy(t, [1], none(t), [template()]).name, policyNames[0]);
  });
});

describe("a policy that is slower than another", () => {
  it("is given up once that is certain, and one that is as fast is not", () => {
    const t = topology({ racks: [20, 20] });
    const { runs, name } = choosePolicy(t, t.hosts.map(() => 10), none(t), [template()], { relay: true });
    assert.equal(name, "relay");
    assert.equal(runs.singleSource!.makespanSeconds, Infinity, "it would take ten times as long, and was not run to its end");
    assert.ok(runs.singleSource!.transfers.length < 400);
    // One copy: all policies take as long, and each is run to its end.
    const one = choosePolicy(topology({ racks: [2] }), [0, 1], [0, 0], [template()], { relay: true });
    const [first] = Object.values(one.runs);
    assert.ok(first!.makespanSeconds < Infinity);
    for (const policy of policyNames) assert.deepEqual([one.runs[policy]!.makespanSeconds, one.runs[policy]!.unmade], [first!.makespanSeconds, 0], policy);
    assert.equal(one.name, policyNames[0]);
  });

  it("counts for less than one that leaves less unmade", () => {
    const t = topology({ racks: [2] });
    const { run } = choosePolicy(t, [0, 1], none(t), [template()], { excluded: [true, false] });
    assert.equal(run.unmade, 1);
  });
});

describe("singleSource", () => {
  it("takes the template's disk as long as all the copies together: 320 s for 32 of 10 s", () => {
    const t = topology({ racks: [4, 4] });
    assert.equal(simulatePolicy(t, t.hosts.map(() => 4), none(t), [template()], policies.singleSource).makespanSeconds, 320);
  });

  for (const [racks, hosts, members, seconds] of [[10, 20, 10, 20_000], [100, 40, 25, 1_000_000]] as const) {
    it(`takes ${seconds} s for ${racks} racks of ${hosts} hosts with ${members} members each`, () => {
      const t = topology({ racks: Array.from({ length: racks }, () => hosts) });
      assert.equal(simulatePolicy(t, t.hosts.map(() => members), none(t), [template()], policies.singleSource).makespanSeconds, seconds);
    }).timeout(60_000);
  }

  it("makes one clone after the other in unit time", () => {
    const t = topology({ racks: [2, 2], time: "unit" });
    const { makespanSeconds, transfers } = simulatePolicy(t, [2, 2, 2, 2], none(t), [template()], policies.singleSource);
    assert.equal(makespanSeconds, 8);
    assert.ok(transfers.every((copy) => copy.source === 0));
  });

  it("turns to the oldest source when the template is out of reach", () => {
    const t = topology({ racks: [3], time: "unit" });
    const { transfers } = simulatePolicy(
      t, [0, 2, 2], [0, 1, 0], [template(), base(1, 1)], policies.singleSource, { excluded: [true, false, false] },
    );
    assert.deepEqual(transfers.map((copy) => `${copy.sourceHost}>${copy.targetHost}`), ["1>1", "1>2", "1>2"]);
  });
});
