/** What relay starts next: trees to hosts that have nothing, and copies within hosts that have something. */
import assert from "node:assert/strict";
import { CopyBook, policies, type Decision, type Source, type Transfer } from "../../provider/scheduler";
import { alongsideArrival, rateOf, relayTree, treeRates } from "../../provider/scheduler/policies/relayTree";
import { base, template, topology, type Datacenter, type Shape } from "./fixtures";

type Entry = Source & { position: number };
const source = (id: number, host: number, more: Partial<Source> = {}): Entry => ({ ...base(id, host), position: -1, ...more });
const copy = (sourceHost: number, targetHost: number, more: Partial<Transfer> = {}): Transfer & { position: number } => (
  { source: 0, sourceHost, targetHost, startedAtSeconds: 0, done: 0.5, straggling: false, position: -1, ...more }
);

/** Decisions on a book in which something changed at these hosts. */
function decided(
  t: Datacenter, { targets, made, sources, copies = [], changed, most = 999 }: { targets: number[]; made: number[]; sources: Entry[]; copies?: ReturnType<typeof copy>[]; changed: number[]; most?: number },
): string[] {
  const book = new CopyBook<Entry, ReturnType<typeof copy>>(t, t.image, { maxConcurrentClones: most, relays: true, targets, made });
  book.touchAll();
  for (const one of sources) book.enter(one);
  for (const one of copies) book.enterTransfer(one);
  book.view.index!.countBare(book.view);
  book.seen();
  for (const host of changed) book.touch(host);
  return policies.relay.next(book.at(1)).map(({ source: from, targetHost }: Decision) => `${typeof from === "number" ? from : `#${from.decision}`}>${targetHost}`);
}

/** Three hosts that have something each, and copies elsewhere, so that a look at what changed is enough. */
const seeded = (more: Partial<Parameters<typeof decided>[1]> = {}, shape: Partial<Shape> = {}) => decided(topology({ racks: [4], ...shape }), {
  targets: [3, 3, 3, 9], made: [1, 1, 1, 1], sources: [source(0, 0, { kind: "template" }), source(1, 1), source(2, 2), source(3, 3)], copies: [copy(3, 3)], changed: [1], ...more,
});

describe("relay, where every host has something", () => {
  it("looks at the hosts alone at which something changed", () => {
    assert.deepEqual(seeded(), ["1>1"]);
    assert.deepEqual(seeded({ changed: [2, 1] }), ["1>1", "2>2"]);
    assert.deepEqual(seeded({ changed: [] }), []);
    assert.deepEqual(seeded({ targets: [3, 1, 3, 9] }), []);
  });

  it("looks at all where a copy lags, slots are few, or nothing is under way", () => {
    assert.ok(seeded({ changed: [1, 3], copies: [copy(3, 3, { source: 3, straggling: true })] }).includes("2>2"));
    assert.deepEqual(seeded({ most: 20 }), ["0>0", "1>1", "2>2"]);
    assert.deepEqual(seeded({ copies: [] }), ["0>0", "1>1", "2>2", "3>3"]);
  });

  it("reads from a whole image before one that arrives, from who serves few, then from the eldest", () => {
    const from = (...more: Entry[]) => seeded({ sources: [source(0, 0), source(2, 2), source(3, 3), ...more] });
    assert.deepEqual(from(source(7, 1, { serving: 1 }), source(6, 1, { serving: 1 }), source(5, 1, { serving: 2 })), ["6>1"]);
    assert.deepEqual(from(source(5, 1, { arriving: true }), source(8, 1, { serving: 3 })), ["8>1"]);
    assert.deepEqual(from(source(8, 1, { serving: 3 }), source(5, 1, { arriving: true })), ["8>1"]);
  });

  it("keeps a host's room", () => {
    assert.deepEqual(seeded({ copies: [copy(1, 3, { done: 1 }), copy(1, 3, { done: 1 })] }, { maxConcurrent: 2 }), []);
    assert.deepEqual(seeded({ copies: [copy(1, 3, { done: 1 })] }, { maxConcurrent: 2 }), ["1>1"]);
  });

  it("makes as many at once within a host as overlap their start-ups, or cost nothing", () => {
    const many = { targets: [3, 20, 3, 9] };
    assert.deepEqual(seeded(many, { startupSeconds: 15 }), ["1>1", "1>1", "1>1"]);
    assert.deepEqual(seeded(many, { freeLocalCopies: true }).length, 8);
    assert.deepEqual(seeded({ ...many, copies: [copy(1, 1)] }, { startupSeconds: 15 }), ["1>1", "1>1"]);
    assert.deepEqual(seeded({ ...many, sources: [source(0, 0), source(2, 2), source(3, 3), source(1, 1, { arriving: true })], copies: [copy(0, 1)] }, { freeLocalCopies: true }), []);
  });

  it("leaves a store to those that read from it, unless they leave half of it", () => {
    const reads = (bytesPerSecond: number, more: Partial<Transfer> = {}) => seeded({ copies: [copy(1, 3, { bytesPerSecond, ...more })] });
    assert.deepEqual([reads(6e8), reads(5e8), reads(4e8), reads(6e8, { done: 1 })], [[], ["1>1"], ["1>1"], ["1>1"]]);
    // Two that take a quarter each would get less with three more beside them.
    const two = [copy(1, 3, { bytesPerSecond: 2.5e8 }), copy(1, 2, { bytesPerSecond: 2.5e8 })];
    assert.deepEqual(seeded({ targets: [3, 20, 3, 9], copies: two }, { startupSeconds: 40 }), ["1>1", "1>1"]);
  });

  it("makes beside what arrives what the store has left", () => {
    const arrives = (bytesPerSecond: number) => seeded({ targets: [3, 20, 3, 9], copies: [copy(0, 1, { bytesPerSecond })] });
    assert.deepEqual([arrives(1e9), arrives(5e8), arrives(2.5e8)], [[], ["1>1"], ["1>1", "1>1", "1>1"]]);
  });
});

describe("relay, where hosts have nothing", () => {
  const fresh = (targets: number[], { made = targets.map(() => 0), most = 999, ...shape }: { made?: number[]; most?: number } & Partial<Shape> = {}) => (
    decided(topology({ racks: [targets.length], ...shape }), { targets, made, sources: [source(0, 0, { kind: "template" })], changed: [], most })
  );

  it("sends all of them the image at once, each from the one before, within slots and room", () => {
    assert.deepEqual(fresh([0, 1, 1, 1]), ["0>1", "#0>2", "#1>3"]);
    assert.deepEqual(fresh([0, 1, 1, 1], { most: 2 }), ["0>1", "#0>2"]);
    assert.deepEqual(fresh([0, 1, 1, 1], { maxConcurrent: 1 }), ["0>1"]);
  });

  it("ends at the template's host where that has nothing made of it, nor on its way", () => {
    assert.deepEqual(fresh([1, 1, 1]), ["0>1", "#0>2", "#1>0"]);
    assert.deepEqual(fresh([2, 1, 1], { made: [1, 0, 0] }).slice(0, 2), ["0>1", "#0>2"]);
    assert.ok(!fresh([2, 1, 1], { made: [1, 0, 0] }).includes("#1>0"));
  });

  it("makes what a host wants beyond its first from what arrives, where its disk is quicker than its card", () => {
    assert.deepEqual(fresh([0, 4], { nicBytesPerSecond: 2.5e8 }), ["0>1", "#0>1", "#0>1", "#0>1"]);
    assert.deepEqual(fresh([0, 4], { nicBytesPerSecond: 5e8 }), ["0>1", "#0>1"]);
    assert.deepEqual(fresh([0, 4]), ["0>1"]);
    assert.deepEqual(fresh([0, 4], { freeLocalCopies: true, nicBytesPerSecond: 2.5e8 }), ["0>1"], "there is nothing whole yet to take it from");
  });

  it("starts nothing where there is nothing to start from", () => {
    assert.deepEqual(decided(topology({ racks: [2] }), { targets: [1, 1], made: [0, 0], sources: [], changed: [] }), []);
  });
});

describe("relay, with few slots", () => {
  it("makes copies within those hosts first that have most to do", () => {
    const few = { most: 2, targets: [2, 5, 3, 9] };
    assert.deepEqual(seeded(few), ["1>1"]);
    assert.deepEqual(seeded({ ...few, most: 3 }), ["1>1", "2>2"]);
    assert.deepEqual(seeded({ most: 2, targets: [3, 3, 3, 9] }), ["0>0"]);
  });
});

describe("copies beside what arrives", () => {
  it("are as many as the store's rate has left over, within the host's room", () => {
    const t = topology({ racks: [1], maxConcurrent: 5 });
    assert.deepEqual([1e9, 5.1e8, 5e8, 2e8, 1e7, 2e9].map((rate) => alongsideArrival(t, 0, rate)), [0, 0, 1, 3, 3, 0]);
  });
});

describe("relay's tree", () => {
  const root = (host: number, more = {}) => ({ host, load: 0, room: 8, wants: 0, ...more });
  const target = (host: number, more = {}) => ({ host, room: 8, wants: 1, ...more });
  const tree = (t: Datacenter, roots: ReturnType<typeof root>[], targets: ReturnType<typeof target>[]) => relayTree(t, 10e9, roots, targets).map(({ from, to }) => `${from}>${to}`);

  it("is one line through alike hosts, rack by rack", () => {
    assert.deepEqual(tree(topology({ racks: [2, 2] }), [root(0)], [target(1), target(2), target(3)]), ["0>1", "1>2", "2>3"]);
  });

  it("visits racks by their rate, then by how many wait there", () => {
    const t = topology({ racks: [1, 1, 2] });
    assert.deepEqual(tree(t, [root(0)], [target(1), target(2), target(3)]), ["0>2", "2>3", "3>1"]);
    t.racks[2]!.uplinkBytesPerSecond = 1e8;
    assert.deepEqual(tree(t, [root(0)], [target(1), target(2), target(3)]), ["0>1", "1>2", "2>3"]);
  });

  it("hangs hosts that may not feed another on one that may", () => {
    const edges = tree(topology({ racks: [4] }), [root(0)], [target(1, { room: 1 }), target(2), target(3, { room: 1 })]);
    assert.deepEqual(edges.sort(), ["0>2", "2>1", "2>3"].sort());
  });

  it("begins at idle roots, the quickest first, else at the least busy one", () => {
    const t = topology({ racks: [4] });
    t.hosts[0]!.nicBytesPerSecond = 5e8;
    assert.deepEqual(tree(t, [root(0), root(1)], [target(2)]), ["1>2"]);
    assert.deepEqual(tree(t, [root(0), root(1, { load: 1 })], [target(2)]), ["0>2"]);
    assert.deepEqual(tree(t, [root(0, { load: 2 }), root(1, { load: 1 })], [target(2)]), ["1>2"]);
    assert.deepEqual(tree(t, [root(0, { room: 0 }), root(1, { room: 0 })], [target(2)]), []);
  });

  it("is nothing without roots or targets", () => {
    const t = topology({ racks: [2] });
    assert.deepEqual([tree(t, [], [target(1)]), tree(t, [root(0)], [])], [[], []]);
  });

  it("feeds a slow host from the side, so that it holds up nobody", () => {
    const t = topology({ racks: [4] });
    t.hosts[1]!.nicBytesPerSecond = 1e8;
    const edges = tree(t, [root(0)], [target(1), target(2), target(3)]);
    assert.equal(edges.length, 3);
    assert.ok(!edges.some((edge) => edge.startsWith("1>")), edges.join());
  });

  it("ends at the template's own host where that wants a base, whose store need not make it then", () => {
    assert.deepEqual(tree(topology({ racks: [4] }), [root(0, { wants: 1 })], [target(1), target(2), target(3)]), ["0>1", "1>2", "2>3", "3>0"]);
    assert.deepEqual(tree(topology({ racks: [2, 2] }), [root(0, { wants: 1 })], [target(1), target(2), target(3)]), ["0>1", "1>2", "2>3", "3>0"]);
  });

  it("lets no fast host read from a slow one, however many there are", () => {
    const t = topology({ racks: [7] });
    for (const slow of [1, 4]) t.hosts[slow]!.nicBytesPerSecond = 1e8;
    const edges = tree(t, [root(0)], [1, 2, 3, 4, 5, 6].map((host) => target(host)));
    assert.deepEqual([edges.length, edges.filter((edge) => /^[14]>[^14]$/.test(edge))], [6, []]);
  });

  it("is less deep where hops cost more than feeding two", () => {
    const depth = (hopSeconds: number): number => {
      const t = { ...topology({ racks: Array.from({ length: 12 }, () => 2) }), hopSeconds };
      const edges = relayTree(t, 10e9, [root(0)], t.hosts.slice(1).map(({ index }) => target(index)));
      const depths = new Map([[0, 0]]);
      for (const { from, to } of edges) depths.set(to, depths.get(from)! + 1);
      assert.equal(edges.length, 23);
      return Math.max(...depths.values());
    };
    assert.equal(depth(0), 23);
    assert.ok(depth(5) < 12, `${depth(5)}`);
  });

  it("feeds no more from a host than it has room for", () => {
    const t = topology({ racks: [5] });
    for (const slow of [2, 3, 4]) t.hosts[slow]!.nicBytesPerSecond = 1e8;
    const edges = tree(t, [root(0, { room: 1 })], [target(1, { room: 3 }), target(2, { room: 2 }), target(3, { room: 1 }), target(4, { room: 1 })]);
    const uses = (host: number) => edges.filter((edge) => edge.split(">").map(Number).includes(host)).length;
    assert.equal(edges.length, 4);
    assert.ok(uses(0) <= 1 && uses(1) <= 3 && uses(2) <= 2 && uses(3) <= 1 && uses(4) <= 1, edges.join());
  });

  it("has rates at which all its edges run at once, none quicker than what it reads from", () => {
    const t = topology({ racks: [4] });
    t.hosts[1]!.nicBytesPerSecond = 1e8;
    assert.deepEqual(treeRates(t, [{ from: 0, to: 1 }, { from: 1, to: 2 }, { from: 0, to: 3 }]), [1e8, 1e8, 9e8]);
    assert.deepEqual([rateOf(t, 0), rateOf(t, 1)], [1e9, 1e8]);
  });
});

describe("relay, where the hypervisor cannot or time has no parts", () => {
  it("goes as store-and-forward does", () => {
    for (const t of [topology({ racks: [4] }), topology({ racks: [4], time: "unit" })]) {
      const view = {
        nowSeconds: 0, topology: t, image: t.image, targets: [2, 2, 2, 2], made: [0, 0, 0, 0], making: [0, 0, 0, 0], sources: [template()], transfers: [],
        excluded: [false, false, false, false], freeSlots: 9, ...(t.time === "unit" && { arriving: [] }),
      };
      assert.deepEqual(policies.relay.next(view), policies.earliestCompletion.next(view));
    }
  });
});
