#!/usr/bin/env node
/** `npm run campaign -- [options]`: sets up what is missing, then lets fleets live (test/campaign; --help lists the options). */
import { join } from "node:path";
import { ROOT } from "./lib/paths.mjs";
import { endRunning, show } from "./lib/programs.mjs";
import { ensureSetup } from "./lib/setup.mjs";

async function main() {
  const args = process.argv.slice(2);
  const simulated = args[args.indexOf("--only") + 1] === "simulated" || args.includes("--help");
  const { skipped } = await ensureSetup({ layers: simulated ? ["unit"] : ["unit", "lab"] });
  if (!simulated && skipped.lab !== undefined) throw new Error(`the campaign's kills need the lab, which cannot run here: ${skipped.lab}; --only simulated needs none`);
  const { code } = await show([process.execPath, "--require", "tsx/cjs", join(ROOT, "test/campaign/main.ts"), ...args]);
  process.exitCode = code ?? 1;
}

// The campaign takes its lab down before it ends, and we end with it.
process.on("SIGINT", endRunning).on("SIGTERM", endRunning);

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
