import assert from "node:assert/strict";
import { realClock } from "../../../provider/async/clock";
import { Copy } from "../../../provider/hypervisors/libvirt/copy/copies";
import { ImageCopy, type DiskOrder } from "../../../provider/hypervisors/libvirt/copy/imageCopy";
import type { Transfer } from "../../../provider/hypervisors/libvirt/copy/transfer";
import type { Place } from "../../../provider/hypervisors/libvirt/connection/place";
import type { HostSession } from "../../../provider/hypervisors/libvirt/connection/session";
import type { LibvirtClient } from "../../../provider/hypervisors/libvirt/rpc/client";
import { disksOf, imageContentId } from "../../../provider/hypervisors/libvirt/volumes/contentId";
import { SourceLostError, type CallContext, type HintedCloneOrder, type HintedCloneResult, type ImageRef } from "../../../provider/hypervisors/hypervisor";

const ids = ["a", "b", "c"].map((digit) => digit.repeat(64));
const contentId = imageContentId(ids);
const template: ImageRef = { kind: "template", host: "a1" };
const other = (host: string): ImageRef => ({ kind: "base", host, slot: 1, generation: 0 });
const order: HintedCloneOrder = {
  fleet: { fleetId: "f", incarnation: "i", namePrefix: "w" }, image: { contentId, disks: [{ bytes: 100 }, { bytes: 200 }, { bytes: 100 }] }, source: template,
  target: { kind: "base", host: "b1", slot: 0, generation: 0, name: "w-000" }, readFirst: [{ offsetBytes: 0, lengthBytes: 1 }], recordReads: true,
};
const client = { lookupVolume: () => Promise.resolve(null) } as unknown as LibvirtClient;
const place: Place = {
  scope: { fleetId: "f", hostUuid: "1a2b3c4d-0000-0000-0000-000000000000" },
  session: { name: "b1", pool: () => Promise.resolve({ pool: { name: "default" } }), run: (_what: string, work: (c: LibvirtClient) => unknown) => Promise.resolve(work(client)) } as unknown as HostSession,
};

/** One disk's copy under way, as the test has it go. */
interface Going {
  order: DiskOrder;
  context: CallContext;
  /** Sources that it was sent to. */
  sent: ImageRef[];
  end(result: HintedCloneResult): void;
  fail(error: Error): void;
}

function copying(context: CallContext = {}, missing = disksOf(contentId)) {
  const going: Going[] = [];
  const copies = disksOf(contentId).map(() => new Copy("b1", realClock));
  const image = new ImageCopy(order);
  const result = image.run(place, missing, copies, (one, started, call) => new Promise((resolve, reject) => {
    const sent: ImageRef[] = [];
    going[one.disk] = { order: one, context: call, sent, end: resolve, fail: reject };
    started({ redirect: (ref: ImageRef) => Promise.resolve(void sent.push(ref)), readsTemplate: one.disk === 1, needsTemplate: one.disk === 2 } as unknown as Transfer);
    call.signal?.addEventListener("abort", () => reject(call.signal!.reason as Error));
  }), context);
  result.catch(() => undefined);
  return { image, copies, going, result, begun: async () => { while (going.filter(Boolean).length < missing.length) await new Promise((resolve) => setImmediate(resolve)); return going; } };
}
const lost = (): SourceLostError => new SourceLostError("a1", "b1", "it is gone");

describe("the copy of an image of several disks", () => {
  it("is whole when each of its disks is, and has moved what all of them did", async () => {
    const seen: [number, number][] = [];
    const { begun, result, image } = copying({ onProgress: (...figures) => void seen.push(figures) });
    const [first, second, third] = await begun() as [Going, Going, Going];
    assert.deepEqual([first.order.readFirst, first.order.recordReads, second.order.readFirst, second.order.recordReads], [order.readFirst, true, [], false], "reads are known of the disk that guests boot from");
    first.context.onProgress!(5, 10);
    third.context.onProgress!(1, 4);
    assert.deepEqual(seen, [[5, 310], [6, 214]], "of what all of them have, also of those that have said nothing yet");
    assert.deepEqual([image.readsTemplate, image.needsTemplate], [true, true]);
    first.end({ bytesMoved: 10, readProfile: [{ offsetBytes: 0, lengthBytes: 3 }] });
    second.end({ bytesMoved: 7, bytesResent: 2, resumed: true });
    third.end({ bytesMoved: 1 });
    assert.deepEqual(await result, { bytesMoved: 18, bytesResent: 2, resumed: true, readProfile: [{ offsetBytes: 0, lengthBytes: 3 }] });
  });

  it("asks for one other source when several of its disks lose theirs, and takes the rest there", async () => {
    const asked: string[] = [];
    const { begun } = copying({ onSourceLost: (error) => { asked.push(error.message); return Promise.resolve(other("c1")); } });
    const [first, second, third] = await begun() as [Going, Going, Going];
    const answers = await Promise.all([first.context.onSourceLost!(lost()), third.context.onSourceLost!(lost())]);
    assert.deepEqual([answers, asked.length, first.sent, second.sent, third.sent], [[other("c1"), other("c1")], 1, [], [other("c1")], []]);
  });

  it("asks again where the other source is lost, too", async () => {
    let asked = 0;
    const { begun } = copying({ onSourceLost: () => Promise.resolve(other(`c${++asked}`)) });
    const [first, second] = await begun() as [Going, Going, Going];
    await first.context.onSourceLost!(lost());
    assert.deepEqual(await first.context.onSourceLost!(lost()), other("c2"));
    assert.deepEqual(second.sent, [other("c1"), other("c2")]);
    assert.equal(asked, 2);
  });

  it("is sent elsewhere with all its disks", async () => {
    const { begun, image } = copying();
    const going = await begun();
    await image.redirect(other("d1"));
    assert.deepEqual(going.map(({ sent }) => sent), [[other("d1")], [other("d1")], [other("d1")]]);
  });

  it("ends with the first disk that fails, and the others stop", async () => {
    const broken: unknown[] = [];
    const { begun, result } = copying({ onBroken: (moved) => void broken.push(moved) });
    const [first, second, third] = await begun() as [Going, Going, Going];
    first.end({ bytesMoved: 10 });
    second.context.onBroken!({ bytesMoved: 4, bytesResent: 1 });
    second.fail(new Error("its helper died"));
    await assert.rejects(result, /its helper died/);
    assert.ok(third.context.signal!.aborted);
    assert.deepEqual(broken, [{ bytesMoved: 14, bytesResent: 1 }]);
  });

  it("is begun by nobody who cancelled it before, and ends for one who waits for another source", async () => {
    const over = new AbortController();
    const { result, going } = copying({ signal: AbortSignal.abort(new Error("cancelled")) });
    await assert.rejects(result, /cancelled/);
    assert.deepEqual(going, []);
    const waiting = copying({ signal: over.signal, onSourceLost: () => new Promise(() => undefined) });
    const [first] = await waiting.begun() as [Going];
    const asked = first.context.onSourceLost!(lost());
    over.abort(new Error("cancelled later"));
    await assert.rejects(asked, /cancelled later/);
    await assert.rejects(waiting.result, /cancelled later/);
  });

  it("brings back the one disk that somebody took away, and touches no other", async () => {
    const { begun, result, going } = copying({}, [1]);
    await begun();
    going[1]!.end({ bytesMoved: 7 });
    assert.deepEqual(await result, { bytesMoved: 7, bytesResent: 0 });
    assert.equal(going[0], undefined);
    assert.deepEqual(await copying({}, []).result, { bytesMoved: 0 });
  });

  it("waits for room once, whichever disks lack it", async () => {
    let asked = 0;
    const { begun } = copying({ onNoSpace: () => { asked++; return Promise.resolve(true); } });
    const [first, second] = await begun() as [Going, Going, Going];
    const full = {} as Parameters<NonNullable<CallContext["onNoSpace"]>>[0];
    assert.deepEqual(await Promise.all([first.context.onNoSpace!(full), second.context.onNoSpace!(full)]), [true, true]);
    assert.equal(asked, 1);
  });

  it("serves each disk until all are there", async () => {
    const { begun, copies } = copying();
    await begun();
    copies[0]!.isThere.pass();
    copies[1]!.isThere.pass();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(copies.map(({ isRead }) => isRead), [true, true, true]);
    copies[2]!.isThere.pass();
    await Promise.all(copies.map((copy) => copy.unread()));
  });
});

describe("content ids", () => {
  it("are of one disk its own, and of several tell how many there are, in their order", () => {
    assert.equal(imageContentId([ids[0]!]), ids[0]);
    assert.deepEqual(disksOf(ids[0]!), [0]);
    assert.deepEqual(disksOf(""), [0]);
    assert.deepEqual(disksOf(contentId), [0, 1, 2]);
    assert.equal(disksOf(imageContentId(Array.from({ length: 64 }, (_, i) => String(i)))).length, 64);
    assert.notEqual(imageContentId([ids[1]!, ids[0]!]), imageContentId([ids[0]!, ids[1]!]));
    assert.match(contentId, /^[0-9a-f]{66}$/);
  });
});
