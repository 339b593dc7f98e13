/** Our client over real ssh and sshd, to whichever daemon the host runs. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { realClock } from "../../../provider/async/clock";
import type { LibvirtClient } from "../../../provider/hypervisors/libvirt/rpc/client";
import { openSession } from "../../../provider/hypervisors/libvirt/connection/opening";
import { parseLibvirtUri } from "../../../provider/hypervisors/libvirt/connection/uri";
import { labStatus, lines, virsh, type LabHost } from "./labFleet";
import { startSshd, type LabSshd } from "./labSshd";

const run = promisify(execFile);
const ROOT = join(__dirname, "../../..");

const open = (uri: string): Promise<LibvirtClient> =>
  openSession(parseLibvirtUri(uri), { host: "the host", peer: uri, connectTimeoutMs: 10_000, clock: realClock });

describe("the libvirt client over ssh", function () {
  this.timeout(60_000);
  let host: LabHost;
  let sshd: LabSshd;
  let hostname: string;

  before(async () => {
    host = (await labStatus()).hosts[1]!;
    sshd = await startSshd(host, 2222, ["MaxStartups 100"]);
    hostname = lines(await virsh(host, "hostname"))[0]!;
  });
  after(() => sshd.stop());

  async function reaches(uri: string): Promise<void> {
    const client = await open(uri);
    try {
      assert.equal(await client.hostname(), hostname);
      assert.ok(await client.lookupPool("default"));
    } finally {
      client.close();
    }
  }

  it("speaks to the same daemon, through virt-ssh-helper and through netcat", async () => {
    for (const more of ["", "&proxy=native", "&proxy=netcat", "&socket=/run/libvirt/libvirt-sock", "&mode=legacy", "&netcat=/bin/nc"]) await reaches(sshd.uri + more);
  });

  it("says in ssh's own words why it was refused", async () => {
    await assert.rejects(open(sshd.uri.replace(sshd.keyfile, join(sshd.dir, "host"))), /ssh to .* ended with code 255: .*Permission denied/);
    await assert.rejects(open(sshd.uri.replace(sshd.knownHosts, "/dev/null")), /Host key verification failed/);
    await assert.rejects(open(`${sshd.uri}&netcat=/no/such/nc`), /ended with code 127: .*\/no\/such\/nc: not found/);
    await assert.rejects(open(`${sshd.uri}&socket=/run/libvirt/no-such-sock`), /ended with code 1: nc: .*No such file or directory/);
  });

  it("takes unknown host keys where the URI says so", async () => {
    const strange = sshd.uri.replace(sshd.knownHosts, join(sshd.dir, "new"));
    await assert.rejects(open(`${strange}&known_hosts_verify=normal`), /Host key verification failed/);
    await reaches(`${strange}&known_hosts_verify=auto`);
    await reaches(strange); // it has been learnt
  });

  it("finds the socket of a host with modular daemons: over ssh, and on the host itself as qemu:///system", async () => {
    const dir = dirname(host.unixUri.replace(/^.*socket=/, ""));
    await rename(join(dir, "libvirt-sock"), join(dir, "virtqemud-sock"));
    try {
      for (const more of ["", "&proxy=native", "&proxy=netcat", "&mode=direct"]) await reaches(sshd.uri + more);
      await assert.rejects(open(`${sshd.uri}&mode=legacy`), /ended with code 1: nc: .*No such file or directory/);
      const program = `
        const { openSession } = require("./provider/hypervisors/libvirt/connection/opening");
        const { parseLibvirtUri } = require("./provider/hypervisors/libvirt/connection/uri");
        const { realClock } = require("./provider/async/clock");
        const open = (uri) => openSession(parseLibvirtUri(uri), { host: "here", peer: uri, connectTimeoutMs: 10000, clock: realClock });
        (async () => {
          const client = await open("qemu:///system");
          console.log(await client.hostname(), (await client.lookupPool("default")).name);
          client.close();
          await open("qemu:///system?mode=legacy").catch((error) => console.log(error.message));
        })();`;
      const { stdout } = await run("nsenter", ["-t", String(host.pid), "-n", "-m", "-u", "sh", "-c", `cd "$1"; exec "$2" --require tsx/cjs -e "$3"`, "sh", ROOT, process.execPath, program]);
      assert.deepEqual(lines(stdout), [`${hostname} default`, "cannot connect to unix socket /var/run/libvirt/libvirt-sock: connect ENOENT /var/run/libvirt/libvirt-sock"]);
    } finally {
      await rename(join(dir, "virtqemud-sock"), join(dir, "libvirt-sock"));
    }
  });
});
