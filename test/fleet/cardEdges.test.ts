/** Where just right and just wrong meet, in what libvirt's hosts and machines are declared to have. */
import assert from "node:assert/strict";
import { cardPlace, formatProblem, parseFleetSpec } from "../../provider/fleet";
import { templateHostOf } from "../../provider/fleet/own";
import { host, inputs } from "./build";

const problems = (changes: Record<string, unknown>): string[] => (parseFleetSpec({ ...inputs(), ...changes }).problems ?? []).map(formatProblem);
const cards = (...networks: unknown[]): string[] => problems({ vm: { networks } });
const MACHINE = { host: "a1", domain: "golden" };

describe("network cards", () => {
  it("may have what goes with what they are plugged into", () => {
    for (const card of [
      { bridge: "br0", virtualPort: "openvswitch" }, { bridge: "br0", virtualPort: "openvswitch", vlanTags: [1, 2] }, { bridge: "br0", vlanTags: [1] },
      { network: "default", mtu: 9000 }, { bridge: "br0", mtu: 9000 }, { direct: { device: "eth0" } }, { direct: { device: "eth0", mode: "passthrough" }, vlanTags: [42] }, { network: "default", vlanTags: [1, 2] },
    ]) assert.deepEqual(cards(card), [], JSON.stringify(card));
  });

  it("plugged into a device of the host's have one tag at most", () => {
    assert.deepEqual(cards({ direct: { device: "eth0", mode: "passthrough" }, vlanTags: [1, 2] }), ["vm.networks[0].vlanTags: expected one tag beside direct, got [1,2]; only Open vSwitch has trunks"]);
  });

  it("whose mode nobody knows yet are not judged by it", () => {
    const unknown = Symbol("unknown");
    const parsed = parseFleetSpec({ ...inputs(), vm: { networks: [{ direct: { device: "eth0", mode: unknown }, vlanTags: [42] }] } }, { isUnknown: (value: unknown) => value === unknown });
    assert.deepEqual((parsed.problems ?? []).map(formatProblem), []);
  });

  it("that are no objects are told once", () => {
    for (const card of [null, 5, "default", ["default"]]) assert.equal(cards(card).length, 1, JSON.stringify(card));
  });

  it("and disks are 56 at most together, and as many cards as one likes without disks", () => {
    const of = (disks: number, networks: number) => problems({
      guest: "none", vm: { disks: Array.from({ length: disks }, (_, i) => ({ label: `d${i}`, sizeBytes: 1e9 })), networks: Array.from({ length: networks }, () => ({ network: "default" })) },
    }).filter((text) => text.includes("together"));
    assert.deepEqual([of(50, 6), of(0, 60), of(50, 7)], [[], [], ["vm.disks: expected at most 56 disks and network cards together, got 50 and 7; want fewer, larger disks"]]);
  });
});

describe("what a card is plugged into", () => {
  it("is told apart by each thing that its member would be defined anew for", () => {
    const { vm } = parseFleetSpec({ ...inputs(), vm: { networks: [
      { network: "lab" }, { network: "lab", mtu: 9000 }, { network: "lab", vlanTags: [1, 2] }, { bridge: "br0" }, { bridge: "br0", virtualPort: "openvswitch", vlanTags: [7], mtu: 1400 },
      { direct: { device: "eth0" } }, { direct: { device: "eth0", mode: "passthrough" }, vlanTags: [42] },
    ] } }).spec!;
    assert.deepEqual(vm.networks!.map(cardPlace), ["lab", "lab/mtu 9000", "lab/vlan 1 2", "bridge/br0", "openvswitch/br0/vlan 7/mtu 1400", "direct/eth0/bridge", "direct/eth0/passthrough/vlan 42"]);
  });
});

describe("a template", () => {
  it("lies on the host that it names, and a file of the provider's on none", () => {
    const of = (template: object) => templateHostOf(parseFleetSpec({ ...inputs(), template }).spec!.template);
    assert.deepEqual([of({ host: "b1", pool: "default", volume: "v" }), of({ host: "b2", domain: "golden" }), of({ file: "./golden.qcow2" })], ["b1", "b2", undefined]);
  });

  it("of no properties is told as that", () => {
    assert.match(problems({ template: {} }).join(), /template: expected \{ host, pool, volume \}, .* got an empty object; name exactly one of volume, domain and file/);
  });
});

describe("ports for transfers", () => {
  it("may be a single one, and are told as they were written where they go backwards", () => {
    const of = (transferPorts: unknown) => problems({ hosts: [host("a1", { transferPorts } as never)] });
    assert.deepEqual([of("2000-2000"), of({ from: 2000, to: 2000 }), of("1024-65535")], [[], [], []]);
    assert.deepEqual(of({ from: 2000, to: 1999 }), ["hosts[0].transferPorts: expected a port range within 1024 to 65535, lowest first, got from 2000 to 1999"]);
    assert.equal(of({ from: 80, to: 90 }).filter((text) => text.includes("lowest first")).length, 0, "each end is told of by itself");
  });
});

describe("copies over TLS", () => {
  it("keep guests from starting early, and nothing else does", () => {
    assert.deepEqual(problems({ start: "immediately" }), []);
    assert.match(problems({ start: "immediately", transferTls: true }).join(), /^start: expected "whenCopied" with transferTls/);
    assert.deepEqual(problems({ start: "immediately", transferTls: false }), []);
  });
});

describe("paths into the machine itself", () => {
  const of = (xml: Record<string, unknown>) => problems({ template: MACHINE, vm: { networks: [{ network: "default" }], xml } });

  it("name an attribute of it, which is a text and is always there", () => {
    assert.deepEqual(of({ "./@type": "qemu" }), []);
    for (const value of [true, false]) assert.deepEqual(of({ "./@type": value }), [`vm.xml["./@type"]: expected a text for an attribute, got ${value}`]);
  });

  it("name elements of it that are there or not", () => {
    assert.deepEqual(of({ "./devices/memballoon": true, "./devices/watchdog": false, "./on_crash": "restart", "./cpu/@mode": false }), []);
  });
});
