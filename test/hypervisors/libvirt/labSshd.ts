/** An sshd in a lab host's namespaces, where /run/libvirt is that host's, with keys of its own. */
import { execFile, spawn } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { lab, type LabHost } from "./labFleet";

const run = promisify(execFile);

export interface LabSshd {
  dir: string;
  port: number;
  /** The user's key, and the file with the host's. */
  keyfile: string;
  knownHosts: string;
  /** With key and host key as parameters. */
  uri: string;
  stop(): Promise<void>;
}

/** @param options lines for sshd_config */
export async function startSshd(host: LabHost, port: number, options: readonly string[] = []): Promise<LabSshd> {
  const dir = await mkdtemp(join(tmpdir(), "vmfleet-sshd-"));
  await chmod(dir, 0o755);
  for (const key of ["host", "user"]) await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(dir, key)]);
  await run("mkdir", ["-p", "/run/sshd"]);
  await writeFile(join(dir, "sshd_config"), [
    `Port ${port}`, `ListenAddress ${host.address}`, `HostKey ${join(dir, "host")}`, `AuthorizedKeysFile ${join(dir, "user.pub")}`,
    "StrictModes no", "PermitRootLogin yes", "UsePAM no", "PasswordAuthentication no", `PidFile ${join(dir, "pid")}`, ...options, "",
  ].join("\n"));
  const sshd = spawn("nsenter", ["-t", String(host.pid), "-n", "-m", "-u", "/usr/sbin/sshd", "-D", "-e", "-f", join(dir, "sshd_config")], { stdio: "ignore" });
  const listens = () => new Promise<boolean>((resolve) => {
    const socket = connect({ host: host.address, port }, () => { socket.destroy(); resolve(true); });
    socket.on("error", () => resolve(false));
  });
  try {
    await lab.until(listens, { what: "sshd to listen" });
  } catch (error) {
    sshd.kill();
    throw error;
  }
  const hostKey = (await readFile(join(dir, "host.pub"), "utf8")).split(" ").slice(0, 2).join(" ");
  await writeFile(join(dir, "known"), `[${host.address}]:${port} ${hostKey}\n`);
  const [keyfile, knownHosts] = [join(dir, "user"), join(dir, "known")];
  return {
    dir, port, keyfile, knownHosts,
    uri: `qemu+ssh://root@${host.address}:${port}/system?keyfile=${keyfile}&known_hosts=${knownHosts}`,
    async stop() {
      sshd.kill();
      await rm(dir, { recursive: true });
    },
  };
}
