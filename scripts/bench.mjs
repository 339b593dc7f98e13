#!/usr/bin/env node
/** `npm run bench -- [options]`: sets up what is missing, then measures (test/bench; --help lists the options). */
import { join } from "node:path";
import { ROOT } from "./lib/paths.mjs";
import { endRunning, show } from "./lib/programs.mjs";
import { ensureSetup } from "./lib/setup.mjs";

async function main() {
  const { skipped } = await ensureSetup({ layers: ["unit", "lab"] });
  if (skipped.lab !== undefined) throw new Error(`the bench needs the lab, which cannot run here: ${skipped.lab}`);
  const { code } = await show([process.execPath, "--require", "tsx/cjs", join(ROOT, "test/bench/main.ts"), ...process.argv.slice(2)]);
  process.exitCode = code ?? 1;
}

// The bench takes its lab down before it ends, and we end with it.
process.on("SIGINT", endRunning).on("SIGTERM", endRunning);

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
