import assert from "node:assert/strict";
import fc from "fast-check";
import { asPartials, isSameBoot, isSameBootByAge } from "../../../provider/hypervisors/libvirt/arrivals";
import type { OwnVolume } from "../../../provider/hypervisors/libvirt/leftovers";
import { volumeName, type HostUp, type VolumeName } from "../../../provider/hypervisors/libvirt/names";

const scope = { fleetId: "abc", hostUuid: "1a2b3c4d-0000-0000-0000-000000000000" };
const content = "0123456789abcdef".repeat(4);
const DAY = 86_400;
const then: HostUp = { bootSeconds: 1_000_000, upSeconds: DAY };
const own = (name: VolumeName, facts: object = {}): OwnVolume => ({
  name, facts: { volume: volumeName(scope, name), path: "", key: "", mtime: "", format: "qcow2", capacityBytes: 100, allocationBytes: 10, ...facts },
});
const base = own({ kind: "base", slot: 1, generation: 2 });
const mark = own({ kind: "arriving", of: "base", slot: 1, generation: 2, contentId: content, since: then });

describe("unfinished copies", () => {
  it("are trusted while their host was up all the time", () => {
    assert.ok(isSameBoot(then, { bootSeconds: then.bootSeconds + 30, upSeconds: 3 * DAY }));
  });

  it("are not when the host started again, however soon after its start the copy began", () => {
    assert.equal(isSameBoot(then, { bootSeconds: then.bootSeconds + DAY + 60, upSeconds: 100 }), false);
    assert.equal(isSameBoot({ ...then, upSeconds: 40 }, { bootSeconds: then.bootSeconds + 40, upSeconds: DAY }), false);
  });

  it("are not when the host cannot tell, or clocks disagree", () => {
    assert.equal(isSameBoot(then, null), false);
    assert.equal(isSameBoot(then, { bootSeconds: then.bootSeconds - 3600, upSeconds: DAY }), false);
  });

  it("are not when the host has been up for less than then, whatever clocks say", () => {
    assert.equal(isSameBoot(then, { bootSeconds: then.bootSeconds, upSeconds: DAY - 5 }), false);
  });

  it("are never gone on with after the host started again, though whoever looks has the time of any day", () => {
    const seconds = (max: number) => fc.integer({ min: 0, max });
    fc.assert(fc.property(fc.integer({ min: 1, max: 400 * DAY }), seconds(400 * DAY), seconds(DAY), seconds(400 * DAY), fc.double({ min: -0.4, max: 0.4, noNaN: true }), (up, tillDown, down, upAgain, drift) => {
      const error = drift * Math.min(up, 1200); // of the store's clock, meanwhile
      assert.equal(isSameBootByAge({ bootSeconds: 0, upSeconds: up }, { bootSeconds: 0, upSeconds: upAgain }, tillDown + down + upAgain + error), false);
    }));
    fc.assert(fc.property(fc.double({ min: 100, max: 400 * DAY, noNaN: true }), seconds(400 * DAY), seconds(30), (up, age, drift) => {
      assert.ok(isSameBootByAge({ bootSeconds: 0, upSeconds: up }, { bootSeconds: 0, upSeconds: up + age }, age + drift));
    }));
  });

  it("are told with their content, their mark with them", () => {
    assert.deepEqual(asPartials([base, mark], then), [
      { kind: "volume", name: base.facts.volume, bytes: 10, slot: 1, generation: 2, resumable: { contentId: content } },
    ]);
  });

  it("without a mark of this start of the host are leftovers, and so are marks without a copy", () => {
    const rebooted = { bootSeconds: then.bootSeconds + 2 * DAY, upSeconds: 10 };
    for (const [volumes, now] of [[[base, mark], rebooted], [[base], then], [[mark], then], [[base, mark], null]] as const) {
      const partials = asPartials([...volumes], now);
      assert.equal(partials.length, volumes.length);
      assert.ok(partials.every((p) => p.resumable === undefined));
    }
  });

  it("of another form than ours are not gone on with", () => {
    for (const facts of [{ format: "raw" }, { backingPath: "/somewhere" }]) {
      assert.ok(asPartials([own(base.name, facts), mark], then).every((p) => p.resumable === undefined));
    }
  });
});
