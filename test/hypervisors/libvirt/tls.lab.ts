/** Copies over TLS: who is let in, who is not, and what is said when certificates are missing. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { imageOf } from "../../../provider/fleet";
import type { CloneResult, FleetIdentity, Hypervisor } from "../../../provider/hypervisors/hypervisor";
import { createLibvirt } from "../../../provider/hypervisors/libvirt";
import { makeAuthority } from "./certificates";
import { freshFleetId, inventory, lab, labInputs, labStatus, specOf, virsh, type LabHost } from "./labFleet";

const run = promisify(execFile);
const MIB = 1 << 20;
/** As a host's own QEMU sees it: each lab host has its own /etc/libvirt. */
const DIRECTORY = "/etc/libvirt/vmfleet-test-nbd";

describe("copies over TLS", function () {
  this.timeout(180_000);
  let hosts: LabHost[];
  let dir: string;
  let hv: Hypervisor;
  let fleet: FleetIdentity;
  const directoryOf = (host: LabHost): string => join(host.runDir, "etc", "vmfleet-test-nbd");

  before(async () => {
    hosts = (await labStatus()).hosts;
    dir = await mkdtemp(join(tmpdir(), "vmfleet-tls-"));
    await chmod(dir, 0o755);
    const [ours, theirs] = [await makeAuthority(join(dir, "ours"), "ours"), await makeAuthority(join(dir, "theirs"), "theirs")];
    const [first, second, third] = hosts as [LabHost, LabHost, LabHost, LabHost];
    for (const host of [first, second]) await ours.issue(directoryOf(host), host.address);
    await theirs.issue(directoryOf(third), third.address); // of another CA; the fourth has none
    await ours.issue(join(dir, "friend"), second.address);
    await theirs.issue(join(dir, "stranger"), second.address);
    // Knows our CA, so that it is its own certificate that is refused.
    await run("cp", [join(dir, "friend", "ca-cert.pem"), join(dir, "stranger", "ca-cert.pem")]);
  });
  after(async () => {
    await rm(dir, { recursive: true });
    for (const host of hosts) await rm(directoryOf(host), { recursive: true, force: true });
  });
  beforeEach(() => { fleet = { fleetId: freshFleetId(), incarnation: "one", namePrefix: "tls" }; });
  afterEach(async () => {
    await hv.close();
    await lab.until(async () => (await Promise.all(hosts.map(inventory))).every((i) => !i.domains.some((d) => d.includes(fleet.fleetId))), { timeoutMs: 60_000, what: "helpers to go" });
    for (const host of hosts) {
      for (const volume of (await inventory(host)).volumes) if (volume.includes(fleet.fleetId)) await virsh(host, "vol-delete", volume, "default");
    }
  });

  /** A copy from the first host to this one. */
  async function copyTo(to: number, onProgress?: (done: number) => void, slot = to): Promise<{ result: CloneResult; template: string }> {
    const inputs = await labInputs({ dataBytes: 48 * MIB, virtualBytes: 128 * MIB });
    const limited = (inputs.hosts as object[]).map((host, i) => ({ ...host, transferPorts: "21000-21000", ...(i === 0 && { transferRateBitsPerSecond: 1e8 }) }));
    const spec = specOf({ ...inputs, count: 1, hosts: limited, transferTls: true, transferTlsDirectory: DIRECTORY, stallTimeout: 5 });
    hv = createLibvirt({ spec });
    const seen = await hv.observe({ fleetId: fleet.fleetId, namePrefix: "tls", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight: false });
    const result = await hv.clone({
      fleet, image: imageOf(seen.template!), source: { kind: "template", host: hosts[0]!.name }, target: { kind: "base", host: hosts[to]!.name, slot, generation: 0, name: `tls-${slot}` },
    }, { onProgress });
    return { result, template: join(hosts[0]!.poolDir, (inputs.template as { volume: string }).volume) };
  }
  /** Asks the first host's export server, as any program on the second host could, with these certificates or none. */
  async function ask(certificates?: string): Promise<string> {
    const tls = certificates === undefined ? [] : ["--object", `tls-creds-x509,id=t,endpoint=client,dir=${certificates}`, "--tls-creds", "t"];
    const args = ["qemu-nbd", "--list", "-b", hosts[0]!.address, "-p", "21000", ...tls];
    return lab.execIn(hosts[1]!, args).then((answer) => `let in: ${answer}`, (error: Error) => `refused: ${error.message}`);
  }

  it("arrive whole, while plain clients and certificates of another CA are refused", async () => {
    let asked: Promise<string[]> | undefined;
    const { template } = await copyTo(1, (done) => {
      if (done > 4 * MIB) asked ??= (async () => [await ask(), await ask(join(dir, "stranger")), await ask(join(dir, "friend"))])();
    });
    const [plain, stranger, friend] = await asked!;
    assert.match(plain!, /^refused: .*TLS/is);
    assert.match(stranger!, /^refused/);
    assert.match(friend!, /^let in/, "so the others were refused for what they are");
    const [made] = (await inventory(hosts[1]!)).volumes.filter((v) => v.includes(fleet.fleetId) && v.endsWith(".qcow2"));
    await run("qemu-img", ["compare", "-U", join(hosts[1]!.poolDir, made!), template]);
  });

  it("fail where a host's certificates are of another CA, and say what to look for", async () => {
    await assert.rejects(copyTo(2), (error: Error) => {
      assert.match(error.message, /transferTls/);
      assert.ok(error.message.includes(hosts[0]!.name) && error.message.includes(hosts[2]!.name), error.message);
      return true;
    });
  });

  it("fail where a host has no certificates, naming it and the directory", async () => {
    await assert.rejects(copyTo(3), (error: Error) => {
      assert.match(error.message, new RegExp(`^${hosts[3]!.name}: transferTls: expected ca-cert.pem, client-cert.pem and client-key.pem that the user QEMU runs as can read, in ${DIRECTORY} of`));
      return true;
    });
  });

  it("fail where QEMU's user may not read a key", async () => {
    const key = join(directoryOf(hosts[0]!), "server-key.pem");
    await chmod(key, 0o600);
    try {
      await assert.rejects(copyTo(1), new RegExp(`${hosts[0]!.name}: transferTls: expected .*server-key.pem.*QEMU says`));
    } finally {
      await chmod(key, 0o644);
    }
  });

  it("need no certificates within a host", async () => {
    const file = join(directoryOf(hosts[0]!), "client-key.pem");
    await chmod(file, 0o600);
    try {
      await copyTo(0);
    } finally {
      await chmod(file, 0o644);
    }
  });
});
