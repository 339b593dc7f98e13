/** What is written for a guest, to the letter: another text, hash or id is another guest to cloud-init. */
import assert from "node:assert/strict";
import { parse } from "yaml";
import { formatProblem, guestFiles, guestIdentity, parseFleetSpec, type FleetInputs } from "../../provider/fleet";
import { isDomain } from "../../provider/fleet/guest/hostnames";
import { cardsTold } from "../../provider/fleet/guest/identity";
import { fill } from "../../provider/fleet/guest/placeholders";
import type { GuestIdentity } from "../../provider/fleet/model";
import { FLEET, inputs, spec } from "./build";

type Guest = Exclude<FleetInputs["guest"], "none" | undefined>;
const MAC = "52:54:00:00:00:07";
const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHabc me@home";
const ADDRESSES = { from: "10.0.0.10", to: "10.0.0.99", prefix: 24 };
const told = (guest: Guest, slot = 7, macs: readonly string[] = [MAC]): GuestIdentity => (
  guestIdentity(spec({ guest }).guest, { fleetId: FLEET, slot, generation: 2, name: `workers-00${slot}`, host: "a1", rack: "rack-a", macs })!
);
const file = (name: string, guest: Guest): string => guestFiles(told(guest)).find((one) => one.name === name)!.text;
const network = (guest: Guest): unknown => (parse(file("network-config", guest)) as { ethernets: Record<string, unknown> }).ethernets["card0"];

describe("a guest's files", () => {
  const all: Guest = {
    hostname: "db{slot}", domain: "example.com", addresses: [{ ...ADDRESSES, gateway: "10.0.0.1" }], dnsServers: ["10.0.0.2"], dnsDomains: ["example.com"], sshAuthorizedKeys: [KEY],
    cloudInit: { userData: "#!/bin/sh\necho {name} of {fleet}\n", metaData: "role: {rack} # kept\n", vendorData: "#cloud-config\n{{a}}: {host}\n" },
  };

  it("are written so, to the letter and in this order", () => {
    assert.deepEqual(guestFiles(told(all)), [
      { name: "meta-data", text: `role: rack-a # kept\ninstance-id: "${told(all).instanceId}"\nlocal-hostname: "db7.example.com"\npublic-keys:\n  - "${KEY}"\n` },
      { name: "user-data", text: `#!/bin/sh\necho workers-007 of ${FLEET}\n` },
      {
        name: "network-config",
        text: `version: 2\nethernets:\n  card0:\n    match:\n      macaddress: "${MAC}"\n    dhcp4: false\n    addresses:\n      - "10.0.0.17/24"\n    routes:\n      - to: "0.0.0.0/0"\n        via: "10.0.0.1"\n`
          + `    nameservers:\n      addresses:\n        - "10.0.0.2"\n      search:\n        - "example.com"\n`,
      },
      { name: "vendor-data", text: "#cloud-config\n{a}: a1\n" },
    ]);
    assert.equal(file("meta-data", {}), `instance-id: "${told({}).instanceId}"\nlocal-hostname: "workers-007"\n`);
  });

  it("are none for Ignition, whose text is handed over filled in", () => {
    const guest: Guest = { ignition: '{"ignition":{"version":"3.4.0"},"x":"{name}"}' };
    assert.deepEqual([guestFiles(told(guest)), told(guest).content], [[], { kind: "ignition", config: '{"ignition":{"version":"3.4.0"},"x":"workers-007"}' }]);
  });

  it("say nothing of a network that nobody declared anything of", () => {
    assert.deepEqual(guestFiles(told({ cloudInit: { userData: "#!/bin/sh\n" } })).map(({ name }) => name), ["meta-data", "user-data"]);
  });

  it("name search domains and name servers, each without the other too", () => {
    const card = { match: { macaddress: MAC }, dhcp4: true };
    assert.deepEqual(network({ dnsDomains: ["example.com"] }), { ...card, nameservers: { search: ["example.com"] } });
    assert.deepEqual(network({ dnsServers: ["10.0.0.2"] }), { ...card, nameservers: { addresses: ["10.0.0.2"] } });
    assert.deepEqual(network({ dnsServers: ["10.0.0.2"], dnsDomains: ["example.com"] }), { ...card, nameservers: { addresses: ["10.0.0.2"], search: ["example.com"] } });
  });

  it("name no route where no router was declared, and no name servers where none were", () => {
    assert.deepEqual(network({ addresses: [ADDRESSES] }), { match: { macaddress: MAC }, dhcp4: false, addresses: ["10.0.0.17/24"] });
  });

  it("leave a card to DHCP whose range ends before the slot", () => {
    const { content } = told({ addresses: [{ ...ADDRESSES, to: "10.0.0.21" }], dnsServers: ["10.0.0.2"] }, 9, [MAC, "52:54:00:00:00:08"]);
    assert.deepEqual(content.kind === "cloudInit" && content.network, { kind: "cards", cards: [{ mac: MAC, addresses: [{ address: "10.0.0.19", prefix: 24 }] }, { mac: "52:54:00:00:00:08", addresses: [] }], dnsServers: ["10.0.0.2"], dnsDomains: [] });
    const beyond = guestIdentity(spec({ guest: { addresses: [{ ...ADDRESSES, to: "10.0.0.21" }] } }).guest, { fleetId: FLEET, slot: 12, generation: 0, name: "workers-012", host: "a1", rack: "rack-a", macs: [MAC] })!.content;
    assert.deepEqual(beyond.kind === "cloudInit" && beyond.network?.kind === "cards" && beyond.network.cards[0]!.addresses, []);
  });
});

describe("a guest's id", () => {
  it("is its machine's UUID, its generation and the beginning of its hash", () => {
    const { instanceId, hash } = told({});
    assert.match(hash, /^[0-9a-f]{32}$/);
    assert.match(instanceId, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.g2\.[0-9a-f]{16}$/);
    assert.ok(instanceId.endsWith(hash.slice(0, 16)));
  });

  it("is in every version what it was, or all guests of all fleets would be told anew", () => {
    assert.equal(told({}).hash, "21690938066f830cc1e3ad0e613fef23");
    assert.equal(told({ addresses: [ADDRESSES], dnsDomains: ["example.com"], sshAuthorizedKeys: [KEY] }).hash, "d2d9cd8e02129971b2aec19d0e95b6b6");
  });
});

describe("cards that a guest is told of", () => {
  const guestOf = (guest: FleetInputs["guest"]) => spec({ guest, vm: { networks: [{ network: "default" }, { network: "default" }, { network: "default" }] } }).guest;

  it("are those that are declared, however many have addresses", () => {
    assert.deepEqual([[], [1], [1, 2, 3]].map((networks) => cardsTold(guestOf({ addresses: [ADDRESSES] }), networks)), [0, 1, 3]);
    assert.deepEqual([cardsTold({ kind: "none" }, [1, 2]), cardsTold({ kind: "none" }, undefined)], [2, 0]);
  });

  it("are, of those it inherits, all as far as the last with addresses", () => {
    assert.equal(cardsTold(guestOf({ addresses: [{ card: 2, ...ADDRESSES }, { card: 0, ...ADDRESSES, from: "10.0.0.200", to: "10.0.0.220" }] }), undefined), 3);
    assert.equal(cardsTold(guestOf({}), undefined), 0);
  });

  it("are the first at least where it is told of name servers or domains", () => {
    for (const guest of [{ dnsServers: ["10.0.0.2"] }, { dnsDomains: ["example.com"] }, { dnsServers: ["10.0.0.2"], dnsDomains: ["example.com"] }]) {
      assert.equal(cardsTold(guestOf(guest), undefined), 1, JSON.stringify(guest));
    }
    assert.equal(cardsTold({ kind: "ignition", config: "{}" }, undefined), 0);
  });
});

describe("names of guests", () => {
  it("hold the member's name or slot: those of its host or rack are shared", () => {
    const shared = (hostname: string) => (parseFleetSpec(inputs({ guest: { hostname } })).problems ?? []).map(formatProblem);
    for (const hostname of ["db-{host}", "{rack}", "{fleet}"]) assert.match(shared(hostname).join(), /expected a host name that holds \{name\} or \{slot\}/, hostname);
    for (const hostname of ["{name}", "db{slot}"]) assert.deepEqual(shared(hostname), []);
  });

  it("stand in domains of 253 characters at most", () => {
    const labels = (last: number) => [63, 63, 63, last].map((length) => "a".repeat(length)).join(".");
    assert.deepEqual([isDomain(labels(61)), isDomain(labels(62))], [true, false]);
  });

  it("are words in braces alone that are known: others stay", () => {
    assert.equal(fill("{print} {names}", { name: "n", slot: "1", host: "h", rack: "r", fleet: "f" }), "{print} {names}");
  });
});
