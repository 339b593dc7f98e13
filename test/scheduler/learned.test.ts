/** What runs teach the time model. */
import assert from "node:assert/strict";
import { asLearned, learnFrom, learnTurns, lastTurnSeconds, type ObservedCopy, type ObservedRun } from "../../provider/scheduler";
import type { Learned } from "../../provider/fleet";
import { replay, type ReplayedCopy } from "../../provider/scheduler/time/replay";
import { topology, type Datacenter, type Shape } from "./fixtures";

const LESSON: Learned = { runs: 3, networkFactor: 0.5, diskFactor: 0.25, startupSeconds: 2, hopSeconds: 0.2, finishSeconds: 4 };

describe("a topology as it was learned", () => {
  const t: Datacenter = { ...topology({ racks: [1, 1], startupSeconds: 9 }), hopSeconds: 7 };

  it("has its rates by their factors, and its start-ups as they are", () => {
    const { hosts, racks, stores, startupSeconds, hopSeconds } = asLearned(t, LESSON);
    assert.deepEqual(hosts.map((host) => host.nicBytesPerSecond), [6.25e8, 6.25e8]);
    assert.deepEqual(racks.map((rack) => rack.uplinkBytesPerSecond), [2.5e9, 2.5e9]);
    assert.deepEqual(stores.map((store) => store.bytesPerSecond), [2.5e8, 2.5e8]);
    assert.deepEqual([startupSeconds, hopSeconds], [2, 0.2]);
    assert.deepEqual([hosts[1]!.name, racks[1]!.name, stores[1]!.name], ["h1", "r1", "h1"]);
  });

  it("keeps what copies may use of a link, however quick the link is", () => {
    const limited = { ...t, hosts: t.hosts.map((host) => ({ ...host, nicLimit: { ofBytesPerSecond: 1e9, bytesPerSecond: 4e8 } })) };
    const nics = (networkFactor: number) => asLearned(limited, { ...LESSON, networkFactor }).hosts[0]!.nicBytesPerSecond;
    assert.deepEqual([nics(0.5), nics(0.25)], [4e8, 2.5e8]);
  });

  it("keeps the start-ups said where runs told none, and knows of no hops where nobody did", () => {
    const { startupSeconds, hopSeconds, ...told } = LESSON;
    assert.deepEqual([startupSeconds, hopSeconds], [2, 0.2]);
    const learned = asLearned(t, told);
    assert.deepEqual([learned.startupSeconds, learned.hopSeconds], [9, 7]);
    assert.equal("hopSeconds" in asLearned(topology({ racks: [1] }), told), false);
  });

  it("is as declared where nothing was learned, and in unit time", () => {
    assert.equal(asLearned(t, undefined), t);
    const unit = topology({ racks: [1], time: "unit" });
    assert.equal(asLearned(unit, LESSON), unit);
  });
});

/** A run of these copies where things are as `truth` says. */
function ran(t: Datacenter, truth: Partial<Learned>, copies: readonly ReplayedCopy[], more: Partial<ObservedRun> = {}): ObservedRun {
  const real = asLearned(t, { runs: 0, networkFactor: 1, diskFactor: 1, finishSeconds: 0, ...truth });
  const ends = replay(real, t.image, copies);
  const observed: ObservedCopy[] = copies.map((copy, index) => ({
    ...copy, endSeconds: ends[index]!,
    firstByteSeconds: copy.startSeconds + (truth.startupSeconds ?? 0) + (copy.upstream === undefined ? 0 : truth.hopSeconds ?? 0),
  }));
  return { image: t.image, copies: observed, finishSeconds: 0, ...more };
}

const from = (sourceHost: number, ...targets: number[]): ReplayedCopy[] => targets.map((targetHost) => ({ sourceHost, targetHost, startSeconds: 0 }));
const near = (value: number, expected: number, part = 0.03): void => assert.ok(Math.abs(value / expected - 1) < part, `${value}, not ${expected}`);
/** Links limit on the one, disks on the other. */
const slowLinks: Shape = { racks: [4], nicBytesPerSecond: 1e8, imageBytes: 1e9 };
const slowDisks: Shape = { racks: [4], diskBytesPerSecond: 1e8, imageBytes: 1e9 };

describe("a run", () => {
  it("tells how quick links are where they limit, and nothing of disks then", () => {
    for (const networkFactor of [0.3, 2]) {
      const learned = learnFrom(topology(slowLinks), ran(topology(slowLinks), { networkFactor }, from(0, 1, 2, 3)), undefined)!;
      near(learned.networkFactor, networkFactor);
      near(learned.diskFactor, 1);
    }
  });

  it("tells how quick disks are where they limit, and nothing of links then", () => {
    for (const diskFactor of [0.3, 2]) {
      const learned = learnFrom(topology(slowDisks), ran(topology(slowDisks), { diskFactor }, from(0, 1, 2, 3)), undefined)!;
      near(learned.diskFactor, diskFactor);
      near(learned.networkFactor, 1);
    }
  });

  it("tells of both where copies of either kind ran: over the network and within a host", () => {
    const t = topology({ racks: [4], nicBytesPerSecond: 1e8, diskBytesPerSecond: 1e9, imageBytes: 1e9 });
    const { networkFactor, diskFactor } = learnFrom(t, ran(t, { networkFactor: 0.6, diskFactor: 0.4 }, [...from(0, 1, 2), ...from(3, 3)]), undefined)!;
    near(networkFactor, 0.6);
    near(diskFactor, 0.4);
  });

  it("tells what passes before a copy's first byte and after its last, and before a hop's", () => {
    const t = { ...topology(slowLinks), hopSeconds: 0 };
    const copies: ReplayedCopy[] = [...from(0, 1), { sourceHost: 1, targetHost: 2, startSeconds: 0, upstream: 0 }, { sourceHost: 2, targetHost: 3, startSeconds: 0, upstream: 1 }];
    const run = ran(t, { startupSeconds: 1.5, hopSeconds: 0 }, copies);
    const [first, second, third] = run.copies as [ObservedCopy, ObservedCopy, ObservedCopy];
    second.firstByteSeconds = 1.9;
    third.firstByteSeconds = 2.3;
    Object.assign(third, { lastByteSeconds: third.endSeconds - 0.5 });
    // Others read from it: it ends when they do, whenever its last byte came.
    Object.assign(first, { lastByteSeconds: first.endSeconds - 30 });
    const { startupSeconds, hopSeconds } = learnFrom(t, run, undefined)!;
    assert.deepEqual([startupSeconds, hopSeconds], [2, 0.4]);
  });

  it("tells start-ups by the one in the middle, whatever order copies are told in", () => {
    const t = topology(slowLinks);
    const run = ran(t, { startupSeconds: 1 }, from(0, 1, 2, 3));
    [3, 1, 1.5].forEach((seconds, i) => { run.copies[i]!.firstByteSeconds = seconds; });
    assert.equal(learnFrom(t, run, undefined)!.startupSeconds, 1.5);
  });

  it("tells no hop by a reader that began later than its relay", () => {
    const t = { ...topology(slowLinks), hopSeconds: 0.3 };
    const run = ran(t, { startupSeconds: 1, hopSeconds: 0.3 }, [...from(0, 1), { sourceHost: 1, targetHost: 2, startSeconds: 3, upstream: 0 }]);
    assert.equal(learnFrom(t, run, undefined)!.hopSeconds, 0.3);
    run.copies[1]!.firstByteSeconds = 9;
    assert.equal(learnFrom(t, run, undefined)!.hopSeconds, 0.3);
  });

  it("tells nothing by copies whose source was replaced, whatever they took", () => {
    const t = topology(slowLinks);
    const run = ran(t, { networkFactor: 0.5, startupSeconds: 1 }, [...from(0, 1), ...from(2, 3)]);
    Object.assign(run.copies[1]!, { disturbed: true, endSeconds: 900, firstByteSeconds: 500, lastByteSeconds: 800 });
    const { networkFactor, startupSeconds } = learnFrom(t, run, undefined)!;
    near(networkFactor, 0.5);
    assert.equal(startupSeconds, 1);
  });

  it("tells nothing by copies beside which some were left out: more than 400 are not looked at", () => {
    const t = topology(slowLinks);
    const beside = (count: number): ObservedRun => ({
      image: t.image, finishSeconds: 0, copies: Array.from({ length: count }, () => ({ sourceHost: 0, targetHost: 1, startSeconds: 0, endSeconds: 900 })),
    });
    assert.equal(learnFrom(t, beside(401), LESSON), LESSON);
  });

  it("counts for 0.6 against those before it, and is counted", () => {
    const t = topology(slowLinks);
    const before: Learned = { runs: 3, networkFactor: 1, diskFactor: 1, startupSeconds: 1, hopSeconds: 0.5, finishSeconds: 10 };
    const learned = learnFrom(t, ran(t, { networkFactor: 0.25, startupSeconds: 2 }, from(0, 1, 2, 3), { finishSeconds: 20 }), before)!;
    near(learned.networkFactor, 0.25 ** 0.6, 0.03);
    assert.deepEqual([learned.runs, learned.startupSeconds, learned.hopSeconds, learned.finishSeconds], [4, 1.6, 0.5, 16]);
  });

  it("alone counts whole, and the first is the first", () => {
    const t = topology(slowLinks);
    const { runs, finishSeconds, hopSeconds } = learnFrom(t, ran(t, {}, from(0, 1), { finishSeconds: 20 }), undefined)!;
    assert.deepEqual([runs, finishSeconds, hopSeconds], [1, 20, 0]);
  });

  it("teaches nothing beyond what hosts can be", () => {
    const t = topology(slowLinks);
    for (const seconds of [1e-6, 1e6]) {
      const copies = [1, 2, 3].map((targetHost) => ({ sourceHost: 0, targetHost, startSeconds: 0, endSeconds: seconds, firstByteSeconds: seconds }));
      const { networkFactor, startupSeconds, finishSeconds } = learnFrom(t, { image: t.image, copies, finishSeconds: seconds }, undefined)!;
      assert.ok(networkFactor >= 0.02 && networkFactor <= 4, `${networkFactor}`);
      assert.ok(startupSeconds! <= 60 && finishSeconds <= 600);
    }
  });

  it("teaches nothing that moved next to nothing, or in unit time, or of copies that took no time", () => {
    const t = topology({ ...slowLinks, imageBytes: 1e6 });
    const run = ran(t, { networkFactor: 0.5 }, from(0, 1));
    assert.equal(learnFrom(t, run, undefined), undefined);
    assert.equal(learnFrom(t, run, LESSON), LESSON);
    assert.ok(learnFrom(t, ran(t, { networkFactor: 0.5 }, Array.from({ length: 17 }, () => from(0, 1)[0]!)), undefined));
    assert.equal(learnFrom(topology({ ...slowLinks, time: "unit" }), ran(topology(slowLinks), {}, from(0, 1)), LESSON), LESSON);
    const large = topology(slowLinks);
    const instant = ran(large, {}, from(0, 1));
    Object.assign(instant.copies[0]!, { endSeconds: 0 });
    assert.equal(learnFrom(large, instant, LESSON), LESSON);
  });
});

describe("members' turns, in whatever order they are told", () => {
  it("go to who has waited longest, images told late and hosts told last among them", () => {
    const images = [{ host: "b", atSeconds: 10 }, { host: "a", atSeconds: 9 }, { host: "a", atSeconds: 0 }];
    assert.equal(lastTurnSeconds(images, 1, 1), 11);
    assert.equal(lastTurnSeconds([{ host: "b", atSeconds: 10 }, { host: "a", atSeconds: 0 }, { host: "a", atSeconds: 0 }], 1, 1), 11);
  });

  it("that several on one host tell leave out what comes after the last", () => {
    const queue = [3, 3, 3].map((atSeconds) => ({ host: "a", atSeconds }));
    const { memberSeconds, finishSeconds } = learnTurns(queue, 16, 3 + 3 * 2 + 5, { memberSeconds: 2, finishSeconds: 5 }, false);
    assert.ok(Math.abs(memberSeconds - 2) < 1e-5, `${memberSeconds}`);
    assert.equal(finishSeconds, 5);
  });

  it("are shorter than known where the last was ready sooner than they say", () => {
    assert.deepEqual(learnTurns([{ host: "a", atSeconds: 3 }], 16, 3.5, { memberSeconds: 1, finishSeconds: 0 }, true), { memberSeconds: 0.5, finishSeconds: 0 });
  });
});
