import assert from "node:assert/strict";
import fc from "fast-check";
import { parseVolumeName, volumeName, type VolumeName } from "../../../provider/hypervisors/libvirt/volumes/names";
import { memberXml, volumeXml } from "../../../provider/hypervisors/libvirt/xml/domainXml";
import { parseTag, tagXml } from "../../../provider/hypervisors/libvirt/xml/tags";
import { all, parseXml, text } from "../../../provider/hypervisors/libvirt/xml/xml";

const scope = { fleetId: "abc", hostUuid: "1a2b3c4d-0000-0000-0000-000000000000" };
const label = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/);
const disk = fc.integer({ min: 1, max: 99 });
const anyName: fc.Arbitrary<VolumeName> = fc.oneof(
  fc.record({ kind: fc.constantFrom("base" as const, "delta" as const, "early" as const), slot: fc.nat(999), generation: fc.nat(9), disk }, { requiredKeys: ["kind", "slot", "generation"] }),
  fc.record({ kind: fc.constantFrom("replica" as const, "template" as const), contentPrefix: fc.stringMatching(/^[0-9a-f]{16}$/), format: fc.constantFrom("qcow2" as const, "raw" as const), disk }),
  fc.record({ kind: fc.constant("arriving" as const), of: fc.constant("base" as const), slot: fc.nat(999), generation: fc.nat(9), disk, contentId: fc.stringMatching(/^[0-9a-f]{66}$/), since: fc.record({ bootSeconds: fc.nat(2_000_000_000), upSeconds: fc.nat(1e9) }, { noNullPrototype: true }) }),
  fc.record({ kind: fc.constant("arriving" as const), of: fc.constant("replica" as const), disk, contentId: fc.stringMatching(/^[0-9a-f]{66}$/), since: fc.record({ bootSeconds: fc.nat(2_000_000_000), upSeconds: fc.nat(1e9) }, { noNullPrototype: true }) }),
  fc.record({ kind: fc.constantFrom("base" as const, "delta" as const, "identity" as const, "ignition" as const, "firmware" as const), slot: fc.nat(100_000), generation: fc.nat(99) }),
  fc.record({ kind: fc.constant("disk" as const), slot: fc.nat(999), generation: fc.nat(9), label, onDelete: fc.constantFrom("keep" as const, "delete" as const) }),
  fc.record({ kind: fc.constant("pending" as const), slot: fc.nat(999), generation: fc.nat(9), label }),
  fc.record({ kind: fc.constantFrom("replica" as const, "template" as const), contentPrefix: fc.stringMatching(/^[0-9a-f]{16}$/), format: fc.constantFrom("qcow2" as const, "raw" as const) }),
  fc.record({ kind: fc.constant("arriving" as const), of: fc.constant("base" as const), slot: fc.nat(999), generation: fc.nat(9), contentId: fc.stringMatching(/^[0-9a-f]{64}$/), since: fc.record({ bootSeconds: fc.nat(2_000_000_000), upSeconds: fc.nat(1e9) }, { noNullPrototype: true }) }),
  fc.record({ kind: fc.constant("arriving" as const), of: fc.constant("replica" as const), contentId: fc.stringMatching(/^[0-9a-f]{64}$/), since: fc.record({ bootSeconds: fc.nat(2_000_000_000), upSeconds: fc.nat(1e9) }, { noNullPrototype: true }) }),
  fc.record({ kind: fc.constant("map" as const), id: fc.stringMatching(/^[0-9a-f]{12}$/) }),
  fc.record({ kind: fc.constant("complete" as const), of: fc.constantFrom("replica" as const, "template" as const), contentId: fc.stringMatching(/^[0-9a-f]{64}$/) }),
);

describe("volume names", () => {
  it("are read back as what they were made from", () => {
    fc.assert(fc.property(anyName, (name) => assert.deepEqual(parseVolumeName(scope, volumeName(scope, name)), { ...name })));
  });

  it("are nobody else's: not another fleet's, not another host's on a shared pool", () => {
    fc.assert(fc.property(anyName, (name) => {
      const made = volumeName(scope, name);
      assert.equal(parseVolumeName({ ...scope, fleetId: "ab" }, made), null);
      assert.equal(parseVolumeName({ ...scope, hostUuid: "2b2b3c4d-0000-0000-0000-000000000000" }, made), null);
    }));
  });

  it("of other shapes are left alone, our prefix or not", () => {
    for (const name of ["disk.qcow2", "vmfleet-abc.1a2b3c4d.mine.qcow2", "vmfleet-abc.1a2b3c4d.s1.g0.base.qcow2.bak", "vmfleet-abc.1a2b3c4d.sX.g0.base.qcow2", ...["base-0", "base-01", "base-1-2"].map((kind) => volumeName(scope, { kind: "base", slot: 1, generation: 0 }).replace("base", kind))]) {
      assert.equal(parseVolumeName(scope, name), null, name);
    }
  });
});

describe("XML", () => {
  const hostile = `a"b'c<d>&e;]]>$(touch x)\`id\``;

  it("holds hostile names as text, never as markup", () => {
    assert.equal(text(parseXml(volumeXml(hostile, 1024, "raw")), "volume", "name"), hostile);
    const vm = {
      hardware: "defaults" as const, numCpus: 1, memory: 64, networks: [{ adapterType: "virtio", own: { hypervisor: "libvirt" as const, kind: "network" as const, network: hostile } }], disks: [],
      own: { hypervisor: "libvirt" as const, domainType: "qemu" as const, arch: "x86_64", kernelBoot: { kernel: hostile, cmdline: "{name} {slot}" } },
    };
    const fleet = { fleetId: "f", incarnation: hostile, namePrefix: "w" };
    const tag = { purpose: "member" as const, fleetId: "f", incarnation: hostile, slot: 1, generation: 0, kind: "full" as const, contentId: "c", base: "frozen" as const };
    const xml = memberXml({ fleet, host: "h", slot: 1, name: "w-001", kind: "full", generation: 0, contentId: "c", vm, autostart: false }, tag, [{ path: hostile, format: "qcow2" }], []);
    const domain = parseXml(xml);
    assert.equal(text(all(domain, "domain", "devices", "interface")[0], "source", "@network"), hostile);
    assert.equal(text(all(domain, "domain", "devices", "disk")[0], "source", "@file"), hostile);
    assert.equal(text(domain, "domain", "os", "kernel"), hostile);
    assert.equal(text(domain, "domain", "os", "cmdline"), "w-001 1");
    assert.equal(text(domain, "domain", "metadata", "fleet", "@incarnation"), hostile);
  });

  it("gives a tag back, and nothing for a tag that is not understood", () => {
    const tag = { purpose: "member" as const, fleetId: "f", incarnation: hostile, slot: 3, generation: 1, kind: "linked" as const, contentId: "c", base: "replica" as const };
    assert.deepEqual(parseTag(tagXml(tag)), tag);
    assert.equal(parseTag("<fleet fleetId='f' purpose='member' slot='x'/>"), null);
    assert.equal(parseTag("<other/>"), null);
  });
});
