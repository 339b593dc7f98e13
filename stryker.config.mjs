/** One room's mutants against that room's tests; scripts/mutation.mjs goes through the rooms. */
const room = process.env.VMFLEET_MUTATION_ROOM;
const SPECS = {
  fleet: ["test/fleet/*.test.ts"],
  scheduler: ["test/scheduler/*.test.ts"],
  engine: ["test/engine/*.test.ts"],
};
const LARGE = ["100 racks of 40 hosts", "ten thousand members", "the cost of planning", "2000 members on 200 hosts"];
if (!(room in SPECS)) throw new Error(`VMFLEET_MUTATION_ROOM: expected one of ${Object.keys(SPECS).join(", ")}, got ${JSON.stringify(room)}; use npm run mutation`);

export default {
  mutate: [`provider/${room}/**/*.ts`, "!provider/**/index.ts", "!provider/fleet/model/**"],
  testRunner: "mocha",
  // Tests at full scale take seconds, and notice little that small ones do not.
  mochaOptions: { spec: SPECS[room], require: ["tsx/cjs", "./scripts/lib/shortProperties.cjs"], grep: `^(?!.*(${LARGE.join("|")}))` },
  coverageAnalysis: "perTest",
  // What runs once when a file is loaded would need every test for each mutant.
  ignoreStatic: true,
  // Texts are read by people; those that decide anything are literal types, which the compiler checks.
  mutator: { excludedMutations: ["StringLiteral"] },
  ignorePatterns: ["dist", "examples", "bench-results", "coverage", "reports"],
  incremental: true,
  incrementalFile: `reports/mutation/${room}.incremental.json`,
  reporters: ["clear-text", "progress-append-only", "json"],
  jsonReporter: { fileName: `reports/mutation/${room}.json` },
  clearTextReporter: { allowColor: false, reportTests: false },
  timeoutMS: 5_000,
  concurrency: 2,
  thresholds: { high: 95, low: 85, break: 85 },
  tempDirName: "reports/stryker-tmp",
};
