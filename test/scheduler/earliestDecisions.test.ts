/** What earliestCompletion and rounds start next, decision by decision. */
import assert from "node:assert/strict";
import { policies, type BookView, type Transfer } from "../../provider/scheduler";
import { base, template, topology, view, type Datacenter, type Shape } from "./fixtures";

const copy = (source: number, sourceHost: number, targetHost: number, more: Partial<Transfer> = {}): Transfer => (
  { source, sourceHost, targetHost, startedAtSeconds: 0, done: 0.5, straggling: false, ...more }
);
type Given = Partial<BookView> & Pick<BookView, "targets">;
const next = (name: "earliestCompletion" | "rounds") => (t: Datacenter, given: Given): string[] =>
  policies[name].next(view(t, given)).map(({ source, targetHost }) => `${(given.sources ?? [template()]).find(({ id }) => id === source)!.host}>${targetHost}`);
const earliest = next("earliestCompletion");
const rounds = next("rounds");
/** Several sources at a host, so that only its disk and card are in the way. */
const at = (...hosts: number[]) => hosts.map((host, id) => base(id, host));
const t = (racks: number[], more: Partial<Shape> = {}, change: (one: Datacenter) => void = () => undefined): Datacenter => {
  const one = topology({ racks, ...more });
  change(one);
  return one;
};

describe("earliestCompletion: racks that have nothing", () => {
  it("are seeded first, the one with most to do before others, at its host with most to do", () => {
    const two = { targets: [2, 1, 1, 3, 1], sources: at(0, 0) };
    assert.deepEqual(earliest(t([1, 2, 2]), two), ["0>3"]);
    assert.deepEqual(earliest(t([1, 2, 2]), { ...two, targets: [2, 4, 1, 3, 1] }), ["0>1"]);
  });

  it("are seeded each from the source that ends first, ties in the order of racks", () => {
    const three = t([1, 1, 1]);
    assert.deepEqual(earliest(three, { targets: [0, 0, 1], sources: at(1, 0) }), ["0>2"]);
    three.hosts[0]!.nicBytesPerSecond = 9e8;
    assert.deepEqual(earliest(three, { targets: [0, 0, 1], sources: at(0, 1) }), ["1>2"]);
    three.racks[1]!.uplinkBytesPerSecond = 1e8;
    assert.deepEqual(earliest(three, { targets: [0, 0, 1], sources: at(0, 1) }), ["0>2"]);
  });

  it("wait where something is on its way to them, or where the way is taken", () => {
    const two = t([1, 2]);
    assert.deepEqual(earliest(two, { targets: [0, 1, 1], making: [0, 1, 0], transfers: [copy(0, 0, 1)], sources: at(0, 0) }), []);
    assert.deepEqual(earliest(t([2, 1]), { targets: [0, 1, 1], making: [0, 1, 0], transfers: [copy(0, 0, 1)], sources: at(0, 0) }), []);
    const wide = t([1, 1, 1], { diskBytesPerSecond: 4e9, nicBytesPerSecond: 4e9, uplinkBytesPerSecond: 1e9 });
    assert.deepEqual(earliest(wide, { targets: [0, 1, 1], making: [0, 1, 0], transfers: [copy(0, 0, 1)], sources: at(0, 0) }), [], "the uplink is full");
    assert.deepEqual(earliest(two, { targets: [0, 1, 1], freeSlots: 0 }), []);
  });
});

describe("earliestCompletion: hosts that have nothing", () => {
  it("are served from their rack, the one with most to do by the best source", () => {
    const four = t([4]);
    assert.deepEqual(earliest(four, { targets: [0, 0, 1, 2], sources: at(0, 1) }), ["0>3", "1>2"]);
    four.hosts[0]!.nicBytesPerSecond = 9e8;
    assert.deepEqual(earliest(four, { targets: [0, 0, 1, 2], sources: at(0, 1) }), ["1>3", "0>2"]);
    // Alike, the one that has less to write itself is lent first.
    assert.deepEqual(earliest(t([3]), { targets: [3, 2, 1], made: [1, 1, 0], sources: at(0, 1) })[0], "1>2");
  });

  it("with as much to do are taken by their quicker disk last, their quicker card first, then in order", () => {
    assert.deepEqual(earliest(t([3], {}, (one) => { one.stores[1]!.bytesPerSecond = 2e9; }), { targets: [0, 1, 1], sources: at(0) }), ["0>2"]);
    assert.deepEqual(earliest(t([3], {}, (one) => { one.hosts[1]!.nicBytesPerSecond = 5e8; }), { targets: [0, 1, 1], sources: at(0) }), ["0>2", "0>1"]);
    assert.deepEqual(earliest(t([3]), { targets: [0, 1, 1], sources: at(0) }), ["0>1"]);
  });

  it("wait for a good source that is busy rather than take one that needs twice as long", () => {
    const slow = (nicBytesPerSecond: number) => earliest(t([4], {}, (one) => { one.hosts[1]!.nicBytesPerSecond = nicBytesPerSecond; }), {
      targets: [0, 0, 1, 1], making: [0, 0, 1, 0], transfers: [copy(0, 0, 2)], sources: at(0, 1),
    });
    assert.deepEqual([slow(4e8), slow(5e8)], [[], ["1>3"]]);
  });

  it("wait for a good source that has just begun, too", () => {
    const slow = (nicBytesPerSecond: number) => earliest(t([4], {}, (one) => { one.hosts[1]!.nicBytesPerSecond = nicBytesPerSecond; }), { targets: [0, 0, 1, 1], sources: at(0, 1) });
    assert.deepEqual([slow(4e8), slow(5e8)], [["0>2"], ["0>2", "1>3"]]);
  });

  it("take the source whose disk and card are both quick", () => {
    const mixed = t([3], { nicBytesPerSecond: 4e9 }, (one) => {
      one.hosts[1]!.nicBytesPerSecond = 2e9;
      one.stores.forEach((store, i) => { store.bytesPerSecond = [1e9, 2e9, 4e9][i]!; });
    });
    assert.deepEqual(earliest(mixed, { targets: [0, 0, 1], sources: at(0, 1) }), ["1>2"]);
  });

  it("wait for none that lags, nor for one that is slow through their own fault", () => {
    const four = t([4], {}, (one) => { one.hosts[1]!.nicBytesPerSecond = 4e8; });
    const given = { targets: [0, 0, 1, 1], making: [0, 0, 1, 0], sources: at(0, 1) };
    assert.deepEqual(earliest(four, { ...given, transfers: [copy(0, 0, 2, { straggling: true })] }), ["1>3"]);
    four.hosts[0]!.maxConcurrent = 1;
    assert.deepEqual(earliest(four, { ...given, transfers: [copy(0, 0, 2)] }), []);
    four.hosts[3]!.nicBytesPerSecond = 4e8;
    assert.deepEqual(earliest(four, { ...given, transfers: [copy(0, 0, 2)] }), ["1>3"]);
    assert.deepEqual(earliest(t([4], {}, (one) => { one.hosts[0]!.maxConcurrent = 1; one.hosts[1]!.nicBytesPerSecond = 4e8; one.stores[3]!.bytesPerSecond = 5e8; }), { ...given, transfers: [copy(0, 0, 2)] }), ["1>3"]);
  });

  it("share a source where three quarters of its rate are left, or start-ups can overlap", () => {
    const given = { targets: [0, 1, 1], making: [0, 1, 0], transfers: [copy(0, 0, 1)], sources: at(0, 0) };
    const among = (rate: number, more: Partial<Shape> = {}) => earliest(t([3], { nicBytesPerSecond: 4e9, diskBytesPerSecond: 4e9, ...more }, (one) => { one.hosts[1]!.nicBytesPerSecond = rate; }), given);
    assert.deepEqual([among(1e9), among(1.1e9)], [["0>2"], []]);
    assert.deepEqual(among(4e9, { startupSeconds: 2.5 }), ["0>2"]);
  });

  it("keep to the room of hosts and of the fleet", () => {
    const five = t([5], { maxConcurrent: 1 });
    assert.deepEqual(earliest(five, { targets: [0, 0, 0, 1, 1], making: [0, 0, 0, 1, 0], transfers: [copy(0, 0, 3, { straggling: true })], sources: at(0, 1) }), ["1>4"]);
    assert.deepEqual(earliest(t([4]), { targets: [0, 0, 1, 1], sources: at(0, 1), freeSlots: 1 }), ["0>2"]);
  });
});

describe("earliestCompletion: what a host wants beyond its first base", () => {
  it("it copies itself, one at a time unless start-ups overlap", () => {
    const given = { targets: [3, 3], made: [1, 1], sources: at(0, 1) };
    assert.deepEqual(earliest(t([2]), given), ["0>0", "1>1"]);
    assert.deepEqual(earliest(t([2], { startupSeconds: 4 }), { ...given, targets: [9, 1] }), ["0>0", "0>0"]);
    assert.deepEqual(earliest(t([2]), { ...given, making: [1, 0], transfers: [copy(0, 0, 0)] }), ["1>1"]);
    assert.deepEqual(earliest(t([2], { freeLocalCopies: true, maxConcurrent: 3 }), { ...given, targets: [9, 1] }), ["0>0", "0>0", "0>0"]);
  });

  it("goes to those with most to do where there are not slots for all", () => {
    assert.deepEqual(earliest(t([3]), { targets: [2, 4, 3], made: [1, 1, 1], sources: at(0, 1, 2), freeSlots: 2 }), ["1>1", "2>2"]);
  });

  it("comes from others only in unit time: from the rack first, for who has most left", () => {
    const unit = t([2, 1], { time: "unit" });
    assert.deepEqual(earliest(unit, { targets: [0, 3, 0], made: [0, 1, 0], sources: at(0, 1, 2) }), ["1>1", "0>1"]);
    assert.deepEqual(earliest(unit, { targets: [0, 4, 0], made: [0, 1, 0], sources: at(0, 1, 2) }), ["1>1", "0>1", "2>1"]);
    assert.deepEqual(earliest(t([3], { time: "unit" }), { targets: [0, 3, 4], made: [0, 1, 1], sources: [base(0, 0), base(1, 1, 1), base(2, 2, 1)] }), ["0>2"]);
    assert.deepEqual(earliest(t([2]), { targets: [0, 3], made: [0, 1], sources: at(0, 1) }), ["1>1"]);
  });
});

describe("rounds: decisions", () => {
  const unit = (racks: number[], more: Partial<Shape> = {}) => t(racks, { time: "unit", ...more });

  it("take the source whose host is heaviest first, and its own host where that weighs as much as another", () => {
    assert.deepEqual(rounds(unit([2]), { targets: [5, 1], made: [1, 1], sources: at(0, 1) }), ["0>0", "1>0"]);
    assert.deepEqual(rounds(unit([2]), { targets: [2, 2], made: [1, 1], sources: at(0, 1) }), ["0>0", "1>1"]);
    assert.deepEqual(rounds(unit([2]), { targets: [1, 5], made: [1, 1], sources: at(0, 1) }), ["1>1", "0>1"]);
  });

  it("go to racks that have nothing, then to hosts of the rack that have nothing, in declared order", () => {
    assert.deepEqual(rounds(unit([3, 2]), { targets: [1, 1, 1, 1, 1], made: [1, 0, 0, 0, 0], sources: at(0, 0, 0, 0) }), ["0>3", "0>1", "0>2"]);
    assert.deepEqual(rounds(unit([2, 2]), { targets: [1, 1, 0, 2], made: [1, 0, 0, 0], sources: at(0, 0) }), ["0>3", "0>1"]);
  });

  it("count what is on its way, and only sources that serve", () => {
    const two = unit([2]);
    assert.deepEqual(rounds(two, { targets: [4, 4], made: [1, 1], making: [0, 1], transfers: [copy(0, 0, 1)], sources: [base(0, 0, 1), base(1, 1)] }), ["1>0"]);
    assert.deepEqual(rounds(two, { targets: [4, 4], made: [3, 1], sources: at(0, 1) }), ["1>1", "0>0"]);
  });

  it("go to the heaviest other host where that outweighs the source's own", () => {
    const three = unit([3]);
    assert.deepEqual(rounds(three, { targets: [1, 9, 3], made: [1, 1, 1], sources: [base(0, 0), base(1, 1, 1), base(2, 2, 1)] }), ["0>1"]);
    assert.deepEqual(rounds(three, { targets: [3, 9, 3], made: [1, 1, 1], sources: [base(0, 0), base(1, 1, 1), base(2, 2, 1)] }), ["0>1"]);
    assert.deepEqual(rounds(three, { targets: [2, 1, 1], made: [1, 1, 1], sources: at(0, 1, 2) }), ["0>0"]);
  });

  it("stay in their rack once every rack has a source", () => {
    assert.deepEqual(rounds(unit([1, 2]), { targets: [1, 5, 5], made: [1, 1, 1], sources: [base(0, 0), base(1, 1, 1), base(2, 2, 1)] }), []);
  });
});
