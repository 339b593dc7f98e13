/** Sparse images through three hops of real daemons: only data travels, and what arrives is what was sent. */
import assert from "node:assert/strict";
import { runSparse, SPARSE_CASES, SparseImage, sparseName } from "../../bench/sparse";
import { LibvirtClient } from "../../../provider/hypervisors/libvirt/rpc/client";
import { LibvirtError } from "../../../provider/hypervisors/libvirt/rpc/errors";
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

  type Create = LibvirtClient["createDomain"];
  /** Every domain is created by way of `create`, which has the real one. */
  const copied = async (create: (xml: string, real: (xml: string) => ReturnType<Create>) => ReturnType<Create>): Promise<void> => {
    const image = new SparseImage(await labStatus(), SPARSE_CASES[0]!, SIZE);
    const method = Object.getOwnPropertyDescriptor(LibvirtClient.prototype, "createDomain")!;
    const original = method.value as Create;
    LibvirtClient.prototype.createDomain = function (xml, ...rest) {
      return create(xml, (given) => original.call(this, given, ...rest));
    };
    try {
      await image.prepare();
      assert.deepEqual((await runSparse(image)).faults, []);
    } finally {
      Object.defineProperty(LibvirtClient.prototype, "createDomain", method);
      await image.remove();
    }
  };

  for (const drive of ["floppy", "cdrom"]) {
    it(`copies as before where a host has no ${drive} drives`, async () => {
      let refused = 0;
      await copied((xml, real) => {
        if (!xml.includes(`device='${drive}'`) && !xml.includes(`device="${drive}"`)) return real(xml);
        refused++;
        return Promise.reject(new LibvirtError(67, 0, `no ${drive} drives here`));
      });
      assert.ok(refused > 0);
    });
  }

  it("copies as before where a libvirt does not know how to start without asking for CPU features", async () => {
    const [known, unknown] = ["cpu-unavailable-features", "no-such-capability"];
    let refused = 0;
    await copied((xml, real) => real(xml.replace(known, unknown)).catch((error: unknown) => {
      refused++;
      assert.ok(error instanceof LibvirtError);
      throw new LibvirtError(error.code, error.errorDomain, error.message.replace(unknown, known));
    }));
    assert.ok(refused > 0 && refused <= 2 * (await labStatus()).hosts.length, `${refused} refused`);
  });
});
