#!/usr/bin/env node
/**
 * `npm run mutation`: can the tests of the pure rooms and of the engine fail? Changes one operator after the other and runs
 * the room's tests that come by there. Hours on two cores; what was tried stays in reports/mutation/ and is not tried again
 * while neither it nor its tests changed, so it may be ended and begun again.
 *
 *   npm run mutation -- [fleet|scheduler|engine]… [--mutate 'provider/fleet/hosts/*.ts'] [other options of `stryker run`]
 *
 * Fails where less than 85 % of a room's changes are noticed. docs/mutation.md lists the survivors that make no difference.
 */
import { join } from "node:path";
import { ROOT } from "./lib/paths.mjs";
import { endRunning, show } from "./lib/programs.mjs";

const ROOMS = ["fleet", "scheduler", "engine"];

const args = process.argv.slice(2);
const options = args.findIndex((arg) => arg.startsWith("-"));
const named = options < 0 ? args : args.slice(0, options);
const unknown = named.find((room) => !ROOMS.includes(room));
if (unknown !== undefined) {
  console.error(`expected rooms among ${ROOMS.join(", ")}, got ${JSON.stringify(unknown)}`);
  process.exit(2);
}
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => { endRunning(); process.exit(130); });

for (const room of named.length > 0 ? named : ROOMS) {
  const { code } = await show(
    [process.execPath, join(ROOT, "node_modules/@stryker-mutator/core/bin/stryker.js"), "run", ...(options < 0 ? [] : args.slice(options))],
    { env: { VMFLEET_MUTATION_ROOM: room } },
  );
  if (code !== 0) process.exitCode = 1;
}
