/**
 * One libvirtd per host, in the host's network namespace and in mount and UTS namespaces of its own, on directories of
 * its own. It runs as real hosts do: QEMU as libvirt's default user, dynamic ownership, security drivers on.
 */
import { spawn } from "node:child_process";
import { connect } from "node:net";
import { closeSync, cpSync, existsSync, mkdirSync, openSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { run, until } from "./exec.mjs";
import { languageEnvironment } from "./language.mjs";
import { findProcesses } from "./processes.mjs";
import { stableUuid } from "./topology.mjs";

const TCP_PORT = 16509;
const START_TIMEOUT_MS = 30_000;

const libvirtdConf = (host) => `listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
listen_addr = "${host.address}"
unix_sock_group = "root"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "${host.uuid}"
`;

// User, group and security drivers stay libvirt's default: only what namespaces without systemd and virtlogd need.
const qemuConf = (host) => `cgroup_controllers = []
namespaces = []
stdio_handler = "file"
migration_address = "${host.address}"
`;

const poolXml = (host) => `<pool type='dir'>
  <name>default</name>
  <uuid>${stableUuid(`${host.runDir}/pool`)}</uuid>
  <target><path>${host.poolDir}</path></target>
</pool>
`;

const networkXml = (host) => `<network>
  <name>default</name>
  <uuid>${stableUuid(`${host.runDir}/network`)}</uuid>
  <forward mode='bridge'/>
  <bridge name='vmbr0'/>
</network>
`;

/** Directories and configuration of a host; the pool and the network are written as definitions, started by the daemon. */
export function prepareHost(layout, host) {
  const etc = `${host.runDir}/etc`;
  for (const dir of ["etc/storage/autostart", "etc/qemu/networks/autostart", "run", "cache", "dev"]) {
    mkdirSync(`${host.runDir}/${dir}`, { recursive: true, mode: 0o755 });
  }
  for (const dir of ["lib", "log", "images"]) mkdirSync(`${host.dataDir}/${dir}`, { recursive: true, mode: 0o755 });
  writeDaemonConfig(host);
  writeFileSync(`${etc}/qemu.conf`, qemuConf(host), { mode: 0o600 });
  writeFileSync(`${etc}/storage/default.xml`, poolXml(host));
  writeFileSync(`${etc}/qemu/networks/default.xml`, networkXml(host));
  symlinkSync("/etc/libvirt/storage/default.xml", `${etc}/storage/autostart/default.xml`);
  symlinkSync("/etc/libvirt/qemu/networks/default.xml", `${etc}/qemu/networks/autostart/default.xml`);
  const names = layout.hosts.map(({ address, name }) => `${address} ${name}`).join("\n");
  writeFileSync(`${host.runDir}/hosts`, `127.0.0.1 localhost\n${names}\n`);
}

/** Run inside the host: positional parameters, so that no path is ever parsed by the shell. */
const ENTER = `set -e
run=$1 data=$2 name=$3 kvm=$4
mkdir -p /run/libvirt /var/lib/libvirt /etc/libvirt /var/cache/libvirt /var/log/libvirt
mount --bind "$run/run" /run/libvirt
mount --bind "$data/lib" /var/lib/libvirt
mount --bind "$run/etc" /etc/libvirt
mount --bind "$run/cache" /var/cache/libvirt
mount --bind "$data/log" /var/log/libvirt
mount --bind "$run/hosts" /etc/hosts
# no system bus: on a machine with systemd every lab host would register its guests under the same names
if [ -d /run/dbus ]; then mount -t tmpfs -o size=4k none /run/dbus; fi
# As udev does on real hosts. libvirt asks QEMU anew at every call (4 s each) when QEMU reports a KVM its user may not open.
if [ "$kvm" = usable ]; then
  mount -t tmpfs -o size=4k,mode=755 none "$run/dev"
  mknod "$run/dev/kvm" c 10 232
  chgrp kvm "$run/dev/kvm"
  chmod 660 "$run/dev/kvm"
  mount --bind "$run/dev/kvm" /dev/kvm
fi
hostname "$name"
# A QEMU that ended must be reaped at once, as by any real init: until then libvirt takes it for alive, and a destroy
# waits for it. Where pid 1 reaps lazily (some containers), two seconds each.
exec tini -s -- libvirtd --listen --pid-file "$run/libvirtd.pid"`;

/** The device may be there and yet not work (nested machines, containers). */
function kvmState() {
  try {
    closeSync(openSync("/dev/kvm", "r+"));
    return "usable";
  } catch {
    return "unusable";
  }
}

/** What its next start reads: these lines, and what every lab host says of all else. libvirt takes the first of two lines of one name. */
export const writeDaemonConfig = (host, lines = []) => writeFileSync(`${host.runDir}/etc/libvirtd.conf`, lines.map((line) => `${line}\n`).join("") + libvirtdConf(host));

/** The running daemon's pid, or null. */
export function daemonPid(host) {
  return findProcesses({ netns: [host.netns] }).find(({ name }) => name === "libvirtd")?.pid ?? null;
}

/** Starts it and waits until it answers. @throws with the end of its log when it does not */
export async function startLibvirtd(host) {
  const log = openSync(`${host.dataDir}/log/libvirtd.log`, "a");
  const child = spawn(
    "ip", ["netns", "exec", host.netns, "unshare", "--mount", "--uts", "sh", "-c", ENTER, "sh", host.runDir, host.dataDir, host.name, kvmState()],
    { detached: true, stdio: ["ignore", log, log], env: { PATH: process.env.PATH, SASL_CONF_PATH: "/etc/libvirt/sasl2", ...languageEnvironment(host.language) } },
  );
  closeSync(log);
  const ended = new Promise((_, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => reject(new Error(`libvirtd ended with ${signal ?? `code ${code}`}`)));
  });
  ended.catch(() => {});
  child.unref();
  try {
    await Promise.race([ended, ready(host)]);
  } catch (error) {
    const tail = await run(["tail", "-n", "5", `${host.dataDir}/log/libvirtd.log`]).catch(() => "");
    throw new Error(`host ${host.name}: libvirtd did not start: ${error.message}\n${tail}`.trim(), { cause: error });
  }
}

/** It accepts connections only once its drivers are up; one call through each of its two doors. */
async function ready(host) {
  await until(() => existsSync(`${host.runDir}/run/libvirt-sock`), { timeoutMs: START_TIMEOUT_MS, what: `${host.name}'s socket` });
  await until(() => virsh(host, "pool-info", "default").then(() => virsh(host, "net-info", "default")), {
    timeoutMs: START_TIMEOUT_MS, everyMs: 100, what: `${host.name} to answer`,
  });
  await until(() => tcpOpens(host.address), { timeoutMs: START_TIMEOUT_MS, what: `${host.address}:${TCP_PORT} to open` });
}

const tcpOpens = (address) => new Promise((resolve) => {
  const socket = connect({ host: address, port: TCP_PORT, timeout: 1000 });
  const answer = (open) => { socket.destroy(); resolve(open); };
  socket.on("connect", () => answer(true)).on("error", () => answer(false)).on("timeout", () => answer(false));
});

/** virsh over the unix socket, which works while the host's link is down. */
export const virsh = (host, ...args) => run(["virsh", "-q", "-c", host.unixUri, ...args.map(String)]);

/**
 * libvirt asks each QEMU binary what it can do when it is first needed: 4 to 5 s of a fresh daemon's first domain.
 * libvirt validates the stored answer itself (binaries, versions, kernel), so a stale cache is only a slow start.
 */
export async function warmCapabilities(host, cacheDir) {
  await virsh(host, "domcapabilities", "--virttype", "qemu");
  const made = `${host.runDir}/cache/qemu/capabilities`;
  if (existsSync(made)) cpSync(made, cacheDir, { recursive: true, preserveTimestamps: true });
}

/** @returns whether there was anything to give */
export function seedCapabilities(host, cacheDir) {
  if (!existsSync(cacheDir) || readdirSync(cacheDir).length === 0) return false;
  cpSync(cacheDir, `${host.runDir}/cache/qemu/capabilities`, { recursive: true, preserveTimestamps: true });
  return true;
}

