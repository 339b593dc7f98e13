import assert from "node:assert/strict";
import { Ledger } from "../../provider/engine/run/ledger";
import { member, reachable } from "../fleet/build";

describe("what a run knows it did on a host that cannot be looked at again", () => {
  const before = reachable("a1", [member(0), member(1, { incarnation: "other" })]);
  const slots = (ledger: Ledger) => ledger.over(before, "one").members.map(({ slot, generation, incarnation }) => [slot, generation, incarnation]);

  it("nothing is as it was seen", () => assert.deepEqual(slots(new Ledger()), [[0, 0, "one"], [1, 0, "other"]]));

  it("a member whose definition was sent may exist, until the host says that it could not be defined", () => {
    const ledger = new Ledger();
    ledger.defining("a1", member(2));
    ledger.defining("b1", member(3));
    assert.deepEqual(slots(ledger), [[0, 0, "one"], [1, 0, "other"], [2, 0, "one"]]);
    ledger.notDefined("b1", { slot: 2, generation: 0 });
    ledger.notDefined("a1", { slot: 2, generation: 1 });
    assert.equal(slots(ledger).length, 3, "another host's, or another generation, says nothing of it");
    ledger.notDefined("a1", { slot: 2, generation: 0 });
    assert.deepEqual(slots(ledger), [[0, 0, "one"], [1, 0, "other"]]);
  });

  it("what was destroyed is gone, of that generation and on that host", () => {
    const ledger = new Ledger();
    ledger.destroyed("a1", { slot: 0, generation: 1 });
    ledger.destroyed("b1", { slot: 0, generation: 0 });
    assert.equal(slots(ledger).length, 2);
    ledger.destroyed("a1", { slot: 0, generation: 0 });
    assert.deepEqual(slots(ledger), [[1, 0, "other"]]);
  });

  it("what was to be adopted bears this run's incarnation, and what was defined anew stands once", () => {
    const ledger = new Ledger();
    ledger.adopting("a1", { slot: 1, generation: 0 });
    ledger.defining("a1", member(0, { memory: 2048 }));
    assert.deepEqual(slots(ledger), [[0, 0, "one"], [1, 0, "one"]]);
    assert.equal(ledger.over(before, "one").members[0]!.memory, 2048);
  });

  it("two generations of a slot stand by their age, and of a host without any nothing is taken back", () => {
    const ledger = new Ledger();
    ledger.notDefined("a1", { slot: 0, generation: 0 });
    ledger.defining("a1", member(1, { generation: 2 }));
    ledger.defining("a1", member(1, { generation: 1 }));
    assert.deepEqual(slots(ledger), [[0, 0, "one"], [1, 0, "other"], [1, 1, "one"], [1, 2, "one"]]);
  });
});
