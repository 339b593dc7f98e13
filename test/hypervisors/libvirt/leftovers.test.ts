import assert from "node:assert/strict";
import fc from "fast-check";
import { keptDisks } from "../../../provider/hypervisors/libvirt/look/dataDisks";
import { isMarkerOf, leftoverVolumes, type Owner, type OwnVolume } from "../../../provider/hypervisors/libvirt/look/leftovers";
import { contentPrefix, volumeName, type VolumeName, type VolumeScope } from "../../../provider/hypervisors/libvirt/volumes/names";

const SCOPE: VolumeScope = { fleetId: "fleetaaaaa", hostUuid: "11111111-2222-3333-4444-555555555555" };
const CONTENT = "c".repeat(64);
const OTHER = "d".repeat(64);

const volume = (name: VolumeName): OwnVolume => {
  const text = volumeName(SCOPE, name);
  return { name, facts: { volume: text, key: `/pool/${text}`, path: `/pool/${text}`, mtime: "", format: "qcow2", capacityBytes: 10, allocationBytes: 1 } };
};
const seen = ({ facts }: OwnVolume) => ({ ...facts, name: facts.volume });
const owner = (changes: Partial<Owner> = {}): Owner => ({ slot: 3, generation: 1, chain: [], disks: [], flat: false, unarrived: false, told: [], ...changes });
const of = { slot: 3, generation: 1 };
const base = volume({ kind: "base", ...of });
const delta = volume({ kind: "delta", ...of });
const identity = volume({ kind: "identity", ...of });
const early = volume({ kind: "early", ...of });
const disk = volume({ kind: "disk", ...of, label: "data", onDelete: "delete" });
const pending = volume({ kind: "pending", ...of, label: "data" });
const arriving = volume({ kind: "arriving", of: "base", ...of, contentId: CONTENT, since: { bootSeconds: 1, bootId: "b" } as never });
const replica = volume({ kind: "replica", contentPrefix: contentPrefix(CONTENT), format: "qcow2" });
const upload = volume({ kind: "template", contentPrefix: contentPrefix(CONTENT), format: "qcow2" });
const whole = volume({ kind: "complete", of: "replica", contentId: CONTENT });
const map = volume({ kind: "map", id: "x" });

const left = (volumes: OwnVolume[], owners: Owner[] = []): string[] => leftoverVolumes(volumes, owners).map((one) => one.name.kind);

describe("what is a leftover among a fleet's volumes", () => {
  it("everything that no member has, but data disks without their mark", () => {
    assert.deepEqual(left([base, delta, early, disk, arriving, map]), ["base", "delta", "early", "arriving", "map"]);
    assert.deepEqual(left([disk, pending]), ["disk", "pending"]);
  });

  it("what tells a guest who it is, where no definition of a member names it", () => {
    assert.deepEqual(left([identity]), ["identity"]);
    assert.deepEqual(left([identity], [owner()]), ["identity"], "made for a member that a killed run did not get to change");
    assert.deepEqual(left([identity], [owner({ told: [identity.facts.volume] })]), []);
    assert.deepEqual(left([identity], [owner({ told: [identity.facts.volume], generation: 2 })]), ["identity"]);
  });

  for (const [why, changes] of [["slot", { slot: 4 }], ["generation", { generation: 2 }]] as const) {
    it(`a disk whose ${why} no member has, whatever other members there are`, () => {
      assert.deepEqual(left([base, delta, early], [owner(changes)]), ["base", "delta", "early"]);
      assert.deepEqual(left([disk, pending], [owner(changes)]), ["disk", "pending"]);
    });
  }

  it("of a member that is there only its marks, an early disk that nothing waits for, and the delta of one that is flat", () => {
    assert.deepEqual(left([base, delta, disk], [owner()]), []);
    assert.deepEqual(left([base, delta, disk, early, pending, map, arriving], [owner()]), ["early", "pending", "map", "arriving"]);
    assert.deepEqual(left([base, delta, disk], [owner({ flat: true })]), ["delta"]);
    assert.deepEqual(left([base, early, arriving], [owner({ unarrived: true })]), []);
  });

  it("nothing that a member's chain or disks name, whatever its name says", () => {
    const used = owner({ slot: 9, chain: [seen(delta), seen(base)], disks: [{ ...seen(disk), label: "data", onDelete: "delete" }] });
    assert.deepEqual(left([base, delta, disk, pending], [used]), ["pending"]);
  });

  it("a data disk only with the mark of that very disk", () => {
    for (const other of [{ ...of, label: "log" }, { slot: 3, generation: 2, label: "data" }, { slot: 4, generation: 1, label: "data" }]) {
      assert.deepEqual(left([disk, volume({ kind: "pending", ...other })]), ["pending"]);
      assert.deepEqual(keptDisks([disk, volume({ kind: "pending", ...other })], []), [{ slot: 3, generation: 1, label: "data", name: disk.facts.volume }]);
    }
    assert.deepEqual(left([disk, pending], [owner()]), ["pending"], "a member's own is none, mark or not");
  });

  it("a replica or an upload without its mark, and a mark without its image", () => {
    assert.deepEqual(left([replica, upload]), ["replica", "template"]);
    assert.deepEqual(left([replica, whole]), []);
    assert.deepEqual(left([upload, whole]), ["template", "complete"], "the mark says of which kind of image it is");
    assert.deepEqual(left([whole]), ["complete"]);
    assert.deepEqual(left([replica, volume({ kind: "complete", of: "replica", contentId: OTHER })]), ["replica", "complete"], "and of which content");
    assert.equal(isMarkerOf(base.name, replica.name as never), false);
  });

  it("and what is kept of members that are no more is no leftover", () => {
    assert.deepEqual(keptDisks([disk, base], []), [{ slot: 3, generation: 1, label: "data", name: disk.facts.volume }]);
    assert.deepEqual(keptDisks([disk, pending], []), []);
    assert.deepEqual(keptDisks([disk], [owner()]), []);
    assert.deepEqual(keptDisks([disk], [owner({ slot: 4 })]).length, 1);
    assert.deepEqual(keptDisks([disk], [owner({ generation: 2 })]).length, 1);
  });

  it("never both a leftover and kept", () => {
    const all = [base, delta, early, disk, pending, arriving, replica, upload, whole, map];
    fc.assert(fc.property(fc.subarray(all), fc.array(fc.record({ slot: fc.constantFrom(3, 4), generation: fc.constantFrom(1, 2), flat: fc.boolean(), unarrived: fc.boolean() }), { maxLength: 2 }), (volumes, owners) => {
      const members = owners.map(owner);
      const gone = new Set(leftoverVolumes(volumes, members).map(({ facts }) => facts.volume));
      for (const kept of keptDisks(volumes, members)) assert.ok(!gone.has(kept.name));
    }));
  });
});
