/** Where just right and just wrong meet, in what guests are told. */
import assert from "node:assert/strict";
import { formatProblem, parseFleetSpec } from "../../provider/fleet";
import { host, inputs } from "./build";

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHabc me@home";
const MAX_BYTES = 524_288;
const problems = (guest: unknown, more: Record<string, unknown> = {}): string[] => (parseFleetSpec({ ...inputs(), guest, ...more }).problems ?? []).map(formatProblem);
const texts = (cloudInit: Record<string, unknown>): string[] => problems({ cloudInit });
const range = (changes: Record<string, unknown> = {}) => ({ from: "10.0.0.10", to: "10.0.3.250", prefix: 22, ...changes });
const addresses = (...changes: Record<string, unknown>[]): string[] => problems({ addresses: changes.map(range) }, { vm: { networks: changes.map(() => ({ network: "default" })) } });
const six = (changes: Record<string, unknown> = {}) => ({ from: "fd00::10", to: "fd00::ffff", prefix: 64, ...changes });

describe("a range of addresses for members", () => {
  const small = { addresses: [range({ from: "10.0.0.10", to: "10.0.0.10" })] };
  const asked = (more: Record<string, unknown>) => /at least (\d+) members, got 1 addresses/.exec(problems(small, { count: undefined, ...more }).join())?.[1];
  const hosts = (...counts: unknown[]) => counts.map((count, i) => host(`h${i}`, { ...(count !== undefined && { count: count as number }) }));
  const template = { host: "h0", pool: "default", volume: "golden.qcow2" };

  it("is asked to be as large as the fleet, however its size is declared", () => {
    assert.equal(asked({ count: 5 }), "5");
    assert.equal(asked({ countPerHost: 3 }), "12");
    assert.equal(asked({ hosts: hosts(3, 2, undefined), template }), "5");
    assert.equal(asked({ hosts: hosts(1, 0), template }), undefined, "one is enough for one");
  });

  it("is not judged by a size that nobody knows yet", () => {
    const unknown = Symbol("unknown");
    const judged = (more: Record<string, unknown>) => (parseFleetSpec({ ...inputs(), guest: small, count: undefined, ...more }, { isUnknown: (value: unknown) => value === unknown }).problems ?? []).map(formatProblem);
    for (const more of [{ count: unknown }, { countPerHost: unknown }, { hosts: hosts(3, unknown, 1), template }, { hosts: unknown, count: undefined }]) assert.deepEqual(judged(more), []);
  });

  it("may be of one address, a whole network of one or two, and of IPv6 to the network's end", () => {
    const one = (guest: Record<string, unknown>) => problems({ addresses: [guest] }, { count: 1 });
    assert.deepEqual(one({ from: "10.0.0.10", to: "10.0.0.10", prefix: 32 }), []);
    assert.deepEqual(one({ from: "fd00::10", to: "fd00::10", prefix: 128 }), []);
    assert.deepEqual(one({ from: "10.0.0.1", to: "10.0.0.1", prefix: 31, gateway: "10.0.0.0" }), []);
    assert.deepEqual(one({ from: "10.0.0.2", to: "10.0.0.2", prefix: 31, gateway: "10.0.0.3" }), []);
    assert.deepEqual(addresses(six({ to: "fd00::ffff:ffff:ffff:ffff" })), []);
    assert.match(one({ from: "10.0.0.0", to: "10.0.0.1", prefix: 30 }).join(), /the network's own/);
  });

  it("may have its router right beside it, and not at either of its ends", () => {
    for (const gateway of ["10.0.0.9", "10.0.3.251"]) assert.deepEqual(addresses({ gateway }), [], gateway);
    for (const gateway of ["10.0.0.10", "10.0.3.250"]) assert.match(addresses({ gateway }).join(), /an address outside from to to, got .*; a member would get it$/, gateway);
  });

  it("has its router neither before its network nor behind it, nor at the network's own address", () => {
    for (const gateway of ["9.255.255.255", "10.0.4.0"]) assert.match(addresses({ gateway }).join(), /expected an address in 10\.0\.0\.0\/22, got/, gateway);
    assert.match(addresses({ gateway: "10.0.0.0" }).join(), /it is the network's own$/);
    assert.match(addresses({ gateway: "10.0.3.255" }).join(), /it is the network's broadcast address$/);
    assert.deepEqual(addresses(six({ gateway: "fd00::" })), [], "IPv6 has routers there");
    assert.match(addresses(six({ gateway: "ff02::1" })).join(), /expected an address in fd00::\/64, got "ff02::1"/);
    assert.match(addresses(six({ gateway: "fd00::20" })).join(), /outside from to to/);
  });

  it("may have name servers right beside it, and not at either of its ends", () => {
    const served = (server: string) => problems({ addresses: [range()], dnsServers: [server] });
    for (const server of ["10.0.0.9", "10.0.3.251", "fd00::1", "::a00:20"]) assert.deepEqual(served(server), [], server);
    for (const server of ["10.0.0.10", "10.0.3.250"]) assert.match(served(server).join(), /one in it; a member would get its address$/, server);
  });

  it("may lie before or behind another card's, and overlaps it where they share one address", () => {
    const [low, high] = [{ from: "10.0.0.10", to: "10.0.0.99" }, { from: "10.0.1.10", to: "10.0.1.99" }];
    assert.deepEqual([addresses(low, high), addresses(high, low)], [[], []]);
    assert.match(addresses(low, { from: "10.0.0.99", to: "10.0.1.99" }).join(), /guest\.addresses\[1\]: expected a range that no other card has addresses of/);
    assert.match(addresses(high, { from: "10.0.0.10", to: "10.0.1.10" }).join(), /guest\.addresses\[1\]: expected a range that no other card has addresses of/);
  });
});

describe("a host name or domain with placeholders", () => {
  it("is judged by what the last slot makes of it, too, and no slot behind that", () => {
    const hostname = `${"x".repeat(62)}{slot}`;
    assert.deepEqual(problems({ hostname }, { count: 10 }), []);
    assert.match(problems({ hostname }, { count: 11 }).join(), /^guest\.hostname: expected a host name/);
  });

  it("is judged by each host's name and rack", () => {
    const on = (hostname: string) => problems({ hostname }, { hosts: [host("a1", { rack: "rack-a" }), host("a_2", { rack: "rack_b" })] }).join();
    assert.match(on("{host}-{slot}"), /got "a_2-0"/);
    assert.match(on("{rack}-{slot}"), /got "rack_b-0"/);
    assert.match(problems({ domain: "{rack}.example" }, { hosts: [host("a1", { rack: "rack_b" })] }).join(), /^guest\.domain: expected a domain .*got "rack_b\.example"$/);
  });

  it("that says all itself is told as it stands", () => {
    assert.deepEqual(problems({ hostname: "db_1" }), ["guest.hostname: expected a host name (letters, digits and '-', neither first nor last, at most 63), got \"db_1\""]);
  });

  it("with a misspelt one is told once", () => {
    for (const guest of [{ domain: "{rak}..example" }, { ignition: "{rak}" }, { cloudInit: { userData: "{rak}" } }, { cloudInit: { metaData: "- {rak}" } }]) {
      assert.match(problems(guest).join("|"), /^[^|]*where a word stands in braces[^|]*$/, JSON.stringify(guest));
    }
  });
});

describe("user data", () => {
  const none = /^guest\.cloudInit\.userData: expected a text that begins with #cloud-config/;

  it("is known by its first line, whatever blanks stand behind it", () => {
    for (const first of ["#cloud-config ", "#cloud-config\r", "#include\t", "##template:jinja", "## template: jinja ", "##  template:  jinja\r"]) assert.deepEqual(texts({ userData: `${first}\n# x\n` }), [], JSON.stringify(first));
    for (const first of [" #cloud-config", "#cloud-configs", "# template: jinja", "x ## template: jinja", "## template: jinja2", "## template: jinja x"]) assert.match(texts({ userData: `${first}\n# x\n` }).join(), none, JSON.stringify(first));
  });

  it("that says cloud-config is read, whatever blanks stand behind that", () => {
    for (const first of ["#cloud-config", "#cloud-config  ", "#cloud-config\r"]) assert.match(texts({ userData: `${first}\n- a\n` }).join(), /expected a YAML mapping \(key: value\), got a list/, JSON.stringify(first));
    assert.match(texts({ userData: "#cloud-config\nhello\n" }).join(), /got a single value/);
  });

  it("is MIME where a header says so, in whatever order and with whatever ends of lines", () => {
    for (const text of ["MIME-Version: 1.0\r\nContent-Type: multipart/mixed\r\n\r\n--x", "content-type:multipart/mixed\n\n", "CONTENT-TYPE:  multipart/mixed\n\n"]) assert.deepEqual(texts({ userData: text }), [], JSON.stringify(text));
    const later = "Content-Type: multipart/mixed\n";
    for (const text of [`a: b\n\n${later}`, `a: b\r\n\r\n${later}`, `a: b\n\r\n${later}`, `a: b\r\n\n${later}`, `x-${later}`, `${"a: b\n".repeat(1000)}${later}`, "Content-Type: text/plain\n"]) assert.match(texts({ userData: text }).join(), none, JSON.stringify(text.slice(0, 40)));
  });

  it("may have just so many bytes, once it is filled in as well", () => {
    const head = "#!/bin/sh\n";
    const of = (length: number, rest = "") => texts({ userData: `${head}${rest}${"x".repeat(length - head.length - rest.length)}` });
    assert.deepEqual(of(MAX_BYTES), []);
    assert.equal(of(MAX_BYTES + 1).length, 1);
    assert.deepEqual(of(MAX_BYTES - 5, "{name}"), [], "workers-000 has five characters more");
    assert.deepEqual(of(MAX_BYTES - 4, "{name}"), [`guest.cloudInit.userData: expected at most ${MAX_BYTES} bytes once placeholders are filled in, got ${MAX_BYTES + 1}`]);
    assert.match(of(MAX_BYTES, "{name}").join(), /once placeholders are filled in/);
    assert.doesNotMatch(of(MAX_BYTES + 1, "{name}").join(), /once placeholders are filled in/);
  });
});

describe("meta data, network configurations and Ignition", () => {
  it("that hold nothing are told: only cloud-config may be empty", () => {
    for (const key of ["metaData", "networkConfig"]) assert.deepEqual(texts({ [key]: "# later\n" }), [`guest.cloudInit.${key}: expected a YAML mapping (key: value), got nothing`]);
  });

  it("are told once where YAML cannot read them", () => assert.equal(texts({ metaData: "a: 'b" }).length, 1));

  it("are objects, and nothing else that JSON has", () => {
    for (const ignition of ["null", "[]", "5", "{"]) assert.match(problems({ ignition }).join(), /^guest\.ignition: expected a JSON object as Ignition takes it/, ignition);
  });

  it("of Ignition are recorded as they were written", () => {
    const ignition = '{"ignition":{"version":"3.4.0"},"x":"{name}"}';
    assert.deepEqual(parseFleetSpec({ ...inputs(), guest: { ignition } }).spec?.guest, { kind: "ignition", config: ignition });
  });
});

describe("other inputs beside what guests are told", () => {
  it("may be a data disk of any label but the image's", () => {
    assert.deepEqual(problems({}, { vm: { networks: [{ network: "default" }], disks: [{ label: "data", sizeBytes: 10e9 }] } }), []);
  });

  it("are keys without the end of the line that they were read with", () => {
    const { guest } = parseFleetSpec({ ...inputs(), guest: { sshAuthorizedKeys: [`${KEY}\n`] } }).spec!;
    assert.deepEqual(guest.kind === "cloudInit" && guest.sshAuthorizedKeys, [KEY]);
  });
});
