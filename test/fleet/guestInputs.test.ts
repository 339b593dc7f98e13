import assert from "node:assert/strict";
import { formatProblem, parseFleetSpec } from "../../provider/fleet";
import { host, inputs as valid } from "./build";

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHabc me@home";
const range = (changes: Record<string, unknown> = {}) => ({ from: "10.0.0.10", to: "10.0.3.250", prefix: 22, gateway: "10.0.0.1", ...changes });
const told = (guest: unknown, more: Record<string, unknown> = {}) => parseFleetSpec({ ...valid(), guest, ...more });
const texts = (guest: unknown, more: Record<string, unknown> = {}): string[] => (told(guest, more).problems ?? []).map(formatProblem);
const cloudInit = (changes: Record<string, unknown>) => ({ cloudInit: changes });
const addresses = (...changes: Record<string, unknown>[]) => ({ addresses: changes.map(range) });
const cards = (number: number) => ({ vm: { networks: Array.from({ length: number }, () => ({ network: "default" })) } });

const HEADER = `expected a text that begins with #cloud-config, #! or another of cloud-init's headers, or MIME multipart, got one that does not`;
const WORDS = "expected {name}, {slot}, {host}, {rack} or {fleet} where a word stands in braces";

const WRONG: [what: string, guest: unknown, problems: string[], more?: Record<string, unknown>][] = [
  ["a word that is not none", "nothing", ['guest: expected "none" or an object: { hostname, domain, cloudInit, … }, got a text of 7 bytes']],
  ["a number", 5, ['guest: expected "none" or an object: { hostname, domain, cloudInit, … }, got a number']],
  ["a misspelt property", { hostnam: "x{slot}" }, ["guest.hostnam: expected one of the properties hostname, domain, cloudInit, addresses, dnsServers, dnsDomains, sshAuthorizedKeys or ignition, got \"hostnam\"; did you mean hostname?"]],
  ["a misspelt property of cloudInit", cloudInit({ userdata: "#!/bin/sh" }), ["guest.cloudInit.userdata: expected one of the properties userData, metaData, networkConfig or vendorData, got \"userdata\"; did you mean userData?"]],
  ["a host name that all would share", { hostname: "db" }, ['guest.hostname: expected a host name that holds {name} or {slot}, got "db"; members must not share one']],
  ["a host name with an underscore", { hostname: "db_{slot}" }, [`guest.hostname: expected a host name (letters, digits and '-', neither first nor last, at most 63), got "db_0"; which "db_{slot}" becomes; leave it out to have the member's name with '-' for the rest`]],
  ["a host name that is too long once filled in", { hostname: `{name}-${"x".repeat(60)}` }, [`guest.hostname: expected a host name (letters, digits and '-', neither first nor last, at most 63), got "workers-000-${"x".repeat(45)}..."; which "{name}-${"x".repeat(60)}" becomes; leave it out to have the member's name with '-' for the rest`]],
  ["a host name with a dot", { hostname: "{name}.example.com" }, [`guest.hostname: expected a host name (letters, digits and '-', neither first nor last, at most 63), got "workers-000.example.com"; which "{name}.example.com" becomes; leave it out to have the member's name with '-' for the rest`]],
  ["a misspelt placeholder", { hostname: "{nmae}" }, [`guest.hostname: ${WORDS}, got {nmae} in line 1; did you mean {name}? {{nmae}} stands for {nmae} itself`]],
  ["an unknown placeholder, which may be a part of a secret", cloudInit({ userData: "#!/bin/sh\nawk '{print}'\n" }), [`guest.cloudInit.userData: ${WORDS}, got another word in line 2; {{word}} stands for {word} itself`]],
  ["a domain that is none", { domain: "example..com" }, ["guest.domain: expected a domain such as example.com (labels of letters, digits and '-', apart by '.'), got \"example..com\""]],
  ["a search domain that is none", { dnsDomains: ["-x"] }, ["guest.dnsDomains[0]: expected a domain such as example.com (labels of letters, digits and '-', apart by '.'), got \"-x\""]],
  ["user data without a header", cloudInit({ userData: "echo secret" }), [`guest.cloudInit.userData: ${HEADER}; begin it with "#cloud-config" or "#!/bin/sh"`]],
  ["user data that begins with a blank line, as from a template string", cloudInit({ userData: "\n#cloud-config\n" }), [`guest.cloudInit.userData: ${HEADER}; its first line is blank or begins with a blank: remove what stands before the header`]],
  ["user data that is no YAML where it says so", cloudInit({ userData: "#cloud-config\nusers: [a\nb: c\n" }), ["guest.cloudInit.userData: expected a YAML mapping (key: value), got what YAML cannot read in line 3, column 1 (bad indent)"]],
  ["YAML with an alias to nothing", cloudInit({ metaData: "a: *hunter2" }), ["guest.cloudInit.metaData: expected a YAML mapping (key: value), got aliases that cannot be followed"]],
  ["cloud-config that is a list", cloudInit({ userData: "#cloud-config\n- a\n" }), ["guest.cloudInit.userData: expected a YAML mapping (key: value), got a list"]],
  ["empty user data", cloudInit({ userData: "" }), ["guest.cloudInit.userData: expected user data as cloud-init takes it, got an empty text; leave it out for none"]],
  ["user data that is an object", cloudInit({ userData: { users: [] } }), ["guest.cloudInit.userData: expected user data as cloud-init takes it, got an object"]],
  ["user data that is too long", cloudInit({ userData: `#!/bin/sh\n${"x".repeat(524_288)}` }), ["guest.cloudInit.userData: expected user data as cloud-init takes it of at most 524288 bytes, got a text of 524298 bytes"]],
  ["user data with a zero in it", cloudInit({ userData: "#!/bin/sh\n\0" }), ["guest.cloudInit.userData: expected user data as cloud-init takes it, got one that holds a character of no text (a zero, or half of a pair)"]],
  ["vendor data without a header", cloudInit({ vendorData: "x" }), [`guest.cloudInit.vendorData: ${HEADER}; begin it with "#cloud-config" or "#!/bin/sh"`]],
  ["meta data that is a single value", cloudInit({ metaData: "hello" }), ["guest.cloudInit.metaData: expected a YAML mapping (key: value), got a single value"]],
  ["meta data that YAML cannot read", cloudInit({ metaData: "a: 'b" }), ["guest.cloudInit.metaData: expected a YAML mapping (key: value), got what YAML cannot read in line 1, column 6 (missing char)"]],
  ["meta data with an instance id", cloudInit({ metaData: "instance-id: i-1" }), ["guest.cloudInit.metaData: expected no instance-id, got one; the provider makes it, new where the content is new: remove it"]],
  ["meta data with a host name", cloudInit({ metaData: '{"local-hostname": "x"}' }), ["guest.cloudInit.metaData: expected no local-hostname, got one; say guest.hostname instead"]],
  ["keys in two places", { sshAuthorizedKeys: [KEY], ...cloudInit({ metaData: "public-keys: [x]" }) }, ["guest.cloudInit.metaData: expected no public-keys beside guest.sshAuthorizedKeys, got both; remove one"]],
  ["a network configuration that is a list", cloudInit({ networkConfig: "[]" }), ["guest.cloudInit.networkConfig: expected a YAML mapping (key: value), got a list"]],
  ["a network configuration beside addresses", { ...addresses({}), ...cloudInit({ networkConfig: "version: 2" }) }, ["guest.addresses: expected nothing beside cloudInit.networkConfig, got addresses; remove one of them"]],
  ["a network configuration beside name servers", { dnsServers: ["1.1.1.1"], ...cloudInit({ networkConfig: "version: 2" }) }, ["guest.dnsServers: expected nothing beside cloudInit.networkConfig, got dnsServers; remove one of them"]],
  ["a private key", { sshAuthorizedKeys: ["-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2"] }, ['guest.sshAuthorizedKeys[0]: expected a public key such as "ssh-ed25519 AAAA… name", got a private one; give the file that ends in .pub', 'guest.sshAuthorizedKeys[0]: expected a public key such as "ssh-ed25519 AAAA… name", got a text of 43 bytes that is none']],
  ["no key at all", { sshAuthorizedKeys: ["hunter2"] }, ['guest.sshAuthorizedKeys[0]: expected a public key such as "ssh-ed25519 AAAA… name", got a text of 7 bytes that is none']],
  ["an address that is none", addresses({ from: "10.0.0.300" }), ['guest.addresses[0].from: expected an IPv4 or IPv6 address such as 10.0.0.10, got "10.0.0.300"']],
  ["a range that ends before it begins", addresses({ from: "10.0.0.30", to: "10.0.0.20" }), ['guest.addresses[0].to: expected an address from 10.0.0.30 on, got "10.0.0.20"; from is the first, to the last']],
  ["a range of two families", addresses({ to: "fd00::1" }), ['guest.addresses[0].to: expected an IPv4 address, as from is, got "fd00::1"']],
  ["a range that leaves its network", addresses({ to: "10.0.4.10" }), ['guest.addresses[0].to: expected an address in the network of from, 10.0.0.0/22, which ends at 10.0.3.255, got "10.0.4.10"; lower it, or make prefix smaller']],
  ["a range that begins with the network's address", addresses({ from: "10.0.0.0" }), ['guest.addresses[0].from: expected an address of a machine, got "10.0.0.0"; it is the network\'s own; begin one later', 'guest.addresses[0].gateway: expected an address outside from to to, got "10.0.0.1"; a member would get it']],
  ["a range that ends with the broadcast address", addresses({ to: "10.0.3.255" }), ['guest.addresses[0].to: expected an address of a machine, got "10.0.3.255"; it is the network\'s broadcast address; end one earlier']],
  ["a range of multicast addresses", addresses({ from: "224.0.0.1", to: "224.0.0.99", prefix: 24, gateway: undefined }), ['guest.addresses[0].from: expected an address that a machine can have, got "224.0.0.1"; it is a group\'s']],
  ["a range of loopback addresses", addresses({ from: "127.0.0.1", to: "127.0.0.99", prefix: 24, gateway: undefined }), ['guest.addresses[0].from: expected an address that a machine can have, got "127.0.0.1"; it is each machine\'s own']],
  ["a prefix longer than the address", addresses({ prefix: 33 }), ["guest.addresses[0].prefix: expected an integer from 1 to 32 for IPv4, got 33"]],
  ["a router among the members", addresses({ gateway: "10.0.0.99" }), ['guest.addresses[0].gateway: expected an address outside from to to, got "10.0.0.99"; a member would get it']],
  ["a router in another network", addresses({ gateway: "10.1.0.1" }), ['guest.addresses[0].gateway: expected an address in 10.0.0.0/22, got "10.1.0.1"']],
  ["a router of another family", addresses({ gateway: "fd00::1" }), ['guest.addresses[0].gateway: expected an IPv4 address, as from is, got "fd00::1"']],
  ["a router at the broadcast address", addresses({ gateway: "10.0.3.255" }), ['guest.addresses[0].gateway: expected an address of a machine, got "10.0.3.255"; it is the network\'s broadcast address']],
  ["a name server among the members", { ...addresses({}), dnsServers: ["10.0.0.53"] }, ["guest.dnsServers: expected name servers outside guest.addresses[0], got one in it; a member would get its address"]],
  ["a range that is too small for the fleet", addresses({ to: "10.0.0.20" }), ["guest.addresses[0].to: expected a range for at least 12 members, got 11 addresses; raise to, which may be 10.0.3.254 at most"]],
  ["a card that is not there", addresses({ card: 1 }), ["guest.addresses[0].card: expected the place of one of the 1 network cards in vm.networks, got 1; cards count from 0"]],
  ["addresses without a card", addresses({}), ["guest.addresses[0]: expected the place of one of the 0 network cards in vm.networks, got 0; add a card"], cards(0)],
  ["name servers without a card", { dnsServers: ["1.1.1.1"] }, ["guest.dnsServers: expected a network card in vm.networks for it, got none; add one, or remove it"], cards(0)],
  ["two cards whose ranges overlap", addresses({}, { from: "10.0.3.250", to: "10.0.3.254", gateway: undefined }), [
    "guest.addresses[1]: expected a range that no other card has addresses of, got 10.0.3.250 to 10.0.3.254; guest.addresses[0] overlaps it",
    "guest.addresses[1].to: expected a range for at least 12 members, got 5 addresses; raise to, which may be 10.0.3.254 at most",
  ], cards(2)],
  ["two ranges for one card", addresses({ card: 0 }, { card: 0, from: "10.1.0.10", to: "10.1.0.99", gateway: undefined }), ["guest.addresses[1]: expected one range of IPv4 for each card, got two for card 0; guest.addresses[0] is the other"]],
  ["an IPv6 range that is too small", addresses({ from: "fd00::10", to: "fd00::12", prefix: 64, gateway: "fd00::1" }), ["guest.addresses[0].to: expected a range for at least 12 members, got 3 addresses; raise to, which may be fd00::ffff:ffff:ffff:ffff at most"]],
  ["a data disk with the serial number of the image", { hostname: "{name}" }, ["vm.disks[0].label: expected another label than cidata, got it; it is the serial number of the disk that tells a guest who it is"], { vm: { disks: [{ label: "cidata", sizeBytes: 10e9 }] } }],
  ["Ignition beside cloud-init", { ignition: '{"ignition":{"version":"3.4.0"}}', cloudInit: {} }, ["guest.cloudInit: expected nothing beside ignition, got cloudInit; say it in the Ignition configuration, or remove ignition"]],
  ["Ignition as Butane's YAML", { ignition: "variant: fcos\nversion: 1.5.0\n" }, ["guest.ignition: expected a JSON object as Ignition takes it, got a text that is none; `butane` makes one of Butane's YAML"]],
  ["Ignition without its version", { ignition: "{}" }, ['guest.ignition: expected ignition.version in the Ignition configuration, got none; add it, for example "3.4.0"']],
];

describe("what guests are told that nobody can be told", () => {
  for (const [what, guest, problems, more] of WRONG) it(what, () => assert.deepEqual(texts(guest, more), problems));

  it("shows nothing of what may be secret", () => {
    const secret = "hunter2";
    for (const text of [secret, `#cloud-config\n- ${secret}`, `#cloud-config\na: [${secret}\nb`, `#!/bin/sh\n{${secret.slice(0, 6)}}`, `${secret}\0`, [secret], { [secret]: 1 }]) {
      for (const key of ["userData", "vendorData", "metaData", "networkConfig"]) {
        for (const problem of texts(cloudInit({ [key]: text }))) assert.doesNotMatch(problem, /hunter/, problem);
      }
      for (const problem of texts({ ignition: text })) assert.doesNotMatch(problem, /hunter/, problem);
    }
  });

  it("is not judged again of what is recorded: nobody is kept from removing a fleet", () => {
    assert.ok(parseFleetSpec({ ...valid(), guest: { hostname: "db" } }, { recorded: true }).spec);
  });
});

describe("what guests are told", () => {
  const GOOD: [what: string, guest: unknown, more?: Record<string, unknown>][] = [
    ["nothing", "none"], ["all by default", {}], ["two cards", addresses({}, { from: "192.168.0.10", to: "192.168.0.99", prefix: 24, gateway: undefined }), cards(2)],
    ["both families of one card", addresses({ card: 0 }, { card: 0, from: "fd00::10", to: "fd00::ffff", prefix: 64, gateway: "fe80::1" })],
    ["a range of a whole small network", addresses({ from: "10.0.0.0", to: "10.0.0.1", prefix: 31, gateway: undefined }), { count: 2 }],
    ["keys with options", { sshAuthorizedKeys: [KEY, `from="10.0.0.0/8" ${KEY}`, `${KEY}\n`, "ecdsa-sha2-nistp256 AAAAE2VjZHNh", "sk-ssh-ed25519@openssh.com AAAAGnNr"] }],
    ["shell", cloudInit({ userData: "#!/bin/bash\nx=${name} y=%{http} z=$(awk '{ print }') {a,b} {1..3} ${#name}\n" })],
    ["a template", cloudInit({ userData: "## template: jinja\n#cloud-config\nfqdn: {{ v1.local_hostname }}\n" })],
    ["MIME", cloudInit({ userData: "Content-Type: multipart/mixed; boundary=\"x\"\nMIME-Version: 1.0\n\n--x\n" })],
    ["an include", cloudInit({ userData: "#include\nhttps://example.com/x\n" })],
    ["cloud-config with a key twice, which cloud-init takes", cloudInit({ userData: "#cloud-config\na: 1\na: 2\n" })],
    ["cloud-config with nothing but comments", cloudInit({ userData: "#cloud-config\n# later\n" })],
    ["JSON", cloudInit({ metaData: '{"role": "x"}', networkConfig: '{"version": 2}' })],
    ["Ignition", { ignition: '{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/etc/hostname","contents":{"source":"data:,{name}"}}]}}' }],
  ];
  for (const [what, guest, more] of GOOD) it(`may be ${what}`, () => assert.deepEqual(texts(guest, more), []));

  it("is the least by default, and nothing to fleets of versions that told nothing", () => {
    const least = { kind: "cloudInit", addresses: [], dnsServers: [], dnsDomains: [], sshAuthorizedKeys: [] };
    assert.deepEqual(parseFleetSpec(valid()).spec?.guest, least);
    assert.deepEqual(parseFleetSpec(valid(), { defaultsVersion: 1 }).spec?.guest, { kind: "none" });
    assert.deepEqual(parseFleetSpec({ ...valid(), guest: {} }, { defaultsVersion: 1 }).spec?.guest, least, "until their program says otherwise");
    assert.deepEqual(parseFleetSpec({ ...valid(), guest: "none" }).spec?.guest, { kind: "none" });
  });

  it("leaves fleets alone whose names are no host names", () => {
    assert.deepEqual(texts(undefined, { namePrefix: "my_fleet.a", hosts: [host("a1")] }), []);
  });

  it("may be unknown in a preview: there is a plan all the same", () => {
    const unknown = Symbol("unknown");
    const isUnknown = (value: unknown): boolean => value === unknown;
    const [address, key] = [addresses({}), "sshAuthorizedKeys"];
    for (const guest of [unknown, cloudInit({ userData: unknown }), { cloudInit: unknown }, { hostname: unknown }, { ...address, dnsServers: unknown }, { [key]: unknown }, { ignition: unknown }]) {
      const { spec, problems } = parseFleetSpec({ ...valid(), guest }, { isUnknown });
      assert.deepEqual([problems, spec !== undefined], [[], true], JSON.stringify(guest));
    }
    for (const guest of [addresses({ from: unknown }), { dnsServers: [unknown] }]) {
      const { spec, problems } = parseFleetSpec({ ...valid(), guest }, { isUnknown });
      assert.deepEqual([problems, spec], [[], undefined], JSON.stringify(guest));
    }
  });

  it("names cards by their place, or as it says", () => {
    const { spec } = told(addresses({}, { card: 2, from: "10.9.0.1", to: "10.9.0.99", prefix: 24, gateway: undefined }), cards(3));
    assert.deepEqual(spec?.guest.kind === "cloudInit" && spec.guest.addresses.map(({ card }) => card), [0, 2]);
  });
});
