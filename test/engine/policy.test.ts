import assert from "node:assert/strict";
import { realClock } from "../../provider/engine";
import { policyFor } from "../../provider/engine/distribution/policy";
import { SourceBook } from "../../provider/engine/distribution/sourceBook";
import { choosePolicy, topologyOf } from "../../provider/scheduler";
import { IMAGE, inputs, specOf } from "./world";

describe("auto, in an engine that has other things to do", () => {
  const spec = specOf(inputs(40, 4, { count: 800, policy: "auto" }));
  const bookOf = () => {
    const book = new SourceBook(topologyOf(spec), IMAGE, 64);
    book.add({ host: 0, hostName: "a1", kind: "template", ref: { kind: "template", host: "a1" }, label: "template" });
    for (const { index } of book.topology.hosts) for (let n = 0; n < 20; n++) book.want(index, 1);
    return book;
  };

  it("takes the policy that its simulations in one go would take", async () => {
    const book = bookOf();
    const { topology, targets, made, sources } = book.view;
    const expected = choosePolicy(topology, IMAGE, targets, made, sources, { maxConcurrentClones: spec.limits.maxConcurrentClones }).name;
    assert.equal((await policyFor(spec, book, realClock, false)).policy.name, expected);
  });

  it("lets others have their turn meanwhile", async () => {
    let turns = 0;
    const clock = { ...realClock, nowMs: () => realClock.nowMs(), sleep: (ms: number) => { turns++; return realClock.sleep(ms); } };
    await policyFor(spec, bookOf(), clock, false);
    assert.ok(turns > 3, `${turns} times`);
  });
});
