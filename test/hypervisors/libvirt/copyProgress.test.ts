import assert from "node:assert/strict";
import { realClock } from "../../../provider/async/clock";
import { bytesThere, type Pulled } from "../../../provider/hypervisors/libvirt/copy/copyProgress";
import type { MirrorJob } from "../../../provider/hypervisors/libvirt/helper/mirror";
import { Yielding } from "../../../provider/hypervisors/libvirt/copy/yielding";

const MIB = 1 << 20;
/** 100 MiB, of which the ten from 20 on and the ten from 80 on are data. */
const facts = { capacityBytes: 100 * MIB, allocationBytes: 20 * MIB };
const extents = [20, 80].map((at) => ({ offsetBytes: at * MIB, lengthBytes: 10 * MIB }));
const there = (offsetMib: number, pulled: Partial<Pulled> = {}, job: Partial<MirrorJob> = {}): number => (
  bytesThere({ device: "job", offset: offsetMib * MIB, len: 100 * MIB, ready: false, "io-status": "ok", ...job }, { facts, forGuests: false, ...pulled }) / MIB
);
/** All but a byte: it is not ready. */
const ALMOST = 20 - 1 / MIB;

describe("what a pull has brought", () => {
  it("is a share of what is allocated where nobody knows the holes", () => {
    assert.deepEqual([0, 50, 100].map((offset) => there(offset)), [0, 10, ALMOST]);
  });

  it("is counted by the data passed, less what is under way", () => {
    assert.deepEqual([26, 60, 80, 100].map((offset) => there(offset, { extents })), [-6, -6, 4, 4]);
    assert.equal(there(100, { extents }, { ready: true }), 20);
  });

  it("is what is beyond the holes where these are passed over at once", () => {
    assert.deepEqual([80, 85, 100].map((offset) => there(offset, { extents, forGuests: true })), [0, 5, ALMOST]);
  });

  it("is a share of what passes where holes count as data, so that it is not all too early", () => {
    const all = [{ offsetBytes: 0, lengthBytes: 100 * MIB }];
    assert.deepEqual([40, 90].map((offset) => there(offset, { extents: all, forGuests: true })), [8, 18]);
    assert.deepEqual([40, 80].map((offset) => there(offset, { extents: all })), [8, 16]);
  });

  it("is counted by what is left of what comes first, and is never all", () => {
    assert.deepEqual([95, 98, 100].map((offset) => there(offset, { firstBytes: 8 * MIB })), [3, 6, 8]);
    assert.deepEqual([95, 98, 100].map((offset) => there(offset, { firstBytes: 8 * MIB, forGuests: true }, { len: offset * MIB })), [3, 6, 8]);
    assert.ok(there(100, { firstBytes: 30 * MIB }, { ready: true }) < 20);
  });
});

describe("a copy beside guests that read", () => {
  it("is slow while they read, and says when that changes", async () => {
    const copy = { isYielding: false };
    const yielding = new Yielding(copy, realClock);
    const speeds: number[] = [];
    const look = () => yielding.look((speed) => { speeds.push(speed); return Promise.resolve(); });
    assert.equal(await look(), false);
    copy.isYielding = true;
    assert.deepEqual([await look(), await look()], [true, true]);
    copy.isYielding = false;
    assert.equal(await look(), false);
    assert.deepEqual(speeds, [512 << 10, 0]);
  });
});
