import assert from "node:assert/strict";
import { policies, type Decision, type BookView } from "../../provider/scheduler";
import { otherWeight, ownWeight } from "../../provider/scheduler/policies/rounds";
import { base, none, simulatePolicy, template, topology, view } from "./fixtures";

const { rounds } = policies;

/** What each round starts, as `source>target` host numbers, sorted; a round is one unit of time. */
function trace(racks: number[], targets: number[], templateHost = 0): string[][] {
  const t = topology({ racks, time: "unit" });
  const run = simulatePolicy(t, targets, none(t), [template(templateHost)], rounds);
  assert.equal(run.unmade, 0);
  const byRound: string[][] = [];
  for (const copy of run.transfers) (byRound[copy.startSeconds] ??= []).push(`${copy.sourceHost}>${copy.targetHost}`);
  return byRound.map((round) => round.sort());
}

const decided = (v: BookView): string[] =>
  rounds.next(v).map((d: Decision) => `${v.sources.find((s) => s.id === d.source)!.host}>${d.targetHost}`);

describe("rounds: the patent's figures", () => {
  it("weighs T=5, m=1 as 3 doublings at home and 2 elsewhere", () => {
    assert.equal(ownWeight(1, 5), 3);
    assert.equal(otherWeight(1, 5), 2);
  });

  it("weighs nothing where the target is reached", () => {
    assert.deepEqual([ownWeight(4, 4), otherWeight(4, 4), ownWeight(5, 4), otherWeight(5, 4)], [0, 0, 0, 0]);
  });

  it("has a solution at powers of two", () => {
    assert.deepEqual([ownWeight(1, 2), ownWeight(1, 4), ownWeight(1, 8)], [1, 2, 3]);
    assert.deepEqual([otherWeight(0, 1), otherWeight(0, 2), otherWeight(1, 3), otherWeight(1, 6)], [1, 2, 1, 2]);
  });

  it("FIG. 3A: seven clones on one host in rounds of 1, 2 and 4", () => {
    assert.deepEqual(trace([1], [7]).map((round) => round.length), [1, 2, 4]);
  });

  it("FIG. 3B: four hosts with targets 2, 3, 8, 2 round by round", () => {
    // Hosts 0 to 3 are the figure's 312 (which has the template), 314, 316 and 318.
    assert.deepEqual(trace([4], [2, 3, 8, 2]), [
      ["0>1"],
      ["0>2", "1>3"],
      ["0>0", "1>1", "2>2", "3>2"],
      // The figure idles two sources here and needs a fifth round.
      ["0>0", "0>2", "1>1", "1>2", "2>2", "2>2", "2>2", "3>3"],
    ]);
  });
});

describe("rounds: breadth", () => {
  it("goes to every rack once before any host twice, in declared order", () => {
    assert.deepEqual(trace([2, 2, 2], [0, 1, 1, 1, 1, 1]).slice(0, 2), [["0>2"], ["0>4", "2>3"]]);
  });

  it("serves only the own rack once every rack has a source", () => {
    const t = topology({ racks: [1, 2], time: "unit" });
    // The template's rack wants nothing more; the other has one source for five clones.
    const v = view(t, { targets: [0, 3, 3], made: [0, 1, 0], sources: [template(), base(1, 1)] });
    assert.deepEqual(decided(v), ["1>2"]);
  });

  it("counts a rack that lost all its sources as empty again", () => {
    const t = topology({ racks: [1, 2], time: "unit" });
    const v = view(t, { targets: [0, 3, 3], made: [0, 1, 1], sources: [template()] });
    assert.deepEqual(decided(v), ["0>1"]);
  });

  it("does not send a second copy to a rack whose first is under way", () => {
    const t = topology({ racks: [1, 2], time: "unit" });
    const transfer = { source: 1, sourceHost: 0, targetHost: 1, startedAtSeconds: 0, done: 0.1, straggling: false };
    const v = view(t, { targets: [1, 1, 1], made: [1, 0, 0], making: [0, 1, 0], sources: [template(), base(1, 0, 1)], transfers: [transfer] });
    assert.deepEqual(decided(v), []);
  });
});

describe("rounds: bad days", () => {
  it("uses no excluded host as source or target", () => {
    const t = topology({ racks: [3], time: "unit" });
    const v = view(t, { targets: [2, 2, 2], made: [0, 1, 0], sources: [template(), base(1, 1)], excluded: [false, true, false] });
    assert.deepEqual(decided(v), ["0>2"]);
  });

  it("passes over a source whose copy lags while another can serve", () => {
    const t = topology({ racks: [3], time: "unit" });
    const transfer = { source: 0, sourceHost: 0, targetHost: 1, startedAtSeconds: 0, done: 0.1, straggling: true };
    const v = view(t, { targets: [1, 1, 2], made: [0, 0, 1], making: [0, 1, 0], sources: [{ ...template(), serving: 1 }, base(1, 2)], transfers: [transfer] });
    assert.deepEqual(decided(v), ["2>0"]);
  });

  it("seeds a rack anew whose only copy lags", () => {
    const t = topology({ racks: [2, 2], time: "unit" });
    const transfer = { source: 0, sourceHost: 0, targetHost: 2, startedAtSeconds: 0, done: 0.1, straggling: true };
    const v = view(t, { targets: [1, 1, 1, 1], made: [1, 1, 0, 0], making: [0, 0, 1, 0], sources: [{ ...template(), serving: 1 }, base(1, 1)], transfers: [transfer] });
    assert.deepEqual(decided(v), ["1>3"]);
  });

  it("lets a lagging source serve on when it is the only one", () => {
    const t = topology({ racks: [2], time: "unit" });
    const transfer = { source: 0, sourceHost: 0, targetHost: 1, startedAtSeconds: 0, done: 0.1, straggling: true };
    const v = view(t, { targets: [1, 1], making: [0, 1], sources: [{ ...template(), serving: 1 }], transfers: [transfer] });
    assert.deepEqual(decided(v), ["0>0"]);
  });

  it("keeps the caps of hosts and fleet", () => {
    const t = topology({ racks: [3], time: "unit", maxConcurrent: 1 });
    const sources = [template(), base(1, 0), base(2, 1)];
    assert.equal(decided(view(t, { targets: [5, 5, 5], made: [1, 1, 0], sources })).length, 2);
    assert.equal(decided(view(t, { targets: [5, 5, 5], made: [1, 1, 0], sources, freeSlots: 1 })).length, 1);
  });
});
