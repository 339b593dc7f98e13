/**
 * A datacenter in a box: real libvirtd and QEMU, one per host, behind real (rate-limited) links.
 *
 * `state.json` is written before anything is made and removed after everything is gone, so a lab that crashed at any
 * point is known by name and cleaned by the next `up` or `down`.
 */
import { randomUUID } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { run, until } from "./exec.mjs";
import { daemonPid, prepareHost, seedCapabilities, startLibvirtd, virsh, warmCapabilities, writeDaemonConfig } from "./daemon.mjs";
import { checkLanguage, DEFAULT_LANGUAGE, ensureLocale } from "./language.mjs";
import { createNetwork, findExisting, interfaceBytes, removeNetwork, setNic, setNicRate, subnetsInUse } from "./network.mjs";
import { killProcesses, labProcesses } from "./processes.mjs";
import {
  checkLabName, DATA_ROOT, DEFAULT_LAB, DEFAULT_TOPOLOGY_FILE, labPaths, layOut, parseTopology, RUN_ROOT, subnetCandidates,
} from "./topology.mjs";

export { virsh };

const LOCK_TIMEOUT_MS = 120_000;
export const CACHE_DIR = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "pulumi-vmfleet");

/**
 * Starts the lab, or returns it when it already runs with this topology.
 * @param {{name?: string, topology?: string | object, language?: string, log?: (line: string) => void, owner?: number}} [options]
 *   topology: a file's path or its content; default test/lab/topology.json
 *   language: the locale that its daemons answer in, such as zh_CN.UTF-8; default VMFLEET_LAB_LANGUAGE, else C.UTF-8
 *   owner: pid of the process it is for; `status` tells whether that still lives
 * @throws without root or Linux, for a bad topology, or when the running lab has another one or another language
 */
export async function up({
  name = DEFAULT_LAB, topology = DEFAULT_TOPOLOGY_FILE, language = process.env.VMFLEET_LAB_LANGUAGE ?? DEFAULT_LANGUAGE, log = () => {}, owner,
} = {}) {
  checkLabName(name);
  checkLanguage(language);
  requireRoot();
  const wanted = parseTopology(typeof topology === "string" ? JSON.parse(readFileSync(topology, "utf8")) : topology);
  return withLock(name, async () => {
    const old = readState(name);
    if (old !== null) {
      if (old.phase === "up" && old.layout.hosts.every((host) => daemonPid(host) !== null)) {
        if (JSON.stringify(old.topology) !== JSON.stringify(wanted)) {
          throw new Error(`lab ${name}: runs with another topology: end it first (npm run lab -- down --name ${name})`);
        }
        if (languageOf(old.layout) !== language) {
          throw new Error(`lab ${name}: its daemons answer in ${languageOf(old.layout)}, expected ${language}: end it first (npm run lab -- down --name ${name})`);
        }
        log(`lab ${name}: already up`);
        return describe(old);
      }
      log(`lab ${name}: cleaning up what a crash left`);
      await remove(old.layout);
    }
    const layout = layOut(name, wanted, await freeSubnet(name));
    for (const host of layout.hosts) host.language = language;
    const existing = findExisting(layout);
    if (existing.length > 0) throw new Error(`lab ${name}: ${existing.join(", ")} exists and is not ours: choose another --name`);
    const ownerProcess = owner === undefined ? null : { pid: owner, since: startTime(owner) };
    writeState({ phase: "starting", topology: wanted, layout, owner: ownerProcess });
    try {
      await ensureLocale(language, log);
      await create(layout, log);
    } catch (error) {
      if (!process.env.VMFLEET_LAB_KEEP) await remove(layout);
      throw error;
    }
    const state = { phase: "up", topology: wanted, layout, owner: ownerProcess };
    writeState(state);
    return describe(state);
  });
}

/** Removes every process, namespace, interface and file of the lab; does nothing when there is none. */
export async function down({ name = DEFAULT_LAB, log = () => {} } = {}) {
  checkLabName(name);
  requireRoot();
  await withLock(name, async () => {
    const state = readState(name);
    if (state === null) log(`lab ${name}: not there`);
    else await remove(state.layout);
  });
}

/** @returns the lab, or null when there is none; `pid` is null for a host whose daemon does not run */
export async function status({ name = DEFAULT_LAB } = {}) {
  const state = readState(checkLabName(name));
  return state === null ? null : describe(state);
}

async function create(layout, log) {
  const started = Date.now();
  const seconds = () => `${((Date.now() - started) / 1000).toFixed(1)} s`;
  mkdirSync(labPaths(layout.name).boot, { recursive: true, mode: 0o755 });
  for (const host of layout.hosts) prepareHost(layout, host);
  await createNetwork(layout);
  log(`lab ${layout.name}: ${layout.racks.length} racks, ${layout.hosts.length} hosts in ${layout.subnet} after ${seconds()}`);
  const cacheDir = join(CACHE_DIR, "qemu-capabilities", capabilitiesKey());
  const [first, ...others] = layout.hosts;
  const seeded = seedCapabilities(first, cacheDir);
  if (!seeded) {
    // Asking QEMU takes seconds of CPU: one daemon asks, the others are given the answer.
    await startLibvirtd(first);
    await warmCapabilities(first, cacheDir);
    for (const host of others) seedCapabilities(host, cacheDir);
    await Promise.all(others.map(startLibvirtd));
  } else {
    for (const host of others) seedCapabilities(host, cacheDir);
    await Promise.all(layout.hosts.map(startLibvirtd));
    await warmCapabilities(first, cacheDir);
  }
  await Promise.all(others.map((host) => virsh(host, "domcapabilities", "--virttype", "qemu")));
  log(`lab ${layout.name}: up after ${seconds()}`);
}

/** Changes when libvirt or QEMU are updated; libvirt checks the rest itself. */
function capabilitiesKey() {
  return ["/usr/sbin/libvirtd", "/usr/bin/qemu-system-x86_64"].map((file) => Math.round(statSync(file).mtimeMs).toString(36)).join("-");
}

async function remove(layout) {
  const paths = labPaths(layout.name);
  await killProcesses(labProcesses(layout));
  await removeNetwork(layout);
  rmSync(paths.data, { recursive: true, force: true });
  rmSync(paths.run, { recursive: true, force: true });
  removeIfEmpty(DATA_ROOT);
}

const languageOf = (layout) => layout.hosts[0].language ?? DEFAULT_LANGUAGE;

function describe({ layout, owner }) {
  return {
    name: layout.name,
    subnet: layout.subnet,
    bootDir: labPaths(layout.name).boot,
    hosts: layout.hosts.map((host) => ({ ...host, pid: daemonPid(host) })),
    racks: layout.racks,
    ownerAlive: owner === null ? null : startTime(owner.pid) === owner.since,
  };
}

async function freeSubnet(name) {
  const used = await subnetsInUse();
  const free = subnetCandidates(name).find((n) => !used.has(n));
  if (free === undefined) throw new Error(`lab ${name}: no free 10.N.0.0/16: end another lab first`);
  return free;
}

function readState(name) {
  try {
    return JSON.parse(readFileSync(labPaths(name).state, "utf8"));
  } catch (error) {
    if (error.code === "ENOENT") return null;
    throw error;
  }
}

function writeState(state) {
  const file = labPaths(state.layout.name).state;
  mkdirSync(labPaths(state.layout.name).run, { recursive: true, mode: 0o755 });
  writeFileSync(`${file}.new`, JSON.stringify(state, null, 2));
  renameSync(`${file}.new`, file);
}

/** One `up` or `down` of a lab at a time; a lock whose holder is dead is taken over. */
async function withLock(name, action) {
  const { lock } = labPaths(name);
  await until(() => tryLock(lock), { timeoutMs: LOCK_TIMEOUT_MS, what: `the other command on lab ${name} (${lock})` });
  try {
    return await action();
  } finally {
    rmSync(lock, { force: true });
    removeIfEmpty(RUN_ROOT);
  }
}

/** By link and rename, so that a lock is never seen empty and two that take over a dead one's do not both succeed. */
function tryLock(lock) {
  const mine = `${lock}.${process.pid}`;
  mkdirSync(RUN_ROOT, { recursive: true, mode: 0o755 }); // each time: who ends a lab removes the empty folder
  try {
    writeFileSync(mine, `${process.pid} ${startTime(process.pid)} ${randomUUID()}`);
    linkSync(mine, lock);
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
    const holder = readFileSync(lock, "utf8");
    const [pid, since] = holder.split(" ");
    if (startTime(pid) !== since) {
      renameSync(lock, mine);
      if (readFileSync(mine, "utf8") !== holder) linkSync(mine, lock); // someone was faster: it is theirs
    }
    return false;
  } finally {
    rmSync(mine, { force: true });
  }
}

/** Kernel ticks since boot at which the process started, or null: pid and start time name a process for good. */
function startTime(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return null;
  }
}

function removeIfEmpty(dir) {
  try {
    rmdirSync(dir);
  } catch {
    // another lab lives there
  }
}

function requireRoot() {
  if (process.platform !== "linux") throw new Error(`the lab needs Linux, this is ${process.platform}`);
  if (process.getuid() !== 0) throw new Error("the lab needs root");
}

function findHost(name, hostName) {
  const state = readState(checkLabName(name));
  const host = state?.layout.hosts.find((each) => each.name === hostName);
  if (host === undefined) throw new Error(`lab ${name}: no host ${JSON.stringify(hostName)}`);
  return host;
}

/** A link that goes down makes the host vanish without a reset; up again, it is back with its address. */
export const setLink = async ({ name = DEFAULT_LAB, host, up: isUp }) => { await setNic(findHost(name, host), isUp); };

/** The host's network card carries so much from now on; without a rate, what the topology gave it. */
export async function setRate({ name = DEFAULT_LAB, host, bitsPerSecond }) {
  const found = findHost(name, host);
  await setNicRate(found, bitsPerSecond ?? found.nicBitsPerSecond);
}

/** kill -9 of the host's libvirtd; its guests run on. */
export async function killDaemon({ name = DEFAULT_LAB, host }) {
  const found = findHost(name, host);
  const pid = daemonPid(found);
  if (pid === null) return;
  process.kill(pid, "SIGKILL");
  await until(() => daemonPid(found) === null, { what: `${host}'s libvirtd to end` });
}

/** The whole host loses power: its libvirtd and all its guests. */
export const killHost = ({ name = DEFAULT_LAB, host }) => killProcesses({ netns: [findHost(name, host).netns] });

/** Starts the host's libvirtd again; does nothing when it runs. */
export async function startDaemon({ name = DEFAULT_LAB, host }) {
  const found = findHost(name, host);
  if (daemonPid(found) === null) await startLibvirtd(found);
}

/** Every daemon of the lab answers in this language from now on: each ends as by `systemctl restart`, and guests run on. */
export async function setLanguage({ name = DEFAULT_LAB, language = DEFAULT_LANGUAGE }) {
  checkLanguage(language);
  await ensureLocale(language, () => {});
  const state = readState(checkLabName(name));
  if (state === null) throw new Error(`lab ${name}: not there`);
  for (const host of state.layout.hosts) host.language = language;
  writeState(state);
  await Promise.all(state.layout.hosts.map(restart));
}

/** The host's daemon, ended as by `systemctl restart`, goes on with these lines in its libvirtd.conf beside what is there. */
export async function setDaemonConfig({ name = DEFAULT_LAB, host, lines = [] }) {
  const found = findHost(name, host);
  writeDaemonConfig(found, lines);
  await restart(found);
}

async function restart(host) {
  const pid = daemonPid(host);
  if (pid !== null) process.kill(pid, "SIGTERM");
  await until(() => daemonPid(host) === null, { what: `${host.name}'s libvirtd to end` });
  await startLibvirtd(host);
}

/** Runs a program in the host's network namespace. @returns what it printed */
export const execIn = (host, argv, options) => run(["ip", "netns", "exec", host.netns, ...argv], options);

/** Bytes through the host's NIC since `up`. */
export const nicBytes = (host) => interfaceBytes(host.netns, "eth0");

/** Bytes out of (tx) and into (rx) the rack since `up`. */
export const uplinkBytes = (rack) => interfaceBytes(rack.netns, "uplink");
