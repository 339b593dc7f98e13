import assert from "node:assert/strict";
import { createSteps, duration } from "../../scripts/lib/steps.mjs";

describe("what set-up waits for", () => {
  it("is said with what it does and since when, as long as it is not there", async () => {
    let nowMs = 0;
    const steps = createSteps(() => undefined, { now: () => nowMs });
    let ends: () => void = () => undefined;
    const node = steps.begin("the Node packages", () => new Promise<void>((resolve) => { ends = resolve; }));
    void steps.begin("the Pulumi CLI", (doing) => { doing("Go compiles it"); return new Promise(() => undefined); });
    nowMs = 70_000;
    assert.equal(steps.waitingFor(), "the Node packages (for 1 min 10 s) and the Pulumi CLI (Go compiles it, for 1 min 10 s)");
    ends();
    await node;
    assert.equal(steps.waitingFor(), "the Pulumi CLI (Go compiles it, for 1 min 10 s)");
  });

  it("is told every so often while somebody waits, and not any more when it is there", async () => {
    const said: string[] = [];
    let ends: () => void = () => undefined;
    const steps = createSteps((line) => { said.push(line); if (said.length === 2) ends(); }, { tellEveryMs: 5, now: () => 0 });
    await steps.wait(steps.begin("the lab", () => new Promise<void>((resolve) => { ends = resolve; })));
    assert.deepEqual(said, ["waiting for the lab (for 0 s)", "waiting for the lab (for 0 s)"]);
  });

  it("fails as what is waited for does, which is open no longer", async () => {
    const steps = createSteps(() => undefined);
    await assert.rejects(steps.wait(steps.begin("the lab", async () => { throw new Error("no room"); })), /no room/);
    assert.equal(steps.waitingFor(), "");
  });

  it("is told in minutes and seconds", () => {
    assert.deepEqual([0, 59_499, 60_000, 130_000].map(duration), ["0 s", "59 s", "1 min", "2 min 10 s"]);
  });
});
