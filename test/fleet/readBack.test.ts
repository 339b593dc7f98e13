/** What a run records comes back to the next one to the letter: what got lost on the way would be forgotten of machines that live. */
import assert from "node:assert/strict";
import { parseState } from "../../provider/fleet";
import type { FleetState } from "../../provider/fleet/model";
import { made, record } from "./build";

const read = (state: unknown): FleetState | undefined => parseState(JSON.parse(JSON.stringify(state)));

/** One that has all that a record may have. */
function full(): FleetState {
  const { state } = made({ count: 4 });
  const [first, ...rest] = state.hosts;
  return {
    ...state,
    members: state.members.map((one) => ({ ...one, generation: one.slot })),
    hosts: [{ ...first!, unsettled: true, missed: [{ slot: 7, generation: 3, name: "workers-007" }] }, ...rest],
    replicas: [{ host: "a1", contentId: "c1", purpose: "replica", volume: "replica-c1" }],
    snapshots: [{ slot: 0, host: "a1", volume: "base-0" }],
    lastRun: { ...state.lastRun, policy: "relay", makespanSeconds: 12, created: 4, predictedSeconds: 11 },
    timeline: {
      policy: "relay", imageBytes: 300e6, racks: [{ name: "rack-a", hosts: ["a1", "a2"] }], leftOut: 1,
      clones: [{ slot: "workers-001", source: "template", sourceHost: "a1", targetHost: "a2", startSeconds: 0, endSeconds: 3, replaced: [{ source: "workers-002", sourceHost: "b1", untilSeconds: 1 }] }],
    },
    learned: { runs: 2, networkFactor: 0.5, diskFactor: 0.8, startupSeconds: 0.4, hopSeconds: 0.1, finishSeconds: 3, memberSeconds: 1.5 },
    readProfiles: [{ contentId: "c1", ranges: [{ offsetBytes: 4096, lengthBytes: 512 }] }],
  };
}

describe("a record that is read back", () => {
  it("is what was recorded, whatever a record may hold", () => assert.deepEqual(read(full()), full()));

  it("tells of each member that is missed who it was", () => {
    assert.deepEqual(read(full())!.hosts[0]!.missed, [{ slot: 7, generation: 3, name: "workers-007" }]);
    const broken = full();
    broken.hosts[0]!.missed = [{ slot: 7, generation: -1, name: "workers-007" }];
    assert.throws(() => read(broken), /hosts\[0\]\.missed\[0\]\.generation: expected what this version or an older one writes there/);
  });

  it("leaves out what was learned that cannot be, and nothing else with it", () => {
    for (const wrong of [{ startupSeconds: -1 }, { hopSeconds: -1 }, { memberSeconds: -1 }, { networkFactor: 0 }]) {
      const { learned, ...rest } = full();
      assert.deepEqual(read({ ...rest, learned: { ...learned!, ...wrong } }), rest, JSON.stringify(wrong));
    }
  });
});

describe("a record of a fleet of versions before", () => {
  it("says no version of defaults, as none did", () => {
    const { declared, found } = made({ count: 1 });
    assert.deepEqual([1, 2].map((version) => record({ ...declared, defaultsVersion: version as 1 | 2 }, found).defaultsVersion), [undefined, 2]);
    assert.equal("defaultsVersion" in record({ ...declared, defaultsVersion: 1 }, found), false);
  });
});
