import assert from "node:assert/strict";
import { realClock } from "../../../provider/async/clock";
import fc from "fast-check";
import { asLeftovers, beginArrival, isSameBoot, isSameBootByAge } from "../../../provider/hypervisors/libvirt/volumes/arrivals";
import type { Place } from "../../../provider/hypervisors/libvirt/connection/place";
import { GuardError } from "../../../provider/hypervisors/libvirt/guard/guardError";
import type { OwnVolume } from "../../../provider/hypervisors/libvirt/look/leftovers";
import { volumeName, type HostUp, type VolumeName } from "../../../provider/hypervisors/libvirt/volumes/names";

import type { LibvirtClient } from "../../../provider/hypervisors/libvirt/rpc/client";
import type { Pool, Volume } from "../../../provider/hypervisors/libvirt/rpc/handles";
import type { HostSession } from "../../../provider/hypervisors/libvirt/connection/session";

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
    assert.deepEqual(asLeftovers([base, mark], then), [
      { kind: "volume", name: base.facts.volume, bytes: 10, slot: 1, generation: 2, resumable: { contentId: content } },
    ]);
  });

  it("without a mark of this start of the host are leftovers, and so are marks without a copy", () => {
    const rebooted = { bootSeconds: then.bootSeconds + 2 * DAY, upSeconds: 10 };
    for (const [volumes, now] of [[[base, mark], rebooted], [[base], then], [[mark], then], [[base, mark], null]] as const) {
      const leftovers = asLeftovers([...volumes], now);
      assert.equal(leftovers.length, volumes.length);
      assert.ok(leftovers.every((p) => p.resumable === undefined));
    }
  });

  it("of another form than ours are not gone on with", () => {
    for (const facts of [{ format: "raw" }, { backingPath: "/somewhere" }]) {
      assert.ok(asLeftovers([own(base.name, facts), mark], then).every((p) => p.resumable === undefined));
    }
  });

  /** A host that has been up since, with a copy that is not whole, and a domain of somebody's that has these files. */
  function resumable(files: string[]): { place: Place; removed: string[] } {
    const bootSeconds = Math.round(Date.now() / 1000) - DAY;
    const since = { bootSeconds, upSeconds: DAY - 1 };
    const names = new Set([base.facts.volume, volumeName(scope, { ...(mark.name as Extract<VolumeName, { kind: "arriving" }>), since })]);
    const removed: string[] = [];
    const volume = (name: string): Volume => ({ pool: "default", name, key: `/pool/${name}` });
    const client = {
      clock: realClock,
      nodeUpSeconds: () => Promise.resolve(DAY),
      listVolumes: () => Promise.resolve([...names].map(volume)),
      lookupVolume: (_pool: Pool, name: string) => Promise.resolve(names.has(name) ? volume(name) : null),
      createVolume: (_pool: Pool, xml: string) => Promise.resolve(volume(/<name>(.*?)<\/name>/.exec(xml)![1]!)),
      deleteVolume: ({ name }: Volume) => Promise.resolve(void removed.push(name)),
      volumeXml: ({ name }: Volume) => Promise.resolve(`<volume><name>${name}</name><capacity>100</capacity><allocation>10</allocation><target><path>/pool/${name}</path><format type='qcow2'/><timestamps><mtime>${name.includes(".map.") ? 11 : 10}.0</mtime></timestamps></target></volume>`),
      refreshPool: () => Promise.resolve(),
      listActivePools: () => Promise.resolve([{ name: "default" }]),
      listDomains: (which = 0) => Promise.resolve(which === 0 ? [{ name: "somebody", id: 1, uuid: Buffer.alloc(16, 1) }] : []),
      domainXml: () => Promise.resolve(`<domain><devices>${files.map((file) => `<disk device='disk'><source file='${file}'/></disk>`).join("")}</devices></domain>`),
    } as unknown as LibvirtClient;
    const session = {
      pool: () => Promise.resolve({ pool: { name: "default" } }), run: (_what: string, work: (c: LibvirtClient) => unknown) => Promise.resolve(work(client)),
    } as unknown as HostSession;
    return { place: { scope, session }, removed };
  }
  const begun = ({ place }: { place: Place }) => beginArrival(place, { kind: "base", host: "a1", slot: 1, generation: 2 }, content, 100);

  it("are gone on with where nobody has them", async () => {
    assert.deepEqual(await begun(resumable(["/elsewhere/a"])), { path: `/pool/${base.facts.volume}`, arrivedBytes: 10 });
  });

  it("are left alone where somebody has them meanwhile", async () => {
    const host = resumable([`/pool/${base.facts.volume}`]);
    await assert.rejects(begun(host), GuardError);
    assert.ok(!host.removed.includes(base.facts.volume));
  });
});
