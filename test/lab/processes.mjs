/**
 * Which processes are a lab's. A process is ours when it lives in one of the lab's network namespaces or in a mount
 * namespace that has one of the lab's directories mounted over libvirt's: the kernel says so, no pid file is trusted,
 * and a reused pid is never hit.
 */
import { readFileSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { until } from "./exec.mjs";
import { RUN_ROOT } from "./topology.mjs";

/** `net:[4026532000]`-style identity of a named network namespace, or null when there is none. */
export function netnsIdentity(netns) {
  try {
    return `net:[${statSync(`/run/netns/${netns}`).ino}]`;
  } catch {
    return null;
  }
}

/**
 * @param {{netns: string[], mountedFrom?: string}} where mountedFrom: a directory whose parts are bind-mounted
 * @returns {{pid: number, name: string}[]} sorted by pid; kernel threads and zombies are never among them
 */
export function findProcesses({ netns, mountedFrom }) {
  const wanted = new Set(netns.map(netnsIdentity).filter((id) => id !== null));
  // mountinfo names a bind mount's root from its own filesystem: without /run where /run is a tmpfs.
  const roots = mountedFrom ? [`${mountedFrom}/`, `${mountedFrom.slice("/run".length)}/`] : [];
  const found = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const ours = wanted.has(readlinkSync(`/proc/${entry}/ns/net`))
        || (roots.length > 0 && readFileSync(`/proc/${entry}/mountinfo`, "utf8").split("\n").some((line) => {
          const [, , , root = "", mountPoint] = line.split(" ");
          return mountPoint === "/run/libvirt" && roots.some((prefix) => root.startsWith(prefix));
        }));
      if (ours) found.push({ pid: Number(entry), name: readFileSync(`/proc/${entry}/comm`, "utf8").trim() });
    } catch {
      // it ended while we looked
    }
  }
  return found.sort((a, b) => a.pid - b.pid);
}

/** SIGKILL every process there until none is left. @throws when one survives 15 s */
export async function killProcesses(where) {
  await until(() => {
    const left = findProcesses(where).filter(({ pid }) => pid !== process.pid);
    for (const { pid } of left) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // already gone
      }
    }
    return left.length === 0;
  }, { timeoutMs: 15_000, everyMs: 20, what: `the processes of ${where.netns.join(", ")} to end` });
}

export const labProcesses = (layout) => ({
  netns: [layout.coreNetns, ...layout.racks.map((rack) => rack.netns), ...layout.hosts.map((host) => host.netns)],
  mountedFrom: `${RUN_ROOT}/${layout.name}`,
});
