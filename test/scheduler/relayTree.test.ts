/** Which of the trees that could be built relay takes, where hosts differ, have little room, or the template's own host wants a base too. */
import assert from "node:assert/strict";
import { relayTree, type RelayRoot, type RelayTarget } from "../../provider/scheduler/policies/relayTree";
import { topology, type Shape } from "./fixtures";

/** Rates are in 100 MB/s, by host or rack; what is not named has the fixture's. A host is a root or a target, or has no part in this. */
interface Given extends Partial<Omit<Shape, "racks">> {
  racks: number[];
  nics?: number[];
  disks?: number[];
  uplinks?: number[];
  hopSeconds?: number;
  roots: (Partial<RelayRoot> & { host: number })[];
  /** What each wants, by host; one base and room for eight copies each unless `rooms` says otherwise. */
  wants: Record<number, number>;
  rooms?: Record<number, number>;
}

function tree({ racks, nics = [], disks = [], uplinks = [], hopSeconds = 0, roots, wants, rooms = {}, ...shape }: Given): string {
  const t = { ...topology({ racks, nicBytesPerSecond: 1e9, uplinkBytesPerSecond: 4e9, ...shape }), hopSeconds };
  nics.forEach((rate, host) => { t.hosts[host]!.nicBytesPerSecond = rate * 1e8; });
  disks.forEach((rate, host) => { t.stores[host]!.bytesPerSecond = rate * 1e8; });
  uplinks.forEach((rate, rack) => { t.racks[rack]!.uplinkBytesPerSecond = rate * 1e8; });
  const targets = Object.entries(wants).map(([host, count]): RelayTarget => ({ host: Number(host), room: rooms[Number(host)] ?? 8, wants: count }));
  return relayTree(t, 10e9, roots.map((root) => ({ load: 0, room: 8, wants: 0, ...root })), targets).map(({ from, to }) => `${from}>${to}`).join(" ");
}

describe("relay's tree, where the template's host wants a base of its own", () => {
  it("brings it back at the end of the line before a slow host, which hangs on the side", () => {
    assert.equal(tree({ racks: [1, 1, 1], uplinks: [5, 5, 5], nics: [10, 10, 5], disks: [5, 5, 1], startupSeconds: 2, roots: [{ host: 0, wants: 1 }], wants: { 1: 4, 2: 1 } }), "0>1 1>0 0>2");
  });

  it("brings it back before a rack that takes in less than it could itself", () => {
    assert.equal(tree({ racks: [3, 1], nics: [10, 10, 10, 5], hopSeconds: 0.5, roots: [{ host: 0, load: 2, wants: 1 }], wants: { 1: 1, 2: 2, 3: 1 } }), "0>1 1>0 1>3 0>2");
  });

  it("brings it back from the first of the others where each hop costs much", () => {
    assert.equal(tree({ racks: [4], disks: [10, 10, 1, 10], hopSeconds: 3, roots: [{ host: 0, wants: 1 }], wants: { 1: 1, 2: 1, 3: 4 } }), "0>1 1>0 0>3 0>2");
  });

  it("brings it back instead of feeding a slow host, where there is room for one of the two", () => {
    assert.equal(tree({ racks: [3], nics: [10, 1, 10], startupSeconds: 2, roots: [{ host: 0, room: 2, wants: 1 }], wants: { 1: 4, 2: 1 }, rooms: { 1: 3, 2: 2 } }), "0>2 2>0");
  });

  it("leaves it to its own store where that has time for it beside a slow reader", () => {
    assert.equal(tree({ racks: [2], nics: [1, 10], disks: [5, 5], roots: [{ host: 0, load: 1, wants: 3 }], wants: { 1: 1 } }), "0>1");
    assert.equal(tree({ racks: [2], nics: [1, 5], disks: [10, 5], roots: [{ host: 0, room: 3, wants: 1 }], wants: { 1: 4 }, rooms: { 1: 3 } }), "0>1");
    assert.equal(tree({ racks: [3], nics: [5, 10, 10], disks: [10, 5, 5], hopSeconds: 0.5, startupSeconds: 2, roots: [{ host: 0, wants: 3 }], wants: { 1: 1, 2: 1 } }), "0>1 1>2");
  });

  it("leaves it to its own store where the others have more to do anyway", () => {
    assert.equal(tree({ racks: [3], startupSeconds: 2, roots: [{ host: 0, wants: 1 }], wants: { 1: 4, 2: 4 } }), "0>1 1>2");
    assert.equal(tree({ racks: [1, 1, 1], nics: [10, 10, 5], disks: [10, 10, 5], roots: [{ host: 0, wants: 1 }], wants: { 1: 4, 2: 1 } }), "0>1 0>2");
  });

  it("leaves it to its own store where bringing it back would leave out another", () => {
    assert.equal(tree({ racks: [3], hopSeconds: 0.5, startupSeconds: 2, roots: [{ host: 0, wants: 1 }], wants: { 1: 1, 2: 4 }, rooms: { 1: 2, 2: 1 } }), "0>1 1>2");
    assert.equal(tree({
      racks: [3, 3], uplinks: [10, 40], nics: [10, 10, 10, 10, 1, 1], disks: [10, 10, 5, 5, 20, 5], hopSeconds: 0.5,
      roots: [{ host: 0, wants: 1 }, { host: 2, load: 1, room: 3 }], wants: { 1: 1, 3: 1, 4: 1, 5: 4 }, rooms: { 1: 2, 3: 1, 5: 2 },
    }), "0>1 1>4 4>5 5>3");
  });

  it("brings nothing back to a root that wants nothing", () => {
    assert.equal(tree({ racks: [3], roots: [{ host: 0, room: 2 }, { host: 2, room: 0, wants: 3 }], wants: { 1: 2 }, rooms: { 1: 2 } }), "0>1");
  });

  it("never copies from a host to itself where a rack that has the image has nobody to feed", () => {
    assert.equal(tree({ racks: [2, 1], nics: [10, 1, 10], disks: [20, 10, 20], startupSeconds: 2, roots: [{ host: 0, load: 1, wants: 1 }], wants: { 1: 1 } }), "0>1");
  });
});

describe("relay's tree, where hosts are slow", () => {
  it("hangs each slow one on a fast one of its own, the last of these first", () => {
    assert.equal(tree({
      racks: [5], uplinks: [5], nics: [1, 10, 1, 1, 10], disks: [10, 20, 10, 10, 20], hopSeconds: 3, roots: [{ host: 0, wants: 1 }], wants: { 1: 2, 2: 1, 3: 4, 4: 1 },
    }), "0>1 1>4 4>2 1>3");
  });

  it("hangs them and the template's own host behind the fast ones of a rack, beside another rack that has the image", () => {
    assert.equal(tree({
      racks: [1, 4, 4], uplinks: [40, 2, 2], nics: [5, 10, 10, 10, 10, 5, 1, 10, 5], disks: [1, 10, 10, 1, 1, 20, 10, 10, 10], hopSeconds: 3, startupSeconds: 2,
      roots: [{ host: 0, wants: 3 }, { host: 3, load: 2 }], wants: { 1: 1, 2: 2, 4: 4, 5: 1, 6: 1, 7: 2, 8: 1 },
    }), "0>7 7>5 7>8 7>6 7>0 3>1 3>2 3>4");
  });

  it("puts a slow one before one no faster that wants more, in one line", () => {
    assert.equal(tree({ racks: [1, 2, 2], nics: [10, 10, 1, 5, 5], disks: [10, 10, 5, 5, 1], roots: [{ host: 0 }], wants: { 1: 4, 2: 1, 3: 4, 4: 1 } }), "0>1 1>2 2>3 3>4");
  });

  it("takes the quickest idle root of the rack for all of them", () => {
    assert.equal(tree({ racks: [4], nics: [1, 10, 5, 1], disks: [20, 5, 10, 10], roots: [{ host: 0, load: 1, wants: 1 }, { host: 2, room: 2, wants: 1 }], wants: { 1: 1, 3: 2 }, rooms: { 1: 2, 3: 3 } }), "2>1 1>3");
  });
});

describe("relay's tree, where room is short", () => {
  it("hangs hosts that may not feed another on any root of their rack that has room, a busy one too", () => {
    assert.equal(tree({
      racks: [4], nics: [10, 10, 5, 5], disks: [10, 5, 5, 20], hopSeconds: 0.5, roots: [{ host: 0, load: 2, room: 1 }, { host: 2, wants: 3 }], wants: { 1: 2, 3: 2 }, rooms: { 1: 1, 3: 1 },
    }), "0>1 2>3");
  });

  it("brings a rack in which nobody may feed another the one copy there is room for", () => {
    assert.equal(tree({
      racks: [1, 1, 3], uplinks: [40, 5, 5], nics: [5, 10, 10, 5, 10], disks: [1, 1, 20, 1, 10], roots: [{ host: 0, load: 2, room: 2, wants: 3 }], wants: { 1: 4, 2: 1, 3: 1, 4: 2 }, rooms: { 1: 2, 2: 1, 3: 1, 4: 1 },
    }), "0>2 0>1");
  });

  it("enters a rack by the quickest host that may feed the others, and passes over one that may not even read", () => {
    assert.equal(tree({ racks: [1, 2, 1], uplinks: [5, 10, 40], disks: [10, 20, 5, 10], roots: [{ host: 0, load: 2, room: 3 }], wants: { 1: 1, 2: 1, 3: 2 }, rooms: { 1: 0, 2: 2, 3: 2 } }), "0>3 3>2");
  });
});

describe("relay's tree, where each hop costs", () => {
  it("forks, and changes its shape as long as that is quicker", () => {
    assert.equal(tree({ racks: [2, 3, 2], hopSeconds: 0.5, startupSeconds: 2, roots: [{ host: 0, load: 1, wants: 1 }], wants: { 1: 1, 2: 1, 3: 1, 4: 1, 5: 2 } }), "0>1 1>2 2>3 3>4 2>5 5>0");
  });
});
