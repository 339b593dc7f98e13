import assert from "node:assert/strict";
import { allocatedIn } from "../../../provider/hypervisors/libvirt/holes/allocated";
import { UnfitImageError } from "../../../provider/hypervisors/libvirt/qcow2/unfitImage";
import { Boot } from "../../../provider/hypervisors/libvirt/early/boot";

const CLUSTER = 65536;
const CAPACITY = 10_000 * CLUSTER + 512;

/** Header, first level at 1, tables from 2 on. */
function image(entries: [number, bigint][], patch: (file: Buffer) => void = () => undefined): Buffer {
  const file = Buffer.alloc(4 * CLUSTER);
  file.writeUInt32BE(0x514649fb, 0);
  file.writeUInt32BE(16, 20);
  file.writeUInt32BE(2, 36);
  file.writeBigUInt64BE(BigInt(CLUSTER), 40);
  for (const [cluster, value] of entries) {
    const table = Math.floor(cluster / 8192);
    file.writeBigUInt64BE((1n << 63n) | BigInt((2 + table) * CLUSTER), CLUSTER + table * 8);
    file.writeBigUInt64BE(value, (2 + table) * CLUSTER + (cluster % 8192) * 8);
  }
  patch(file);
  return file;
}
const look = (file: Buffer, zeros = false) => allocatedIn((at, length) => Promise.resolve(file.subarray(at, at + length)), CAPACITY, zeros);
const data = (1n << 63n) | BigInt(9 * CLUSTER);

describe("what a qcow2 file holds", () => {
  it("is told from its tables, clusters of zeros left out where they need not be known, and the last one cut", async () => {
    const file = image([[0, data], [1, data], [3, 1n], [4, (1n << 63n) | 1n | BigInt(CLUSTER)], [8192, data], [10_000, data]]);
    assert.deepEqual(await look(file), [
      { offsetBytes: 0, lengthBytes: 2 * CLUSTER }, { offsetBytes: 8192 * CLUSTER, lengthBytes: CLUSTER }, { offsetBytes: 10_000 * CLUSTER, lengthBytes: 512 },
    ]);
    assert.deepEqual(await look(image([])), []);
    assert.deepEqual(await look(image([[3, 1n], [4, (1n << 63n) | 1n | BigInt(CLUSTER)]]), true), [{ offsetBytes: 3 * CLUSTER, lengthBytes: 2 * CLUSTER }]);
  });

  it("is refused where the file is no such image, or ends before its tables", async () => {
    await assert.rejects(look(Buffer.alloc(4 * CLUSTER)), RangeError);
    await assert.rejects(look(image([], (file) => file.writeUInt32BE(40, 20))), RangeError);
    await assert.rejects(look(image([[0, data]]).subarray(0, 2 * CLUSTER + 100)), UnfitImageError);
  });
});

describe("a booting guest", () => {
  const MIB = 1 << 20;
  it("has booted when it rests after it began to read", () => {
    const boot = new Boot();
    assert.equal(boot.hasEnded(0, 0), false);
    assert.equal(boot.hasEnded(1024, 20_000), false, "it has not begun");
    assert.equal(boot.hasEnded(MIB, 21_000), false);
    assert.equal(boot.hasEnded(MIB, 25_000), false);
    assert.equal(boot.hasEnded(2 * MIB, 25_500), false);
    assert.equal(boot.hasEnded(2 * MIB, 35_400), false);
    assert.equal(boot.hasEnded(2 * MIB, 35_500), true);
  });

  it("reads on where it does so little by little", () => {
    const boot = new Boot();
    for (let s = 0; s <= 30; s++) assert.equal(boot.hasEnded(MIB + s * 20_000, s * 1000), false);
    assert.equal(boot.hasEnded(MIB + 620_000, 41_000), true);
  });

  it("that never rests has booted after a minute", () => {
    const boot = new Boot();
    for (let s = 1; s <= 60; s++) assert.equal(boot.hasEnded(s * MIB, s * 1000), false);
    assert.equal(boot.hasEnded(61 * MIB, 61_000), true);
  });
});
