/** What a copy uses of which resource, and what alone it takes. */
import assert from "node:assert/strict";
import { expectedRates, PROVIDER_HOST, soloRate, soloSeconds, storeRate } from "../../provider/scheduler";
import { capacitiesOf, costOf, nicIn, nicOut, pathOf, storeRead, storeWrite, uplinkIn, uplinkOut } from "../../provider/scheduler/time/timeModel";
import { topology } from "./fixtures";

/** Hosts 0 and 1 in rack 0, 2 in rack 1; host 1's images lie in the store of host 2. Every rate is another. */
const t = topology({ racks: [2, 1], startupSeconds: 3 });
t.hosts.forEach((host, i) => { host.nicBytesPerSecond = 100 + i; });
t.stores.forEach((store, i) => { store.bytesPerSecond = 200 + i; });
t.racks.forEach((rack, i) => { rack.uplinkBytesPerSecond = 50 + i; });
t.hosts[1]!.store = 2;

describe("resources", () => {
  it("have numbers of their own, all of them", () => {
    const numbers = [
      ...[0, 1, 2].flatMap((store) => [storeRead(store), storeWrite(store)]), ...[0, 1, 2].flatMap((host) => [nicOut(t, host), nicIn(t, host)]),
      ...[0, 1].flatMap((rack) => [uplinkOut(t, rack), uplinkIn(t, rack)]),
    ];
    assert.deepEqual(numbers, [...Array(16).keys()]);
    assert.deepEqual([...capacitiesOf(t)], [200, 200, 201, 201, 202, 202, 100, 100, 101, 101, 102, 102, 50, 50, 51, 51]);
  });

  it("of a copy are those it passes", () => {
    assert.deepEqual(pathOf(t, 0, 1), [storeRead(0), nicOut(t, 0), nicIn(t, 1), storeWrite(2)]);
    assert.deepEqual(pathOf(t, 0, 2), [storeRead(0), nicOut(t, 0), nicIn(t, 2), storeWrite(2), uplinkOut(t, 0), uplinkIn(t, 1)]);
    assert.deepEqual(pathOf(t, 1, 1), [storeRead(2), storeWrite(2)]);
    assert.deepEqual(pathOf(t, PROVIDER_HOST, 2), [nicIn(t, 2), storeWrite(2)]);
    assert.deepEqual([pathOf({ ...t, freeLocalCopies: true }, 1, 1), pathOf({ ...t, time: "unit" }, 0, 1)], [[], []]);
  });
});

describe("a copy alone", () => {
  it("runs at the slowest of what it passes", () => {
    assert.deepEqual([soloRate(t, 0, 1), soloRate(t, 0, 2), soloRate(t, 2, 0), soloRate(t, 1, 1), soloRate(t, PROVIDER_HOST, 2)], [100, 50, 50, 202, 102]);
    const slow = { ...t, stores: t.stores.map((store) => (store.index === 2 ? { ...store, bytesPerSecond: 7 } : store)) };
    assert.deepEqual([soloRate(slow, 0, 1), soloRate(slow, 1, 0), soloRate(slow, PROVIDER_HOST, 2), soloRate(slow, 0, 0)], [7, 7, 7, 200]);
    const narrow = { ...t, racks: t.racks.map((rack) => (rack.index === 1 ? { ...rack, uplinkBytesPerSecond: 3 } : rack)) };
    assert.deepEqual([soloRate(narrow, 0, 2), soloRate(narrow, 2, 0), soloRate(narrow, 0, 1)], [3, 3, 100]);
    assert.deepEqual([soloRate({ ...t, freeLocalCopies: true }, 1, 1), soloRate({ ...t, freeLocalCopies: true }, 0, 1), soloRate({ ...t, time: "unit" }, 0, 1)], [Infinity, 100, Infinity]);
    assert.deepEqual([0, 1, 2].map((host) => storeRate(t, host)), [200, 202, 202]);
  });

  it("costs its start-up and its bytes, nothing within a host with reflinks, and a second in unit time", () => {
    assert.deepEqual(costOf(t, 1000, 0, 0), { startupSeconds: 3, bytes: 1000, path: [storeRead(0), storeWrite(0)] });
    assert.deepEqual(costOf({ ...t, freeLocalCopies: true }, 1000, 0, 0), { startupSeconds: 0, bytes: 0, path: [] });
    assert.deepEqual(costOf({ ...t, time: "unit" }, 1000, 0, 1), { startupSeconds: 1, bytes: 0, path: [] });
    assert.deepEqual([soloSeconds(t, 1000, 0, 1), soloSeconds({ ...t, freeLocalCopies: true }, 1000, 0, 0), soloSeconds({ ...t, time: "unit" }, 1000, 0, 1)], [13, 0, 1]);
  });
});

describe("copies at once", () => {
  it("are expected to share, and none to be quicker than the one it reads from", () => {
    const alike = topology({ racks: [3] });
    const pairs = [{ sourceHost: 0, targetHost: 1 }, { sourceHost: 1, targetHost: 2 }];
    assert.deepEqual(expectedRates(alike, pairs), [1e9, 1e9]);
    alike.hosts[0]!.nicBytesPerSecond = 3e8;
    assert.deepEqual([expectedRates(alike, pairs), expectedRates(alike, pairs, [undefined, 0])], [[3e8, 1e9], [3e8, 3e8]]);
    assert.deepEqual(expectedRates({ ...alike, time: "unit" }, pairs), [Infinity, Infinity]);
  });
});
