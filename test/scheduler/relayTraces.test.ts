/** What relay makes of uneven networks: recorded, and not to get worse. 10 GB images; a plain card takes 10 s for one. */
import assert from "node:assert/strict";
import { policies } from "../../provider/scheduler";
import { none, simulatePolicy, template, topology, type Datacenter } from "./fixtures";

type Change = (t: Datacenter) => void;
const cards = (hosts: number[], bytesPerSecond = 1.25e8): Change => (t) => { for (const host of hosts) t.hosts[host]!.nicBytesPerSecond = bytesPerSecond; };
const disks = (hosts: number[], bytesPerSecond = 2.5e8): Change => (t) => { for (const host of hosts) t.stores[host]!.bytesPerSecond = bytesPerSecond; };
const uplink = (rack: number, bytesPerSecond: number): Change => (t) => { t.racks[rack]!.uplinkBytesPerSecond = bytesPerSecond; };
const narrow: Change = (t) => { for (const host of t.hosts) if (host.index % 3 === 2) host.maxConcurrent = 1; };

const cases: {
  what: string; racks: number[]; each: number; changes?: Change[]; hopSeconds?: number; startupSeconds?: number;
  /** Until the last copy ends, and until they end on the average. */
  last: number; mean: number;
}[] = [
  { what: "slow cards among fast ones", racks: [6], each: 1, changes: [cards([2, 4])], last: 80, mean: 46.67 },
  { what: "slow cards where hops cost", racks: [6], each: 1, changes: [cards([2, 4])], hopSeconds: 0.09, last: 80.36, mean: 46.88 },
  { what: "slow cards in two racks", racks: [3, 3], each: 1, changes: [cards([1, 4])], hopSeconds: 0.09, startupSeconds: 0.4, last: 80.67, mean: 59.18 },
  { what: "one thin uplink", racks: [3, 3], each: 1, changes: [uplink(1, 1.25e8)], last: 80, mean: 58.34 },
  { what: "many racks and dear hops", racks: [2, 2, 2, 2, 2, 2], each: 1, hopSeconds: 0.5, last: 15.5, mean: 13.21 },
  { what: "very dear hops", racks: [3, 3, 3, 3], each: 1, hopSeconds: 6, last: 34, mean: 28.67 },
  { what: "slow disks, two bases each", racks: [4, 4], each: 2, changes: [disks([2, 5])], last: 80, mean: 32.92 },
  { what: "slow disks, four bases each", racks: [5], each: 4, changes: [disks([1, 3], 5e8)], startupSeconds: 0.4, last: 81.2, mean: 44.03 },
  { what: "cards slower than disks, four bases each", racks: [4], each: 4, changes: [cards([1, 2, 3], 2.5e8)], last: 50, mean: 38.13 },
  { what: "cards of several rates", racks: [1, 4, 4], each: 1, changes: [cards([1, 2], 5e8), cards([5], 2.5e8)], hopSeconds: 0.5, last: 41, mean: 26.22 },
  { what: "a thin way out, a slow card behind it", racks: [3, 3, 3], each: 1, changes: [uplink(0, 5e8), cards([5])], hopSeconds: 0.09, startupSeconds: 0.4, last: 80.77, mean: 32.86 },
  { what: "a slow template's host", racks: [4, 2], each: 1, changes: [cards([0], 5e8)], last: 20, mean: 20 },
  { what: "a slow template's host, slow others", racks: [4, 2], each: 2, changes: [cards([0], 5e8), cards([2], 2.5e8)], hopSeconds: 0.09, last: 40.18, mean: 27.12 },
  { what: "hosts in one line and dear hops", racks: [12], each: 1, hopSeconds: 1.5, last: 25, mean: 18.96 },
  { what: "hosts that may feed nobody", racks: [6, 6], each: 1, changes: [narrow, cards([4, 7], 2.5e8)], hopSeconds: 0.09, last: 80.55, mean: 51.69 },
];

describe("relay, in uneven networks", () => {
  for (const { what, racks, each, changes = [], hopSeconds = 0, startupSeconds = 0, last, mean } of cases) {
    it(`ends no later than it did: ${what}`, () => {
      const t = { ...topology({ racks, startupSeconds }), hopSeconds };
      for (const change of changes) change(t);
      const { transfers, makespanSeconds, unmade } = simulatePolicy(t, t.hosts.map(() => each), none(t), [template()], policies.relay, { relay: true });
      const average = transfers.reduce((sum, { endSeconds }) => sum + endSeconds, 0) / transfers.length;
      assert.equal(unmade, 0);
      assert.ok(makespanSeconds <= 1.005 * last && average <= 1.005 * mean, `${makespanSeconds.toFixed(2)} s, ${average.toFixed(2)} s on the average`);
    });
  }
});
