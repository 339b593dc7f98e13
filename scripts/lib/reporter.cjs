/**
 * Mocha's spec reporter, which also writes what it counted, and what took longest, to the file in VMFLEET_COUNTS. Counted are test results and
 * failed hooks, not what mocha says in the end: a test that never ran is a difference between `total` and the rest.
 */
"use strict";
const { writeFileSync } = require("node:fs");
const Mocha = require("mocha");

const { EVENT_RUN_BEGIN, EVENT_RUN_END, EVENT_TEST_PASS, EVENT_TEST_FAIL, EVENT_TEST_PENDING } = Mocha.Runner.constants;
/** Something still keeps the process alive this long after the last test: a leak, and a failure. */
const EXIT_TIMEOUT_MS = 15_000;
/** Of so many the time they took is told. */
const SLOWEST = 10;

module.exports = class CountingReporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const file = process.env.VMFLEET_COUNTS;
    if (!file) return;
    const counts = { total: 0, passed: 0, failed: 0, failedHooks: 0, pending: 0, ended: false, leaked: false, slowest: [] };
    const write = () => writeFileSync(file, JSON.stringify(counts));
    runner.on(EVENT_RUN_BEGIN, () => { counts.total = runner.total; write(); });
    const took = (test) => {
      counts.slowest.push({ title: test.fullTitle(), seconds: (test.duration ?? 0) / 1000 });
      counts.slowest = counts.slowest.sort((a, b) => b.seconds - a.seconds).slice(0, SLOWEST);
    };
    runner.on(EVENT_TEST_PASS, (test) => { counts.passed += 1; took(test); write(); });
    runner.on(EVENT_TEST_FAIL, (test) => { counts[test.type === "hook" ? "failedHooks" : "failed"] += 1; took(test); write(); });
    runner.on(EVENT_TEST_PENDING, () => { counts.pending += 1; write(); });
    runner.on(EVENT_RUN_END, () => {
      counts.ended = true;
      write();
      setTimeout(() => {
        counts.leaked = true;
        write();
        const kept = [...new Set(process.getActiveResourcesInfo())].join(", ");
        console.error(`the tests ended, but something keeps the process alive: ${kept}`);
        process.exit(1);
      }, EXIT_TIMEOUT_MS).unref();
    });
  }
};
