/** Pure: what a test run comes to. */

/**
 * What one mocha run counts for. Nothing is lost silently: tests that a crash or a failed hook kept from running, and
 * a mocha that fails without a failed test, are failures.
 * @param {null | {total: number, passed: number, failed: number, failedHooks: number, pending: number, ended: boolean,
 *   leaked: boolean, slowest?: {title: string, seconds: number}[]}} counts what the reporter wrote; null when it wrote nothing
 * @param {{code: number | null, why: string}} exit
 * @returns {{passed: number, failed: number, skipped: number, problems: string[]}}
 */
export function mochaResult(counts, exit) {
  if (counts === null) return { passed: 0, failed: 1, skipped: 0, problems: [`mocha ran no test: ${exit.why || "no reason given"}`] };
  const problems = [];
  let failed = counts.failed + counts.failedHooks;
  const notRun = counts.total - counts.passed - counts.failed - counts.pending;
  if (notRun > 0) {
    failed += notRun;
    problems.push(`${notRun} tests did not run`);
  }
  if (!counts.ended) {
    failed += 1;
    problems.push(`mocha did not reach its end: ${exit.why}`);
  }
  if (counts.leaked) {
    failed += 1;
    problems.push("something kept the process alive after the last test");
  }
  if (exit.code !== 0 && failed === 0) {
    failed = 1;
    problems.push(`mocha failed without a failed test: ${exit.why}`);
  }
  return { passed: counts.passed, failed, skipped: counts.pending, problems };
}

export const add = (a, b) => ({ passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped });

/**
 * Where a run's time went, to be said before its last line.
 * @param {{title: string, seconds: number}[]} tests in any order
 * @returns {string[]} a head and a line for each of the ten slowest, the slowest first; none without tests
 */
export function slowestLines(tests) {
  const slowest = [...tests].sort((a, b) => b.seconds - a.seconds).slice(0, 10);
  if (slowest.length === 0) return [];
  const width = slowest[0].seconds.toFixed(1).length;
  return ["the slowest tests:", ...slowest.map(({ title, seconds }) => `  ${seconds.toFixed(1).padStart(width)} s  ${title}`)];
}

/** The last line of a test run. */
export const lastLine = ({ passed, failed, skipped }) => `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;

/** A run in which nothing ran is no success. */
export const succeeded = ({ passed, failed }) => failed === 0 && passed > 0;
