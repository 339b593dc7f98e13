/** What a run leaves to read and to learn from. */
import assert from "node:assert/strict";
import { imagesOfRun, imagesOfTraces, readySeconds, withTurns } from "../../provider/engine/record/readiness";
import { inOrder, MOST_RECORDED_CLONES, racksOf, timelineOf } from "../../provider/engine/record/timeline";
import { learnedFor, lessonOf } from "../../provider/engine/record/lessons";
import { summaryOf } from "../../provider/engine/record/summary";
import type { TransferLog } from "../../provider/engine/distribution/transferLog";
import type { CopyTimes } from "../../provider/engine/distribution/copyTimes";
import type { Execution } from "../../provider/engine/steps/execution";
import type { CloneTrace } from "../../provider/engine";
import type { FleetSpec, FleetState, Learned } from "../../provider/fleet";
import { learnFrom, learnTurns, topologyOf, type ObservedCopy } from "../../provider/scheduler";
import { inputs, specOf } from "./world";

const spec = specOf(inputs(4, 2, { count: 4, maxConcurrentOperations: 1 }));
const trace = (slot: string, more: Partial<CloneTrace> = {}): CloneTrace => (
  { slot, source: "template", sourceHost: "a1", targetHost: "b1", startSeconds: 0, endSeconds: 10, ...more }
);
const LEARNED: Learned = { runs: 2, networkFactor: 0.5, diskFactor: 0.25, startupSeconds: 1, hopSeconds: 0, finishSeconds: 7 };

describe("what earlier runs taught", () => {
  /** The fleet whose hosts were declared with so many times today's rates. */
  const recorded = (nic: Record<string, number>, disk: Record<string, number> = {}): FleetState => ({
    learned: LEARNED,
    hosts: [...spec.hosts, { ...spec.hosts[0]!, name: "z9" }].flatMap((host) => (host.name in nic ? [{
      ...host, nicBitsPerSecond: host.nicBitsPerSecond * nic[host.name]!, diskBytesPerSecond: host.diskBytesPerSecond * (disk[host.name] ?? 1),
    }] : [])),
  }) as unknown as FleetState;

  it("is nothing where nothing is recorded, and as it was while rates are", () => {
    assert.equal(learnedFor(spec, undefined), undefined);
    assert.equal(learnedFor(spec, { hosts: [] } as unknown as FleetState), undefined);
    assert.deepEqual(learnedFor(spec, recorded({ a1: 1, b1: 1 })), LEARNED);
  });

  it("follows rates that were corrected since: the median host's, NICs and disks apart, of hosts that are still declared", () => {
    const { networkFactor, diskFactor } = learnedFor(spec, recorded({ a1: 4, b1: 1, a2: 2, z9: 100 }, { a1: 0.5, b1: 8, a2: 3 }))!;
    assert.deepEqual([networkFactor, diskFactor], [0.5 * 2, 0.25 * 3]);
    assert.deepEqual(learnedFor(spec, recorded({ z9: 3 })), LEARNED);
  });
});

describe("the lesson of a run", () => {
  const topology = topologyOf(spec);
  const image = { contentId: "c", disks: [{ bytes: 5e9 }] };
  const [a1, b1, a2, b2] = [0, 1, 2, 3];
  const lesson = (traces: CloneTrace[], more: Partial<Pick<TransferLog, "times" | "resumed">> = {}, before?: Learned) => (
    lessonOf(topology, image, { traces, times: new Map(), resumed: new Set(), finishSeconds: 3, ...more } as unknown as TransferLog, before)
  );
  const learned = (copies: ObservedCopy[], before?: Learned) => learnFrom(topology, { image, copies, finishSeconds: 3 }, before);

  it("is what it knew before where it copied nothing, or a file from the provider's own machine alone", () => {
    assert.equal(lesson([], {}, LEARNED), LEARNED);
    assert.equal(lesson([trace("replica@a1", { sourceHost: "local", targetHost: "a1" })], {}, LEARNED), LEARNED);
    assert.equal(lesson([trace("w-000", { targetHost: "gone" })], {}, LEARNED), LEARNED);
  });

  it("tells who read from whom while that one still arrived: not from one that was whole by then", () => {
    const copies = [
      trace("w-002", { source: "w-001", sourceHost: "b1", targetHost: "b2", endSeconds: 11 }),
      trace("w-001"),
      trace("w-003", { source: "w-001", sourceHost: "b1", targetHost: "a2", startSeconds: 10, endSeconds: 21 }),
    ];
    // Hops are told by those alone that read from one that arrives.
    const firstByte = (seconds: number) => ({ firstByteSeconds: (from: number) => from + seconds }) as unknown as CopyTimes;
    const times = new Map(copies.map((copy) => [copy, firstByte(copy.slot === "w-002" ? 2.5 : 2)]));
    const told = lesson(copies, { times });
    assert.deepEqual(told, learned([
      { sourceHost: a1, targetHost: b1, startSeconds: 0, endSeconds: 10, firstByteSeconds: 2 },
      { sourceHost: b1, targetHost: b2, startSeconds: 0, endSeconds: 11, firstByteSeconds: 2.5, upstream: 0 },
      { sourceHost: b1, targetHost: a2, startSeconds: 10, endSeconds: 21, firstByteSeconds: 12 },
    ]));
    assert.deepEqual([told!.startupSeconds, told!.hopSeconds], [2, 0.5]);
  });

  it("tells when first and last bytes came, and which copies tell nothing", () => {
    const [one, other, third] = [trace("w-001"), trace("w-002", { targetHost: "a2", endSeconds: 40, replaced: [{ source: "template", sourceHost: "a1", untilSeconds: 3 }] }), trace("w-003", { targetHost: "b2", endSeconds: 50 })];
    const times = new Map([[one, { firstByteSeconds: (from: number) => from + 2, lastByteSeconds: 9 } as unknown as CopyTimes]]);
    assert.deepEqual(lesson([one, other, third], { times, resumed: new Set([third]) }), learned([
      { sourceHost: a1, targetHost: b1, startSeconds: 0, endSeconds: 10, firstByteSeconds: 2, lastByteSeconds: 9 },
      { sourceHost: a1, targetHost: a2, startSeconds: 0, endSeconds: 40, disturbed: true },
      { sourceHost: a1, targetHost: b2, startSeconds: 0, endSeconds: 50, disturbed: true },
    ]));
  });
});

describe("when images were there", () => {
  const create = [{ name: "w-000", host: "a1", kind: "full" }, { name: "w-001", host: "b1", kind: "linked" }, { name: "w-002", host: "b1", kind: "full" }] as const;

  it("is told by their copies, a linked member's by its host's replica; what nobody copied was there from the start", () => {
    const plan = { create: create.slice(0, 2), complete: create.slice(2) } as unknown as Parameters<typeof imagesOfTraces>[0];
    const traces = [trace("w-000", { endSeconds: 4 }), trace("replica@b1", { endSeconds: 6 })];
    assert.deepEqual(imagesOfTraces(plan, traces), [{ host: "a1", atSeconds: 4 }, { host: "b1", atSeconds: 6 }, { host: "b1", atSeconds: 0 }]);
  });

  it("is told by a simulation's copies, host by host: a replica is its host's first", () => {
    const transfer = (targetHost: number, endSeconds: number) => ({ source: 0, made: 1, sourceHost: 0, targetHost, startSeconds: 0, endSeconds });
    const members = [{ name: "w-003", host: "b1", kind: "full", base: "arrived" }, ...create, { name: "w-004", host: "a2", kind: "full" }] as const;
    const images = imagesOfRun(members, new Set(["b1"]), ["a1", "b1", "a2"], [transfer(1, 9), transfer(0, 4), transfer(1, 6)]);
    assert.deepEqual(images.map(({ atSeconds }) => atSeconds), [0, 4, 6, 9, 0]);
    assert.deepEqual(imagesOfRun([create[1]], new Set(), ["a1", "b1"], [transfer(1, 9)]), [{ host: "b1", atSeconds: 0 }]);
  });
});

describe("when the last member is ready", () => {
  const two = [{ host: "a1", atSeconds: 10 }, { host: "a1", atSeconds: 10 }];

  it("is the last copy's end where no member takes a turn", () => {
    assert.equal(readySeconds([], 12, spec, LEARNED, { memberSeconds: 5 }), 12);
    assert.equal(readySeconds(two, 12, spec, undefined, {}), 12);
  });

  it("is the last turn's end where those take longer than the copies", () => {
    assert.equal(readySeconds(two, 12, spec, undefined, { memberSeconds: 5 }), 20);
    assert.equal(readySeconds(two, 33, spec, undefined, { memberSeconds: 5 }), 33);
  });

  it("is what runs taught: their turns, and what came after", () => {
    assert.equal(readySeconds(two, 12, spec, { ...LEARNED, memberSeconds: 3 }, { memberSeconds: 5 }), 16 + 7);
    // As they taught it before turns were told apart, all that came after the copies.
    assert.equal(readySeconds(two, 15, spec, LEARNED, { memberSeconds: 5 }), 22);
    assert.equal(readySeconds(two, 12, spec, LEARNED, { memberSeconds: 9 }), 28);
  });

  it("teaches turns where there are any to learn of", () => {
    const images = [...two, two[0]!];
    const before: Learned = { ...LEARNED, memberSeconds: 2 };
    assert.equal(withTurns(undefined, undefined, images, 40, spec, { memberSeconds: 5 }), undefined);
    assert.equal(withTurns(before, before, images, 40, spec, { memberSeconds: 5 }), before);
    assert.equal(withTurns(LEARNED, undefined, images, 40, spec, {}), LEARNED);
    assert.equal(withTurns(LEARNED, undefined, [], 40, spec, { memberSeconds: 5 }), LEARNED);
    assert.deepEqual(withTurns(LEARNED, undefined, images, 40, spec, { memberSeconds: 5 }), { ...LEARNED, ...learnTurns(images, 1, 40, { memberSeconds: 5, finishSeconds: 0 }, true) });
    assert.deepEqual(withTurns(LEARNED, before, images, 40, spec, { memberSeconds: 5 }), { ...LEARNED, ...learnTurns(images, 1, 40, { memberSeconds: 2, finishSeconds: 7 }, false) });
  });
});

describe("the copies that a state keeps", () => {
  it("are none of a run that made none", () => assert.equal(timelineOf(spec, "rounds", [], 1e9), undefined));

  it("are told as they began, to the millisecond, with the racks of the hosts they were between", () => {
    const late = trace("w-001", { startSeconds: 1.00049, endSeconds: 2.00051, replaced: [{ source: "w-000", sourceHost: "b2", untilSeconds: 1.23456 }] });
    const early = trace("w-002", { sourceHost: "a1", targetHost: "a1" });
    assert.deepEqual(timelineOf(spec, "relay", [late, early], 5), {
      policy: "relay", imageBytes: 5, leftOut: 0, racks: [{ name: "rack-a", hosts: ["a1"] }, { name: "rack-b", hosts: ["b1", "b2"] }],
      clones: [early, { ...late, startSeconds: 1, endSeconds: 2.001, replaced: [{ source: "w-000", sourceHost: "b2", untilSeconds: 1.235 }] }],
    });
  });

  it("are those between hosts first where there are too many, then the earliest", () => {
    const local = Array.from({ length: MOST_RECORDED_CLONES }, (_, n) => trace(`l-${n}`, { targetHost: "a1", startSeconds: n, endSeconds: n + 1 }));
    const between = trace("far", { startSeconds: 9999, endSeconds: 10_000 });
    const { clones, leftOut } = timelineOf(spec, "rounds", [...local, between, trace("l-late", { targetHost: "a1", startSeconds: 5000 })], 1)!;
    assert.deepEqual([clones.length, leftOut, clones.at(-1)!.slot, clones.at(-2)!.slot], [MOST_RECORDED_CLONES, 2, "far", `l-${MOST_RECORDED_CLONES - 2}`]);
  });

  it("name racks that nobody declared behind those declared, and none without a host", () => {
    const undeclared = { racks: [{ name: "rack-b" }, { name: "rack-x" }], hosts: spec.hosts } as unknown as FleetSpec;
    assert.deepEqual(racksOf(undeclared, [trace("w-000"), trace("w-001", { targetHost: "a2" })]), [{ name: "rack-b", hosts: ["b1"] }, { name: "rack-a", hosts: ["a1", "a2"] }]);
  });
});

describe("copies in order", () => {
  const order = (clones: CloneTrace[]) => inOrder(clones).map(({ slot }) => slot);

  it("stand as they began, and of those that began together feeders before whom they feed", () => {
    const line = [trace("d", { source: "c" }), trace("c", { source: "b", endSeconds: 1 }), trace("b", { source: "a" }), trace("a"), trace("first", { startSeconds: -1 })];
    assert.deepEqual(order(line), ["first", "a", "b", "c", "d"]);
  });

  it("as deep as each other stand as they ended, then by name", () => {
    assert.deepEqual(order([trace("c"), trace("a"), trace("b", { endSeconds: 9 }), trace("b2")]), ["b", "a", "b2", "c"]);
  });

  it("stand somewhere though they were told to feed each other", () => {
    assert.deepEqual(order([trace("a", { source: "b" }), trace("b", { source: "a" })]).sort(), ["a", "b"]);
  });
});

describe("a run's summary", () => {
  it("tells the prediction to the millisecond, and none where nobody made one", () => {
    const log = { makespanSeconds: 3, bytesMoved: 4, bytesAcrossRacks: 2, bytesResent: 1 } as TransferLog;
    const execution = { log, policy: "rounds", created: 5, destroyed: 6, reconfigured: 7 } as Execution;
    const told = { makespanSeconds: 3, bytesMoved: 4, bytesAcrossRacks: 2, bytesResent: 1, policy: "rounds", created: 5, destroyed: 6, reconfigured: 7 };
    assert.deepEqual(summaryOf(execution), told);
    assert.deepEqual(summaryOf({ ...execution, predictedSeconds: 1.23456 }), { ...told, predictedSeconds: 1.235 });
  });
});
