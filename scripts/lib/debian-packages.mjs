/** The Debian packages the lab runs on. */
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { run } from "../../test/lab/exec.mjs";
import { quietly, which } from "./programs.mjs";

const PACKAGES = [
  "libvirt-daemon", "libvirt-daemon-system", "libvirt-daemon-driver-qemu", "libvirt-clients",
  "qemu-system-x86", "qemu-utils", "qemu-block-extra",
  "lldpd", "busybox-static", "iproute2", "cpio", "kmod", "xz-utils", "tini", "e2fsprogs", "btrfs-progs", "mtools", "netcat-openbsd", "openssh-server", "openssh-client",
  // Networks whose guests get addresses.
  "dnsmasq-base",
  // Guests with UEFI, secure boot and a TPM.
  "ovmf", "swtpm", "swtpm-tools",
  // Daemons that ask for a name and a password.
  "openssl", "libsasl2-modules", "sasl2-bin",
  // Daemons that answer in another language: libvirt's catalogues, glibc's, and what locales are made of.
  "libvirt-l10n", "libc-l10n", "locales",
];
const POLICY = "/usr/sbin/policy-rc.d";

/** @returns {string | null} why the lab cannot run here, whatever is installed; null: it can, as far as is seen at once */
export function whyNoDebianPackages() {
  if (process.platform !== "linux") return `needs Linux, this is ${process.platform}`;
  if (process.getuid() !== 0) return "needs root";
  if (!which("apt-get") || !which("dpkg-query")) {
    return which("libvirtd") && which("qemu-system-x86_64") ? null : "needs libvirtd and QEMU, and there is no apt to install them";
  }
  return null;
}

/** @returns {Promise<string | null>} why the lab cannot run here, null when all is there (now) */
export async function ensureDebianPackages(log) {
  const reason = whyNoDebianPackages();
  if (reason !== null || !which("apt-get")) return reason;
  const missing = await missingPackages();
  if (missing.length === 0) return null;
  log(`installing Debian packages: ${missing.join(" ")} (their services are not started)`);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const wait = ["-o", "DPkg::Lock::Timeout=300"];
  try {
    await quietly(["apt-get", ...wait, "-qq", "update"], { env });
    await installWithoutServices(["apt-get", ...wait, "-qq", "install", "--yes", "--no-install-recommends", ...missing], env);
  } catch (error) {
    return `Debian packages could not be installed: ${error.message}`;
  }
  return null;
}

async function missingPackages() {
  // dpkg-query fails when it does not know one of them, and still lists the others.
  const list = await run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", ...PACKAGES]).catch((error) => error.stdout ?? "");
  const installed = new Set(list.split("\n").filter((line) => line.endsWith(" installed")).map((line) => line.split(" ")[0]));
  return PACKAGES.filter((name) => !installed.has(name));
}

/**
 * Debian's own switch: while this file says 101, installing a package starts no daemon. It goes with apt, by the same shell:
 * an installation that is interrupted goes on to its end, for a package half configured stops the next one.
 */
async function installWithoutServices(argv, env) {
  if (existsSync(POLICY)) return quietly(argv, { env, goesOn: true });
  writeFileSync(POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    await quietly(["sh", "-c", `"$@" </dev/null; code=$?; rm -f ${POLICY}; exit $code`, "sh", ...argv], { env, goesOn: true });
  } finally {
    rmSync(POLICY, { force: true });
  }
}
