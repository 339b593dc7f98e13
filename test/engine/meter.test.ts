/** The figures of a run while it goes on. */
import assert from "node:assert/strict";
import type { Progress } from "../../provider/engine";
import { ProgressMeter } from "../../provider/engine/progress/meter";
import type { Clock } from "../../provider/async/clock";

function setUp() {
  let nowMs = 0;
  const told: Progress[] = [];
  const meter = new ProgressMeter({ nowMs: () => nowMs } as Clock, (progress) => told.push(progress));
  return {
    meter, told,
    at: (ms: number) => { nowMs = ms; },
    last: () => told.at(-1)!,
  };
}

describe("the meter", () => {
  it("tells each phase with its note, and one entered once only once", () => {
    const { meter, told } = setUp();
    meter.enter("lock", "waiting");
    meter.enterOnce("lock");
    meter.enterOnce("clone");
    meter.enter("clone");
    assert.deepEqual(told.map(({ phase, note }) => [phase, note]), [["lock", "waiting"], ["clone", undefined], ["clone", undefined]]);
    assert.equal("note" in told[1]!, false);
  });

  it("counts members from those that stand", () => {
    const { meter, last } = setUp();
    meter.plan(3, 5, 100);
    meter.memberDone("w-003");
    assert.deepEqual(last(), { phase: "lock", membersDone: 4, membersTotal: 5, bytesDone: 0, bytesTotal: 100, bytesPerSecond: 0, note: "w-003" });
  });

  it("adds up what copies have, each as far as it has come", () => {
    const { meter, told, last } = setUp();
    const [one, other] = [{}, {}];
    meter.plan(0, 2, 100);
    meter.moved(one, 10);
    meter.moved(other, 20);
    meter.moved(one, 5);
    meter.moved(one, 10);
    assert.deepEqual([told.length, last().bytesDone], [2, 30]);
    meter.moved(one, 50);
    meter.ended(one, true);
    meter.moved(other, 80);
    assert.deepEqual([last().bytesDone, last().bytesTotal], [130, 130]);
    meter.ended(other, false);
    meter.emit();
    assert.deepEqual([last().bytesDone, last().bytesTotal], [50, 100]);
  });

  it("tells nobody where nobody asked", () => {
    const meter = new ProgressMeter({ nowMs: () => assert.fail("nobody asked") } as unknown as Clock, undefined);
    meter.moved({}, 5);
    meter.enter("done");
  });

  it("takes the rate of the last five seconds, and from it what is left", () => {
    const { meter, at, last } = setUp();
    const copy = {};
    meter.plan(0, 1, 1000);
    meter.moved(copy, 10);
    assert.deepEqual([last().bytesPerSecond, "etaSeconds" in last()], [0, false]);
    at(1000);
    meter.moved(copy, 110);
    assert.deepEqual([last().bytesPerSecond, last().etaSeconds], [100, 8.9]);
    for (const [ms, bytes] of [[2000, 120], [3000, 130], [4000, 140], [5000, 150], [6000, 200]] as const) {
      at(ms);
      meter.moved(copy, bytes);
    }
    assert.deepEqual([last().bytesPerSecond, last().etaSeconds], [18, 800 / 18]);
  });

  it("takes no sample sooner than 50 ms after the last", () => {
    const { meter, at, last } = setUp();
    const copy = {};
    meter.plan(0, 1, 1e6);
    meter.moved(copy, 1);
    for (let ms = 10; ms <= 5040; ms += 10) {
      at(ms);
      meter.moved(copy, 1 + ms);
    }
    // The oldest sample that counts is no older than the window and one sample's time.
    assert.equal(last().bytesPerSecond, 1000);
  });

  it("knows no rate over a copy that failed", () => {
    const { meter, at, last } = setUp();
    const [one, other] = [{}, {}];
    meter.plan(0, 2, 1000);
    meter.moved(one, 10);
    at(1000);
    meter.moved(other, 500);
    meter.ended(other, false);
    meter.moved(one, 20);
    assert.equal(last().bytesPerSecond, 0);
    at(2000);
    meter.moved(one, 40);
    assert.equal(last().bytesPerSecond, 20);
  });

  it("is never more than done", () => {
    const { meter, at, last } = setUp();
    const copy = {};
    meter.plan(0, 1, 100);
    meter.moved(copy, 50);
    at(1000);
    meter.moved(copy, 150);
    assert.deepEqual([last().etaSeconds, last().bytesTotal], [0, 150]);
  });
});
