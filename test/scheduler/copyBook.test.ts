/** The books of a distribution, and where in it something changed. */
import assert from "node:assert/strict";
import { CopyBook, PROVIDER_HOST, type BookView, type Source, type Transfer } from "../../provider/scheduler";
import { topology } from "./fixtures";

const setUp = (more: Partial<ConstructorParameters<typeof CopyBook>[2]> = {}) => {
  const t = topology({ racks: [4] });
  return new CopyBook(t, t.image, { maxConcurrentClones: 5, relays: true, ...more });
};
const source = (id: number, host: number, more: Partial<Source> = {}) => ({ id, host, kind: "base" as const, serving: 0, position: -1, ...more });
const transfer = (sourceHost: number, targetHost: number, more: Partial<Transfer> = {}) => (
  { source: 0, sourceHost, targetHost, startedAtSeconds: 0, done: 0, straggling: false, position: -1, ...more }
);
const index = (view: BookView) => view.index!;
const changed = (book: ReturnType<typeof setUp>): number[] => {
  const hosts = [...index(book.view).changed].sort((a, b) => a - b);
  book.seen();
  return hosts;
};

describe("the sources of a book", () => {
  it("are those that entered and did not leave, whole and arriving ones apart", () => {
    const book = setUp();
    const [a, b, c, arriving] = [source(0, 0), source(1, 1), source(2, 1), source(3, 2, { arriving: true })];
    for (const one of [a, b, c, arriving]) book.enter(one);
    assert.deepEqual([book.sources, book.arriving, book.source(3)], [[a, b, c], [arriving], arriving]);
    assert.deepEqual([book.leave(a), book.leave(a), book.leave(arriving)], [true, false, true]);
    assert.deepEqual([[...book.sources], book.arriving, book.source(0)], [[c, b], [], undefined]);
    assert.deepEqual([book.leave(b), book.leave(c), book.sources], [true, true, []]);
  });

  it("are told by host", () => {
    const book = setUp();
    const [a, b] = [source(0, 1), source(1, 1)];
    book.enter(a);
    book.enter(b);
    assert.deepEqual([[...index(book.view).sourcesAt(1)], [...index(book.view).sourcesAt(0)]], [[a, b], []]);
    book.leave(a);
    assert.deepEqual([...index(book.view).sourcesAt(1)], [b]);
  });

  it("never get an id that another had, whatever ids they bring", () => {
    const book = setUp();
    book.enter(source(7, 0));
    assert.deepEqual([book.newId(), book.newId()], [8, 9]);
    book.enter(source(2, 0));
    assert.equal(book.newId(), 10);
  });

  it("know how many read from them", () => {
    const book = setUp();
    const one = source(0, 0);
    book.serve(one, 1);
    book.serve(one, 1);
    book.serve(one, -1);
    assert.equal(one.serving, 1);
  });
});

describe("the copies of a book", () => {
  it("are under way until they end, and count for their host", () => {
    const book = setUp({ targets: [0, 2, 0, 0] });
    const [a, b] = [transfer(0, 1), transfer(0, 1)];
    assert.equal(book.isUnderWay(a), false);
    book.enterTransfer(a);
    book.enterTransfer(b);
    assert.deepEqual([book.view.making, book.isUnderWay(a), book.isUnderWay(b), book.at(3).freeSlots, book.view.nowSeconds], [[0, 2, 0, 0], true, true, 3, 3]);
    book.endTransfer(a, true);
    assert.deepEqual([book.transfers, book.isUnderWay(a), book.isUnderWay(b), book.view.making, book.view.made], [[b], false, true, [0, 1, 0, 0], [0, 1, 0, 0]]);
    book.endTransfer(b, false);
    assert.deepEqual([book.transfers, book.isUnderWay(b), book.view.making, book.view.made], [[], false, [0, 0, 0, 0], [0, 1, 0, 0]]);
  });

  it("are told by the hosts they read from and write to, also when they change where they read", () => {
    const book = setUp();
    const one = transfer(0, 1);
    book.enterTransfer(one);
    changed(book);
    assert.deepEqual([0, 1, 2].map((host) => [...book.transfersAt(host)]), [[one], [one], []]);
    book.changeFeeder(one, () => { one.sourceHost = 2; });
    assert.deepEqual([0, 1, 2].map((host) => [...book.transfersAt(host)]), [[], [one], [one]]);
    assert.deepEqual(changed(book), [0, 1, 2]);
    book.endTransfer(one, true);
    assert.deepEqual([0, 1, 2].map((host) => book.transfersAt(host).size), [0, 0, 0]);
  });
});

describe("what is wanted", () => {
  it("is open until a copy of it starts, and again when that fails", () => {
    const book = setUp();
    book.want(1, 1);
    book.want(1, 1);
    book.want(2, 1);
    book.want(2, -1);
    assert.deepEqual([book.open(), book.view.targets], [2, [0, 2, 0, 0]]);
    const one = transfer(0, 1);
    book.enterTransfer(one);
    assert.equal(book.open(), 1);
    book.endTransfer(one, false);
    assert.equal(book.open(), 2);
    book.enterTransfer(one);
    book.endTransfer(one, true);
    assert.equal(book.open(), 1);
  });

  it("is lacking where it is not made, on hosts that are not excluded", () => {
    const book = setUp({ targets: [1, 3, 2, 0], made: [0, 1, 0, 2] });
    assert.equal(book.lacking(), 1 + 2 + 2);
    book.exclude(2);
    assert.deepEqual([book.lacking(), book.isExcluded(2), book.isExcluded(1)], [3, true, false]);
    assert.equal(setUp({ targets: [1, 1, 0, 0], excluded: [true, false, false, false] }).lacking(), 1);
  });

  it("is nothing of what stands already", () => {
    const book = setUp();
    book.stand(1, 3);
    assert.deepEqual([book.view.made, book.view.targets, book.lacking(), book.open()], [[0, 3, 0, 0], [0, 3, 0, 0], 0, 0]);
  });
});

describe("where something changed", () => {
  it("is told until it was seen", () => {
    const book = setUp();
    const one = source(0, 1);
    book.enter(one);
    assert.deepEqual([...index(book.view).changed], [1]);
    assert.deepEqual([changed(book), changed(book)], [[1], []]);
    book.leave(one);
    assert.deepEqual(changed(book), [1]);
    book.want(2, 1);
    book.touch(3);
    assert.deepEqual(changed(book), [2, 3]);
    book.enterTransfer(transfer(0, 2));
    assert.deepEqual(changed(book), [0, 2]);
    book.touchAll();
    assert.deepEqual(changed(book), [0, 1, 2, 3]);
  });

  it("is no host where the provider itself sends", () => {
    const book = setUp();
    book.enterTransfer(transfer(PROVIDER_HOST, 2));
    assert.deepEqual(changed(book), [2]);
  });
});

describe("a host that is bare", () => {
  const bare = (change: (book: ReturnType<typeof setUp>) => void): number => {
    const book = setUp();
    book.want(1, 1);
    book.want(1, 1);
    change(book);
    return index(book.view).countBare(book.view);
  };

  it("wants a base and has none, nor one on the way", () => {
    assert.equal(bare(() => undefined), 1);
    assert.equal(bare((book) => { book.want(2, 1); }), 2);
    assert.equal(bare((book) => { book.enter(source(0, 1)); }), 0);
    assert.equal(bare((book) => { book.enterTransfer(transfer(0, 1)); }), 0);
  });

  it("is bare still where what it has is only arriving, lags, or goes elsewhere", () => {
    assert.equal(bare((book) => { book.enter(source(0, 1, { arriving: true })); }), 1);
    assert.equal(bare((book) => { book.enterTransfer(transfer(0, 1, { straggling: true })); }), 1);
    assert.equal(bare((book) => { book.enterTransfer(transfer(1, 2)); }), 1);
  });

  it("is none that wants nothing any more, or is excluded", () => {
    assert.equal(bare((book) => { book.want(1, -1); book.want(1, -1); }), 0);
    assert.equal(bare((book) => { book.exclude(1); }), 0);
    const book = setUp();
    book.want(1, 1);
    assert.equal(index(book.view).countBare(book.view), 1);
    book.enter(source(0, 1));
    assert.equal(index(book.view).countBare(book.view), 0);
  });
});
