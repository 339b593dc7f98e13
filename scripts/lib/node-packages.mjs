/** `npm ci`, when what is installed is not what package-lock.json says. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./paths.mjs";
import { quietly } from "./programs.mjs";

const MIN_NODE_MAJOR = 20;

export async function ensureNodePackages(log) {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < MIN_NODE_MAJOR) throw new Error(`Node ${MIN_NODE_MAJOR} or newer is needed, this is ${process.versions.node}`);
  const reason = whyInstall(readLock(join(ROOT, "package-lock.json")), readLock(join(ROOT, "node_modules/.package-lock.json")));
  if (reason === null) return;
  log(`installing Node packages with npm ci (${reason})`);
  await quietly(["npm", "ci", "--no-audit", "--no-fund"]);
}

/**
 * npm writes node_modules/.package-lock.json at the end of each installation: no stamp of ours is needed.
 * @returns {string | null} why to install, null when all is there
 */
export function whyInstall(wanted, installed) {
  if (wanted === null) throw new Error("package-lock.json: expected a file, found none");
  if (installed === null) return "node_modules is missing";
  for (const [path, entry] of Object.entries(wanted.packages)) {
    if (path === "" || entry.optional || entry.devOptional || entry.link) continue; // for another platform, or not a copy
    const found = installed.packages[path];
    if (found === undefined && !entry.peer) return `${path} is missing`;
    if (found !== undefined && found.integrity !== entry.integrity) return `${path} is another version`;
  }
  return null;
}

function readLock(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    if (error.code === "ENOENT") return null;
    throw error;
  }
}
