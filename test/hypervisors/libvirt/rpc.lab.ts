/** Our client against a real daemon: each call's outcome agrees with virsh, over every transport. */
import assert from "node:assert/strict";
import { realClock } from "../../../provider/async/clock";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { LibvirtClient } from "../../../provider/hypervisors/libvirt/rpc/client";
import type { Pool } from "../../../provider/hypervisors/libvirt/rpc/handles";
import { ConnectionLostError, isLibvirtError, LibvirtError, QmpError } from "../../../provider/hypervisors/libvirt/rpc/errors";
import { DomainState, ErrorCode, Flag } from "../../../provider/hypervisors/libvirt/rpc/protocol";
import { openTransport } from "../../../provider/hypervisors/libvirt/connection/transport";
import { parseLibvirtUri } from "../../../provider/hypervisors/libvirt/connection/uri";
import { buildXml, parseXml, text } from "../../../provider/hypervisors/libvirt/xml/xml";
import { labStatus, lines, virsh, lab, type LabHost } from "./labFleet";

const run = promisify(execFile);

async function open(uri: string): Promise<LibvirtClient> {
  const parsed = parseLibvirtUri(uri);
  return LibvirtClient.open(await openTransport(parsed, 5_000, realClock), uri, parsed.name);
}

describe("the libvirt client against a real daemon", function () {
  this.timeout(60_000);
  let host: LabHost;
  let client: LibvirtClient;
  let pool: Pool;
  const name = `rpc-${randomBytes(3).toString("hex")} <&"'$(id)>`;
  const xml = buildXml({ domain: { "@type": "qemu", name, memory: { "@unit": "MiB", "#": "8" }, os: { type: { "@arch": "x86_64", "#": "hvm" } } } });

  before(async () => {
    [host] = (await labStatus()).hosts as [LabHost];
    client = await open(host.uri);
    pool = (await client.lookupPool("default"))!;
  });
  after(() => client.close());

  it("agrees on the host", async () => {
    assert.equal(await client.hostname(), lines(await virsh(host, "hostname"))[0]);
    const [, major, minor] = /libvirt (\d+)\.(\d+)/.exec(await virsh(host, "version"))!;
    assert.equal(Math.floor((await client.libVersion()) / 1_000), Number(major) * 1_000 + Number(minor));
    assert.equal(await client.networkIsActive("default"), true);
    assert.equal(await client.networkIsActive("no such network"), undefined);
    assert.match(await client.domainCapabilities("x86_64", "qemu"), /<domainCapabilities>/);
    await assert.rejects(client.domainCapabilities("x86_64", "nonsense"), LibvirtError);
  });

  it("agrees on a domain's whole life", async () => {
    const domain = await client.defineDomain(xml);
    try {
      assert.equal(domain.name, name);
      assert.ok(lines(await virsh(host, "list", "--all", "--name")).includes(name));
      assert.equal(await client.domainState(domain), DomainState.shutoff);
      await client.startDomain(domain);
      const running = (await client.lookupDomain(name))!;
      assert.ok(running.id > 0);
      assert.equal(lines(await virsh(host, "domstate", name))[0], "running");
      assert.equal(text(parseXml(await client.domainXml(running)), "domain", "uuid"), lines(await virsh(host, "domuuid", name))[0]);
      assert.equal((await client.qmp<{ status: string }>(running, "query-status")).status, "running");
      await assert.rejects(client.qmp(running, "no-such-command"), (e) => e instanceof QmpError && e.errorClass === "CommandNotFound");
      await client.setAutostart(running, true);
      assert.match(await virsh(host, "dominfo", name), /Autostart:\s+enable/);
      await client.destroyDomain(running, 0);
      assert.equal(lines(await virsh(host, "domstate", name))[0], "shut off");
    } finally {
      await client.undefineDomain(domain);
    }
    assert.equal(await client.lookupDomain(name), null);
    await assert.rejects(client.domainState(domain), (e) => isLibvirtError(e, ErrorCode.noDomain));
  });

  it("agrees on metadata, which holds any text", async () => {
    const domain = await client.defineDomain(xml);
    try {
      assert.equal(await client.getMetadata(domain, "urn:test"), null);
      await client.setMetadata(domain, "urn:test", "t", buildXml({ a: { "@b": `<&"'>` } }), false);
      assert.equal(text(parseXml((await client.getMetadata(domain, "urn:test"))!), "a", "@b"), `<&"'>`);
      assert.match(await virsh(host, "metadata", name, "urn:test"), /<a b=/);
    } finally {
      await client.undefineDomain(domain);
    }
  });

  it("tells of starts and ends as they happen", async () => {
    const seen: string[] = [];
    let heard = (): void => undefined;
    const stopped = new Promise<void>((resolve) => { heard = resolve; });
    await client.events.onLifecycle((domain, event) => {
      if (domain.name !== name) return;
      seen.push(String(event));
      if (event === 5) heard();
    });
    const domain = await client.createDomain(xml, Flag.startPaused | Flag.startAutodestroy);
    await client.destroyDomain(domain, 0);
    await stopped;
    assert.ok(seen.includes("2"), `started is among ${seen.join()}`);
  });

  it("ends what was started with autodestroy when the connection goes", async () => {
    const other = await open(host.unixUri);
    await other.createDomain(xml, Flag.startPaused | Flag.startAutodestroy);
    assert.ok(lines(await virsh(host, "list", "--name")).includes(name));
    other.close();
    await lab.until(async () => !lines(await virsh(host, "list", "--name")).includes(name), { what: "the helper to go" });
  });

  it("agrees on volumes, and uploads one hole by hole", async () => {
    const volumeName = `rpc-${randomBytes(3).toString("hex")}'&".raw`;
    const bytes = Buffer.alloc(3 << 20);
    randomBytes(1 << 20).copy(bytes, 1 << 20);
    const volume = await client.createVolume(pool, buildXml({ volume: { name: volumeName, capacity: { "@unit": "bytes", "#": String(bytes.length) }, allocation: "0", target: { format: { "@type": "raw" } } } }));
    try {
      await client.uploadVolume(volume, bytes.length, (async function* () {
        yield { holeBytes: 1 << 20 };
        yield { data: bytes.subarray(1 << 20, 2 << 20) };
        yield { holeBytes: 1 << 20 };
      })());
      assert.deepEqual(await readFile(join(host.poolDir, volumeName)), bytes);
      const { stdout } = await run("du", ["-k", join(host.poolDir, volumeName)]);
      assert.ok(Number.parseInt(stdout, 10) < 1100, `${stdout.trim()} kB on disk`);
      assert.ok((await client.listVolumes(pool)).some((v) => v.name === volumeName));
      assert.equal((await client.lookupVolume(pool, volumeName))?.key, lines(await virsh(host, "vol-key", volumeName, "default"))[0]);
    } finally {
      await client.deleteVolume(volume);
    }
    assert.equal(await client.lookupVolume(pool, volumeName), null);
  });

  it("stops an upload that is aborted", async () => {
    const volume = await client.createVolume(pool, buildXml({ volume: { name: "rpc-abort.raw", capacity: "1000000", allocation: "0", target: { format: { "@type": "raw" } } } }));
    const abort = new AbortController();
    const extra = await open(host.uri);
    try {
      await assert.rejects(extra.uploadVolume(volume, 1_000_000, (async function* () {
        yield { data: randomBytes(1000) };
        abort.abort();
        yield { data: randomBytes(1000) };
      })(), abort.signal), { name: "AbortError" });
      assert.equal(typeof (await extra.hostname()), "string"); // the connection is still good
    } finally {
      extra.close();
      await client.deleteVolume(volume);
    }
  });

  it("gives a host that does not answer its deadline, and blocks nothing else", async () => {
    const silent = host.address.replace(/\.\d+$/, ".250");
    const start = Date.now();
    const failed = assert.rejects(openTransport(parseLibvirtUri(`qemu+tcp://${silent}/system`), 700, realClock), ConnectionLostError);
    await client.hostname();
    assert.ok(Date.now() - start < 600, "another host's call waits for nobody");
    await failed;
  });
});
