/** A spec as the scheduler sees it. */
import assert from "node:assert/strict";
import { topologyOf } from "../../provider/scheduler";
import { host, spec } from "../fleet/build";

describe("topologyOf", () => {
  it("gives each host its rack, its store and its rates in bytes", () => {
    const { hosts, racks, stores, ...rest } = topologyOf(spec({
      racks: [{ name: "rack-b", uplinkBitsPerSecond: 8e9 }, { name: "rack-a", uplinkBitsPerSecond: 4e9 }],
      hosts: [host("a1", { nicBitsPerSecond: 8e8, diskBytesPerSecond: 5e8, maxConcurrent: 3 }), host("b1", { nicBitsPerSecond: 16e8, diskBytesPerSecond: 7e8 }), host("a2")],
    }));
    assert.deepEqual(racks, [{ index: 0, name: "rack-b", uplinkBytesPerSecond: 1e9 }, { index: 1, name: "rack-a", uplinkBytesPerSecond: 5e8 }]);
    assert.deepEqual(hosts.map(({ index, name, rack, store }) => [index, name, rack, store]), [[0, "a1", 1, 0], [1, "b1", 0, 1], [2, "a2", 1, 2]]);
    assert.deepEqual([hosts[0]!.nicBytesPerSecond, hosts[1]!.nicBytesPerSecond, hosts[0]!.maxConcurrent, "nicLimit" in hosts[0]!], [1e8, 2e8, 3, false]);
    assert.deepEqual(stores.slice(0, 2), [{ index: 0, name: "a1", bytesPerSecond: 5e8 }, { index: 1, name: "b1", bytesPerSecond: 7e8 }]);
    assert.deepEqual(rest, { startupSeconds: 0, time: "network", freeLocalCopies: false, hopSeconds: 0 });
  });

  it("takes racks that nobody declared for ones whose uplinks never limit", () => {
    const { hosts, racks } = topologyOf({ racks: [], hosts: spec({ hosts: [host("a1"), host("b1"), host("a2")] }).hosts });
    assert.deepEqual(racks, [{ index: 0, name: "rack-a", uplinkBytesPerSecond: Infinity }, { index: 1, name: "rack-b", uplinkBytesPerSecond: Infinity }]);
    assert.deepEqual(hosts.map(({ rack }) => rack), [0, 1, 0]);
  });

  it("takes what copies may use of a link where that is less", () => {
    const { hosts, racks } = topologyOf(spec({
      racks: [{ name: "rack-a", uplinkBitsPerSecond: 8e9, transferRateBitsPerSecond: 8e8 }],
      hosts: [host("a1", { nicBitsPerSecond: 8e9, transferRateBitsPerSecond: 16e8 }), host("a2", { nicBitsPerSecond: 8e8, transferRateBitsPerSecond: 8e9 })],
    }));
    assert.deepEqual(racks[0], { index: 0, name: "rack-a", uplinkBytesPerSecond: 1e8, uplinkLimit: { ofBytesPerSecond: 1e9, bytesPerSecond: 1e8 } });
    assert.deepEqual(hosts.map(({ nicBytesPerSecond, nicLimit }) => [nicBytesPerSecond, nicLimit]), [
      [2e8, { ofBytesPerSecond: 1e9, bytesPerSecond: 2e8 }], [1e8, { ofBytesPerSecond: 1e8, bytesPerSecond: 1e9 }],
    ]);
  });

  it("takes over what copies cost besides their bytes", () => {
    const options = { startupSeconds: 2, hopSeconds: 0.3, time: "unit", freeLocalCopies: true } as const;
    const { startupSeconds, hopSeconds, time, freeLocalCopies } = topologyOf(spec(), options);
    assert.deepEqual({ startupSeconds, hopSeconds, time, freeLocalCopies }, options);
  });
});
