import assert from "node:assert/strict";
import fc from "fast-check";
import { helperXml, type BackingXml, type HelperDiskXml } from "../../../provider/hypervisors/libvirt/xml/domainXml";
import { all, at, parseXml, text } from "../../../provider/hypervisors/libvirt/xml/xml";

const { backing } = fc.letrec<{ backing: BackingXml | null }>((tie) => ({
  backing: fc.oneof(
    { depthSize: "small" }, fc.constant(null),
    fc.record({ kind: fc.constant("nbd" as const), host: fc.constant("10.0.0.1"), port: fc.nat(65_535), exportName: fc.constant("x") }),
    fc.record({ kind: fc.constant("file" as const), path: fc.constantFrom("/a", "/b c"), format: fc.constantFrom("raw", "qcow2"), backing: tie("backing") }),
  ),
}));
const disk = fc.record<HelperDiskXml>({
  path: fc.constantFrom("/pool/x", "/pool/y & z"), format: fc.constantFrom("raw", "qcow2"), readOnly: fc.boolean(), copyOnRead: fc.boolean(),
  drive: fc.constantFrom(undefined, "cdrom" as const, "floppy" as const), backing,
});

describe("a helper's XML", () => {
  it("says of every image of which format it is and what it stands on, to the end: nothing is left to be guessed", () => {
    fc.assert(fc.property(fc.array(disk, { minLength: 1, maxLength: 4 }), fc.boolean(), (disks, quick) => {
      const xml = parseXml(helperXml("h", { purpose: "helper", fleetId: "f", holder: "me" }, "qemu", "x86_64", disks, quick));
      const written = all(xml, "domain", "devices", "disk");
      assert.equal(written.length, disks.length);
      for (const each of written) {
        assert.ok(text(each, "driver", "@type") !== undefined);
        let under = at(each, "backingStore");
        while (at(under, "source") !== undefined) {
          assert.ok(text(at(under, "format"), "@type") !== undefined);
          under = at(under, "backingStore");
        }
        assert.ok(under !== undefined, "the chain has an end");
      }
    }), { numRuns: 200, seed: 20 });
  });
});
