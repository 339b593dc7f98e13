import assert from "node:assert/strict";
import fc from "fast-check";
import { parseFleetSpec, readUri, uriParts, type SshUri } from "../../provider/fleet";
import { unfitAddress } from "../../provider/fleet/inputs/reach";
import { uriProblem } from "../../provider/fleet/uri/uri";
import { host, inputs } from "./build";

const ssh = (uri: string): SshUri => {
  const read = readUri(uri);
  assert.equal(read.problem, undefined, uri);
  assert.ok(read.uri?.transport === "ssh", uri);
  return read.uri;
};

describe("libvirt URIs", () => {
  it("choose the transport as libvirt's own client does", () => {
    assert.deepEqual(readUri("qemu:///system"), { uri: { transport: "unix", name: "qemu:///system", mode: "auto" } });
    assert.deepEqual(readUri("qemu+unix:///system?socket=/run/a+b/sock").uri, { transport: "unix", name: "qemu:///system", mode: "auto", socket: "/run/a+b/sock" });
    assert.deepEqual(readUri("qemu+tcp://10.0.0.1:1234/system").uri, { transport: "tcp", name: "qemu:///system", host: "10.0.0.1", port: 1234 });
    assert.deepEqual(readUri("qemu+tcp://10.0.0.1/system").uri, { transport: "tcp", name: "qemu:///system", host: "10.0.0.1", port: 16509 });
    const tls = { transport: "tls", name: "qemu:///system", host: "a1", port: 16514, verifies: true, isSane: true };
    assert.deepEqual([readUri("qemu+tls://a1/system").uri, readUri("qemu://a1/system").uri], [tls, tls]);
    assert.deepEqual(readUri("qemu+tls://fred@a1:1/system?pkipath=/p&no_verify=1&no_sanity=1&auth=sasl.scram-sha-256&authfile=/a").uri, {
      ...tls, port: 1, verifies: false, isSane: false, user: "fred", pkiPath: "/p", auth: { kind: "sasl", mechanism: "SCRAM-SHA-256" }, authFile: "/a",
    });
    assert.deepEqual(readUri("qemu:///system?auth=polkit").uri, { transport: "unix", name: "qemu:///system", mode: "auto", auth: { kind: "polkit" } });
    assert.deepEqual(readUri("qemu:///system?auth=SASL").uri, { transport: "unix", name: "qemu:///system", mode: "auto", auth: { kind: "sasl" } });
    assert.deepEqual(ssh("qemu+ssh://root@a1:2222/system?keyfile=/k&no_verify=1"), {
      transport: "ssh", name: "qemu:///system", host: "a1", port: 2222, user: "root", keyfile: "/k", hostKeys: "acceptAny", mode: "auto", proxy: "auto",
    });
  });

  it("are percent-decoded, not form-decoded, and cut at & and at ; as libvirt cuts them", () => {
    assert.equal(ssh("qemu+ssh://a1/system?keyfile=/keys/a+b/id%20x").keyfile, "/keys/a+b/id x");
    const cut = ssh("qemu+ssh://a1/system?keyfile=/k;no_verify=1");
    assert.deepEqual([cut.keyfile, cut.hostKeys], ["/k", "acceptAny"]);
    assert.deepEqual([ssh("qemu+ssh://a1/system?&&keyfile=/k&").keyfile, ssh("qemu+ssh://a1/system?").keyfile], ["/k", undefined]);
  });

  it("take names of parameters without regard to case, as libvirt does", () => {
    assert.equal(ssh("qemu+ssh://a1/system?KeyFile=/k").keyfile, "/k");
  });

  it("know accounts that hold an @, and addresses of version 6", () => {
    const account = ssh("qemu+ssh://svc@corp.example@a1/system");
    assert.deepEqual([account.user, account.host], ["svc@corp.example", "a1"]);
    assert.deepEqual(uriParts("qemu+ssh://svc@corp@a1/system"), { transport: "ssh", host: "a1" });
    assert.deepEqual(uriParts("qemu+ssh://root:p@ss@a1/system"), { transport: "ssh", host: "a1" });
    assert.equal(ssh("qemu+ssh://user%40corp@a1/system").user, "user@corp");
    const v6 = ssh("qemu+ssh://root@[2001:db8::1]:2222/system");
    assert.deepEqual([v6.host, v6.port], ["2001:db8::1", 2222]);
    assert.equal(ssh("qemu+ssh://[fe80::1%25eth0]/system").host, "fe80::1%eth0");
    assert.equal(ssh("qemu+ssh://Host_With_Underscore/system").host, "Host_With_Underscore");
  });

  it("choose the proxy as libvirt's own client does", () => {
    const proxy = (query: string) => ssh(`qemu+ssh://a1/system?${query}`).proxy;
    assert.deepEqual(["", "socket=/s", "netcat=nc.openbsd", "mode=direct", "proxy=native", "proxy=netcat", "proxy=auto"].map(proxy),
      ["auto", "netcat", "netcat", "netcat", "native", "netcat", "auto"]);
  });

  it("say with libvirt's other words which host keys and which keys are taken", () => {
    assert.deepEqual([ssh("qemu+ssh://a1/system?known_hosts_verify=auto").hostKeys, ssh("qemu+ssh://a1/system?known_hosts_verify=ignore").hostKeys], ["acceptNew", "acceptAny"]);
    assert.equal(ssh("qemu+ssh://a1/system?known_hosts_verify=normal&no_verify=0&no_tty=1").hostKeys, undefined);
    assert.deepEqual([ssh("qemu+ssh://a1/system?sshauth=privkey").keys, ssh("qemu+ssh://a1/system?sshauth=agent,password").keys, ssh("qemu+ssh://a1/system?sshauth=agent,privkey").keys],
      ["filesOnly", "agentOnly", undefined]);
  });

  /** What is wrong, and a word of what is said of it. */
  const REFUSED: [uri: string, message: RegExp][] = [
    ["qemu:///session", /expected the path \/system, got "qemu:\/\/\/session"; the session daemon/],
    ["qemu+ssh://a1/session", /the session daemon has no pools/],
    ["qemu+ssh://a1:99999/system", /expected a port from 1 to 65535 in the URI, got "99999"/],
    ["qemu+ssh://a1:0/system", /expected a port from 1 to 65535/],
    ["qemu+ssh://a1:/system", /expected a port from 1 to 65535 in the URI, got an empty string/],
    ["qemu+ssh://us%er@a1/system", /expected a user whose percent signs are escapes such as %40, got "us%er"/],
    ["qemu+ssh://ä1/system", /expected a host of ASCII letters in the URI, got "ä1"; write an international name in its xn-- form/],
    ["qemu+ssh://a%41/system", /expected the name or address of a host/],
    ["qemu+ssh://-oProxyCommand=x/system", /expected the name or address of a host/],
    ["qemu+ssh://a$(id)/system", /expected the name or address of a host/],
    ["qemu+ssh://[nonsense]/system", /expected an IPv6 address between the brackets/],
    ["qemu+unix:///system?socket=", /expected a path in the URI's parameter socket, got an empty string/],
    ["qemu+ssh://a1/system?keyfile=/k%zz", /percent signs in the URI's parameters that are escapes/],
    ["qemu+ssh://a1/system?keyfile=/k%ff", /percent signs in the URI's parameters that are escapes/],
    ["qemu+ssh://a1/system?keyfile=/k%00", /no control character/],
    ["qemu+ssh://a1/system?knownhosts=/k", /expected only parameters in the URI that this version honours, got "knownhosts"; did you mean known_hosts\?/],
    ["qemu+ssh://a1/system?no_verify=true", /expected 0 or 1 in the URI's parameter no_verify, got "true"/],
    ["qemu+ssh://a1/system?no_tty=0", /asks for no password/],
    ["qemu+ssh://a1/system?pkipath=/pki", /expected parameters that mean something to ssh \(.*\), got "pkipath"/],
    ["qemu+tls://a1/system?tls_priority=NORMAL", /got "tls_priority"; it is in GnuTLS's words/],
    ["qemu+tls://a1/system?keyfile=/k", /expected parameters that mean something to tls \(name, pkipath, no_verify, no_sanity, auth or authfile\), got "keyfile"/],
    ["qemu+tls://a1/system?no_verify=yes", /expected 0 or 1 in the URI's parameter no_verify/],
    ["qemu+tls://a1/system?pki_path=/p", /did you mean pkipath\?/],
    ["qemu+tls://a1/system?auth=sasl.gssapi", /expected sasl, sasl\.SCRAM-SHA-512, .*sasl\.PLAIN or polkit in the URI's parameter auth, got "sasl\.gssapi"; this version speaks no other/],
    ["qemu+tls://a1/system?auth=polkit.x", /in the URI's parameter auth/],
    ["qemu+tls:///system", /expected qemu:\/\/\/system, .* qemu\+tls:\/\/host\/system or/],
    ["qemu+ssh://a1/system?sshauth=password", /agent or privkey among them/],
    ["qemu+ssh://a1/system?mode=modular", /expected auto, direct or legacy in the URI's parameter mode/],
    ["qemu+ssh://a1/system?proxy=socat", /expected auto, netcat or native in the URI's parameter proxy/],
    ["qemu+ssh://a1/system?proxy=native&netcat=nc", /expected proxy=netcat beside the URI's parameter netcat/],
    ["qemu+ssh://a1/system?name=qemu:///session", /expected qemu:\/\/\/system in the URI's parameter name, got "qemu:\/\/\/session"; this version opens no other/],
    ["qemu+ssh://a1/system?sshauth=password", /^expected a list of agent, .* with agent or privkey among them, in the URI's parameter sshauth, got "password"; nobody can be asked for a password/],
    ["qemu+ssh://a1/system?no_tty=0", /^expected 1 in the URI's parameter no_tty, got "0"; ssh has no terminal here and asks for no password/],
    ["qemu+ssh://a1/system?keyfile=/a&keyfile=/b", /expected one value of the URI's parameter keyfile, got "\/b"; it has "\/a" already/],
    ["qemu+ssh://a1/system?keyfile=/k;no_verify=1&no_tty=1", /parameters of the URI that are all separated by &/],
    ["qemu+ssh://a1/system?keyfile=/k#x", /expected a URI without a fragment/],
    ["qemu+tcp://a1/system?socket=/s", /expected parameters that mean something to tcp \(none but name\), got "socket"/],
    ["qemu+tcp://a1/system?auth=sasl", /something to tcp \(none but name\), got "auth"/],
    ["qemu+unix:///system?keyfile=/k", /expected parameters that mean something to unix \(name, mode, socket, auth or authfile\), got "keyfile"/],
    ["qemu://root@/system", /expected qemu:\/\/\/system, /],
    ["qemu+unix://a1/system", /expected qemu:\/\/\/system, /],
    ["qemu+libssh2://a1/system", /expected qemu:\/\/\/system, /],
    ["xen:///system", /expected qemu:\/\/\/system, /],
  ];
  for (const [uri, message] of REFUSED) {
    it(`are refused by name and path: ${uri}`, () => {
      assert.match(uriProblem(uri)!, message);
      const { problems } = parseFleetSpec(inputs({ hosts: [host("a1", { uri })], allowUnauthenticatedTcp: true }));
      assert.ok(problems?.some((one) => one.path === "hosts[0].uri" && message.test(one.message)), JSON.stringify(problems));
    });
  }

  it("that an earlier version recorded are still read, without the parameter that is refused now", () => {
    const uri = "qemu+ssh://root@a1/system?sshauth=password&keyfile=/k";
    assert.deepEqual([readUri(uri).uri?.transport, (readUri(uri).uri as SshUri).keyfile], ["ssh", "/k"]);
    const recorded = parseFleetSpec(inputs({ hosts: [host("a1", { uri })] }), { recorded: true });
    assert.equal(recorded.spec?.hosts[0]?.own.uri, uri);
  });

  it("that a check lets pass are read by the adapter, whatever they are made of", () => {
    const piece = fc.string({ unit: fc.constantFrom(..."ab1/:@?#%&;=+.[]- ä\0"), maxLength: 12 });
    const uri = fc.tuple(fc.constantFrom("qemu:///system", "qemu+ssh://", "qemu+tcp://", "qemu+tls://", "qemu://", "qemu+unix:///system?socket="), piece, fc.constantFrom("", "/system", "/session"), fc.constantFrom("", "?", "?keyfile=", "?socket=", "?pkipath=", "?auth=sasl"), piece)
      .map((parts) => parts.join(""));
    fc.assert(fc.property(uri, (text) => {
      const read = readUri(text);
      if (read.problem === undefined) assert.ok(read.uri, text);
      else assert.match(read.problem, /^expected /);
    }), { numRuns: 2_000, seed: 12 });
  });

  it("give back every path that was escaped into them", () => {
    fc.assert(fc.property(fc.string({ minLength: 1 }).filter((one) => ![...one].some((char) => char < " " || char === "\x7f") && !/;\w+=/.test(one)), (keyfile) => {
      assert.equal(ssh(`qemu+ssh://a1/system?keyfile=${encodeURIComponent(keyfile)}`).keyfile, keyfile);
    }), { numRuns: 300, seed: 12 });
  });
});

describe("transfer addresses", () => {
  it("that mean the caller itself, everything or nothing are told apart from the others", () => {
    for (const address of ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.1.2.3", "0.0.0.0", "256.1.1.1", "10.0.0", "10.0.0.1:10809", "a1:22", "::1", "0:0:0:0:0:0:0:1", "::", "::ffff:127.0.0.1", "1::2::3"]) {
      assert.notEqual(unfitAddress(address), undefined, address);
    }
    for (const address of ["a1", "a1.example.", "10.0.0.1", "fd00::2", "2001:db8::1", "fe80::1%eth0", "1host", "xn--a1-via", "::ffff:10.0.0.1"]) {
      assert.equal(unfitAddress(address), undefined, address);
    }
  });

  const problemsOf = (hosts: ReturnType<typeof host>[]) => parseFleetSpec(inputs({ hosts })).problems?.map(({ path, message }) => `${path}: ${message}`) ?? [];

  it("are refused where other hosts would call themselves", () => {
    assert.deepEqual(problemsOf([host("a1"), host("a2", { transferAddress: "0.0.0.0" })]),
      ['hosts[1].transferAddress: expected an address that the other hosts reach this one at, got "0.0.0.0"; it is every address and none: name another']);
    assert.deepEqual(problemsOf([host("a1"), host("a2", { uri: "qemu+ssh://root@localhost:2222/system" })]),
      ['hosts[1].transferAddress: expected an address that the other hosts reach this one at, got "localhost"; each of them means itself by it: the URI names it; set transferAddress']);
  });

  it("are left alone where there is one host, which copies to nobody else", () => {
    assert.deepEqual(problemsOf([host("a1", { uri: "qemu+ssh://root@localhost/system" })]), []);
  });

  it("begin, by default, after the last @ of the URI", () => {
    assert.equal(parseFleetSpec(inputs({ hosts: [host("a1", { uri: "qemu+ssh://svc@corp@a1/system" })] })).spec?.hosts[0]?.own.transferAddress, "a1");
  });
});
