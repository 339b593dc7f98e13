import assert from "node:assert/strict";
import { VirtualClock } from "../../../provider/hypervisors/simulated";

describe("virtual clock", () => {
  it("lets hours pass in no time, in order", async () => {
    const clock = new VirtualClock();
    const seen: number[] = [];
    const nap = async (ms: number): Promise<void> => {
      await clock.sleep(ms);
      seen.push(clock.nowMs());
    };
    const start = Date.now();
    await Promise.all([nap(7_200_000), nap(1000), nap(3_600_000)]);
    assert.deepEqual(seen, [1000, 3_600_000, 7_200_000]);
    assert.ok(Date.now() - start < 1000);
  });

  it("does not move on while anyone still reacts to the present", async () => {
    const clock = new VirtualClock();
    const reacting = (async () => {
      await clock.sleep(10);
      for (let i = 0; i < 50; i++) await Promise.resolve();
      await new Promise((resolve) => setImmediate(resolve));
      return clock.nowMs();
    })();
    const later = clock.sleep(11);
    assert.equal(await reacting, 10);
    await later;
  });

  it("resolves sleep(0) after all that is due at this instant, before time moves", async () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    const first = clock.sleep(5).then(async () => {
      await clock.sleep(0);
      seen.push(`settled at ${clock.nowMs()}`);
    });
    const second = clock.sleep(5).then(() => seen.push("second"));
    await Promise.all([first, second, clock.sleep(6)]);
    assert.deepEqual(seen, ["second", "settled at 5"]);
  });

  it("rejects an aborted sleep with the signal's reason, and does not wait for it", async () => {
    const clock = new VirtualClock();
    const abort = new AbortController();
    const sleeping = clock.sleep(1e9, abort.signal);
    abort.abort(new Error("enough"));
    await assert.rejects(sleeping, /enough/);
    await clock.sleep(1);
    assert.equal(clock.nowMs(), 1);
    await assert.rejects(clock.sleep(1, abort.signal), /enough/);
  });

  it("does not let time pass for daemon timers alone", async () => {
    const clock = new VirtualClock();
    let fired = 0;
    clock.at(50, () => { fired++; }, { daemon: true });
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([clock.nowMs(), fired], [0, 0]);
    await clock.sleep(60);
    assert.equal(fired, 1);
  });
});
