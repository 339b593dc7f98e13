import assert from "node:assert/strict";
import { policies, type SimulatedRun } from "../../provider/scheduler";
import { none, simulatePolicy, template, topology, type Shape } from "./fixtures";

function run(shape: Shape, targets: number | number[]): SimulatedRun {
  const t = topology(shape);
  const each = typeof targets === "number" ? t.hosts.map(() => targets) : targets;
  const result = simulatePolicy(t, each, none(t), [template()], policies.earliestCompletion);
  assert.equal(result.unmade, 0);
  return result;
}

const racksOf = (count: number, hosts: number): number[] => Array.from({ length: count }, () => hosts);

describe("earliestCompletion: reference makespans", function () {
  this.timeout(60_000);
  it("2 racks of 4 hosts with 4 members each: 70 s", () => assert.ok(run({ racks: racksOf(2, 4) }, 4).makespanSeconds <= 70));
  it("10 racks of 20 hosts with 10 members each: 180 s", () => assert.ok(run({ racks: racksOf(10, 20) }, 10).makespanSeconds <= 180));
  it("100 racks of 40 hosts with 25 members each: 380 s, decided within seconds", () => {
    assert.ok(run({ racks: racksOf(100, 40) }, 25).makespanSeconds <= 380);
  });
});

describe("earliestCompletion: habits", function () {
  this.timeout(60_000);
  it("crosses an uplink once for each rack where racks are alike", () => {
    assert.equal(run({ racks: racksOf(10, 20) }, 3).bytesAcrossRacks, 9 * 10e9);
  });

  it("reaches each rack before it reaches any host twice", () => {
    const { transfers } = run({ racks: [4, 4, 4, 4] }, 2);
    const firstThree = transfers.slice(0, 3).map((copy) => Math.floor(copy.targetHost / 4));
    assert.deepEqual([...firstThree].sort(), [1, 2, 3]);
  });

  it("lets a rack far behind be helped across its uplink", () => {
    // 48 hosts from one seed are six doublings; the other rack's host saves one of them.
    const { makespanSeconds, bytesAcrossRacks } = run({ racks: [1, 48] }, 1);
    assert.equal(makespanSeconds, 60);
    assert.ok(bytesAcrossRacks > 10e9);
  });

  it("leaves a rack alone that help would not bring home sooner", () => {
    const { makespanSeconds, bytesAcrossRacks } = run({ racks: [4, 64] }, 1);
    assert.deepEqual([makespanSeconds, bytesAcrossRacks], [70, 10e9]);
  });

  it("copies on the host what it wants beyond its first base", () => {
    const { transfers } = run({ racks: [4] }, 5);
    for (const host of [1, 2, 3]) {
      assert.equal(transfers.filter((copy) => copy.targetHost === host && copy.sourceHost !== host).length, 1);
    }
  });

  it("leaves no host with most of its work at the end when the fleet's cap is tight", () => {
    const t = topology({ racks: [9] });
    const { makespanSeconds } = simulatePolicy(
      t, t.hosts.map(() => 8), none(t), [template()], policies.earliestCompletion, { maxConcurrentClones: 4 },
    );
    // 72 copies, 4 at once after two doublings: 190 s at the least.
    assert.ok(makespanSeconds <= 210, `${makespanSeconds}`);
  });

  it("serves over a slow NIC while the disk copies at home", () => {
    // 2 GB at 25 MB/s are 80 s over the network and 2 s on the disk.
    const { makespanSeconds } = run({ racks: [4], nicBytesPerSecond: 25e6, imageBytes: 2e9 }, 3);
    assert.ok(makespanSeconds < 167, `${makespanSeconds}`);
  });

  it("overlaps start-ups where they cost more than the bytes", () => {
    const one = run({ racks: [1], imageBytes: 1e8, startupSeconds: 1 }, 8);
    assert.ok(one.makespanSeconds < 8, `${one.makespanSeconds}`);
  });

  it("does not wait for a busy source when the free one is nearly as good", () => {
    const t = topology({ racks: [3] });
    t.stores[1]!.bytesPerSecond = 8e8;
    const { makespanSeconds } = simulatePolicy(t, [0, 1, 1], none(t), [template()], policies.earliestCompletion);
    assert.ok(makespanSeconds <= 22.5);
  });

  it("gives each source one copy at a time in unit time", () => {
    const { transfers, makespanSeconds } = run({ racks: [4], time: "unit" }, [2, 3, 8, 2]);
    assert.equal(makespanSeconds, 4);
    const starts = transfers.map((copy) => `${copy.source}@${copy.startSeconds}`);
    assert.equal(new Set(starts).size, starts.length);
  });
});
