import assert from "node:assert/strict";
import fc from "fast-check";
import { parse } from "yaml";
import { formatProblem, guestFiles, guestIdentity, memberMacs, type FleetInputs } from "../../provider/fleet";
import { addressOfSlot, ipOf, ipText, networkOf, slotsOf } from "../../provider/fleet/guest/addresses";
import { hostnameOfName, isHostname } from "../../provider/fleet/guest/hostnames";
import { fill, PLACEHOLDERS, placeholderProblem, type Filling } from "../../provider/fleet/guest/placeholders";
import type { GuestIdentity, GuestSpec } from "../../provider/fleet/model";
import { carryOut, empty, FLEET, made, member, plan, spec } from "./build";

const FILLING: Filling = { name: "w-007", slot: "7", host: "a1", rack: "rack-a", fleet: "abc" };
type Guest = FleetInputs["guest"];
const guestOf = (guest: Guest): GuestSpec => spec({ guest }).guest;
const who = { fleetId: FLEET, slot: 7, generation: 0, name: "workers-007", host: "a1", rack: "rack-a", macs: memberMacs(FLEET, 7, 1) };
const identity = (guest: Guest, changes: Partial<typeof who> = {}): GuestIdentity => guestIdentity(guestOf(guest), { ...who, ...changes })!;
const file = (guest: Guest, name: string): string | undefined => guestFiles(identity(guest)).find((one) => one.name === name)?.text;
const ADDRESSES = [{ from: "10.0.0.10", to: "10.0.3.250", prefix: 22, gateway: "10.0.0.1" }];

describe("placeholders", () => {
  it("are filled in wherever they stand", () => {
    assert.equal(fill("{name} {slot} {host} {rack} {fleet} x{slot}y", FILLING), "w-007 7 a1 rack-a abc x7y");
  });

  it("leave JSON, YAML, shell and others' templates as they are", () => {
    for (const text of ['{"name": "x"}', "{ name }", "{name: x}", "${name}", "${slot:-1}", "%{host}", "#{rack}", "HEAD@{fleet}", "\\{name}", "{{ name }}", "${{name}}", "{{{name}}}", "{a,b}", "{1..3}", "{Name}", "{}", "{na me}", "{name"]) {
      assert.equal(fill(text, FILLING), text);
      assert.equal(placeholderProblem(text), undefined, text);
    }
  });

  it("stand for themselves in double braces", () => {
    assert.equal(fill("{{name}} {{print}}", FILLING), "{name} {print}");
    assert.equal(placeholderProblem("{{name}} {{print}}"), undefined);
  });

  it("once filled in are not filled in again, whatever a name is", () => {
    fc.assert(fc.property(fc.string(), (text) => assert.equal(fill("{name}", { ...FILLING, name: text }), text)));
  });

  it("any text can be written so that it comes out as it is", () => {
    fc.assert(fc.property(fc.stringMatching(/^([ a-z]|\{[a-z]{1,5}\})*$/), (text) => {
      const written = text.replace(/\{([a-z]+)\}/g, (_, word: string) => `{{${word}}}`);
      fc.pre(!/[{]\{\{/.test(written));
      assert.equal(fill(written, FILLING), text);
    }));
  });

  it("that are misspelt are told, with their line", () => {
    for (const word of PLACEHOLDERS) assert.match(placeholderProblem(`a\nb\n{${word.slice(0, -1)}}`) ?? "", new RegExp(`in line 3; did you mean \\{${word}\\}`));
  });
});

describe("a slot's address", () => {
  const anyRange = fc.record({ first: fc.nat(2 ** 24), size: fc.integer({ min: 1, max: 5000 }) }).map(({ first, size }) => (
    { from: ipText({ family: 4, value: 0x0a000000n + BigInt(first) }), to: ipText({ family: 4, value: 0x0a000000n + BigInt(first + size - 1) }), size }
  ));

  it("is another for each slot, in the range, and its own for life whatever other slots there are", () => {
    fc.assert(fc.property(anyRange, fc.uniqueArray(fc.nat(6000), { maxLength: 20 }), (range, slots) => {
      const given = slots.map((slot) => addressOfSlot(range, slot));
      const had = given.filter((one) => one !== undefined);
      assert.equal(new Set(had).size, had.length);
      slots.forEach((slot, index) => assert.equal(given[index] === undefined, slot >= range.size));
      for (const one of had) assert.ok(ipOf(one).value >= ipOf(range.from).value && ipOf(one).value <= ipOf(range.to).value);
      assert.equal(slotsOf(range), BigInt(range.size));
    }));
  });

  it("reads back as it was written, of either family", () => {
    fc.assert(fc.property(fc.ipV4(), (text) => assert.equal(ipText(ipOf(text)), text)));
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }), (value) => {
      fc.pre(value >> 32n !== 0xffffn); // an IPv4 address in IPv6's clothes
      assert.deepEqual(ipOf(ipText({ family: 6, value })), { family: 6, value });
    }));
  });

  it("crosses from one last number to the next", () => {
    assert.equal(addressOfSlot(ADDRESSES[0]!, 0), "10.0.0.10");
    assert.equal(addressOfSlot(ADDRESSES[0]!, 246), "10.0.1.0");
    assert.equal(addressOfSlot(ADDRESSES[0]!, 1009), undefined);
    assert.equal(addressOfSlot({ from: "fd00::fffe", to: "fd00::1:ffff" }, 2), "fd00::1:0");
    assert.deepEqual(networkOf(ipOf("10.0.1.77"), 22), { first: ipOf("10.0.0.0").value, last: ipOf("10.0.3.255").value });
  });

  it("moves with nobody over growth and shrink", () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 5 }), (counts) => {
      const seen = new Map<number, string>();
      for (const count of counts) {
        const { found } = made({ count, guest: { addresses: ADDRESSES } });
        for (const one of found.hosts.flatMap((host) => (host.status === "reachable" ? host.members : []))) {
          const { content } = guestIdentity(guestOf({ addresses: ADDRESSES }), { ...who, slot: one.slot, name: one.name, macs: memberMacs(FLEET, one.slot, 1) })!;
          const [card] = content.kind === "cloudInit" && content.network?.kind === "cards" ? content.network.cards : [];
          const { address } = card!.addresses[0]!;
          assert.equal(seen.get(one.slot) ?? address, address);
          seen.set(one.slot, address);
        }
      }
      assert.equal(new Set(seen.values()).size, seen.size);
    }), { numRuns: 20 });
  });
});

describe("what a guest is told", () => {
  it("is by default its host name and an id of its own", () => {
    const { instanceId } = identity(undefined);
    assert.deepEqual(parse(file(undefined, "meta-data")!), { "instance-id": instanceId, "local-hostname": "workers-007" });
    assert.equal(file(undefined, "user-data"), "#cloud-config\n{}\n");
    assert.deepEqual(guestFiles(identity(undefined)).map(({ name }) => name), ["meta-data", "user-data"]);
    assert.equal(guestIdentity({ kind: "none" }, who), undefined);
  });

  it("is a host name whatever its member is called", () => {
    fc.assert(fc.property(fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/), fc.nat(1_000_000), (prefix, slot) => {
      assert.ok(isHostname(hostnameOfName(`${prefix}-${String(slot).padStart(3, "0")}`)));
    }));
  });

  it("has another id and hash for another content, generation, slot and fleet, and the same for the same", () => {
    const all = [
      identity(undefined), identity({ hostname: "x{slot}" }), identity({ cloudInit: { userData: "#!/bin/sh\n" } }), identity({ addresses: ADDRESSES }), identity({ sshAuthorizedKeys: ["ssh-rsa AAAAx"] }),
      identity(undefined, { generation: 1 }), identity(undefined, { slot: 8 }), identity(undefined, { fleetId: "other" }),
    ];
    assert.equal(new Set(all.map(({ hash }) => hash)).size, all.length);
    assert.equal(new Set(all.map(({ instanceId }) => instanceId)).size, all.length);
    assert.deepEqual(identity({ addresses: ADDRESSES }), identity({ addresses: ADDRESSES }));
    assert.equal(identity(undefined, { host: "b1", rack: "rack-b" }).hash, identity(undefined).hash, "where it is matters only to texts that say so");
    assert.notEqual(identity({ domain: "{rack}.example" }, { rack: "rack-b" }).hash, identity({ domain: "{rack}.example" }).hash);
  });

  it("is texts that cloud-init's YAML 1.1 reads as texts, and leaves declared meta data as it is", () => {
    const text = file({ hostname: "on{slot}", cloudInit: { metaData: "mode: 0755 # of {name}\nnested: { a: [1, on] }\n" }, sshAuthorizedKeys: ["ssh-rsa AAAAx y"] }, "meta-data")!;
    assert.match(text, /^mode: 0755 # of workers-007$/m);
    assert.match(text, /local-hostname: "on7"/);
    assert.deepEqual(parse(text, { version: "1.1" }), { "mode": 0o755, "nested": { a: [1, true] }, "instance-id": identity({ hostname: "on{slot}", cloudInit: { metaData: "mode: 0755 # of {name}\nnested: { a: [1, on] }\n" }, sshAuthorizedKeys: ["ssh-rsa AAAAx y"] }).instanceId, "local-hostname": "on7", "public-keys": ["ssh-rsa AAAAx y"] });
    assert.equal((parse(file({ cloudInit: { metaData: '{"role":"x"}' } }, "meta-data")!) as Record<string, unknown>)["role"], "x");
  });

  it("is a network configuration by MAC, with DHCP for cards without an entry, for both families", () => {
    const vm = { networks: [{ network: "a" }, { network: "b" }] };
    const declared = spec({ vm, guest: { addresses: [{ card: 1, from: "10.0.0.10", to: "10.0.0.99", prefix: 24, gateway: "10.0.0.1" }, { card: 1, from: "fd00::10", to: "fd00::ffff", prefix: 64, gateway: "fd00::1" }], dnsServers: ["10.0.0.2"] } });
    const macs = memberMacs(FLEET, 7, 2);
    const told = guestFiles(guestIdentity(declared.guest, { ...who, macs })!).find(({ name }) => name === "network-config")!.text;
    assert.deepEqual(parse(told), {
      version: 2,
      ethernets: {
        card0: { match: { macaddress: macs[0] }, dhcp4: true, nameservers: { addresses: ["10.0.0.2"] } },
        card1: {
          match: { macaddress: macs[1] }, dhcp4: false, addresses: ["10.0.0.17/24", "fd00::17/64"],
          routes: [{ to: "0.0.0.0/0", via: "10.0.0.1" }, { to: "::/0", via: "fd00::1" }], nameservers: { addresses: ["10.0.0.2"] },
        },
      },
    });
    assert.doesNotMatch(told, /[&*]a\d/, "no aliases, which not all readers know");
  });

  it("is the declared network configuration, filled in", () => {
    assert.equal(file({ cloudInit: { networkConfig: "version: 2 # {slot}\n" } }, "network-config"), "version: 2 # 7\n");
  });
});

describe("a plan of what guests are told", () => {
  it("changes those whose guest is told something else, and says when it is in effect", () => {
    const { found } = made({ count: 4 });
    const declared = spec({ count: 4, guest: { hostname: "db{slot}" } });
    const done = plan(declared, found);
    assert.deepEqual(done.reconfigure.map(({ changes, reason }) => [changes, reason]), Array(4).fill([[{ kind: "guest" }], "guest identity, in effect from its next start"]));
    assert.deepEqual(plan(spec({ count: 4, guest: "none" }), found).reconfigure.length, 4);
    assert.deepEqual(plan(spec({ count: 4, guest: {} }), found).reconfigure, []);
  });

  it("says it once where the hardware changes with it, and nothing of when where the member is stopped", () => {
    const { found } = made({ count: 1 });
    const [change] = plan(spec({ count: 1, vm: { networks: [{ network: "default" }], memory: 2048 }, guest: { hostname: "db{slot}" } }), found).reconfigure;
    assert.equal(change!.reason, "memory 1024 → 2048 MiB, guest identity, in effect from its next start");
    const stopped = { ...found, hosts: found.hosts.map((host) => (host.status === "reachable" ? { ...host, members: host.members.map((one) => ({ ...one, power: "stopped" as const })) } : host)) };
    assert.equal(plan(spec({ count: 1, powerOn: false, guest: { hostname: "db{slot}" } }), stopped).reconfigure[0]!.reason, "guest identity");
  });

  it("of members made before this input is without changes, until the program says otherwise", () => {
    const { found } = made({ count: 4 });
    const older = { ...found, hosts: found.hosts.map((host) => (host.status === "reachable" ? { ...host, members: host.members.map(({ guest: _guest, ...one }) => one) } : host)) };
    const declared = spec({ count: 4 });
    assert.equal(plan({ ...declared, defaultsVersion: 1, guest: { kind: "none" } }, older).keep.length, 4);
    assert.equal(plan(spec({ count: 4, guest: {} }), older).reconfigure.length, 4);
  });

  it("is refused where a range does not reach as far as the highest slot", () => {
    const declared = spec({ count: 2, guest: { addresses: [{ from: "10.0.0.10", to: "10.0.0.12", prefix: 24 }] } });
    const start = empty(declared);
    assert.deepEqual(plan(declared, start).problems, []);
    const found = carryOut(declared, start, plan(declared, start));
    const host = found.hosts[0]!;
    assert.ok(host.status === "reachable");
    host.members.push(member(9));
    const three = plan(spec({ count: 3, guest: { addresses: [{ from: "10.0.0.10", to: "10.0.0.12", prefix: 24 }] } }), found);
    assert.deepEqual(three.problems.map(formatProblem), ["guest.addresses[0].to: expected a range that reaches as far as slot 9 (workers-009), got 3 addresses from 10.0.0.10 on; raise to"]);
  });

  it("is refused where a name of a member that it takes over would be no host name", () => {
    const declared = spec({ count: 4 });
    const long = { ...declared, guest: { ...declared.guest, hostname: `${"x".repeat(61)}{slot}{slot}{slot}` } as GuestSpec };
    assert.match(plan(long, empty(declared)).problems.map(formatProblem).join(), /guest\.hostname: expected a host name .* it would be that of workers-000/);
    const without = { ...declared, vm: { ...declared.vm, networks: [] }, guest: { ...declared.guest, dnsServers: ["1.1.1.1"], addresses: [{ card: 0, from: "10.0.0.10", to: "10.0.0.99", prefix: 24 }] } as GuestSpec };
    assert.deepEqual(plan(without, empty(declared)).problems.map(({ path }) => path), ["guest.addresses[0]", "guest.dnsServers"]);
  });
});
