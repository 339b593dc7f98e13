import assert from "node:assert/strict";
import { create, declared, frontWorld, origin, plan, RESOURCE, state, UNKNOWN } from "./fakes";

const again = { declared, declaredBefore: declared, recorded: state() };

describe("what a preview says of a new fleet", () => {
  it("is its plan, and what the run would refuse", async () => {
    const { front } = frontWorld({ preview: { plan: plan({ problems: [{ path: "hosts[1].pool", message: "expected a pool" }] }) } });
    const { line, warnings } = await front.previewNew(await front.check(declared), origin);
    assert.equal(line, "+2 VMs on 2 hosts in 2 racks");
    assert.deepEqual(warnings, ["`pulumi up` would refuse this: hosts[1].pool: expected a pool"]);
  });

  it("is what the plan depends on, where that is not known", async () => {
    const { front } = frontWorld();
    const { line } = await front.previewNew(await front.check({ ...declared, count: UNKNOWN }), origin);
    assert.equal(line, "a new fleet; its plan depends on values that are not known yet: count");
  });

  it("asks whose it is only where no id is declared", async () => {
    const { front, entered } = frontWorld();
    await front.previewNew(await front.check({ ...declared, fleetId: "otherfleet" }), () => assert.fail("asked"));
    assert.equal(entered[0]!.request.fleetId, "otherfleet");
  });
});

describe("what a preview says of a recorded fleet", () => {
  it("is nothing where a run would do nothing", async () => {
    assert.deepEqual(await frontWorld().front.compare(again), { isOtherFleet: false, hasChanges: false, words: { warnings: [] } });
  });

  it("is the plan where a run would do something", async () => {
    const { front } = frontWorld({ preview: { plan: plan({ create: [create] }), text: "+1 VM on 1 host" } });
    assert.deepEqual(await front.compare(again), { isOtherFleet: false, hasChanges: true, words: { line: "+1 VM on 1 host", warnings: [] } });
  });

  it("is that no host could be asked, though nothing seems to change", async () => {
    const { front } = frontWorld({ observe: async () => { throw new Error("connection refused"); } });
    const { hasChanges, words } = await front.compare(again);
    assert.equal(hasChanges, false);
    assert.match(words.line!, /\(no host asked: connection refused\)$/);
  });

  it("is nothing of another fleet, which is a new one; and no host is asked", async () => {
    const { front, entered } = frontWorld();
    assert.deepEqual(await front.compare({ ...again, declared: { ...declared, fleetId: "otherfleet" } }), { isOtherFleet: true, hasChanges: true, words: { warnings: [] } });
    assert.deepEqual(entered, []);
  });

  it("counts a change that touches no member, but no default that is written out", async () => {
    const { front } = frontWorld();
    assert.equal((await front.compare({ ...again, declared: { ...declared, deletionProtection: true } })).hasChanges, true);
    assert.equal((await front.compare({ ...again, declared: { ...declared, policy: "auto" } })).hasChanges, false);
  });
});

describe("telling a preview", () => {
  it("delivers the plan first, then the warnings, and returns when all are there", async () => {
    const { front, said } = frontWorld();
    await front.tell({ resource: RESOURCE, words: { line: "+1 VM", warnings: ["a1 is full", "b1 is slow"] } });
    assert.deepEqual(said.map(({ text, manner }) => [manner, text]), [["info", "+1 VM"], ["warning", "a1 is full"], ["warning", "b1 is slow"]]);
  });
});
