import assert from "node:assert/strict";
import { coalesce, keptProfiles, MAX_PROFILES } from "../../provider/fleet";

const range = (offsetBytes: number, lengthBytes: number) => ({ offsetBytes, lengthBytes });

describe("a read profile", () => {
  it("takes together what touches or overlaps, whatever the order", () => {
    assert.deepEqual(coalesce([range(30, 5), range(0, 10), range(10, 5), range(12, 4), range(50, 0)]), [range(0, 16), range(30, 5)]);
  });

  it("fills the smallest gaps where there are too many ranges", () => {
    assert.deepEqual(coalesce([range(0, 1), range(3, 1), range(10, 1), range(12, 1), range(100, 1)], 3), [range(0, 4), range(10, 3), range(100, 1)]);
    assert.deepEqual(coalesce([range(0, 1), range(9, 1)], 1), [range(0, 10)]);
  });

  it("loses no byte that was read, and leaves what it was given as it was", () => {
    const given = Array.from({ length: 1000 }, (_, i) => range(((i * 7919) % 1000) * 100, 1 + (i % 90)));
    const before = structuredClone(given);
    const made = coalesce(given);
    assert.deepEqual(given, before);
    assert.equal(made.length, 256);
    for (const { offsetBytes, lengthBytes } of given) {
      assert.ok(made.some((m) => m.offsetBytes <= offsetBytes && m.offsetBytes + m.lengthBytes >= offsetBytes + lengthBytes));
    }
    made.slice(1).forEach((m, i) => assert.ok(m.offsetBytes > made[i]!.offsetBytes + made[i]!.lengthBytes));
  });

  it("is kept for contents the fleet has to do with, the newest of them", () => {
    const profiles = Array.from({ length: MAX_PROFILES + 2 }, (_, i) => ({ contentId: `c${i}`, ranges: [range(0, 1)] }));
    assert.deepEqual(keptProfiles(profiles, new Set(["c1", "other"])).map((p) => p.contentId), ["c1"]);
    assert.deepEqual(keptProfiles(profiles, new Set(profiles.map((p) => p.contentId))), profiles.slice(2));
  });
});
