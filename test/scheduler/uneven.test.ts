import assert from "node:assert/strict";
import { policies, policyNames } from "../../provider/scheduler";
import { random } from "../random";
import { choosePolicy, none, simulatePolicy, template, topology, type Datacenter } from "./fixtures";

interface Uneven {
  topology: Datacenter;
  targets: number[];
  excluded: boolean[];
}

/** Mixed 1 and 10 Gbit/s NICs, one thin uplink, slow disks, 5 % of the hosts out. */
function uneven(seed: number): Uneven {
  const next = random(seed);
  const pick = <T>(...values: T[]): T => values[Math.floor(next() * values.length)]!;
  const racks = Array.from({ length: 1 + Math.floor(next() * 6) }, () => 1 + Math.floor(next() * 8));
  const t = topology({ racks, startupSeconds: pick(0, 0.4) });
  t.hopSeconds = pick(0, 0.09);
  const slowNics = next() * 0.6;
  const slowDisks = next() * 0.4;
  for (const host of t.hosts) {
    if (next() < slowNics) host.nicBytesPerSecond = 1.25e8;
    if (next() < slowDisks) t.stores[host.store]!.bytesPerSecond = pick(1e8, 2.5e8, 5e8);
  }
  t.racks[Math.floor(next() * t.racks.length)]!.uplinkBytesPerSecond = pick(1.25e8, 5e8, 5e9);
  const each = pick(1, 2, 4, 10);
  const even = next() < 0.5;
  return {
    topology: t,
    targets: t.hosts.map(() => (even ? each : Math.floor(next() * (each + 1)))),
    excluded: t.hosts.map((_, index) => index > 0 && next() < 0.05),
  };
}

describe("uneven networks", function () {
  this.timeout(120_000);
  const SEEDS = 150;
  const cases = Array.from({ length: SEEDS }, (_, seed) => ({ seed, ...uneven(seed + 1) }));

  it("relay alone is within 5 % of the best policy, whatever the network", () => {
    const worse: string[] = [];
    for (const { seed, topology: t, targets, excluded } of cases) {
      const spans = policyNames.map((name) => simulatePolicy(t, targets, none(t), [template()], policies[name], { excluded, relay: true }).makespanSeconds);
      const ours = spans[policyNames.indexOf("relay")]!;
      const best = Math.min(...spans);
      if (ours > 1.05 * best) worse.push(`seed ${seed}: ${ours.toFixed(1)} s, best ${best.toFixed(1)} s (${policyNames[spans.indexOf(best)]})`);
    }
    assert.deepEqual(worse, []);
  });

  it("auto is never worse than the best", () => {
    for (const { topology: t, targets, excluded } of cases.slice(0, 40)) {
      const { run } = choosePolicy(t, targets, none(t), [template()], { excluded, relay: true });
      for (const name of policyNames) {
        assert.ok(run.makespanSeconds <= 1.0001 * simulatePolicy(t, targets, none(t), [template()], policies[name], { excluded, relay: true }).makespanSeconds);
      }
    }
  });
});
