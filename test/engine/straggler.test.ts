/** Which copies lag, and when it is worth making one anew. Each alone takes 100 s here: 100 GB at 1 GB/s. */
import assert from "node:assert/strict";
import { StragglerWatch } from "../../provider/engine/distribution/straggler";
import type { BookedTransfer } from "../../provider/engine/distribution/sourceBook";
import { topologyOf, type Topology } from "../../provider/scheduler";
import { inputs, specOf } from "./world";

const GB = 1e9;
const datacenter = (options: Parameters<typeof topologyOf>[1] = {}, hosts = 8): Topology => topologyOf(specOf(inputs(hosts, 1, { count: 1 })), options);
const watchOf = (t = datacenter(), factor = 0.3): StragglerWatch => new StragglerWatch(t, 100 * GB, factor);
const copy = (sourceHost: number, targetHost: number, more: Partial<BookedTransfer> = {}): BookedTransfer => (
  { source: sourceHost, from: {}, sourceHost, targetHost, startedAtSeconds: 0, done: 0, bytesDone: 0, straggling: false, lost: false, ...more } as BookedTransfer
);

/** Goes to that second: each copy has so many GB by then. @returns which lag */
function at(watch: StragglerWatch, seconds: number, ...copies: [BookedTransfer, number][]): boolean[] {
  for (const [one, gigabytes] of copies) one.bytesDone = gigabytes * GB;
  watch.update(copies.map(([one]) => one), seconds);
  return copies.map(([one]) => one.straggling);
}

describe("a copy that lags", () => {
  it("does not while it is young: three seconds are not enough", () => {
    const [watch, quick, slow] = [watchOf(), copy(0, 1), copy(2, 3)];
    at(watch, 0, [quick, 0], [slow, 0]);
    assert.deepEqual(at(watch, 3, [quick, 3], [slow, 0.1]), [false, false]);
    assert.deepEqual(at(watch, 6, [quick, 6], [slow, 0.2]), [false, true]);
  });

  it("is younger by the time its start-up takes, and by ten seconds while it has no byte", () => {
    const judgedAt = (startupSeconds: number, gigabytes: number): number => {
      const [watch, quick, slow] = [watchOf(datacenter({ startupSeconds })), copy(0, 1), copy(2, 3)];
      for (let second = 0; second < 60; second++) if (at(watch, second, [quick, second], [slow, gigabytes])[1]) return second;
      return assert.fail("it was never judged");
    };
    assert.deepEqual([judgedAt(0, 0), judgedAt(6, 0), judgedAt(6, 0.1)], [15, 20, 10]);
  });

  it("does not while it is young beside old ones", () => {
    const [watch, quick, other, young] = [watchOf(datacenter({ startupSeconds: 4 })), copy(0, 1), copy(2, 3), copy(4, 5, { startedAtSeconds: 14 })];
    at(watch, 0, [quick, 0], [other, 0]);
    at(watch, 14, [quick, 10], [other, 10]);
    assert.deepEqual(at(watch, 21, [quick, 17], [other, 17], [young, 0.1]), [false, false, false]);
    assert.deepEqual(at(watch, 26, [quick, 22], [other, 22], [young, 0.2]), [false, false, true]);
  });

  it("is held against when it began, whenever that was", () => {
    const [watch, quick, slow] = [watchOf(), copy(0, 1, { startedAtSeconds: 1000 }), copy(2, 3, { startedAtSeconds: 1008 })];
    at(watch, 1000, [quick, 0], [slow, 0]);
    assert.deepEqual(at(watch, 1010, [quick, 10], [slow, 0.1]), [false, false]);
    assert.deepEqual(at(watch, 1014, [quick, 14], [slow, 0.2]), [false, true]);
  });

  it("is one that has stood still of late, however quick it was", () => {
    const [watch, quick, other] = [watchOf(), copy(0, 1), copy(2, 3)];
    at(watch, 0, [quick, 0], [other, 0]);
    assert.deepEqual(at(watch, 10, [quick, 10], [other, 10]), [false, false]);
    // Half of what it had counts: a third of what was expected. Then a seventh.
    assert.deepEqual(at(watch, 20, [quick, 20], [other, 10]), [false, false]);
    assert.deepEqual(at(watch, 30, [quick, 30], [other, 10]), [false, true]);
    assert.deepEqual(at(watch, 40, [quick, 40], [other, 20]), [false, false]);
  });

  it("is looked at once in half of its own pace, however often others are", () => {
    const [watch, quick, other] = [watchOf(), copy(0, 1), copy(2, 3)];
    at(watch, 0, [quick, 0], [other, 0]);
    at(watch, 10, [quick, 10], [other, 10]);
    for (let second = 11; second < 15; second++) assert.deepEqual(at(watch, second, [quick, second], [other, 10]), [false, false], `${second}`);
    // Looked at each second it would count for nothing what it had at 10 s.
    assert.deepEqual(at(watch, 15, [quick, 15], [other, 10]), [false, false]);
  });

  it("is slower than that part of the others' share that was asked for, not as slow", () => {
    const of = (factor: number) => {
      const [watch, quick, slow] = [watchOf(datacenter(), factor), copy(0, 1), copy(2, 3)];
      at(watch, 0, [quick, 0], [slow, 0]);
      return at(watch, 10, [quick, 10], [slow, 5])[1];
    };
    assert.deepEqual([of(0.5), of(0.51)], [false, true]);
  });
});

describe("what a copy is held against", () => {
  it("is others, not itself: one alone never lags", () => {
    const [watch, alone] = [watchOf(), copy(0, 1)];
    at(watch, 0, [alone, 0]);
    at(watch, 10, [alone, 10]);
    for (const second of [20, 30, 40, 50]) assert.deepEqual(at(watch, second, [alone, 10]), [false]);
  });

  it("is others on the same way: disks say nothing of cards, nor cards of disks", () => {
    const [watch, local, between] = [watchOf(), copy(0, 0), copy(2, 3)];
    at(watch, 0, [local, 0], [between, 0]);
    assert.deepEqual(at(watch, 10, [local, 10], [between, 0.1]), [false, false]);
    const [other, third] = [copy(4, 4), copy(5, 6)];
    assert.deepEqual(at(watch, 30, [local, 30], [between, 0.2], [other, 1], [third, 20]), [false, true, true, false]);
  });

  it("is those as well that ended, and not those that failed", () => {
    const after = (whole: boolean): boolean[] => {
      const [watch, quick, slow] = [watchOf(), copy(0, 1), copy(2, 3)];
      at(watch, 0, [quick, 0], [slow, 0]);
      at(watch, 2, [quick, 2], [slow, 0.1]);
      watch.ended(quick, whole, 2);
      return at(watch, 10, [slow, 0.5]);
    };
    assert.deepEqual([after(true), after(false)], [[true], [false]]);
  });

  it("is what those had of their part that ended", () => {
    const [watch, ended, slow] = [watchOf(), copy(0, 1), copy(2, 3)];
    at(watch, 0, [ended, 0], [slow, 0]);
    at(watch, 10, [ended, 2], [slow, 1]);
    watch.ended(ended, true, 10);
    assert.deepEqual(at(watch, 20, [slow, 2]), [false], "half as quick as that one");
    assert.deepEqual(at(watch, 50, [slow, 2]), [true]);
  });

  it("is nobody who is young", () => {
    const [watch, quick, slow, young] = [watchOf(), copy(0, 1), copy(2, 3), [copy(4, 5, { startedAtSeconds: 10 }), copy(5, 6, { startedAtSeconds: 10 }), copy(6, 7, { startedAtSeconds: 10 })]];
    at(watch, 0, [quick, 0], [slow, 0]);
    at(watch, 10, [quick, 10], [slow, 2.9]);
    assert.deepEqual(at(watch, 13, [quick, 13], [slow, 2.9], ...young.map((one): [BookedTransfer, number] => [one, 0.1])).slice(0, 2), [false, true]);
  });

  it("is nobody who ended before anything was expected of it", () => {
    const [watch, quick, slow] = [watchOf(datacenter({ startupSeconds: 1 })), copy(0, 1), copy(2, 3)];
    at(watch, 0, [quick, 0], [slow, 0]);
    at(watch, 1, [quick, 1], [slow, 0.1]);
    watch.ended(quick, true, 1);
    assert.deepEqual(at(watch, 20, [slow, 0.5]), [false]);
  });

  it("is one in the middle of them, not the best", () => {
    const [watch, copies] = [watchOf(), [copy(0, 1), copy(2, 3), copy(4, 5)]];
    at(watch, 0, [copies[0]!, 0], [copies[1]!, 0], [copies[2]!, 0]);
    assert.deepEqual(at(watch, 10, [copies[0]!, 10], [copies[1]!, 2], [copies[2]!, 1]), [false, false, false]);
    assert.deepEqual(at(watch, 20, [copies[0]!, 20], [copies[1]!, 12], [copies[2]!, 1]), [false, false, true]);
  });

  it("is what those reach that follow nobody, where most follow a slow one", () => {
    const [watch, relay, free, other] = [watchOf(), copy(0, 1), copy(6, 7), copy(5, 4)];
    const readers = [copy(1, 2), copy(2, 3)];
    readers.forEach((reader, i) => { reader.from = { arrival: [relay, readers[0]!][i]! } as BookedTransfer["from"]; });
    const all = (second: number, slowly: number) => at(watch, second, [relay, slowly], [readers[0]!, slowly], [readers[1]!, slowly], [free, second], [other, second]);
    all(0, 0);
    assert.deepEqual(all(10, 1), [true, false, false, false, false]);
  });
});

describe("what is expected of a copy", () => {
  it("takes those out that are whole and serve: they take no part of the way", () => {
    const [watch, whole, slow, quick] = [watchOf(datacenter(), 0.5), copy(0, 1, { done: 1 }), copy(0, 2), copy(4, 5)];
    at(watch, 0, [whole, 100], [slow, 0], [quick, 0]);
    assert.deepEqual(at(watch, 10, [whole, 100], [slow, 4], [quick, 10]), [false, true, false]);
  });

  it("is no more than what it reads from is expected to bring", () => {
    const t = datacenter();
    t.hosts[0]!.nicBytesPerSecond = 1e8;
    const [watch, relay, reader, quick] = [watchOf(t), copy(0, 1), copy(1, 2), copy(4, 5)];
    reader.from = { arrival: relay } as BookedTransfer["from"];
    at(watch, 0, [relay, 0], [reader, 0], [quick, 0]);
    // Behind its relay by more than one that follows it, and less than half as quick as that: not a twentieth of what its own way takes.
    assert.deepEqual(at(watch, 60, [relay, 6], [reader, 2.4], [quick, 60]), [false, false, false]);
  });

  it("is nothing while it has no source", () => {
    const [watch, lost, quick] = [watchOf(), copy(0, 1, { lost: true }), copy(2, 3)];
    at(watch, 0, [lost, 0], [quick, 0]);
    assert.deepEqual(at(watch, 30, [lost, 0], [quick, 30]), [false, false]);
  });
});

describe("a copy that lags is worth making anew", () => {
  const lagging = (gigabytes: number, startedAtSeconds = 0) => copy(2, 3, { straggling: true, bytesDone: gigabytes * GB, startedAtSeconds });
  const having = (...durations: number[]): StragglerWatch => {
    const watch = watchOf();
    for (const seconds of durations) watch.ended(copy(0, 1, { startedAtSeconds: 7 }), true, 7 + seconds);
    return watch;
  };

  it("where its rest takes more than twice what the slowest of the others took", () => {
    // A tenth in 50 s: the rest takes 450.
    assert.deepEqual([200, 224, 225, 300].map((seconds) => having(10, seconds, 20).isHopeless(lagging(10, 100), 150)), [true, true, false, false]);
  });

  it("where others were made, and it lags", () => {
    assert.equal(having().isHopeless(lagging(1), 100), false);
    assert.equal(having(10).isHopeless({ ...lagging(1), straggling: false }, 100), false);
  });

  it("whatever those took that failed or lagged themselves", () => {
    const watch = having(10);
    watch.ended(copy(0, 1), false, 1000);
    watch.ended(copy(0, 1, { straggling: true }), true, 1000);
    assert.equal(watch.isHopeless(lagging(10), 50), true);
  });

  it("by what the last 32 took", () => {
    const ten = (count: number): number[] => Array.from({ length: count }, () => 10);
    assert.deepEqual([31, 32].map((count) => having(1000, ...ten(count)).isHopeless(lagging(10), 50)), [false, true]);
  });
});

describe("how often a copy is looked at", () => {
  const t = datacenter();
  t.hosts[1]!.nicBytesPerSecond = 5e8;
  t.stores[2]!.bytesPerSecond = 2e8;
  const watch = watchOf(t);

  it("is a tenth of the time that the slowest of its disks and cards takes", () => {
    assert.deepEqual([copy(0, 3), copy(0, 1), copy(1, 0), copy(2, 0), copy(0, 2)].map((one) => watch.paceSeconds(one)), [10, 20, 20, 50, 50]);
  });

  it("is by the disk alone within a host and for an upload", () => {
    assert.deepEqual([copy(1, 1), copy(2, 2), copy(-1, 1)].map((one) => watch.paceSeconds(one)), [10, 50, 10]);
  });

  it("is that of the copy it reads from where that still arrives on its host", () => {
    const arriving = copy(0, 1);
    const from = { arrival: arriving } as BookedTransfer["from"];
    assert.deepEqual([copy(1, 1, { from }), copy(1, 3, { from }), copy(0, 3, { from })].map((one) => watch.paceSeconds(one)), [20, 20, 10]);
  });

  it("is once a second at most", () => assert.equal(new StragglerWatch(t, 1e9, 0.3).paceSeconds(copy(0, 3)), 1));
});
