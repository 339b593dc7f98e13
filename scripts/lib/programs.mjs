/** Start other programs with Node's built-ins only: this runs before `npm ci`. */
import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { ROOT } from "./paths.mjs";

const running = new Set();

/** Ends (SIGTERM, with their children) what was started here and still runs; the caller was interrupted. */
export function endRunning() {
  for (const child of running) killGroup(child, "SIGTERM");
}

/** What is started here has a process group of its own, and would go on after a ^C: then it ends with us. */
export function endWithUs() {
  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]]) {
    process.on(signal, () => {
      endRunning();
      process.exit(code);
    });
  }
}

/**
 * Runs a program whose output the user sees.
 * @param {string[]} argv
 * @param {{cwd?: string, env?: Record<string, string>, timeoutMs?: number, output?: number}} [options]
 *   env: added to ours; timeoutMs: default none, then the program and its children are killed;
 *   output: a file descriptor that receives what it says. Default: the user sees it at once
 * @returns {Promise<{code: number | null, why: string}>} code 0 when it went well; why is empty then
 */
export function show(argv, { cwd = ROOT, env = {}, timeoutMs, output = "inherit" } = {}) {
  return new Promise((resolve) => {
    const child = spawn(argv[0], argv.slice(1), {
      cwd, env: { ...process.env, ...env }, stdio: ["ignore", output, output], detached: true,
    });
    running.add(child);
    let late = false;
    const timer = timeoutMs && setTimeout(() => { late = true; killGroup(child, "SIGKILL"); }, timeoutMs);
    const end = (code, why) => {
      clearTimeout(timer);
      running.delete(child);
      resolve({ code, why });
    };
    child.on("error", (error) => end(null, error.message));
    child.on("close", (code, signal) => {
      if (code === 0) return end(0, "");
      end(code, late ? `took longer than ${timeoutMs / 1000} s` : `ended with ${signal ?? `code ${code}`}`);
    });
  });
}

/**
 * Runs a program that others run beside: what it says is shown only when it fails.
 * @param {string[]} argv
 * @param {{cwd?: string, env?: Record<string, string>, timeoutMs?: number, signal?: AbortSignal, onLine?: (line: string) => void, goesOn?: boolean}} [options]
 *   env: added to ours; timeoutMs: default none; signal: ends it, with its children; onLine: is given each line it says;
 *   goesOn: not ended with us, as what must not stop half-way. Default: it is
 * @throws an Error with the last of what it said
 */
export function quietly(argv, { cwd = ROOT, env = {}, timeoutMs, signal, onLine, goesOn = false } = {}) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const child = spawn(argv[0], argv.slice(1), { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"], detached: true });
    if (!goesOn) running.add(child);
    let said = "", why = "";
    const stop = (reason) => { why = reason; killGroup(child, "SIGKILL"); };
    const timer = timeoutMs && setTimeout(() => stop(`took longer than ${timeoutMs / 1000} s`), timeoutMs);
    const onAbort = () => stop(signal.reason?.message ?? "aborted");
    signal?.addEventListener("abort", onAbort, { once: true });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => { said = (said + text).slice(-4000); });
      if (onLine) createInterface({ input: stream }).on("line", onLine);
    }
    const end = (code, reason) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      running.delete(child);
      if (code === 0) return resolve();
      reject(new Error(`${argv.slice(0, 3).join(" ")}: ${[why || reason, ...said.trim().split("\n").slice(-5)].filter(Boolean).join("; ")}`));
    };
    child.on("error", (error) => end(null, error.message));
    child.on("close", (code, ended) => end(code, `ended with ${ended ?? `code ${code}`}`));
  });
}

function killGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // it ended by itself
  }
}

/** @returns the program's path on PATH, or null */
export function which(program, path = process.env.PATH ?? "") {
  for (const dir of path.split(delimiter)) {
    const file = join(dir || ".", program);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // not here
    }
  }
  return null;
}
