/** Bring a machine to where the given layers run: whatever is missing is installed, after saying so. */
import { ensureDebianPackages } from "./debian-packages.mjs";
import { ensureNodePackages } from "./node-packages.mjs";
import { ensurePulumiCli } from "./pulumi-cli.mjs";

export const LAYERS = ["unit", "lab", "e2e"];

/**
 * @param {{layers?: string[], log?: (line: string) => void}} [options]
 *   layers: unit (Node packages), lab (also Debian packages, root), e2e (also the Pulumi CLI); default all
 * @returns {Promise<{pulumi: {bin: string, dir: string, version: string, env: object, nodejsHost: boolean} | null, skipped: Record<string, string>}>}
 *   skipped: the reason of each layer that cannot run here
 * @throws when not even the unit layer can run
 */
export async function ensureSetup({ layers = LAYERS, log = (line) => console.error(line) } = {}) {
  const skipped = {};
  let pulumi = null;
  await ensureNodePackages(log);
  if (layers.includes("lab") || layers.includes("e2e")) {
    const reason = await ensureDebianPackages(log);
    if (reason !== null) skipped.lab = skipped.e2e = reason;
  }
  if (layers.includes("e2e") && !skipped.e2e) {
    const found = await ensurePulumiCli(log);
    pulumi = found.pulumi;
    if (pulumi === null) skipped.e2e = found.reason;
  }
  for (const layer of Object.keys(skipped)) if (!layers.includes(layer)) delete skipped[layer];
  return { pulumi, skipped };
}
