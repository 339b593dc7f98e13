/** What a clone of an image writes, from the image's tables alone. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { allocatedIn } from "../../../provider/hypervisors/libvirt/holes/allocated";
import { cloneBytes, type Layer } from "../../../provider/hypervisors/libvirt/qcow2/cloneBytes";
import { readImageHeader } from "../../../provider/hypervisors/libvirt/qcow2/imageHeader";
import { UnfitImageError, type ReadAt } from "../../../provider/hypervisors/libvirt/qcow2/unfitImage";
import { compressedEntry, COPIED, dataEntry, qcow2, type Qcow2File } from "./qcow2File";

const CLUSTER = 65_536;
/** Header, reference counts and tables of a small clone. */
const TABLES = 5 * CLUSTER;
const NO_LIMIT = { mostBytes: 1 << 30 };

async function layer(file: Buffer, allocationBytes = file.length, read?: ReadAt): Promise<Layer> {
  const plain: ReadAt = (at, length) => Promise.resolve(file.subarray(at, at + length));
  return { header: await readImageHeader(plain, file.length), read: read ?? plain, fileBytes: file.length, allocationBytes };
}
const written = async (...files: Qcow2File[]): Promise<number> => {
  const layers = await Promise.all(files.map((file) => layer(qcow2(file), 1 << 30)));
  return (await cloneBytes(layers, NO_LIMIT)).bytes - TABLES;
};
const full = (count: number, from = 0): (readonly [number, bigint])[] => [...Array(count).keys()].map((i) => [from + i, dataEntry(3 * CLUSTER)]);
const zero = (cluster: number): readonly [number, bigint] => [cluster, 1n];

describe("what a clone of an image writes", () => {
  it("is its data, not its zeros, and what is compressed as large as it was", async () => {
    assert.equal(await written({ entries: [...full(3), zero(5), [7, COPIED | 1n | BigInt(3 * CLUSTER)]] }), 3 * CLUSTER);
    assert.equal(await written({ entries: [...Array(100).keys()].map((i) => [i, compressedEntry(3 * CLUSTER + i)] as const) }), 100 * CLUSTER);
    assert.equal(await written({}), 0);
  });

  it("is whole clusters of the clone, whatever the image's own are", async () => {
    const small = { clusterBits: 9, capacityBytes: 1 << 20 } as const; // tables of 64 entries, one each 32 KiB
    const at = (3 + 32) * 512;
    assert.equal(await written({ ...small, dataClusters: 100, entries: [[0, dataEntry(at)], [127, dataEntry(at)], [128, dataEntry(at)]] }), 2 * CLUSTER);
    assert.equal(await written({ clusterBits: 21, capacityBytes: 8 << 20, entries: [[1, dataEntry(3 << 21)]] }), 32 * CLUSTER);
    assert.equal(await written({ capacityBytes: 2 * CLUSTER + 512, entries: full(3) }), 2 * CLUSTER + 512);
  });

  it("tells the parts of a cluster apart where an image does", async () => {
    const options = { extended: true, clusterBits: 21, capacityBytes: 8 << 20 } as const; // parts of 64 KiB
    assert.equal(await written({ ...options, entries: [[0, dataEntry(3 << 21), 0b1011n], [1, dataEntry(3 << 21), (0b0011n << 32n) | 0b0100n]] }), 4 * CLUSTER);
    assert.equal(await written({ ...options, entries: [[2, compressedEntry(3 << 21), 0n]] }), 32 * CLUSTER);
  });

  it("of a chain is what shows through, each cluster once", async () => {
    const top = { entries: [...full(2), zero(4)] };
    assert.equal(await written(top, { entries: full(6, 1) }), (2 + 5 - 1) * CLUSTER);
    assert.equal(await written(top, { entries: full(2) }, { entries: full(10) }), 9 * CLUSTER);
    assert.equal(await written({ capacityBytes: 16 * CLUSTER }, { capacityBytes: 64 * CLUSTER, entries: full(40) }), 16 * CLUSTER, "what lies past the guest's end is nobody's");
  });

  it("of a raw image is what is allocated, less what is written over", async () => {
    const raw = await layer(Buffer.alloc(16 << 20), 40 * CLUSTER);
    assert.equal((await cloneBytes([raw], NO_LIMIT)).bytes - TABLES, 40 * CLUSTER);
    const top = await layer(qcow2({ entries: [...Array(250).keys()].map((i) => zero(i)) }));
    assert.equal((await cloneBytes([top, raw], NO_LIMIT)).bytes - TABLES, 6 * CLUSTER);
  });

  it("of an image whose clusters are set aside and for the most part not there is what is there", async () => {
    const file = qcow2({ entries: full(200).map(([cluster]) => [cluster, dataEntry((3 + cluster) * CLUSTER)]), dataClusters: 200 });
    assert.equal((await cloneBytes([await layer(file, 20 * CLUSTER)], NO_LIMIT)).bytes - TABLES, 20 * CLUSTER);
    assert.equal((await cloneBytes([await layer(file, 190 * CLUSTER)], NO_LIMIT)).bytes - TABLES, 200 * CLUSTER);
  });

  it("is told from a part of the tables where there is no time for all, and says so", async () => {
    const tables = 20;
    const entries = [...Array(tables).keys()].flatMap((table) => full(100, table * 8192).map(([cluster]) => [cluster, dataEntry((2 + tables) * CLUSTER)] as const));
    const file = qcow2({ capacityBytes: tables * 8192 * CLUSTER, entries });
    const image = (): Promise<Layer> => layer(file, 1 << 30);
    const whole = await cloneBytes([await image()], NO_LIMIT);
    assert.deepEqual(whole, { isWhole: true, bytes: 2000 * CLUSTER + (4 + tables) * CLUSTER });
    const part = await cloneBytes([await image()], { mostBytes: 18 * CLUSTER });
    assert.equal(part.isWhole, false);
    assert.ok(Math.abs(part.bytes - whole.bytes) < 0.05 * whole.bytes, `${part.bytes} for ${whole.bytes}`);
    const aside = await cloneBytes([await layer(file, 500 * CLUSTER)], { mostBytes: 18 * CLUSTER });
    assert.ok(aside.bytes < 600 * CLUSTER, `${aside.bytes}: set aside, for the most part`);
    let reads = 0;
    const late = await cloneBytes([await image()], { mostBytes: 1 << 30, isLate: () => ++reads > 2 });
    assert.equal(late.isWhole, false);
    const nothing = await cloneBytes([await layer(file, 77 * CLUSTER)], { mostBytes: 1 << 30, isLate: () => true });
    assert.equal(nothing.bytes - TABLES, 77 * CLUSTER, "nothing read: as much as the file takes");
  });

  it("is not told of an image whose tables or data lie past its end", async () => {
    const cut = async (file: Buffer, says: RegExp): Promise<void> => assert.rejects(async () => cloneBytes([await layer(file)], NO_LIMIT), (error: Error) => error instanceof UnfitImageError && says.test(error.message));
    const file = qcow2({ entries: full(1) });
    await cut(file.subarray(0, file.length - 512), /ends before its data/);
    await cut(file.subarray(0, 3 * CLUSTER), /ends before its data/);
    await cut(file.subarray(0, 2 * CLUSTER + 512), /ends before its tables/);
    await cut(qcow2({ entries: [[0, compressedEntry(4 * CLUSTER)]] }), /ends before its data/);
    await cut(qcow2({ entries: [[0, dataEntry(3 * CLUSTER + 512)]], dataClusters: 3 }), /damaged tables/);
  });

  it("is a number or a refusal for whatever the tables hold, with no read past the file's end, and none beyond the limit", async () => {
    const layout = fc.record({ clusterBits: fc.constantFrom(9, 12, 14, 16, 18), extended: fc.boolean() });
    const word = fc.oneof(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.integer({ min: 0, max: 300 }).map((n) => dataEntry(n * 512)), fc.integer({ min: 0, max: 9 }).map((n) => dataEntry(n * CLUSTER)));
    const edits = fc.array(fc.tuple(fc.nat(), word), { maxLength: 40 });
    await fc.assert(fc.asyncProperty(layout, edits, fc.array(fc.tuple(fc.integer({ min: 0, max: 200 }), word, word), { maxLength: 20 }), async ({ clusterBits, extended }, changes, entries) => {
      const isExtended = extended && clusterBits >= 14;
      const capacityBytes = Math.min(64 << 20, 512 * 2 ** (2 * clusterBits - 4));
      const file = qcow2({ clusterBits, capacityBytes, extended: isExtended, entries: entries.filter(([cluster]) => cluster * 2 ** clusterBits < capacityBytes), dataClusters: 2 });
      const tables = 2 ** clusterBits;
      for (const [where, value] of changes) file.writeBigUInt64BE(value, tables + ((where * 8) % (file.length - tables)));
      let bytesRead = 0;
      const read: ReadAt = (at, length) => {
        assert.ok(at >= 0 && length > 0 && at + length <= file.length, `${length} bytes at ${at} of ${file.length}`);
        bytesRead += length;
        return Promise.resolve(file.subarray(at, at + length));
      };
      const limit = 1 << 20;
      try {
        const { bytes } = await cloneBytes([await layer(file, 12_345, read)], { mostBytes: limit });
        assert.ok(Number.isSafeInteger(Math.round(bytes)) && bytes >= 0 && bytes <= capacityBytes * 1.01 + TABLES * 3, `${bytes} of ${capacityBytes}`);
      } catch (error) {
        if (!(error instanceof UnfitImageError)) throw error;
      }
      assert.ok(bytesRead <= limit, `${bytesRead} bytes read`);
      await allocatedIn((at, length) => Promise.resolve(file.subarray(at, at + length)), capacityBytes).catch((error: unknown) => {
        if (!(error instanceof UnfitImageError) && !(error instanceof RangeError)) throw error;
      });
    }), { numRuns: 700, seed: 15 });
  });
});
