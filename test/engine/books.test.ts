/** The books of a real run's distribution: room at hosts, sources and copies that change theirs; and its log. */
import assert from "node:assert/strict";
import { CopyTimes } from "../../provider/engine/distribution/copyTimes";
import { CopyQueues, type WantedCopy } from "../../provider/engine/distribution/queues";
import { ReadProfiles } from "../../provider/engine/distribution/reads";
import { Room } from "../../provider/engine/distribution/room";
import { type BookedSource, type BookedTransfer, SourceBook } from "../../provider/engine/distribution/sourceBook";
import { TransferLog } from "../../provider/engine/distribution/transferLog";
import { topologyOf } from "../../provider/scheduler";
import type { Clock } from "../../provider/async/clock";
import { IMAGE, inputs, specOf } from "./world";

const [A1, B1, A2, B2] = [0, 1, 2, 3];

/** Hosts a1, b1, a2, b2 in racks a and b; the template on a1. */
function setUp({ cap = 2, most = 9, relays = true } = {}) {
  const from = inputs(4, 2, { count: 4 });
  const spec = specOf({ ...from, hosts: (from["hosts"] as object[]).map((host) => ({ ...host, maxConcurrent: cap })) });
  const book = new SourceBook(topologyOf(spec), IMAGE, most, relays);
  const nameOf = (host: number) => spec.hosts[host]!.name;
  const template = book.add({ host: A1, hostName: "a1", kind: "template", ref: { kind: "template", host: "a1" }, label: "template" });
  return {
    book, template,
    base: (host: number): BookedSource => book.add({ host, hostName: nameOf(host), kind: "base", ref: { kind: "base", host: nameOf(host), slot: 9, generation: 0 }, label: `on ${nameOf(host)}` }),
    copy: (source: BookedSource, targetHost: number): BookedTransfer => {
      book.want(targetHost, 1);
      return book.begin(source, { targetHost }, 3, { ref: { kind: "base", host: nameOf(targetHost), slot: targetHost, generation: 0 }, label: `to ${nameOf(targetHost)}`, kind: "base" });
    },
    /** Hosts that may take one more. */
    free: () => [A1, B1, A2, B2].filter((host) => book.hasRoom(host)),
  };
}

describe("a copy may start", () => {
  it("within its hosts' limits: both count it, one within a host counts it once", () => {
    const { book, base, template, copy, free } = setUp({ cap: 1 });
    const other = base(B1);
    assert.deepEqual([book.mayStart(template, B1), book.mayStart(template, A1)], [true, true]);
    const transfer = copy(template, A1);
    assert.deepEqual([free(), book.mayStart(template, B1), book.mayStart(other, A1), book.mayStart(other, B1), book.mayStart(other, B2)], [[B1, A2, B2], false, false, true, true]);
    book.end(transfer, true);
    assert.deepEqual(free(), [A1, B1, A2, B2]);
    copy(template, B2);
    assert.deepEqual([free(), book.mayStart(other, B2)], [[B1, A2], false]);
  });

  it("within the fleet's limit", () => {
    const { book, template, copy } = setUp({ most: 1 });
    assert.equal(book.at(0).freeSlots, 1);
    const transfer = copy(template, B1);
    assert.equal(book.mayStart(template, A2), false);
    book.end(transfer, false);
    assert.equal(book.mayStart(template, A2), true);
  });

  it("between hosts that are not excluded", () => {
    const { book, base, template } = setUp();
    const other = base(B1);
    book.exclude(B1);
    assert.deepEqual([book.mayStart(other, A2), book.mayStart(template, B1), book.mayStart(template, A2)], [false, false, true]);
  });
});

describe("a source", () => {
  it("counts in its rack, and as a copy unless it is a template", () => {
    const { book, base, template } = setUp();
    const one = base(B2);
    assert.deepEqual([book.sourcesInRack, book.copies], [[1, 1], 1]);
    book.drop(one);
    book.drop(one);
    assert.deepEqual([book.sourcesInRack, book.copies], [[1, 0], 0]);
    book.drop(template);
    assert.deepEqual([book.sourcesInRack, book.copies, book.sources], [[0, 0], 0, []]);
  });

  it("that was taken out comes back once, unless its image or its host is gone", () => {
    const { book, base, template } = setUp();
    const [one, retired, excluded] = [base(A2), base(A2), base(B1)];
    for (const source of [one, retired, excluded, template]) book.drop(source);
    retired.retired = true;
    book.exclude(B1);
    for (const source of [one, one, retired, excluded]) book.restore(source);
    assert.deepEqual(book.sources, [one]);
  });

  it("is what a copy makes while it arrives only where copies can be read from, and once whole when it is promoted", () => {
    for (const relays of [true, false]) {
      const { book, template, copy } = setUp({ relays });
      const transfer = copy(template, B1);
      assert.deepEqual([book.arriving, book.copies, book.sourcesInRack], [relays ? [transfer.makes] : [], 0, [1, 0]]);
      book.end(transfer, true);
      assert.deepEqual([book.arriving, book.sources, transfer.makes.arriving, transfer.makes.arrival], [[], [template], false, undefined]);
      book.promote(transfer.makes);
      assert.deepEqual([book.sources, book.copies, book.sourcesInRack], [[template, transfer.makes], 1, [1, 1]]);
    }
  });

  it("that a copy made whole comes back when it was taken out", () => {
    const { book, template, copy } = setUp();
    const { makes } = copy(template, B1);
    book.end(makes.arrival!, true);
    book.promote(makes);
    book.drop(makes);
    book.restore(makes);
    assert.deepEqual(book.sources, [template, makes]);
  });

  it("is never what a copy made that failed", () => {
    const { book, template, copy } = setUp();
    const transfer = copy(template, B1);
    book.end(transfer, false);
    book.restore(transfer.makes);
    assert.deepEqual(book.sources, [template]);
  });
});

describe("a copy that is set aside", () => {
  it("is neither wanted nor under way, and wanted again when it is taken back", () => {
    const { book } = setUp();
    book.want(B1, 1);
    book.setAside(B1);
    assert.deepEqual([book.open(), book.resting, book.view.targets[B1]], [0, [0, 1, 0, 0], 0]);
    book.takeBack(B1);
    assert.deepEqual([book.open(), book.resting, book.view.targets[B1]], [1, [0, 0, 0, 0], 1]);
  });
});

describe("a copy whose source is lost", () => {
  it("leaves room there and keeps its place at its target", () => {
    const { book, template, copy, free } = setUp({ cap: 1 });
    const transfer = copy(template, B1);
    assert.deepEqual([free(), template.serving], [[A2, B2], 1]);
    book.lose(transfer);
    assert.deepEqual([free(), template.serving, transfer.lost], [[A1, A2, B2], 0, true]);
    book.lose(transfer);
    book.end(transfer, false);
    assert.deepEqual([free(), template.serving], [[A1, B1, A2, B2], 0]);
  });

  it("and that was taken out before is no source again when it has another", () => {
    const { book, template, copy } = setUp();
    const transfer = copy(template, B1);
    book.drop(transfer.makes);
    book.lose(transfer);
    book.refeed(transfer, template, 1);
    assert.deepEqual(book.arriving, []);
  });

  it("within a host keeps its place there", () => {
    const { book, base, template, copy, free } = setUp({ cap: 1 });
    const transfer = copy(template, A1);
    book.lose(transfer);
    assert.deepEqual(free(), [B1, A2, B2]);
    book.refeed(transfer, base(B2), 4);
    assert.deepEqual(free(), [B1, A2]);
    book.end(transfer, true);
    assert.deepEqual(free(), [A1, B1, A2, B2]);
  });

  it("may read from a host that has room, and from its own in any case", () => {
    const { book, base, template, copy } = setUp({ cap: 1 });
    const transfer = copy(template, B1);
    assert.deepEqual([book.mayFeed(A1, transfer), book.mayFeed(B1, transfer), book.mayFeed(B2, transfer)], [true, true, true]);
    book.lose(transfer);
    copy(base(B2), B2);
    copy(template, A1);
    assert.deepEqual([book.mayFeed(A1, transfer), book.mayFeed(B1, transfer), book.mayFeed(B2, transfer), book.mayFeed(A2, transfer)], [false, true, false, true]);
  });
});

describe("a copy that has its source", () => {
  it("may read from another host only where that has room", () => {
    const { book, base, template, copy } = setUp({ cap: 1 });
    const transfer = copy(template, B1);
    copy(base(B2), B2);
    assert.deepEqual([book.mayFeed(B2, transfer), book.mayFeed(A2, transfer)], [false, true]);
  });
});

describe("a copy that gets another source", () => {
  it("remembers what each gave, and counts at the new one", () => {
    const { book, base, template, copy, free } = setUp({ cap: 1 });
    const [second, third] = [base(B2), base(B1)];
    const transfer = copy(template, A2);
    transfer.bytesPerSecond = 5;
    transfer.bytesDone = 30;
    book.refeed(transfer, second, 7);
    assert.deepEqual([free(), transfer.source, transfer.sourceHost, transfer.from, transfer.bytesPerSecond], [[A1, B1], second.id, B2, second, undefined]);
    transfer.bytesDone = 70;
    book.refeed(transfer, third, 9);
    assert.deepEqual(transfer.earlier, [{ from: template, bytes: 30, untilSeconds: 7 }, { from: second, bytes: 40, untilSeconds: 9 }]);
    assert.deepEqual([template.serving, second.serving, third.serving], [0, 0, 1]);
    assert.deepEqual([...book.transfersAt(B1)], [transfer]);
  });

  it("on its own host counts there once", () => {
    const { book, base, template, copy, free } = setUp({ cap: 1 });
    const own = base(B1);
    const transfer = copy(template, B1);
    book.refeed(transfer, own, 4);
    assert.deepEqual(free(), [A1, A2, B2]);
    book.refeed(transfer, template, 5);
    assert.deepEqual(free(), [A2, B2]);
    book.end(transfer, true);
    assert.deepEqual(free(), [A1, B1, A2, B2]);
  });

  it("keeps its place at the one it leaves until it has turned", () => {
    const { book, base, template, copy, free } = setUp({ cap: 1 });
    const second = base(B2);
    const transfer = copy(template, A2);
    book.turn(transfer, second, 4);
    assert.deepEqual([free(), template.serving, second.serving, transfer.leaving], [[B1], 1, 1, { source: template }]);
    book.turned(transfer);
    assert.deepEqual([free(), template.serving, second.serving, transfer.leaving], [[A1, B1], 0, 1, undefined]);
    assert.equal(transfer.earlier.length, 1);
  });

  it("reads where it did when it could not be turned, as if nothing had been", () => {
    const { book, base, template, copy, free } = setUp({ cap: 1 });
    const second = base(B2);
    const transfer = copy(template, A2);
    book.turn(transfer, second, 4);
    book.unturn(transfer);
    assert.deepEqual([free(), template.serving, second.serving, transfer.leaving, transfer.from, transfer.earlier], [[B1, B2], 1, 0, undefined, template, []]);
    book.unturn(transfer);
    assert.deepEqual([transfer.from, transfer.earlier], [template, []]);
    book.turn(transfer, second, 4);
    book.end(transfer, true);
    assert.deepEqual([free(), template.serving, second.serving], [[A1, B1, A2, B2], 0, 0]);
  });

  it("counts once on a host that it leaves and that concerns it anyway", () => {
    const { book, base, copy, free } = setUp({ cap: 2 });
    const [own, other, beside] = [base(B1), base(B2), base(B2)];
    const transfer = copy(own, B1);
    book.turn(transfer, other, 4);
    assert.deepEqual(free(), [A1, B1, A2, B2]);
    book.turned(transfer);
    book.turn(transfer, beside, 5);
    assert.deepEqual(free(), [A1, B1, A2, B2]);
    book.turned(transfer);
    book.end(transfer, true);
    for (const host of [B1, B2]) for (let n = 0; n < 2; n++) { assert.ok(book.hasRoom(host)); copy(host === B1 ? own : other, host); }
    assert.deepEqual(free(), [A1, A2]);
  });

  it("leaving its own host for another counts on its own only once", () => {
    const { book, base, copy, free } = setUp({ cap: 1 });
    const [own, other] = [base(B1), base(B2)];
    const transfer = copy(own, B1);
    book.turn(transfer, other, 4);
    assert.deepEqual(free(), [A1, A2]);
    book.turned(transfer);
    assert.deepEqual(free(), [A1, A2]);
    book.end(transfer, true);
    assert.deepEqual(free(), [A1, B1, A2, B2]);
  });

  it("is a source again unless its host was given up meanwhile", () => {
    const { book, template, copy } = setUp();
    const transfer = copy(template, B1);
    book.lose(transfer);
    book.exclude(B1);
    book.refeed(transfer, template, 4);
    assert.deepEqual([book.arriving, transfer.makes.withdrawn], [[], false]);
  });
});

describe("the log of a run's copies", () => {
  function logged() {
    const { book, base, template, copy } = setUp();
    let nowMs = 10_000;
    const log = new TransferLog({ nowMs: () => nowMs } as Clock, book);
    return { log, book, base, template, copy, at: (seconds: number) => { nowMs = 10_000 + 1000 * seconds; } };
  }

  it("tells each copy's way and time since the run began to make copies", () => {
    const { log, template, copy, at } = logged();
    const transfer = copy(template, B1);
    at(8);
    log.copied(transfer, "w-001", { bytesMoved: 70, bytesResent: 2, resumed: true });
    assert.deepEqual(log.traces, [{ slot: "w-001", source: "template", sourceHost: "a1", targetHost: "b1", startSeconds: 3, endSeconds: 8 }]);
    assert.deepEqual([log.bytesMoved, log.bytesAcrossRacks, log.bytesResent, [...log.resumed]], [70, 70, 2, [log.traces[0]]]);
    assert.deepEqual([log.nowSeconds(), log.makespanSeconds, log.elapsedSeconds, log.readySeconds, log.finishSeconds], [8, 5, 5, 8, 0]);
    at(11);
    log.ready();
    assert.deepEqual([log.makespanSeconds, log.readySeconds, log.finishSeconds], [8, 11, 3]);
  });

  it("tells no time where nothing was made, and from the beginning where nothing had to be copied", () => {
    const { log, at } = logged();
    at(4);
    assert.deepEqual([log.makespanSeconds, log.elapsedSeconds, log.finishSeconds], [0, 0, 0]);
    log.begun();
    at(6);
    log.begun();
    assert.deepEqual([log.makespanSeconds, log.elapsedSeconds], [2, 2]);
  });

  it("counts across racks what came from other racks, by what each source gave", () => {
    const { log, book, base, template, copy } = logged();
    const [far, near] = [base(B1), base(A1)];
    const transfer = copy(template, A2);
    transfer.bytesDone = 10;
    book.refeed(transfer, far, 4);
    transfer.bytesDone = 40;
    book.refeed(transfer, near, 5);
    log.copied(transfer, "w-002", { bytesMoved: 100 });
    assert.deepEqual([log.bytesMoved, log.bytesAcrossRacks, log.bytesResent], [100, 30, 0]);
    assert.deepEqual(log.traces[0]!.replaced, [{ source: "template", sourceHost: "a1", untilSeconds: 4 }, { source: "on b1", sourceHost: "b1", untilSeconds: 5 }]);
  });

  it("shares what was moved among all that gave, the last the rest", () => {
    const { log, book, base, copy } = logged();
    const [far, near] = [base(B1), base(A1)];
    const transfer = copy(far, A2);
    for (const [bytesDone, from] of [[30, near], [70, base(B2)]] as const) {
      transfer.bytesDone = bytesDone;
      book.refeed(transfer, from, 4);
    }
    log.copied(transfer, "w-002", { bytesMoved: 100 });
    assert.deepEqual([log.bytesMoved, log.bytesAcrossRacks], [100, 30 + 30]);
  });

  it("begins with the first byte, though it came before members were made", () => {
    const { log, at } = logged();
    at(5);
    log.begun();
    at(9);
    log.uploaded("replica@a1", "a1", 2, 50);
    assert.equal(log.makespanSeconds, 7);
  });

  it("counts what a copy's own host gave for nothing, and no more than was moved", () => {
    const { log, book, base, template, copy } = logged();
    const transfer = copy(template, B2);
    transfer.bytesDone = 50;
    book.refeed(transfer, base(B1), 4);
    log.broken(transfer, { bytesMoved: 20 });
    assert.deepEqual([log.bytesMoved, log.bytesAcrossRacks], [20, 20]);
    const own = copy(template, B2);
    own.bytesDone = 5;
    book.refeed(own, base(B2), 4);
    log.broken(own, { bytesMoved: 7, bytesResent: 1 });
    assert.deepEqual([log.bytesMoved, log.bytesAcrossRacks, log.bytesResent, log.traces], [27, 27, 1, []]);
    log.copied(copy(template, A1), "w-000", { bytesMoved: 0 });
    assert.deepEqual([log.bytesMoved, log.bytesAcrossRacks], [27, 27]);
  });

  it("counts an upload, whole or broken, and between no racks", () => {
    const { log, at } = logged();
    log.uploadBroken(5);
    at(9);
    log.uploaded("replica@a1", "a1", 2, 50);
    assert.deepEqual(log.traces, [{ slot: "replica@a1", source: "template", sourceHost: "local", targetHost: "a1", startSeconds: 2, endSeconds: 9 }]);
    assert.deepEqual([log.bytesMoved, log.bytesAcrossRacks, log.makespanSeconds], [55, 0, 7]);
  });

  it("tells when bytes came of copies that reported", () => {
    const { log, template, copy, at } = logged();
    const [told, silent] = [copy(template, B1), copy(template, B2)];
    for (const [seconds, bytesDone, done] of [[4, 10, 0.1], [5, 20, 0.2], [12, 100, 1], [13, 100, 1]] as const) {
      at(seconds);
      Object.assign(told, { bytesDone, done });
      log.progress(told);
    }
    for (const transfer of [told, silent]) log.copied(transfer, transfer.makes.label, { bytesMoved: 100 });
    assert.deepEqual(log.traces.map((trace) => log.times.get(trace)?.lastByteSeconds), [12, undefined]);
    assert.equal(log.times.get(log.traces[0]!)!.firstByteSeconds(0), 3);
  });
});

describe("when a copy's first byte came", () => {
  const times = (...seen: [seconds: number, bytes: number][]) => {
    const one = new CopyTimes();
    for (const [seconds, bytes] of seen) one.seen(bytes, false, seconds);
    return one.firstByteSeconds(1);
  };

  it("is told back along the rate of its first two reports, and is not before it started", () => {
    assert.equal(times([0, 0], [6, 10], [7, 15], [9, 90]), 4);
    assert.equal(times([6, 100], [7, 110]), 1);
  });

  it("is not told by one report, by none that has more, or at one instant", () => {
    assert.deepEqual([times(), times([5, 10]), times([5, 10], [6, 10]), times([5, 10], [5, 20])], [undefined, undefined, undefined, undefined]);
    assert.equal(times([5, 10], [5, 20], [7, 30]), 4);
  });
});

describe("what guests read when they boot", () => {
  const ranges = [{ offsetBytes: 0, lengthBytes: 8 }];

  it("is recorded by one copy at a time, and fetched first from then on", () => {
    const reads = new ReadProfiles();
    const first = reads.hints("c")!;
    assert.deepEqual([first, reads.hints("c"), reads.hints("d")], [{ recordReads: true }, undefined, { recordReads: true }]);
    reads.copied("c", first);
    assert.deepEqual([reads.hints("c"), reads.all], [{ recordReads: true }, []]);
    reads.copied("c", first, { bytesMoved: 1, readProfile: ranges });
    assert.deepEqual([reads.hints("c"), reads.all], [{ readFirst: ranges }, [{ contentId: "c", ranges }]]);
  });

  it("is learned of copies alone that were asked, and that tell anything", () => {
    const reads = new ReadProfiles([{ contentId: "c", ranges }]);
    reads.copied("d", { readFirst: ranges }, { bytesMoved: 1, readProfile: ranges });
    reads.copied("e", { recordReads: true }, { bytesMoved: 1, readProfile: [] });
    assert.deepEqual(reads.all, [{ contentId: "c", ranges }]);
  });
});

describe("the queues of copies", () => {
  function queued(freeBytes = 250) {
    const { book, template } = setUp();
    const room = new Room([0, 1, 0, 2], [freeBytes, Infinity, Infinity], 100);
    const queues = new CopyQueues(book, room);
    const want = (label: string, host: number) => {
      const copy = { label, host, target: { kind: "base", host: "", slot: 0, generation: 0, name: label }, whole: () => undefined, failed: () => undefined } as WantedCopy;
      queues.add(copy);
      return copy;
    };
    /** Takes out all of a host, in order. */
    const taken = (host: number) => {
      const labels: string[] = [];
      for (let first = queues.first(host); first; first = queues.first(host)) {
        labels.push(first.label);
        queues.removeFirst(host);
      }
      return labels;
    };
    return { book, room, queues, want, taken, template };
  }

  it("give each host's in the order they were wanted, one that is tried again first", () => {
    const { queues, want, taken, book } = queued();
    want("one", A1);
    want("two", A1);
    want("other", B1);
    assert.deepEqual(book.view.targets, [2, 1, 0, 0]);
    const first = queues.first(A1)!;
    assert.deepEqual([first.attempts, first.overtaken], [0, false]);
    queues.removeFirst(A1);
    queues.again(first);
    assert.deepEqual([taken(A1), taken(B1), taken(B2), queues.first(99)], [["one", "two"], ["other"], [], undefined]);
  });

  it("hold a store's until one may begin there, wanted meanwhile by nobody", () => {
    const { queues, want, taken, book, room, template } = queued(150);
    for (const [label, host] of [["under way", A1], ["one", A1], ["two", A2], ["else", B1]] as const) want(label, host);
    queues.removeFirst(A1);
    const transfer = book.begin(template, { targetHost: A1 }, 0, { ref: { kind: "template", host: "a1" }, label: "under way", kind: "base" });
    room.begin(transfer);
    for (const host of [A1, A2, B1]) queues.hold(host);
    assert.deepEqual([book.open(), book.resting, queues.first(A1)], [0, [1, 1, 1, 0], undefined]);
    queues.release(A2);
    assert.equal(queues.first(A1), undefined, "the store is full still");
    room.end(transfer, false);
    queues.release(A2);
    assert.deepEqual([taken(A1), taken(A2), taken(B1), book.resting], [["one"], ["two"], [], [0, 1, 0, 0]]);
    queues.release(B1);
    assert.deepEqual([taken(B1), book.resting], [["else"], [0, 0, 0, 0]]);
  });

  it("hold others' on though one host's are drained", () => {
    const { queues, want, book } = queued();
    for (const [label, host] of [["one", A1], ["two", A2]] as const) want(label, host);
    queues.hold(A1);
    queues.drain(A2);
    assert.deepEqual([book.resting, queues.first(A1)], [[1, 0, 0, 0], undefined]);
  });

  it("give all of a host or of all hosts when they are drained, those held back too", () => {
    const { queues, want, book } = queued();
    for (const [label, host] of [["one", A1], ["two", A2], ["three", A1], ["four", B1]] as const) want(label, host);
    queues.hold(A1);
    assert.deepEqual([queues.drain(A1).map(({ label }) => label), book.resting], [["one", "three"], [0, 0, 0, 0]]);
    queues.hold(A2);
    assert.deepEqual([queues.drain().map(({ label }) => label), queues.drain()], [["four", "two"], []]);
  });
});
