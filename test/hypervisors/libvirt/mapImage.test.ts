import assert from "node:assert/strict";
import fc from "fast-check";
import { allocatedIn } from "../../../provider/hypervisors/libvirt/holes/allocated";
import { allOf, bytesBefore, worthScanningSeconds, type Extent } from "../../../provider/hypervisors/libvirt/holes/extents";
import { mapFileBytes, mapFileChunks } from "../../../provider/hypervisors/libvirt/holes/mapFile";
import type { UploadChunk } from "../../../provider/hypervisors/libvirt/rpc/stream";

const CLUSTER = 65_536;
const GIB = 2 ** 30;
const fileOf = (chunks: UploadChunk[]): Buffer =>
  Buffer.concat(chunks.map((chunk) => ("data" in chunk ? chunk.data : Buffer.alloc(chunk.holeBytes))));

const extentsIn = (file: Buffer, capacityBytes: number) => allocatedIn((at, length) => Promise.resolve(file.subarray(at, at + length)), capacityBytes);

describe("the map of an image", () => {
  it("tells what it was told", async () => {
    const stretches = fc.array(fc.tuple(fc.integer({ min: 1, max: 12_000 }), fc.integer({ min: 1, max: 3_000 })), { maxLength: 20 });
    await fc.assert(fc.asyncProperty(stretches, async (list) => {
      let at = 0;
      const extents = list.map(([gap, length]): Extent => {
        const extent = { offsetBytes: (at + gap) * CLUSTER, lengthBytes: length * CLUSTER };
        at += gap + length;
        return extent;
      });
      const capacityBytes = (at + 1) * CLUSTER;
      const file = fileOf(mapFileChunks(extents, capacityBytes));
      assert.equal(file.length, mapFileBytes(capacityBytes));
      assert.deepEqual(await extentsIn(file, capacityBytes), extents);
    }), { numRuns: 30 });
  });

  it("takes whole clusters for data, the last as far as the image goes", async () => {
    const capacityBytes = 3 * CLUSTER + 512;
    const file = fileOf(mapFileChunks([{ offsetBytes: 10, lengthBytes: 1 }, { offsetBytes: 3 * CLUSTER, lengthBytes: 512 }], capacityBytes));
    assert.deepEqual(await extentsIn(file, capacityBytes), [{ offsetBytes: 0, lengthBytes: CLUSTER }, { offsetBytes: 3 * CLUSTER, lengthBytes: 512 }]);
  });

  it("is small in bytes where all is data", async () => {
    for (const capacityBytes of [GIB / 2 + 512, 64 * GIB]) {
      const all = allOf({ capacityBytes });
      const chunks = mapFileChunks(all, capacityBytes);
      assert.ok(chunks.reduce((sum, chunk) => sum + ("data" in chunk ? chunk.data.length : 0), 0) < 800_000);
      const file = fileOf(chunks);
      assert.equal(file.length, mapFileBytes(capacityBytes));
      assert.deepEqual(await extentsIn(file, capacityBytes), all);
    }
  });

  it("stays small for large images, by larger clusters", () => {
    assert.equal(mapFileBytes(10 * GIB), 1_572_864);
    assert.ok(mapFileBytes(64 * GIB)! < 9 * 2 ** 20);
    assert.ok(mapFileBytes(1024 * GIB)! < 16 * 2 ** 20);
  });

  it("is none for an image that is too large, or that no sectors fill", () => {
    assert.equal(mapFileBytes(17 * 1024 * GIB), undefined);
    assert.equal(mapFileBytes(GIB + 1), undefined);
    assert.throws(() => mapFileChunks([], GIB + 1), RangeError);
  });

  it("is not read from a file that is none", async () => {
    await assert.rejects(extentsIn(Buffer.alloc(mapFileBytes(GIB)!), GIB), RangeError);
  });
});

describe("how far a sparse copy is", () => {
  it("counts the data passed, not the holes", () => {
    const extents = [{ offsetBytes: 10, lengthBytes: 10 }, { offsetBytes: 100, lengthBytes: 30 }];
    assert.deepEqual([0, 10, 15, 60, 110, 130, 999].map((offset) => bytesBefore(extents, offset)), [0, 0, 5, 10, 20, 40, 40]);
  });
});

describe("holes of an image", () => {
  it("are looked for where sending them would take longer, and as long", () => {
    const seconds = (allocated: number, bitsPerSecond: number) => (
      Math.round(worthScanningSeconds({ capacityBytes: 100 * GIB, allocationBytes: allocated * GIB }, bitsPerSecond))
    );
    assert.deepEqual([10, 50, 80, 99, 100].map((allocated) => seconds(allocated, 10e9)), [77, 43, 0, 0, 0]);
    assert.deepEqual([10, 98, 100].map((allocated) => seconds(allocated, 400e6)), [1933, 43, 0]);
    assert.equal(worthScanningSeconds({ capacityBytes: GIB, allocationBytes: GIB + CLUSTER }, 1e9), 0); // tables count
  });
});
