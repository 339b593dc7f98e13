import assert from "node:assert/strict";
import type { Progress } from "../../provider/engine/types";
import { progressText } from "../../provider/front/progressText";

const progress: Progress = {
  phase: "clone", membersDone: 7, membersTotal: 12, bytesDone: 1.4e9, bytesTotal: 2.1e9, bytesPerSecond: 118e6, etaSeconds: 12.3,
};

describe("the live line", () => {
  it("says members, bytes, rate and time left", () => {
    assert.equal(progressText(progress), "cloning: 7 of 12 members, 1.4 GB of 2.1 GB, 118 MB/s, about 13 s left");
  });

  it("leaves out what is not known yet", () => {
    const early: Progress = { phase: "observe", membersDone: 0, membersTotal: 0, bytesDone: 0, bytesTotal: 0, bytesPerSecond: 0 };
    assert.equal(progressText(early), "looking at the hosts");
  });

  it("names what is being waited for", () => {
    assert.match(progressText({ ...progress, phase: "lock", note: "pid 7 on ci-1" }), /waiting for the fleet's lock: .*pid 7 on ci-1$/);
  });

  it("ends with what was done", () => {
    assert.equal(progressText({ ...progress, phase: "done", membersDone: 12, bytesDone: 2.1e9 }), "done: 12 of 12 members, 2.1 GB");
  });
});
