/** What a program declares is what its spec says, to the letter: each input by itself, and nothing that it leaves out. */
import assert from "node:assert/strict";
import { parseFleetSpec } from "../../provider/fleet";
import type { FleetSpec } from "../../provider/fleet/model";
import { host, inputs } from "./build";

function parsed(changes: Record<string, unknown>): FleetSpec {
  const { spec, problems } = parseFleetSpec({ ...inputs(), ...changes });
  assert.deepEqual(problems ?? [], []);
  return spec!;
}
const machine = (vm: object) => parsed({ vm: { networks: [{ network: "default" }], ...vm } }).vm.own as unknown as Record<string, unknown>;
const plain = machine({});

describe("a machine of libvirt's", () => {
  const EACH: [vm: object, own: object][] = [
    [{ domainType: "qemu" }, { domainType: "qemu" }], [{ arch: "aarch64" }, { arch: "aarch64" }], [{ machine: "q35" }, { machine: "q35" }],
    [{ firmware: "efi" }, { firmware: "efi" }], [{ efiSecureBootEnabled: true }, { efiSecureBootEnabled: true }], [{ efiSecureBootEnabled: false }, { efiSecureBootEnabled: false }],
    [{ vtpm: { version: "2.0" } }, { vtpm: { version: "2.0" } }], [{ vtpm: false }, { vtpm: null }], [{ cpuMode: "host-model" }, { cpuMode: "host-model" }],
    [{ kernel: "/k" }, { kernelBoot: { kernel: "/k" } }], [{ kernel: "/k", initrd: "/i", cmdline: "quiet" }, { kernelBoot: { kernel: "/k", initrd: "/i", cmdline: "quiet" } }],
    [{ serialLog: "/l/{name}" }, { serialLog: "/l/{name}" }], [{ xml: { "./on_crash": "restart" } }, { xml: { "./on_crash": "restart" } }],
  ];
  for (const [vm, own] of EACH) it(`has of ${JSON.stringify(vm)} just that`, () => assert.deepEqual(machine(vm), { ...plain, ...own }));

  it("has of nothing its type and architecture alone", () => assert.deepEqual(plain, { hypervisor: "libvirt", domainType: "kvm", arch: "x86_64" }));
});

describe("cards", () => {
  it("are plugged into what they name, with an MTU where one was declared", () => {
    const { vm } = parsed({ vm: { networks: [{ network: "lab" }, { bridge: "br0", mtu: 9000 }, { bridge: "br1", virtualPort: "openvswitch" }] } });
    assert.deepEqual(vm.networks!.map(({ own, mtu }) => [own, mtu]), [
      [{ hypervisor: "libvirt", kind: "network", network: "lab" }, undefined],
      [{ hypervisor: "libvirt", kind: "bridge", bridge: "br0", isOpenVSwitch: false }, 9000],
      [{ hypervisor: "libvirt", kind: "bridge", bridge: "br1", isOpenVSwitch: true }, undefined],
    ]);
    assert.deepEqual(vm.networks!.map((one) => "mtu" in one), [false, true, false]);
  });
});

describe("a fleet", () => {
  const least = parsed({});

  it("has of each input that it may leave out just that", () => {
    for (const [input, value] of [["fleetId", "abcd"], ["timelineFile", "./t.json"], ["imageBytes", 5e9]] as const) {
      assert.equal(input in least, false, input);
      assert.deepEqual(parsed({ [input]: value }), { ...least, [input]: value });
    }
  });

  it("has an id of 4 to 32 letters and digits", () => {
    const refused = (fleetId: string) => (parseFleetSpec({ ...inputs(), fleetId }).problems ?? []).length;
    assert.deepEqual(["abcd", "a1b2", "a".repeat(32), "abc", "a".repeat(33), "abcd_", "_abcd", "Abcd"].map(refused), [0, 0, 0, 1, 1, 1, 1, 1]);
  });

  it("knows of a host its capacity where it is declared", () => {
    const { hosts } = parsed({ hosts: [host("a1", { capacity: 3 }), host("b1")] });
    assert.deepEqual(hosts.map((one) => ("capacity" in one ? one.capacity : "none")), [3, "none"]);
  });

  it("tells which parts of its members' hardware defaults made", () => {
    const leftOut = (vm: object) => parsed({ vm }).vm.leftOut;
    assert.deepEqual([leftOut({}), leftOut({ numCpus: 2 }), leftOut({ numCpus: 2, memory: 512, networks: [] })], [["numCpus", "memory", "networks"], ["memory", "networks"], undefined]);
    assert.equal("leftOut" in parsed({ vm: { numCpus: 2, memory: 512, networks: [] } }).vm, false);
    assert.equal(parsed({ vm: { numCpus: 2 } }).vm.numCpus, 2);
  });
});

describe("names that would be places above", () => {
  const refused = (changes: Record<string, unknown>) => (parseFleetSpec({ ...inputs(), ...changes }).problems ?? []).length > 0;

  it("are no volumes and no devices, though names may begin or end like them", () => {
    for (const name of [".", "..", "a/b"]) {
      assert.equal(refused({ template: { host: "a1", pool: "default", volume: name } }), true, name);
      assert.equal(refused({ vm: { networks: [{ bridge: name }] } }), true, name);
    }
    for (const name of ["...", ".a", "..b", "c."]) {
      assert.equal(refused({ template: { host: "a1", pool: "default", volume: name } }), false, name);
      assert.equal(refused({ vm: { networks: [{ bridge: name }] } }), false, name);
    }
  });
});
