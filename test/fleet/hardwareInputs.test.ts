import assert from "node:assert/strict";
import { formatProblem, parseFleetSpec, readXmlPath } from "../../provider/fleet";
import { differenceOf, quietChanges } from "../../provider/fleet/members/changes";
import type { DefaultsVersion, FleetSpec } from "../../provider/fleet/model";
import { FLEET, host, inputs, member } from "./build";

const AT = { fleetId: FLEET, host: "a1", rack: "rack-a" };
const machine = { host: "a1", domain: "golden" };
const parsed = (changes: Record<string, unknown>, defaultsVersion?: DefaultsVersion) =>
  parseFleetSpec(inputs({ template: machine, hosts: [host("a1")], ...changes } as Parameters<typeof inputs>[0]), { ...(defaultsVersion && { defaultsVersion }) });
const specOf = (changes: Record<string, unknown> = {}, version?: DefaultsVersion): FleetSpec => parsed(changes, version).spec!;
const problemsOf = (changes: Record<string, unknown>): string[] => (parsed(changes).problems ?? []).map(formatProblem);

describe("hardware that is left out", () => {
  it("is inherited from a template machine, and by documented defaults elsewhere", () => {
    assert.deepEqual(specOf({ vm: {} }).vm, { hardware: "template", disks: [], autostart: false, own: { hypervisor: "libvirt" } });
    const volume = specOf({ vm: {}, template: { host: "a1", pool: "default", volume: "golden.qcow2" } });
    assert.deepEqual(volume.vm, { hardware: "defaults", leftOut: ["numCpus", "memory", "networks"], numCpus: 1, memory: 1024, networks: [], disks: [], autostart: false, own: { hypervisor: "libvirt", domainType: "kvm", arch: "x86_64" } });
  });

  it("of a fleet of versions before is by documented defaults, until its program says otherwise", () => {
    assert.equal(specOf({ vm: {} }, 1).vm.hardware, "defaults");
    assert.equal(specOf({ vm: {} }, 1).vm.memory, 1024);
    assert.equal(specOf({ vm: { hardware: "template" } }, 1).vm.hardware, "template");
    assert.equal(specOf({ vm: { hardware: "defaults" } }, 2).vm.memory, 1024);
  });

  it("changes no member that is there: only what is declared is compared", () => {
    const inherits = specOf({ vm: {} });
    assert.equal(differenceOf(inherits, member(0, { numCpus: 16, memory: 12, networks: ["lab", "bridge/br0"] }), AT), null);
    const { changes } = differenceOf(specOf({ vm: { memory: 4096 } }), member(0, { numCpus: 16, memory: 12, networks: ["lab"] }), AT)!;
    assert.deepEqual(changes, [{ kind: "hardware", numCpus: 16, memory: 4096, networks: ["lab"] }]);
  });

  it("of members that inherited theirs stays so, though the template is a bare disk by now", () => {
    const volume = { host: "a1", pool: "default", volume: "golden.qcow2" };
    const inherited = { numCpus: 16, memory: 12, networks: ["lab"], inherits: true };
    assert.equal(differenceOf(specOf({ vm: {}, template: volume }), member(0, inherited), AT), null);
    const { changes } = differenceOf(specOf({ vm: { memory: 4096 }, template: volume }), member(0, inherited), AT)!;
    assert.deepEqual(changes, [{ kind: "hardware", numCpus: 16, memory: 4096, networks: ["lab"] }], "of it that goes which is declared");
    const made = { ...inherited, inherits: false };
    assert.deepEqual(differenceOf(specOf({ vm: {}, template: volume }), member(0, made), AT)?.changes, [{ kind: "hardware", numCpus: 1, memory: 1024, networks: [] }], "a control: one that defaults made");
  });

  it("is told where its meaning changes, since members that exist keep what they have", () => {
    const says = (before: FleetSpec, after: FleetSpec) => quietChanges(before, after).join();
    assert.match(says(specOf({}, 1), specOf({ vm: { hardware: "template" } }, 1)), /^vm\.(domainType, vm\.arch, vm\.)?hardware|vm\.hardware/);
    assert.match(says(specOf({ vm: { xml: { "./on_crash": "a" } } }), specOf({ vm: { xml: { "./on_crash": "b" } } })), /^vm\.xml: the change concerns new members/);
    assert.equal(says(specOf({ vm: { xml: { "./a": "1", "./b": "2" } } }), specOf({ vm: { xml: { "./b": "2", "./a": "1" } } })), "", "in whatever order they are written");
  });
});

describe("vm.xml and vm.hardware that are wrong", () => {
  const volume = { host: "a1", pool: "default", volume: "v" };
  const path = (text: string) => `expected a path such as ./cpu/@mode, ./devices/disk[1]/driver/@cache or ./devices/interface[@type='bridge'], got ${JSON.stringify(text)}`;
  const CASES: [vm: unknown, template: unknown, ...problems: string[]][] = [
    [{ hardware: "golden" }, machine, 'vm.hardware: expected template or defaults, got "golden"'],
    [{ hardware: "templat" }, machine, 'vm.hardware: expected template or defaults, got "templat"; did you mean template?'],
    [{ hardware: "template" }, volume, 'vm.hardware: expected a template { host, domain } beside "template", got one that is no machine; name the domain that has the disk, or leave hardware out'],
    [{ firmware: "uefi" }, volume, 'vm.firmware: expected bios or efi, got "uefi"; did you mean efi?'],
    [{ firmware: "bios", efiSecureBootEnabled: true }, volume, 'vm.efiSecureBootEnabled: expected vm.firmware "efi" beside vm.efiSecureBootEnabled, got "bios"; remove one of them'],
    [{ efiSecureBootEnabled: true, kernel: "/k" }, volume, "vm.kernel: expected no kernel of the host's beside efiSecureBootEnabled, got one, which nobody signed for it; remove one of them"],
    [{ vtpm: true }, volume, 'vm.vtpm: expected { version: "2.0" } or false, got true'],
    [{ vtpm: { version: "3" } }, volume, 'vm.vtpm.version: expected 1.2 or 2.0, got "3"'],
    [{ cpuMode: "host" }, volume, 'vm.cpuMode: expected host-passthrough, host-model or maximum, got "host"'],
    [{ numCpus: 4, maxCpus: 2 }, volume, "vm.maxCpus: expected at least vm.numCpus, which is 4, got 2; raise it, or leave it out"],
    [{ memory: 1024, maxMemory: 512 }, machine, "vm.maxMemory: expected at least vm.memory, which is 1024, got 512; raise it, or leave it out"],
    [{ maxCpus: 0, maxMemory: "much" }, volume, "vm.maxCpus: expected an integer from 1 to 1024, got 0", 'vm.maxMemory: expected an integer from 1 to 67108864, got "much"'],
    [{ rootDisk: { sizeBytes: 3 } }, volume, "vm.rootDisk.sizeBytes: expected a number of bytes of at least 1048576, such as 50e9, got 3"],
    [{ rootDisk: 5e9 }, volume, "vm.rootDisk: expected an object: { sizeBytes }, got 5000000000"],
    [{ xml: "./cpu" }, machine, 'vm.xml: expected an object of paths into the domain\'s XML and what is to stand there, such as { "./cpu/@mode": "host-passthrough" }, got "./cpu"'],
    [{ xml: ["./cpu"] }, machine, 'vm.xml: expected an object of paths into the domain\'s XML and what is to stand there, such as { "./cpu/@mode": "host-passthrough" }, got a list'],
    [{ xml: { "cpu/@mode": "x" } }, machine, `vm.xml["cpu/@mode"]: ${path("cpu/@mode")}`],
    [{ xml: { "//cpu": "x" } }, machine, `vm.xml["//cpu"]: ${path("//cpu")}`],
    [{ xml: { "./devices/disk[last()]": false } }, machine, `vm.xml["./devices/disk[last()]"]: ${path("./devices/disk[last()]")}`],
    [{ xml: { "./devices/disk[0]": false } }, machine, `vm.xml["./devices/disk[0]"]: ${path("./devices/disk[0]")}`],
    [{ xml: { "./cpu/@mode/x": "x" } }, machine, `vm.xml["./cpu/@mode/x"]: ${path("./cpu/@mode/x")}`],
    [{ xml: { "./": "x" } }, machine, `vm.xml["./"]: ${path("./")}`],
    [{ xml: { "./name": "x" } }, machine, 'vm.xml["./name"]: expected a path to what members have in common, got "./name", which follows from namePrefix; remove it'],
    [{ xml: { "./uuid": "x" } }, machine, 'vm.xml["./uuid"]: expected a path to what members have in common, got "./uuid", which follows from the fleet\'s id; remove it'],
    [{ xml: { "./metadata/x": "x" } }, machine, 'vm.xml["./metadata/x"]: expected a path to what members have in common, got "./metadata/x", which follows from the provider\'s tag; remove it'],
    [{ xml: { "./toString/@x": true } }, machine, 'vm.xml["./toString/@x"]: expected a text, or false for no such attribute, got true'],
    [{ xml: { "./cpu/@mode": true } }, machine, 'vm.xml["./cpu/@mode"]: expected a text, or false for no such attribute, got true'],
    [{ xml: { "./cpu/@mode": 3 } }, machine, 'vm.xml["./cpu/@mode"]: expected a text, or true or false for whether the element is there, got a number'],
    [{ xml: { "./devices/graphics/@passwd": "a\u0001" } }, machine, 'vm.xml["./devices/graphics/@passwd"]: expected a text that XML can hold, got a text of 2 bytes with control characters; remove them'],
    [{ xml: { "./a[@b='\u0001']": false } }, machine, `vm.xml["./a[@b='\\u0001']"]: ${path("./a[@b='\u0001']")}`],
  ];
  for (const [vm, template, ...problems] of CASES) {
    it(`${JSON.stringify(vm)}`, () => assert.deepEqual(problemsOf({ vm, template }), problems));
  }
});

describe("a path into a definition", () => {
  it("is read as its steps", () => {
    assert.deepEqual(readXmlPath("./devices/disk[2]/driver/@cache"), { steps: [{ name: "devices" }, { name: "disk", where: { place: 2 } }, { name: "driver" }], attribute: "cache" });
    assert.deepEqual(readXmlPath("./a[@b=\"x/y]'\"]"), { steps: [{ name: "a", where: { attribute: "b", value: "x/y]'" } }] });
    assert.deepEqual(readXmlPath("./qemu:commandline"), { steps: [{ name: "qemu:commandline" }] });
  });
});
