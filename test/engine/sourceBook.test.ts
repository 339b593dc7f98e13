import assert from "node:assert/strict";
import { SourceBook } from "../../provider/engine/distribution/sourceBook";
import { topologyOf } from "../../provider/scheduler";
import { IMAGE, inputs, specOf } from "./world";

describe("a copy under way that others may read from", () => {
  const setup = () => {
    const spec = specOf(inputs(4, 2, { count: 4 }));
    const book = new SourceBook(topologyOf(spec), IMAGE, 64, true);
    const hostName = book.topology.hosts[0]!.name;
    const template = book.add({ host: 0, hostName, kind: "template", ref: { kind: "template", host: hostName }, label: "template" });
    book.want(1, 1);
    const transfer = book.begin(template, { targetHost: 1 }, 0, { ref: { kind: "base", host: "b", slot: 1, generation: 0 }, label: "one", kind: "base" });
    return { book, template, transfer };
  };

  it("is no source while it has none itself", () => {
    const { book, template, transfer } = setup();
    assert.deepEqual(book.arriving, [transfer.makes]);
    book.lose(transfer);
    assert.deepEqual([book.arriving, book.source(transfer.makes.id)], [[], undefined]);
    book.refeed(transfer, template, 1);
    assert.deepEqual(book.arriving, [transfer.makes]);
    book.end(transfer, true);
    assert.deepEqual(book.arriving, []);
  });

  it("stays out when it was taken out for another reason", () => {
    const { book, template, transfer } = setup();
    book.lose(transfer);
    book.drop(transfer.makes);
    book.refeed(transfer, template, 1);
    assert.deepEqual(book.arriving, []);
  });
});
