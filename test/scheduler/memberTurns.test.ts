import assert from "node:assert/strict";
import fc from "fast-check";
import { lastReadySeconds, lastTurnSeconds, learnTurns, turnEnds, type ReadyImage } from "../../provider/scheduler";

const images = fc.array(fc.record({ host: fc.constantFrom("a", "b", "c", "d"), atSeconds: fc.double({ min: 0, max: 50, noNaN: true }) }), { minLength: 1, maxLength: 30 });
const near = (a: number, b: number): boolean => Math.abs(a - b) < 1e-6 * Math.max(1, b);

describe("members' turns", () => {
  it("of one host follow each other, those of several run beside each other as far as the fleet lets them", () => {
    const at0 = (...hosts: string[]): ReadyImage[] => hosts.map((host) => ({ host, atSeconds: 0 }));
    assert.equal(lastTurnSeconds(at0(..."aaaa"), 0.5, 16), 2);
    assert.equal(lastTurnSeconds(at0(..."abcd"), 0.5, 16), 0.5);
    assert.equal(lastTurnSeconds(at0(..."abcd"), 0.5, 2), 1);
    assert.equal(lastTurnSeconds([...at0("a", "a"), { host: "a", atSeconds: 10 }], 0.5, 16), 10.5);
    assert.equal(lastTurnSeconds([], 0.5, 16), 0);
  });

  it("end no sooner than any bound says, and no later than all of them one after the other", () => {
    fc.assert(fc.property(images, fc.double({ min: 0.01, max: 5, noNaN: true }), fc.integer({ min: 1, max: 8 }), (all, each, atOnce) => {
      const last = lastTurnSeconds(all, each, atOnce);
      const latest = Math.max(...all.map((one) => one.atSeconds));
      const most = Math.max(...["a", "b", "c", "d"].map((host) => all.filter((one) => one.host === host).length));
      assert.ok(last >= latest + each - 1e-9 && last >= most * each - 1e-9 && last >= (all.length / atOnce) * each - 1e-9);
      assert.ok(last <= latest + all.length * each + 1e-9);
    }));
  });

  it("are learned where several wait on one host, and what comes after them where each is alone", () => {
    fc.assert(fc.property(fc.integer({ min: 3, max: 60 }), fc.double({ min: 0.02, max: 5, noNaN: true }), (count, each) => {
      const queue = Array.from({ length: count }, () => ({ host: "a", atSeconds: 3 }));
      const learned = learnTurns(queue, 16, lastTurnSeconds(queue, each, 16), { memberSeconds: 0.5, finishSeconds: 0 }, true);
      assert.ok(near(learned.memberSeconds, each) && learned.finishSeconds === 0, JSON.stringify(learned));
    }));
    const alone = [{ host: "a", atSeconds: 3 }, { host: "b", atSeconds: 4 }];
    assert.deepEqual(learnTurns(alone, 16, 6, { memberSeconds: 0.5, finishSeconds: 0 }, true), { memberSeconds: 0.5, finishSeconds: 1.5 });
  });

  it("learned explain the run they were learned of, whatever it was", () => {
    fc.assert(fc.property(images, fc.double({ min: 0, max: 60, noNaN: true }), fc.integer({ min: 1, max: 8 }), (all, more, atOnce) => {
      const ready = Math.max(...all.map((one) => one.atSeconds)) + more;
      const { memberSeconds, finishSeconds } = learnTurns(all, atOnce, ready, { memberSeconds: 0.5, finishSeconds: 0 }, true);
      assert.ok(Math.abs(lastTurnSeconds(all, memberSeconds, atOnce) + finishSeconds - ready) < 1e-3);
    }));
  });
});

describe("guests that boot", () => {
  it("take the same time each, so many at once, in the order they may", () => {
    assert.equal(lastReadySeconds([], 30, 5), 0);
    assert.equal(lastReadySeconds([0, 0, 0, 0], 30, 4), 30);
    assert.equal(lastReadySeconds([0, 0, 0, 0], 30, 3), 60);
    assert.equal(lastReadySeconds([0, 0, 0, 40], 30, 2), 70);
    assert.equal(lastReadySeconds([5, 0], 30, 1), 60);
  });

  it("are never more at once than they may be, and none waits for a place that is free", () => {
    fc.assert(fc.property(images, fc.integer({ min: 1, max: 8 }), fc.double({ min: 0.1, max: 40, noNaN: true }), (some, atOnce, guestSeconds) => {
      const starts = turnEnds(some, 0.5, 16);
      assert.equal(starts.length, some.length);
      assert.ok(near(Math.max(...starts), lastTurnSeconds(some, 0.5, 16)));
      // By hand: whoever may start takes the place that is free first.
      const places = new Array<number>(atOnce).fill(0);
      let last = 0;
      for (const at of [...starts].sort((a, b) => a - b)) {
        const place = places.indexOf(Math.min(...places));
        places[place] = Math.max(at, places[place]!) + guestSeconds;
        last = Math.max(last, places[place]);
      }
      assert.ok(near(lastReadySeconds(starts, guestSeconds, atOnce), last));
    }));
  });
});
