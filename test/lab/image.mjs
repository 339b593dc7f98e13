/**
 * The lab's template: a kernel and an initrd for direct boot (Debian's cloud kernel, busybox, guest-init.sh) and a
 * qcow2 disk whose random data makes a copy take measurable time. Built once into the user's cache.
 *
 * Disk layout: 4 KiB at offset 0 that the guest overwrites; random data from 1 MiB; the rest is not allocated.
 */
import { randomFillSync, createHash } from "node:crypto";
import {
  chmodSync, closeSync, constants, copyFileSync, cpSync, existsSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, readFileSync,
  readdirSync, renameSync, rmSync, symlinkSync, writeFileSync, writeSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { run } from "./exec.mjs";
import { CACHE_DIR, status, virsh } from "./lab.mjs";

const MIB = 1024 * 1024;
const DATA_OFFSET_BYTES = MIB;
export const DEFAULT_VIRTUAL_BYTES = 256 * MIB;
export const DEFAULT_DATA_BYTES = 96 * MIB;
/** The unpacked kernel does not fit into 64 MiB. */
export const MIN_GUEST_MEMORY_MIB = 96;
/** What the guest's kernel is told; nokaslr and mitigations=off shorten the boot under emulation. */
// A guest that is emulated on a loaded machine is too late for the test of its timer, and panics: "IO-APIC + timer doesn't work".
export const KERNEL_CMDLINE = "console=ttyS0 quiet nokaslr mitigations=off no_timer_check";

/** Part of the cache key: raise it when buildBoot changes what it makes. */
const RECIPE_VERSION = "1";
const KERNEL_META_PACKAGE = "linux-image-cloud-amd64";
const INIT_FILE = fileURLToPath(new URL("guest-init.sh", import.meta.url));
const BUSYBOX = "/bin/busybox";
const APPLETS = ["sh", "mount", "insmod", "mkfifo", "dd", "sync", "poweroff"];
const MODULES = [
  "virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk",
  "failover", "net_failover", "virtio_net", "button", "evdev",
];
/** Of a guest with an agent: what it has beside the bare one's. */
const AGENT = {
  package: "qemu-guest-agent",
  initFile: fileURLToPath(new URL("guest-agent.sh", import.meta.url)),
  applets: ["hostname", "ifconfig", "nc", "sleep", "udhcpc"],
  modules: ["virtio_console"],
  // What runs in the background is given /dev/null to read. The bare one finds it mounted.
  init: "#!/bin/sh\nmount -t devtmpfs dev /dev\n/agent.sh &\nexec /bare-init\n",
  udhcpc: '#!/bin/sh\n[ "$1" = bound ] && ifconfig "$interface" "$ip" netmask "$subnet"\nexit 0\n',
};
/** Its tools want more than the bare guest's. */
export const MIN_AGENT_MEMORY_MIB = 128;

/**
 * @param {{virtualBytes?: number, dataBytes?: number, agent?: boolean, log?: (line: string) => void}} [options]
 *   virtualBytes: default 256 MiB; dataBytes: default 96 MiB, at most virtualBytes less 1 MiB
 * @returns {Promise<{kernel: string, initrd: string, disk: string, cmdline: string}>} files in the cache
 * @throws when the kernel package cannot be had
 */
export async function buildImage({ virtualBytes = DEFAULT_VIRTUAL_BYTES, dataBytes = DEFAULT_DATA_BYTES, agent = false, log = () => {} } = {}) {
  if (dataBytes < 0 || DATA_OFFSET_BYTES + dataBytes > virtualBytes) {
    throw new Error(`dataBytes: expected 0 to ${virtualBytes - DATA_OFFSET_BYTES}, got ${dataBytes}`);
  }
  const recipe = sha256(RECIPE_VERSION, APPLETS.join(), MODULES.join(), readFileSync(INIT_FILE), readFileSync(BUSYBOX));
  const boot = agent
    ? await cached(join(CACHE_DIR, "guest", `boot-agent-${sha256(recipe, JSON.stringify(AGENT), readFileSync(AGENT.initFile))}`), (dir) => buildBoot(dir, log, addAgent))
    : await cached(join(CACHE_DIR, "guest", `boot-${recipe}`), (dir) => buildBoot(dir, log));
  const disk = await cached(join(CACHE_DIR, "guest", `disk-${virtualBytes}-${dataBytes}`), (dir) => {
    log(`template: writing ${dataBytes / MIB} MiB of random data`);
    return buildDisk(dir, virtualBytes, dataBytes);
  });
  return { kernel: join(boot, "vmlinuz"), initrd: join(boot, "initrd"), disk: join(disk, "template.qcow2"), cmdline: KERNEL_CMDLINE };
}

/**
 * Puts the template into a host's pool `default`, and kernel and initrd where all hosts of the lab read them.
 * @param {{name?: string, host: string, volume?: string, keep?: boolean, virtualBytes?: number, dataBytes?: number,
 *   log?: (line: string) => void}} options volume: default `golden.qcow2`; an existing one is replaced, with `keep` left
 *   as it is, so that fleets made from it see no other template
 * @returns {Promise<{volume: string, path: string, kernel: string, initrd: string, cmdline: string}>}
 */
export async function installTemplate({ name = "lab", host: hostName, volume = "golden.qcow2", keep = false, ...sizes }) {
  const lab = await status({ name });
  const host = lab?.hosts.find((each) => each.name === hostName);
  if (!host) throw new Error(`lab ${name}: no host ${JSON.stringify(hostName)}`);
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(volume)) throw new Error(`volume: expected a file name, got ${JSON.stringify(volume)}`);
  const image = await buildImage(sizes);
  const path = join(host.poolDir, volume);
  if (!keep || !existsSync(path)) place(image.disk, path);
  const kernel = join(lab.bootDir, "vmlinuz"), initrd = join(lab.bootDir, sizes.agent ? "initrd-agent" : "initrd");
  if (!existsSync(kernel)) place(image.kernel, kernel);
  if (!existsSync(initrd)) place(image.initrd, initrd);
  await virsh(host, "pool-refresh", "default");
  return { volume, path, kernel, initrd, cmdline: image.cmdline };
}

/** Never seen half-written. */
function place(from, to) {
  const leftover = `${to}.part-${process.pid}`;
  copyFileSync(from, leftover, constants.COPYFILE_FICLONE);
  chmodSync(leftover, 0o644);
  renameSync(leftover, to);
}

/** Builds into a folder beside it and renames: a folder that exists is complete. */
async function cached(dir, build) {
  if (existsSync(dir)) return dir;
  mkdirSync(join(dir, ".."), { recursive: true });
  const work = mkdtempSync(`${dir}.work-`);
  try {
    await build(work);
    renameSync(work, dir);
  } catch (error) {
    if (!existsSync(dir)) throw error; // else someone else was faster
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return dir;
}

/** @param {(stage: string) => Promise<void>} [add] what the guest has beside the bare one's, which is in the folder already */
async function buildBoot(dir, log, add) {
  const name = await kernelPackage();
  const modules = add ? [...MODULES, ...AGENT.modules] : MODULES;
  const kernel = await cached(join(CACHE_DIR, "guest", add ? `${name}-agent` : name), (into) => unpackKernel(name, into, modules, log));
  copyFileSync(join(kernel, "vmlinuz"), join(dir, "vmlinuz"));
  const stage = join(dir, "stage");
  for (const each of ["bin", "proc", "sys", "dev"]) mkdirSync(join(stage, each), { recursive: true });
  cpSync(join(kernel, "modules"), join(stage, "lib"), { recursive: true });
  copyFileSync(BUSYBOX, join(stage, "bin/busybox"));
  for (const applet of APPLETS) symlinkSync("busybox", join(stage, "bin", applet));
  copyFileSync(INIT_FILE, join(stage, "init"));
  chmodSync(join(stage, "init"), 0o755);
  await add?.(stage);
  await run(["sh", "-c", 'cd "$1" && find . -print | sort | cpio --quiet -o -H newc -R 0:0 > "$2"', "sh", stage, join(dir, "initrd.cpio")]);
  writeFileSync(join(dir, "initrd"), gzipSync(readFileSync(join(dir, "initrd.cpio"))));
  for (const each of ["stage", "initrd.cpio"]) rmSync(join(dir, each), { recursive: true });
}

/** Debian's own agent, with the libraries that this machine has of it: QEMU's needs are much the same. */
async function addAgent(stage) {
  const root = mkdtempSync(join(stage, "..", "agent-"));
  await run(["apt-get", "-o", "APT::Sandbox::User=root", "download", AGENT.package], { cwd: root, timeoutMs: 300_000 });
  const [deb] = readdirSync(root);
  await run(["dpkg-deb", "-x", join(root, deb), root]);
  const binary = join(root, "usr/sbin/qemu-ga");
  copyFileSync(binary, join(stage, "bin/qemu-ga"));
  const said = await run(["ldd", binary]);
  const missing = /(\S+) => not found/.exec(said);
  if (missing) throw new Error(`${AGENT.package}: this machine has no ${missing[1]}`);
  for (const [, library] of said.matchAll(/(\/\S+) \(0x/g)) {
    mkdirSync(join(stage, library, ".."), { recursive: true });
    copyFileSync(library, join(stage, library));
  }
  rmSync(root, { recursive: true });
  for (const applet of AGENT.applets) symlinkSync("busybox", join(stage, "bin", applet));
  mkdirSync(join(stage, "run"));
  renameSync(join(stage, "init"), join(stage, "bare-init"));
  copyFileSync(AGENT.initFile, join(stage, "agent.sh"));
  writeFileSync(join(stage, "init"), AGENT.init);
  writeFileSync(join(stage, "udhcpc.sh"), AGENT.udhcpc);
  for (const script of ["init", "agent.sh", "udhcpc.sh"]) chmodSync(join(stage, script), 0o755);
}

async function kernelPackage() {
  const depends = await run(["apt-cache", "depends", "--important", KERNEL_META_PACKAGE]).catch(() => "");
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (!name) throw new Error(`${KERNEL_META_PACKAGE}: apt does not know it: run apt-get update on a Debian amd64 machine`);
  return name;
}

/** Downloads Debian's kernel package and takes the kernel and our modules out of it; nothing is installed. */
async function unpackKernel(name, dir, wanted, log) {
  log(`template: downloading ${name} (27 MB)`);
  const root = join(dir, "package");
  mkdirSync(root);
  await run(["apt-get", "-o", "APT::Sandbox::User=root", "download", name], { cwd: root, timeoutMs: 300_000 });
  const [deb] = readdirSync(root);
  await run(["dpkg-deb", "-x", join(root, deb), root], { timeoutMs: 120_000 });
  const kernel = readdirSync(join(root, "boot")).find((file) => file.startsWith("vmlinuz-"));
  if (!kernel) throw new Error(`${name}: no kernel in the package`);
  copyFileSync(join(root, "boot", kernel), join(dir, "vmlinuz"));
  mkdirSync(join(dir, "modules"));
  const modules = (await run(["find", root, "-name", "*.ko*"])).trim().split("\n");
  for (const module of wanted) {
    const file = modules.find((each) => new RegExp(`/${module}\\.ko(\\.xz)?$`).test(each));
    if (!file) continue; // built into this kernel
    const to = join(dir, "modules", `${module}.ko`);
    if (file.endsWith(".xz")) await run(["sh", "-c", 'xz -dc "$1" > "$2"', "sh", file, to]);
    else copyFileSync(file, to);
  }
  rmSync(root, { recursive: true });
}

async function buildDisk(dir, virtualBytes, dataBytes) {
  const raw = join(dir, "template.raw");
  const file = openSync(raw, "wx");
  ftruncateSync(file, virtualBytes);
  writeSync(file, "VMFLEET TEMPLATE\n", 0);
  const chunk = Buffer.alloc(4 * MIB);
  for (let done = 0; done < dataBytes; done += chunk.length) {
    randomFillSync(chunk);
    writeSync(file, chunk, 0, Math.min(chunk.length, dataBytes - done), DATA_OFFSET_BYTES + done);
  }
  closeSync(file);
  await run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, join(dir, "template.qcow2")], { timeoutMs: 600_000 });
  rmSync(raw);
}

const sha256 = (...parts) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex").slice(0, 16);
};
