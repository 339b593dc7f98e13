/**
 * Under `npm run mutation` each property is tried for a moment only, always with the same values: a mutant that survives
 * has every test that comes by it run to its end, and what a property finds at all it mostly finds at once. The score
 * is thus what the tests notice at least.
 */
require("fast-check").configureGlobal({ seed: 1, interruptAfterTimeLimit: 1500 });
