/** Run a program without a shell, and wait for something without a fixed sleep. */
import { spawn } from "node:child_process";

/**
 * @param {string[]} argv program and arguments
 * @param {{input?: string, timeoutMs?: number, cwd?: string, env?: Record<string, string>}} [options] timeoutMs: default 60 s
 * @returns {Promise<string>} what it printed
 * @throws an Error with `code`, `stdout` and `stderr` when it fails or is too slow
 */
export function run(argv, { input, timeoutMs = 60_000, cwd, env } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0], argv.slice(1), { stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"], cwd, env });
    let stdout = "", stderr = "", late = false;
    const timer = setTimeout(() => { late = true; child.kill("SIGKILL"); }, timeoutMs);
    child.stdout.setEncoding("utf8").on("data", (text) => { stdout += text; });
    child.stderr.setEncoding("utf8").on("data", (text) => { stderr += text; });
    child.on("error", (error) => { clearTimeout(timer); reject(error); });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (code === 0) return resolve(stdout);
      const why = late ? `took longer than ${timeoutMs} ms` : stderr.trim() || stdout.trim() || `ended with ${signal ?? `code ${code}`}`;
      reject(Object.assign(new Error(`${argv.join(" ")}: ${why}`), { code, stdout, stderr }));
    });
    if (input !== undefined) {
      child.stdin.on("error", () => {}); // it may end before it has read all: the exit code tells
      child.stdin.end(input);
    }
  });
}

export const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Ask until the answer is neither undefined nor false.
 * @param {() => any} ask may be async; an exception counts as "not yet" and is named when time runs out
 * @param {{timeoutMs?: number, everyMs?: number, what: string}} options
 */
export async function until(ask, { timeoutMs = 20_000, everyMs = 50, what }) {
  const end = Date.now() + timeoutMs;
  let last;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms for ${what}${last ? `: ${last.message}` : ""}`);
    await delay(everyMs);
  }
}
