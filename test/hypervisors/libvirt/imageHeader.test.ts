/** What an image is, by its own bytes: what can be a template, and what each of the others is refused for. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseImage, readImageHeader, type ImageHeader } from "../../../provider/hypervisors/libvirt/qcow2/imageHeader";
import { UnfitImageError } from "../../../provider/hypervisors/libvirt/qcow2/unfitImage";
import { qcow2 } from "./qcow2File";

const look = (file: Buffer, fileBytes = file.length): Promise<ImageHeader> =>
  readImageHeader((at, length) => Promise.resolve(file.subarray(at, at + length)), fileBytes);
const refused = (file: Buffer, says: RegExp): Promise<void> => assert.rejects(look(file), (error: Error) => {
  assert.ok(error instanceof UnfitImageError, `${error.name}: ${error.message}`);
  assert.match(error.message, says);
  assert.match(error.message, /: /, "it says what to do");
  return true;
});
const at = (offset: number, bytes: string, size = 64 << 10): Buffer => {
  const file = Buffer.alloc(size);
  file.write(bytes, offset < 0 ? size + offset : offset, "latin1");
  return file;
};

describe("an image's header", () => {
  it("tells a raw image, whatever a disk begins with", async () => {
    assert.deepEqual(await look(at(510, "\x55\xaa")), { format: "raw", capacityBytes: 64 << 10 });
    assert.deepEqual(await look(Buffer.alloc(512)), { format: "raw", capacityBytes: 512 });
  });

  it("tells a qcow2 image of either version, what it stands on and of which format that is", async () => {
    const plain = { format: "qcow2", clusterBits: 16, extendedL2: false, l1Entries: 1, l1At: 65_536, capacityBytes: 16 << 20 };
    assert.deepEqual(await look(qcow2()), plain);
    assert.deepEqual(await look(qcow2({ version: 2 })), plain);
    assert.deepEqual(await look(qcow2({ backing: "base.img", backingFormat: "raw" })), { ...plain, backing: { file: "base.img", format: "raw" } });
    assert.deepEqual(await look(qcow2({ version: 2, backing: "/a/ü.qcow2" })), { ...plain, backing: { file: "/a/ü.qcow2" } });
    assert.deepEqual(await look(qcow2({ clusterBits: 21, extended: true })), { ...plain, clusterBits: 21, extendedL2: true, l1At: 1 << 21 });
    assert.equal((await look(qcow2({ clusterBits: 9, capacityBytes: 1 << 20 })) as { clusterBits: number }).clusterBits, 9);
  });

  for (const [what, file] of [
    ["VMDK", at(0, "KDMV")], ["VMDK", at(0, "# Disk DescriptorFile\nversion=1\n", 1024)], ["VMDK", at(0, "COWD")], ["VDI", at(64, "\x7f\x10\xda\xbe")],
    ["VHDX", at(0, "vhdxfile")], ["VHD", at(0, "conectix")], ["VHD", at(-512, "conectix")], ["QED", at(0, "QED\0")], ["DMG", at(-512, "koly")],
    ["tar", at(257, "ustar")], ["gzip", at(0, "\x1f\x8b\x08")], ["xz", at(0, "\xfd7zXZ\0")], ["zstd", at(0, "\x28\xb5\x2f\xfd")],
    ["bzip2", at(0, "BZh91AY&SY")], ["zip", at(0, "PK\x03\x04")], ["LUKS", at(0, "LUKS\xba\xbe")], ["ISO 9660", at(32_769, "CD001")],
    ["web page", at(0, "<!DOCTYPE html>")],
  ] as const) {
    it(`is refused for ${what}, by one sentence and the way out`, () => refused(file, new RegExp(what)));
  }

  it("is refused by the mark though the file has an odd length", () => refused(at(0, "\x1f\x8b\x08", 1001), /gzip.*gunzip/));

  it("is refused where a CD is a disk at the same time: whoever names one wants what it installs", async () => {
    const hybrid = at(32_769, "CD001");
    hybrid.write("\x55\xaa", 510, "latin1");
    await refused(hybrid, /install from it.*template\.domain/);
  });

  describe("of a raw disk that was cut short", () => {
    const mbr = (entries: [type: number, start: number, sectors: number][], patch: (disk: Buffer) => void = () => undefined): Buffer => {
      const disk = Buffer.alloc(1 << 20);
      disk.writeUInt16LE(0xaa55, 510);
      entries.forEach(([type, start, sectors], i) => {
        disk[446 + i * 16 + 4] = type;
        disk.writeUInt32LE(start, 446 + i * 16 + 8);
        disk.writeUInt32LE(sectors, 446 + i * 16 + 12);
      });
      patch(disk);
      return disk;
    };
    const gpt = (lastSector: bigint): Buffer => mbr([[0xee, 1, 0xffffffff]], (disk) => {
      disk.write("EFI PART", 512, "latin1");
      disk.writeBigUInt64LE(2n, 512 + 72);
      disk.writeUInt32LE(128, 512 + 80);
      disk.writeUInt32LE(128, 512 + 84);
      disk.fill(7, 1024 + 128, 1024 + 128 + 32);
      disk.writeBigUInt64LE(64n, 1024 + 128 + 32);
      disk.writeBigUInt64LE(lastSector, 1024 + 128 + 40);
    });

    it("is refused where its partitions go on behind its end", async () => {
      await refused(mbr([[0x83, 64, 1000], [0x83, 1064, 1000]]), /ends before its partitions do \(1048576 bytes, they go to 1056768\)/);
      await refused(gpt(2048n), /ends before its partitions do/);
    });

    it("is none where they end in time, or what stands there is no table", async () => {
      for (const disk of [
        mbr([[0x83, 64, 1984]]), gpt(2047n), mbr([]), gpt((1n << 64n) - 1n), mbr([[0x83, 64, 5000], [0x83, 100, 3]]), mbr([[0x83, 0, 5000]]),
        mbr([[0x83, 64, 5000]], (code) => { code[446 + 16] = 0x65; }), mbr([[0x83, 64, 5000], [0, 77, 88]]),
      ]) assert.equal((await look(disk)).format, "raw");
    });
  });

  for (const [what, options, says] of [
    ["version 1", { version: 1 }, /old qcow format/],
    ["version 4", { version: 4 }, /version 4, of which only 2 and 3/],
    ["version 9", { version: 9 }, /version 9/],
    ["the dirty bit", { incompatible: 1n }, /not closed in order.*qemu-img check/],
    ["the corrupt bit", { incompatible: 2n }, /marked as corrupt.*qemu-img check/],
    ["an external data file", { incompatible: 4n }, /data stands in another file/],
    ["an unknown feature", { incompatible: 1n << 40n }, /incompatible feature 40\)/],
    ["an unknown feature with a name", { incompatible: 1n << 7n, featureNames: [[7, "time travel"]] }, /incompatible feature 7, "time travel"/],
    ["capacity 0", { capacityBytes: 0 }, /of 0 bytes/],
    ["half a sector", { capacityBytes: 1000 }, /512-byte sectors/],
    ["AES", { patch: (f: Buffer) => f.writeUInt32BE(1, 32) }, /encrypted with AES/],
    ["LUKS", { patch: (f: Buffer) => f.writeUInt32BE(2, 32) }, /encrypted with LUKS/],
    ["an unknown encryption", { patch: (f: Buffer) => f.writeUInt32BE(3, 32) }, /not known here \(3\)/],
    ["nearly 2^64 bytes", { patch: (f: Buffer) => f.writeBigUInt64BE(2n ** 64n - 512n, 24) }, /more than such an image can hold/],
    ["too few tables", { patch: (f: Buffer) => f.writeBigUInt64BE(1n << 40n, 24) }, /1 tables for/],
    ["clusters of 2^8", { patch: (f: Buffer) => f.writeUInt32BE(8, 20) }, /2\^8 bytes/],
    ["clusters of 2^22", { patch: (f: Buffer) => f.writeUInt32BE(22, 20) }, /2\^22 bytes/],
    ["a header of 7 bytes", { patch: (f: Buffer) => f.writeUInt32BE(7, 100) }, /its length would be 7/],
    ["a header longer than its cluster", { patch: (f: Buffer) => f.writeUInt32BE(1 << 20, 100) }, /its length would be/],
    ["tables past the end", { patch: (f: Buffer) => f.writeBigUInt64BE(1n << 40n, 40) }, /ends before its tables/],
    ["tables in the header", { patch: (f: Buffer) => f.writeBigUInt64BE(0n, 40) }, /stand where none can/],
    ["a backing name nowhere", { patch: (f: Buffer) => { f.writeBigUInt64BE(1n << 50n, 8); f.writeUInt32BE(10, 16); } }, /backing file stands nowhere/],
    ["subclusters of 2^12", { clusterBits: 12, incompatible: 16n }, /subclusters/],
    ["a compression that is not known", { patch: (f: Buffer) => { f.writeUInt32BE(112, 100); f[104] = 2; f.writeBigUInt64BE(8n, 72); } }, /compression type 2/],
    ["a compression against its features", { patch: (f: Buffer) => { f.writeUInt32BE(112, 100); f[104] = 1; } }, /contradicts/],
    ["an extension without end", { patch: (f: Buffer) => { f.writeUInt32BE(0x12345678, 104); f.writeUInt32BE(0xffffffff, 108); } }, /an extension of it has no end/],
  ] as const) {
    it(`is refused for a qcow2 image with ${what}`, () => refused(qcow2(options as Parameters<typeof qcow2>[0]), says));
  }

  it("is refused where the file ends within it", async () => {
    const file = qcow2({ backing: "/base", backingFormat: "raw" });
    for (const bytes of [4, 71, 103, 120, 65_536]) await refused(file.subarray(0, bytes), /ends within its header|ends before its tables|header/);
    await refused(Buffer.alloc(0), /empty/);
  });

  it("is an answer or a refusal for whatever bytes there are, and no byte is read that is not in the file", async () => {
    const whole = qcow2({ backing: "/base.img", backingFormat: "raw", featureNames: [[3, "compression type"]] });
    const edits = fc.array(fc.tuple(fc.oneof(fc.integer({ min: 0, max: 240 }), fc.integer({ min: 0, max: 65_535 })), fc.integer({ min: 0, max: 255 })), { maxLength: 12 });
    const length = fc.oneof(fc.constant(whole.length), fc.integer({ min: 0, max: whole.length }), fc.integer({ min: 0, max: 300 }));
    await fc.assert(fc.asyncProperty(edits, length, fc.boolean(), async (changes, bytes, keepsMagic) => {
      const file = Buffer.from(whole.subarray(0, bytes));
      for (const [offset, value] of changes) if (offset < file.length && !(keepsMagic && offset < 8)) file[offset] = value;
      const read = (offset: number, size: number): Promise<Buffer> => {
        assert.ok(offset >= 0 && size > 0 && size <= 2 << 20 && offset + size <= file.length, `${size} bytes at ${offset} of ${file.length}`);
        return Promise.resolve(file.subarray(offset, offset + size));
      };
      try {
        const header = await readImageHeader(read, file.length);
        assert.ok(header.capacityBytes > 0 && header.capacityBytes % 512 === 0 && Number.isSafeInteger(header.capacityBytes));
      } catch (error) {
        if (!(error instanceof UnfitImageError)) throw error;
      }
    }), { numRuns: 3000, seed: 13 });
  });

  it("is an answer or a refusal for bytes of no shape at all", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), fc.uint8Array({ maxLength: 512 }), fc.nat(), (head, tail, fileBytes) => {
      try {
        parseImage(Buffer.from(head), Buffer.from(tail), fileBytes);
      } catch (error) {
        if (!(error instanceof UnfitImageError)) throw error;
      }
    }), { numRuns: 1000, seed: 14 });
  });
});
