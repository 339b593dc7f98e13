/** Start other programs with Node's built-ins only: this runs before `npm ci`. */
import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { ROOT } from "./paths.mjs";

const running = new Set();

/** Ends (SIGTERM, with their children) what `show` started and still runs; the caller was interrupted. */
export function endRunning() {
  for (const child of running) killGroup(child, "SIGTERM");
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

/** As `show`, but a failure is an Error. */
export async function must(argv, options) {
  const { code, why } = await show(argv, options);
  if (code !== 0) throw new Error(`${argv.join(" ")}: ${why}`);
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
