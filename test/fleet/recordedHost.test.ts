import assert from "node:assert/strict";
import fc from "fast-check";
import { parseState } from "../../provider/fleet";
import { declaredHost, recordedHost } from "../../provider/fleet/record/host";
import { host, spec } from "./build";
import { acceptedInputs } from "./schemaArbitrary";

describe("a host on record", () => {
  it("has the form that all versions wrote, to the order of its properties", () => {
    const declared = spec({ count: 4, hosts: [host("a1", { capacity: 4, transferRateBitsPerSecond: 2e9 })] }).hosts[0]!;
    assert.equal(JSON.stringify(recordedHost(declared)), '{"name":"a1","uri":"qemu+ssh://root@a1/system","rack":"rack-a","pool":"default","transferAddress":"a1",' +
      '"transferPorts":{"from":10809,"to":10872},"nicBitsPerSecond":10000000000,"transferRateBitsPerSecond":2000000000,"diskBytesPerSecond":1000000000,"maxConcurrent":8,"capacity":4}');
  });

  it("is read as it was declared", () => {
    fc.assert(fc.property(acceptedInputs, ({ spec: { hosts } }) => {
      const written = JSON.stringify({ fleetId: "f", incarnation: "i", hosts: hosts.map(recordedHost) });
      assert.deepEqual(parseState(JSON.parse(written))?.hosts.map(declaredHost), hosts);
    }));
  });
});
