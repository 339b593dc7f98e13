/** `qemu+tls` and SASL: a real libvirtd lets in whom it should, and each thing that is wrong with a certificate has its own sentence. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { promisify } from "node:util";
import { realClock } from "../../../provider/async/clock";
import type { Observation } from "../../../provider/fleet/model";
import { createLibvirt } from "../../../provider/hypervisors/libvirt";
import { openSession } from "../../../provider/hypervisors/libvirt/connection/opening";
import { openTls } from "../../../provider/hypervisors/libvirt/connection/tls";
import { parseLibvirtUri } from "../../../provider/hypervisors/libvirt/connection/uri";
import { makeAuthority, type Authority } from "./certificates";
import { freshFleetId, lab, LAB_NAME, labInputs, labStatus, lines, specOf, virsh, type LabHost } from "./labFleet";

const run = promisify(execFile);

describe("hosts reached over TLS", function () {
  this.timeout(120_000);
  let host: LabHost;
  let dir: string;
  let ours: Authority;
  let theirs: Authority;
  /** As libvirt names what a client has. */
  const pki = (name: string): string => join(dir, name);
  const uri = (path: string, query = ""): string => `qemu+tls://${host.address}/system?pkipath=${path}${query}`;
  const etc = (): string => join(host.runDir, "etc", "vmfleet-test-pki");

  async function client(name: string, authority: Authority, from: Authority | undefined, days = 2): Promise<void> {
    await mkdir(pki(name), { recursive: true });
    await cp(authority.cert, join(pki(name), "cacert.pem"));
    await from?.sign({ key: join(pki(name), "clientkey.pem"), cert: join(pki(name), "clientcert.pem"), usage: "clientAuth", names: ["DNS:provider"], days });
  }

  /** Opens a session and asks the daemon's name. */
  async function hostname(of: string): Promise<string> {
    const session = await openSession(parseLibvirtUri(of), { host: host.name, peer: host.name, connectTimeoutMs: 10_000, clock: realClock });
    try {
      return await session.hostname();
    } finally {
      session.close();
    }
  }

  const configure = (...more: string[]): Promise<void> => lab.setDaemonConfig({
    name: LAB_NAME, host: host.name,
    lines: ["listen_tls = 1", ...["key", "cert", "ca"].map((one) => `${one}_file = "/etc/libvirt/vmfleet-test-pki/server${one}.pem"`), ...more],
  });

  before(async () => {
    host = (await labStatus()).hosts.at(-1)!;
    dir = await mkdtemp(join(tmpdir(), "vmfleet-reach-"));
    await chmod(dir, 0o755);
    ours = await makeAuthority(pki("our-authority"), "ours");
    theirs = await makeAuthority(pki("their-authority"), "theirs");
    await mkdir(etc(), { recursive: true });
    await ours.sign({ key: join(etc(), "serverkey.pem"), cert: join(etc(), "servercert.pem"), usage: "serverAuth", names: [`IP:${host.address}`, "DNS:b2.lab"] });
    await cp(ours.cert, join(etc(), "serverca.pem"));
    await client("good", ours, ours);
    await client("stranger", ours, theirs); // knows our authority; its own certificate is another's
    await client("foreign", theirs, theirs);
    await client("anonymous", ours, undefined);
    await configure('auth_tls = "none"');
  });
  after(async () => {
    await lab.setDaemonConfig({ name: LAB_NAME, host: host.name });
    for (const path of [dir, etc(), join(host.runDir, "etc", "sasl2")]) await rm(path, { recursive: true, force: true });
  });

  it("answers, and is seen as over any other way", async () => {
    assert.equal(await hostname(uri(pki("good"))), lines(await virsh(host, "hostname"))[0]);
    // libvirt's own client agrees with all of it.
    await run("virsh", ["-c", uri(pki("good")), "hostname"]);
    await assert.rejects(run("virsh", ["-c", uri(pki("stranger")), "hostname"]));

    const inputs = await labInputs({ hosts: [host.name] });
    const reached = { ...inputs, count: 1, allowUnauthenticatedTcp: false, hosts: [{ name: host.name, uri: uri(pki("good")), pool: "default" }] };
    const spec = specOf(reached);
    const hv = createLibvirt({ spec });
    try {
      const seen: Observation = await hv.observe({ fleetId: freshFleetId(), namePrefix: "tls", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight: true });
      assert.deepEqual(seen.hosts.map((one) => [one.status, one.status === "reachable" && one.uuid, one.status === "reachable" && one.problems]), [["reachable", host.uuid, []]]);
      assert.equal(spec.hosts[0]!.own.transferAddress, host.address);
    } finally {
      await hv.close();
    }
  });

  it("refuse a client of another authority and one without a certificate, and we say which of ours it was", async () => {
    await assert.rejects(hostname(uri(pki("stranger"))), /16514 .*does not take this machine's certificate .*stranger\/clientcert\.pem/);
    await assert.rejects(hostname(uri(pki("anonymous"))), /16514 .*wants a certificate of this machine, and there is none: put it into .*anonymous\/clientcert\.pem/);
  });

  it("are not taken for the host where another authority vouches for them, unless the URI says not to look", async () => {
    await assert.rejects(hostname(uri(pki("foreign"))), /the certificate of .*:16514 is not of the authority in .*foreign\/cacert\.pem/);
    await client("careless", theirs, ours);
    assert.equal(await hostname(uri(pki("careless"), "&no_verify=1")), host.name);
  });

  it("ask for a name and a password where they want SASL, and take the right one alone", async function () {
    const sasl = join(host.runDir, "etc", "sasl2");
    await mkdir(sasl, { recursive: true });
    await writeFile(join(sasl, "libvirt.conf"), "mech_list: scram-sha-256\nsasldb_path: /etc/libvirt/sasl2/passwd.db\n");
    await setPassword(join(sasl, "passwd.db"), host.name, "pencil,=é");
    await configure('auth_tls = "sasl"');
    const file = async (name: string, text: string): Promise<string> => {
      await writeFile(pki(name), text);
      return pki(name);
    };
    const credentials = (password: string): string => `[credentials-x]\nauthname=fred\npassword=${password}\n[auth-libvirt-${host.address}]\ncredentials=x\n`;
    const right = await file("right.conf", credentials("pencil,=é"));
    assert.equal(await hostname(uri(pki("good"), `&authfile=${right}`)), host.name);
    await run("virsh", ["-c", uri(pki("good")), "hostname"], { env: { ...process.env, LIBVIRT_AUTH_FILE: right } });
    const wrong = await file("wrong.conf", credentials("pencil"));
    await assert.rejects(hostname(uri(pki("good"), `&authfile=${wrong}`)), /b2 refuses "fred" with the password in .*wrong\.conf \(SASL SCRAM-SHA-256\)/);
    await assert.rejects(hostname(uri(pki("good"), `&authfile=${await file("none.conf", "")}`)), /asks for a name and a password \(SASL SCRAM-SHA-256\), and .*none\.conf has no authname/);
    await assert.rejects(hostname(uri(pki("good"), "&auth=polkit")), /does not authenticate by polkit/);
  });
});

/** libvirt's library hashes it for its daemons. */
async function setPassword(db: string, realm: string, password: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const child = execFile("saslpasswd2", ["-p", "-c", "-a", "libvirt", "-u", realm, "-f", db, "fred"], (error, _out, said) => (error ? reject(new Error(`saslpasswd2: ${said}`)) : resolve()));
    child.stdin!.end(password);
  });
}

describe("a host's certificate that is not what it should be", () => {
  let dir: string;
  let authority: Authority;
  const servers: Server[] = [];
  const open = async (certificate: string, more: { query?: string; host?: string; welcome?: Buffer | "end" | "silence"; thenEnds?: boolean; pki?: string } = {}): Promise<TLSSocket> => {
    const { query = "", host = "127.0.0.1", welcome = Buffer.from([1]), thenEnds, pki = "pki" } = more;
    const server = createServer({ cert: await readFile(join(dir, `${certificate}.pem`)), key: await readFile(join(dir, `${certificate}-key.pem`)) }, (socket) => {
      socket.on("error", () => undefined);
      if (welcome === "end") socket.end();
      else if (welcome !== "silence" && thenEnds) socket.end(welcome);
      else if (welcome !== "silence") socket.write(welcome);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const uri = parseLibvirtUri(`qemu+tls://${host}:${(server.address() as AddressInfo).port}/system?pkipath=${join(dir, pki)}${query}`);
    assert.ok(uri.transport === "tls");
    return openTls(uri, 2_000, realClock);
  };
  const sign = (name: string, names: string[], days?: number): Promise<void> =>
    authority.sign({ key: join(dir, `${name}-key.pem`), cert: join(dir, `${name}.pem`), usage: "serverAuth", names, ...(days !== undefined && { days }) });

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "vmfleet-certificates-"));
    authority = await makeAuthority(join(dir, "authority"), "one");
    await mkdir(join(dir, "pki"));
    await cp(authority.cert, join(dir, "pki", "cacert.pem"));
    await sign("good", ["IP:127.0.0.1"]);
    await sign("expired", ["IP:127.0.0.1"], -1);
    await sign("other", ["IP:10.0.0.1", "DNS:other.example"]);
  });
  after(() => rm(dir, { recursive: true }));
  afterEach(() => { for (const server of servers.splice(0)) server.close(); });

  it("is no matter where it is right", async () => (await open("good")).destroy());

  it("is right, and nothing that comes with the welcome is lost, nor the end", async () => {
    const socket = await open("good", { welcome: Buffer.from([1, 2, 3]), thenEnds: true });
    const received: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => received.push(chunk));
    await new Promise((resolve) => socket.once("close", resolve));
    assert.deepEqual([...Buffer.concat(received)], [2, 3]);
  });

  it("is of an authority that another vouches for, of which nothing is known here", async () => {
    const above = await makeAuthority(join(dir, "above"), "above");
    const middle = await makeAuthority(join(dir, "middle"), "middle", join(dir, "above"));
    await middle.sign({ key: join(dir, "middle-key.pem"), cert: join(dir, "middle.pem"), usage: "serverAuth", names: ["IP:127.0.0.1"] });
    await mkdir(join(dir, "below"));
    await cp(middle.cert, join(dir, "below", "cacert.pem"));
    (await open("middle", { pki: "below" })).destroy();
    await assert.rejects(open("good", { pki: "below" }), /is not of the authority in .*below\/cacert\.pem/);
    await above.sign({ key: join(dir, "top-key.pem"), cert: join(dir, "top.pem"), usage: "clientAuth", names: ["IP:127.0.0.1"] });
    await cp(above.cert, join(dir, "below", "cacert.pem"));
    await assert.rejects(open("top", { pki: "below" }), /is not made for a server \(extendedKeyUsage serverAuth\)/);
  });

  it("is of nobody where libvirt's place is empty, whoever else this machine trusts", async () => {
    await mkdir(join(dir, "empty"));
    await writeFile(join(dir, "empty", "cacert.pem"), "");
    await assert.rejects(open("good", { pki: "empty", query: "&no_sanity=1" }), /expected the certificate of the authority that vouches for the hosts in PEM in .*empty\/cacert\.pem, got none/);
    await cp(authority.cert, join(dir, "empty", "cacert.pem"));
    await writeFile(join(dir, "empty", "cacrl.pem"), "nothing");
    await assert.rejects(open("good", { pki: "empty" }), /expected a list of revoked certificates in PEM in .*empty\/cacrl\.pem, got none/);
    await writeFile(join(dir, "empty", "cacrl.pem"), "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    await assert.rejects(open("good", { pki: "empty" }), /empty\/cacrl\.pem cannot be used: /);
  });

  it("has expired", () => assert.rejects(open("expired"), /the certificate of 127\.0\.0\.1:\d+, or of an authority that vouches for it, has expired: renew it there \(servercert\.pem\)/));

  it("names others, whom we name", () => assert.rejects(open("other"), /the certificate of 127\.0\.0\.1:\d+ names others: IP Address:10\.0\.0\.1, DNS:other\.example: use one of those in the URI, or make a certificate that names this one/));

  it("names the address but not the name in the URI", () => assert.rejects(open("good", { host: "localhost" }), /the certificate of localhost:\d+ names others/));

  it("was revoked, as a list beside the authority's certificate says", async () => {
    const list = join(dir, "pki", "cacrl.pem");
    await sign("gone", ["IP:127.0.0.1"]);
    await authority.revoke(join(dir, "gone.pem"), list);
    try {
      await assert.rejects(open("gone"), /was revoked by its authority/);
      (await open("good")).destroy();
    } finally {
      await rm(list);
    }
  });

  it("belongs to one that says nothing, hangs up, or says something else", async () => {
    await assert.rejects(open("good", { welcome: "silence" }), /127\.0\.0\.1:\d+ said nothing for 2 s after the handshake/);
    await assert.rejects(open("good", { welcome: "end" }), /hung up after the handshake; most likely it wants a certificate of this machine, and there is none/);
    await assert.rejects(open("good", { welcome: Buffer.from("SSH-2.0-x") }), /does not speak libvirt's protocol inside TLS/);
  });

  it("is not there at all: no TLS, nobody", async () => {
    const { createServer: plain } = await import("node:net");
    const other = plain((socket) => { socket.on("error", () => undefined).resume().end("SSH-2.0-x\r\n"); });
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const { port } = other.address() as AddressInfo;
    const at = (number: number) => parseLibvirtUri(`qemu+tls://127.0.0.1:${number}/system?pkipath=${join(dir, "pki")}`) as Extract<ReturnType<typeof parseLibvirtUri>, { transport: "tls" }>;
    await assert.rejects(openTls(at(port), 2_000, realClock), /no TLS with 127\.0\.0\.1:\d+/);
    await new Promise((resolve) => other.close(resolve));
    await assert.rejects(openTls(at(port), 2_000, realClock), /cannot connect to 127\.0\.0\.1:\d+: connect ECONNREFUSED/);
  });

  describe("or this machine's own", () => {
    const own = async (change: (pkiDir: string) => Promise<void>, query = ""): Promise<TLSSocket> => {
      const name = `own-${Math.random().toString(36).slice(2)}`;
      const path = join(dir, name);
      await mkdir(path);
      await cp(authority.cert, join(path, "cacert.pem"));
      await authority.sign({ key: join(path, "clientkey.pem"), cert: join(path, "clientcert.pem"), usage: "clientAuth", names: ["DNS:provider"] });
      await change(path);
      const uri = parseLibvirtUri(`qemu+tls://127.0.0.1:1/system?pkipath=${path}${query}`);
      assert.ok(uri.transport === "tls");
      return openTls(uri, 2_000, realClock);
    };

    it("has expired, is no certificate, lacks its key, has another's, or there is no authority", async () => {
      await assert.rejects(own((path) => authority.sign({ key: join(path, "clientkey.pem"), cert: join(path, "clientcert.pem"), usage: "clientAuth", names: ["DNS:p"], days: -1 })), /the certificate .*clientcert\.pem has expired on .*: renew it/);
      await assert.rejects(own((path) => writeFile(join(path, "clientcert.pem"), "nothing")), /expected a certificate in PEM in .*clientcert\.pem/);
      await assert.rejects(own((path) => rm(join(path, "clientkey.pem"))), /expected the key .*clientkey\.pem beside the certificate .*clientcert\.pem/);
      await assert.rejects(own((path) => cp(join(dir, "good-key.pem"), join(path, "clientkey.pem"))), /the key .*clientkey\.pem is not the one of the certificate/);
      await assert.rejects(own((path) => writeFile(join(path, "clientkey.pem"), "nothing")), /expected a private key in PEM, without a passphrase, in .*clientkey\.pem/);
      await assert.rejects(own((path) => rm(join(path, "cacert.pem"))), /expected .*cacert\.pem, the certificate of the authority that vouches for 127\.0\.0\.1, on this machine: put it there, or name its directory with \?pkipath=/);
    });

    it("is not looked at where the URI says so", async () => {
      await assert.rejects(own((path) => authority.sign({ key: join(path, "clientkey.pem"), cert: join(path, "clientcert.pem"), usage: "clientAuth", names: ["DNS:p"], days: -1 }), "&no_sanity=1"), /cannot connect to 127\.0\.0\.1:1: connect ECONNREFUSED/);
    });
  });
});
