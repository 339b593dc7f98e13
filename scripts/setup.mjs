#!/usr/bin/env node
/** `node scripts/setup.mjs [LAYER …]`: installs what the layers (unit, lab, e2e; default all) need. */
import { endWithUs } from "./lib/programs.mjs";
import { ensureSetup, LAYERS } from "./lib/setup.mjs";

endWithUs();

const layers = process.argv.slice(2);
const unknown = layers.find((layer) => !LAYERS.includes(layer));
if (unknown !== undefined) {
  console.error(`layer: expected one of ${LAYERS.join(", ")}, got ${JSON.stringify(unknown)}`);
  process.exit(2);
}
ensureSetup({ layers: layers.length > 0 ? layers : LAYERS }).then(({ pulumi, skipped }) => {
  for (const [layer, reason] of Object.entries(skipped)) console.log(`${layer}: not possible here: ${reason}`);
  if (pulumi) console.log(`pulumi ${pulumi.version}: ${pulumi.bin}`);
  console.log("set up");
}).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
