/** Bring a machine to where the given layers run: whatever is missing is installed, after saying so. */
import { ensureDebianPackages, whyNoDebianPackages } from "./debian-packages.mjs";
import { ensureNodePackages } from "./node-packages.mjs";
import { ensurePulumiCli } from "./pulumi-cli.mjs";
import { createSteps } from "./steps.mjs";

export const LAYERS = ["unit", "lab", "e2e"];

/**
 * Begins all that is missing at once, each beside the others: Node packages, Debian packages, the Pulumi CLI.
 *
 * @param {{layers?: string[], log?: (line: string) => void}} [options]
 *   layers: unit (Node packages), lab (also Debian packages, root), e2e (also the Pulumi CLI); default all
 * @returns {{
 *   packages: () => Promise<{skipped: Record<string, string>}>,
 *   all: () => Promise<{pulumi: {bin: string, dir: string, version: string, env: Record<string, string>, nodejsHost: boolean} | null,
 *     skipped: Record<string, string>}>,
 *   waitingFor: () => string,
 * }} packages: all but the Pulumi CLI, which may take minutes more; all: everything. skipped: the reason of each layer that
 *   cannot run here. waitingFor: what is not there yet, in words. Both waits say every
 *   so often what for, and fail when not even the unit layer can run
 */
export function beginSetup({ layers = LAYERS, log = (line) => console.error(line) } = {}) {
  const steps = createSteps(log);
  const lost = new AbortController();
  const wantsLab = layers.includes("lab") || layers.includes("e2e");
  const whyNoLab = wantsLab ? whyNoDebianPackages() : null;

  const node = steps.begin("the Node packages", () => ensureNodePackages(log));
  const debian = whyNoLab !== null || !wantsLab ? Promise.resolve(whyNoLab) : steps.begin("the Debian packages", () => ensureDebianPackages(log));
  const cli = !layers.includes("e2e") || whyNoLab !== null
    ? Promise.resolve({ pulumi: null, reason: whyNoLab })
    : steps.begin("the Pulumi CLI", (doing) => ensurePulumiCli({ log, doing, signal: lost.signal }));

  const packages = Promise.all([node, debian]).then(([, reason]) => {
    // Nobody needs a CLI then.
    if (reason !== null) lost.abort(new Error(reason));
    return { skipped: only(layers, reason === null ? {} : { lab: reason, e2e: reason }) };
  }, (error) => {
    lost.abort(error);
    throw error;
  });
  const all = packages.then(async ({ skipped }) => {
    if (!layers.includes("e2e") || skipped.e2e !== undefined) return { pulumi: null, skipped };
    const { pulumi, reason } = await cli;
    return { pulumi, skipped: pulumi ? skipped : { ...skipped, e2e: reason } };
  });
  for (const each of [node, debian, cli, packages, all]) each.catch(() => {}); // told to whoever waits, if anybody does
  return { packages: () => steps.wait(packages), all: () => steps.wait(all), waitingFor: () => steps.waitingFor() };
}

/** As `beginSetup`, all of it. */
export async function ensureSetup(options) {
  return beginSetup(options).all();
}

const only = (layers, skipped) => Object.fromEntries(Object.entries(skipped).filter(([layer]) => layers.includes(layer)));
