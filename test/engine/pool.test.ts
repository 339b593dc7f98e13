import assert from "node:assert/strict";
import { SourcePool } from "../../provider/engine/distribution/sourceBook";
import { topologyOf } from "../../provider/scheduler";
import { inputs, specOf } from "./world";

describe("a copy under way that others may read from", () => {
  const setup = () => {
    const spec = specOf(inputs(4, 2, { count: 4 }));
    const pool = new SourcePool(topologyOf(spec), 64, true);
    const hostName = pool.topology.hosts[0]!.name;
    const template = pool.add({ host: 0, hostName, kind: "template", ref: { kind: "template", host: hostName }, label: "template" });
    pool.want(1, 1);
    const transfer = pool.begin(template, { targetHost: 1 }, 0, { ref: { kind: "base", host: "b", slot: 1, generation: 0 }, label: "one", kind: "base" });
    return { pool, template, transfer };
  };

  it("is no source while it has none itself", () => {
    const { pool, template, transfer } = setup();
    assert.deepEqual(pool.arriving, [transfer.makes]);
    pool.lose(transfer);
    assert.deepEqual([pool.arriving, pool.source(transfer.makes.id)], [[], undefined]);
    pool.refeed(transfer, template, 1);
    assert.deepEqual(pool.arriving, [transfer.makes]);
    pool.end(transfer, true);
    assert.deepEqual(pool.arriving, []);
  });

  it("stays out when it was taken out for another reason", () => {
    const { pool, template, transfer } = setup();
    pool.lose(transfer);
    pool.drop(transfer.makes);
    pool.refeed(transfer, template, 1);
    assert.deepEqual(pool.arriving, []);
  });
});
