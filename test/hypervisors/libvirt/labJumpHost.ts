/** A jump host before the lab's hosts, whose sshd takes few connections at once. Only ssh's own configuration knows it. */
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { LabHost } from "./labFleet";
import { startSshd, type LabSshd } from "./labSshd";

const PORT = 2222;
const JUMP_PORT = 2223;

export interface JumpHost {
  /** The way to a host, through the jump host. */
  uriOf(host: LabHost): string;
  stop(): Promise<void>;
}

/** @param maxStartups as sshd_config has it. The jump host stands on the first of the hosts. */
export async function startJumpHost(hosts: readonly LabHost[], maxStartups: string): Promise<JumpHost> {
  const started: LabSshd[] = [];
  const stop = async (): Promise<void> => { await Promise.all(started.map((sshd) => sshd.stop())); };
  const start = async (host: LabHost, port: number, limit: string): Promise<LabSshd> => {
    const sshd = await startSshd(host, port, [`MaxStartups ${limit}`]);
    started.push(sshd);
    return sshd;
  };
  try {
    const jump = await start(hosts[0]!, JUMP_PORT, maxStartups);
    const block = (name: string, { address }: LabHost, { port, keyfile, knownHosts }: LabSshd, more: string): string =>
      `Host ${name}\n HostName ${address}\n Port ${port}\n User root\n IdentityFile ${keyfile}\n UserKnownHostsFile ${knownHosts}\n ${more}\n`;
    const blocks = await Promise.all(hosts.map(async (host) => block(`h-${host.name}`, host, await start(host, PORT, "100"), "ProxyJump jump")));
    await writeFile(join(jump.dir, "config"), [block("jump", hosts[0]!, jump, "BatchMode yes"), ...blocks].join(""));
    const command = join(jump.dir, "ssh");
    await writeFile(command, `#!/bin/sh\nexec ssh -F ${join(jump.dir, "config")} "$@"\n`);
    await chmod(command, 0o755);
    return { stop, uriOf: ({ name }) => `qemu+ssh://h-${name}/system?command=${command}` };
  } catch (error) {
    await stop();
    throw error;
  }
}
