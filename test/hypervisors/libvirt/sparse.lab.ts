/** Sparse images through three hops of real daemons: only data travels, and what arrives is what was sent. */
import assert from "node:assert/strict";
import { runSparse, SPARSE_CASES, SparseImage, sparseName } from "../../bench/sparse";
import { labStatus } from "./labFleet";

const MIB = 1 << 20;
const SIZE = { virtualBytes: 2048 * MIB, dataBytes: 60 * MIB };

describe("relays of sparse images", function () {
  this.timeout(300_000);
  for (const kind of SPARSE_CASES) {
    it(`carries the data and nothing of the holes: ${sparseName(kind)}`, async () => {
      const image = new SparseImage(await labStatus(), kind, SIZE);
      try {
        await image.prepare();
        const { sentBytes, receivedBytes, faults } = await runSparse(image);
        assert.deepEqual(faults, []);
        const hops = sentBytes.length - 1;
        for (let hop = 0; hop <= hops; hop++) {
          for (const [bytes, carries] of [[sentBytes[hop]!, hop < hops], [receivedBytes[hop]!, hop > 0]] as const) {
            assert.ok(bytes < SIZE.dataBytes * (carries ? 1.1 : 0.1), `host ${hop} ${carries ? "carried" : "should carry nothing, but carried"} ${bytes} bytes`);
          }
        }
      } finally {
        await image.remove();
      }
    });
  }
});
