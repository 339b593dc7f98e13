import assert from "node:assert/strict";
import { add, lastLine, type MochaCounts, mochaResult, slowestLines, succeeded } from "../../scripts/lib/tally.mjs";

const good: MochaCounts = { total: 5, passed: 5, failed: 0, failedHooks: 0, pending: 0, ended: true, leaked: false };
const crashed = { code: null, why: "ended with SIGSEGV" };

describe("what a mocha run counts for", () => {
  it("counts what passed, failed and was pending", () => {
    const { problems, ...result } = mochaResult({ ...good, passed: 3, failed: 1, pending: 1 }, { code: 1, why: "ended with code 1" });
    assert.deepEqual(result, { passed: 3, failed: 1, skipped: 1 });
    assert.deepEqual(problems, []);
  });
  it("counts a mocha that wrote nothing as a failure", () => {
    assert.equal(mochaResult(null, crashed).failed, 1);
  });
  it("counts the tests that a crash kept from running, and the crash", () => {
    const result = mochaResult({ ...good, passed: 2, ended: false }, crashed);
    assert.equal(result.passed, 2);
    assert.equal(result.failed, 4);
  });
  it("counts a failed hook and the tests it kept from running", () => {
    assert.equal(mochaResult({ ...good, passed: 1, failedHooks: 1 }, { code: 1, why: "ended with code 1" }).failed, 5);
  });
  it("counts a process that does not end by itself as a failure", () => {
    assert.equal(mochaResult({ ...good, leaked: true }, { code: 1, why: "ended with code 1" }).failed, 1);
  });
  it("counts a bad exit without a failed test as a failure", () => {
    assert.equal(mochaResult(good, { code: 7, why: "ended with code 7" }).failed, 1);
  });
});

describe("the slowest tests", () => {
  it("are ten, the slowest first", () => {
    const tests = Array.from({ length: 12 }, (_, i) => ({ title: `test ${i}`, seconds: i * 10.04 }));
    const lines = slowestLines(tests);
    assert.equal(lines.length, 11);
    assert.deepEqual([lines[0], lines[1], lines[10]], ["the slowest tests:", "  110.4 s  test 11", "   20.1 s  test 2"]);
  });
  it("are not spoken of when nothing ran", () => {
    assert.deepEqual(slowestLines([]), []);
  });
});

describe("the last line", () => {
  it("names skipped tests only when there are any", () => {
    assert.equal(lastLine({ passed: 3, failed: 0, skipped: 0 }), "3 passed, 0 failed");
    assert.equal(lastLine(add({ passed: 3, failed: 0, skipped: 0 }, { passed: 1, failed: 2, skipped: 1 })), "4 passed, 2 failed, 1 skipped");
  });
  it("is no success when nothing ran", () => {
    assert.equal(succeeded({ passed: 0, failed: 0 }), false);
    assert.equal(succeeded({ passed: 1, failed: 0 }), true);
    assert.equal(succeeded({ passed: 1, failed: 1 }), false);
  });
});
