/** Which frozen bases are merged when. */
import assert from "node:assert/strict";
import { contextOf } from "../../provider/engine/run/session";
import { BaseKeeper } from "../../provider/engine/steps/baseKeeper";
import { type BookedTransfer, SourceBook } from "../../provider/engine/distribution/sourceBook";
import { HypervisorError } from "../../provider/hypervisors/hypervisor";
import { topologyOf } from "../../provider/scheduler";
import { IMAGE, inputs, request, specOf, world } from "./world";
import { wrap } from "./wrappers";

/** Hosts a1, b1, c1, a2 … in racks a, b, c. Their hypervisor does nothing but note what is to be merged. */
function setUp({ racks = 2, failing = false, ...more }: { racks?: number; failing?: boolean } & Record<string, unknown> = {}) {
  const spec = specOf(inputs(6, racks, { count: 1, retries: 0, ...more }));
  const where = world(spec);
  const merged: string[] = [];
  const hypervisor = wrap(where.hypervisor, (method, order) => {
    assert.equal(method, "consolidate");
    merged.push(order.name);
    return failing ? Promise.reject(new HypervisorError(order.host, method, "no")) : Promise.resolve();
  });
  const cancel = new AbortController();
  const context = contextOf(request(spec, { ...where, hypervisor }), cancel.signal);
  const book = new SourceBook(topologyOf(spec), IMAGE, 64);
  const keeper = new BaseKeeper(context, book);
  const indexOf = (host: string) => spec.hosts.findIndex(({ name }) => name === host);
  let slot = 0;
  const addSource = (host: string, name: string) => book.add({
    host: indexOf(host), hostName: host, kind: "base", label: name, ref: { kind: "base", host, slot: slot++, generation: 0 },
  });
  return {
    book, context, cancel, keeper, merged, indexOf,
    /** A source that the keeper does not keep. */
    source: (host: string) => addSource(host, "other"),
    /** A frozen base that is a source; the keeper keeps it by its host's name. */
    base: (host: string, { seed = false }: { seed?: boolean } = {}) => {
      const source = addSource(host, host);
      keeper.add({ slot: source.id, name: host, host, rack: `rack-${host[0]}`, generation: 0, source, seed });
      return source;
    },
    copy: (from: ReturnType<typeof addSource>, to: string): BookedTransfer => book.begin(
      from, { targetHost: indexOf(to) }, 0, { ref: { kind: "base", host: to, slot: slot++, generation: 0 }, label: "copy", kind: "base" },
    ),
    reviewed: async (): Promise<string[]> => {
      merged.length = 0;
      keeper.review();
      await context.tasks.idle();
      return merged;
    },
  };
}

describe("a frozen base that nobody reads", () => {
  it("is merged once nothing is to be copied", async () => {
    const { base, reviewed } = setUp();
    base("a1");
    base("b1");
    assert.deepEqual(await reviewed(), ["a1", "b1"]);
    assert.deepEqual(await reviewed(), [], "once");
  });

  it("stays while its own rack wants copies that have not started", async () => {
    const { base, book, reviewed, indexOf } = setUp();
    base("a1");
    book.want(indexOf("a2"), 1);
    assert.deepEqual(await reviewed(), []);
  });

  it("stays while a copy that failed rests before it is tried again in its rack", async () => {
    const { base, book, reviewed, indexOf } = setUp();
    base("a1");
    book.want(indexOf("a2"), 1);
    book.setAside(indexOf("a2"));
    assert.deepEqual(await reviewed(), []);
  });

  it("is merged while another rack copies that has a source of its own", async () => {
    const { base, book, reviewed, indexOf } = setUp();
    base("a1");
    base("b1");
    book.want(indexOf("b2"), 1);
    assert.deepEqual(await reviewed(), ["a1"]);
  });

  it("stays in a rack of which only a copy under way is missing, while others are still to start", async () => {
    const { base, book, copy, reviewed, source, indexOf } = setUp();
    base("a1");
    const feeding = source("b1");
    book.want(indexOf("a2"), 1);
    copy(feeding, "a2");
    book.want(indexOf("b2"), 1);
    assert.deepEqual(await reviewed(), []);
  });

  it("stays while any rack that copies are to go to has no source", async () => {
    const { base, book, reviewed, source, indexOf } = setUp({ racks: 3 });
    base("a1");
    source("b1");
    for (const host of ["b2", "c2"]) book.want(indexOf(host), 1);
    assert.deepEqual(await reviewed(), []);
    source("c1");
    assert.deepEqual(await reviewed(), ["a1"]);
  });

  it("stays as the last finished copy while any copy is under way", async () => {
    const { base, book, copy, reviewed, indexOf } = setUp();
    const template = book.add({ host: 0, hostName: "a1", kind: "template", ref: { kind: "template", host: "a1" }, label: "template" });
    base("b1");
    base("a2");
    book.want(indexOf("b2"), 1);
    const transfer = copy(template, "b2");
    assert.equal((await reviewed()).length, 1);
    book.end(transfer, true);
    assert.equal((await reviewed()).length, 1);
  });

  it("is no source any more, nor taken back as one", async () => {
    const { base, book, reviewed } = setUp();
    const source = base("a1");
    await reviewed();
    book.restore(source);
    assert.deepEqual(book.sources, []);
  });

  it("is merged in no preview", async () => {
    const { base, context, keeper, merged } = setUp();
    const preview = new BaseKeeper({ ...context, copiesOnly: true }, new SourceBook(topologyOf(context.spec), IMAGE, 64));
    preview.add({ slot: 0, name: "w-000", host: "a1", rack: "rack-a", generation: 0, seed: false });
    base("a1");
    await context.tasks.idle();
    assert.deepEqual([merged, preview.isMerging, keeper.isMerging], [[], false, false]);
  });

  it("stays a source where the run was cancelled", async () => {
    const { base, book, cancel, reviewed } = setUp();
    const source = base("a1");
    cancel.abort();
    assert.deepEqual(await reviewed(), []);
    assert.deepEqual(book.sources, [source]);
  });
});

describe("a frozen base that is read", () => {
  it("stays until it is not, and others of its rack do not wait for it", async () => {
    const { base, book, reviewed } = setUp();
    const read = base("a1");
    base("a2");
    book.serve(read, 1);
    assert.deepEqual(await reviewed(), ["a2"]);
    book.serve(read, -1);
    assert.deepEqual(await reviewed(), ["a1"]);
  });
});

describe("a base that is no source", () => {
  const half = { slot: 7, name: "half", host: "a1", rack: "rack-a", generation: 0 };

  it("is merged at once, whatever is copied, and is no seed", async () => {
    const { book, context, keeper, merged, indexOf } = setUp({ keepSeeds: "host" });
    book.want(indexOf("a2"), 1);
    keeper.add({ ...half, seed: false });
    assert.equal(keeper.isMerging, true);
    await context.tasks.idle();
    assert.deepEqual([merged, keeper.isMerging], [["half"], false]);
  });

  it("that cannot be merged is named, and what the next run does", async () => {
    const { context, keeper } = setUp({ failing: true });
    keeper.add({ ...half, seed: false });
    await context.tasks.idle();
    assert.deepEqual(context.failures.reasons(), ["a1: half: consolidate: no; the next `pulumi up` finishes it"]);
    assert.equal(keeper.isMerging, false);
  });

  it("is no failure where the run was cancelled", async () => {
    const { cancel, context, keeper } = setUp({ failing: true });
    keeper.add({ ...half, seed: false });
    cancel.abort();
    await context.tasks.idle();
    assert.deepEqual(context.failures.all, []);
  });
});

describe("the first base of a host that keeps one", () => {
  it("stays as a seed, and the next is merged", async () => {
    const { base, reviewed } = setUp({ keepSeeds: "host" });
    base("a1", { seed: true });
    base("a2", { seed: true });
    base("a1", { seed: true });
    assert.deepEqual(await reviewed(), ["a1"]);
  });
});
