/** The index of what names images finds what a search of everything finds, and compares no more on a larger host. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { isImage, type ImageFacts, type NamedImage } from "../../../provider/hypervisors/libvirt/guard/domainImages";
import { ImageIndex } from "../../../provider/hypervisors/libvirt/guard/imageIndex";
import { ImageUse, type DomainText } from "../../../provider/hypervisors/libvirt/guard/imageUse";

const name = fc.oneof(
  fc.constantFrom("a", "b", "a.b", "R&D", "a b", "<a>", "\"a\"", "'a'", "a,b", "a=b", ":a", "a:b", "a\\b", "a?b", "ä", "..a"),
  fc.string({ minLength: 1, maxLength: 4, unit: fc.constantFrom("a", "b", " ", ",", "=", ":", "\"", "'", "\\", "?", "&", "<", ";", "\t", ".") }),
).filter((one) => one !== "." && one !== "..");
const directory = fc.constantFrom("/", "/pool", "/pool/", "/pool//", "/x/../pool", "/mnt/pool", "/po ol", "pool", "file:/pool", "file:///pool", "");
const path = fc.tuple(directory, name).map(([dir, of]) => `${dir}/${of}`);
const around = fc.constantFrom("", "file=", ",if=virtio", "json:{\"file\":\"", "\"}", " ", "?x", "/.", "/");
const named: fc.Arbitrary<NamedImage> = fc.oneof(
  fc.tuple(around, path, around).map(([before, at, after]) => ({ how: "other" as const, writes: true, path: `${before}${at}${after}` })),
  fc.record({ how: fc.constant("disk" as const), writes: fc.boolean(), path }),
  fc.record({ how: fc.constant("disk" as const), writes: fc.boolean(), pool: fc.constantFrom("default", "other"), volume: name }),
  fc.record({ how: fc.constant("disk" as const), writes: fc.boolean(), directory }),
);
const image: fc.Arbitrary<ImageFacts> = fc.oneof(
  fc.record({ path }), fc.record({ path, pool: fc.constantFrom("default", "other"), volume: name }),
);

const disks = (of: number): string => `<disk type='file' device='disk'><source file='/pool/vm-${of}.qcow2'/><backingStore type='file'><source file='/pool/base-${of}.qcow2'/></backingStore></disk><disk type='file' device='disk'><source file='/pool/data-${of}.qcow2'/></disk>`;
const host = (size: number): DomainText[] => Array.from({ length: size }, (_, of) => ({
  domain: { name: `vm-${of}`, uuid: Buffer.alloc(16, of), id: -1 }, managedSave: false, defined: `<domain><name>vm-${of}</name><devices>${disks(of)}</devices></domain>`,
}));

describe("the index of images", () => {
  it("finds what a search of everything finds, in the same order, whatever characters names have", () => {
    fc.assert(fc.property(fc.array(named, { maxLength: 12 }), image, (all, wanted) => {
      const index = new ImageIndex<number>();
      all.forEach((one, at) => index.add(one, at));
      assert.deepEqual(index.find(wanted).map(({ of, match }) => [of, match]), all.flatMap((one, at) => {
        const match = isImage(one, wanted);
        return match ? [[at, match]] : [];
      }));
    }), { numRuns: 3000 });
  });

  it("compares an image with as much on a host of many domains as on one of few", () => {
    const comparedOn = (size: number): number => {
      let compared = 0;
      new ImageUse(host(size)).usersOf({ path: "/pool/base-3.qcow2", pool: "default", volume: "base-3.qcow2" }, (count) => { compared += count; });
      return compared;
    };
    assert.deepEqual([comparedOn(10), comparedOn(400)], [1, 1]);
  });

  it("lets other things be done while a host of many domains is read, and reads nothing a second time", async () => {
    let now = 0;
    let turns = 0;
    let done = false;
    setImmediate(function turn() {
      turns++;
      if (!done) setImmediate(turn);
    });
    const slow = { nowMs: () => (now += 1) }; // each look at the clock costs a millisecond
    const first = await ImageUse.of(host(200), slow);
    done = true;
    assert.ok(turns >= 5, `${turns} turns`);
    const again = await ImageUse.of(host(200), slow, first.definitions);
    for (const [digest, read] of first.definitions) assert.equal(again.definitions.get(digest), read);
    assert.equal(again.definitions.size, 200);
  });
});
