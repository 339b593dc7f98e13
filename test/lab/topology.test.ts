import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkLabName, layOut, parseTopology, stableUuid, subnetCandidates } from "./topology.mjs";

const read = (file: string) => JSON.parse(readFileSync(join(__dirname, file), "utf8"));
const small = { nicBitsPerSecond: 1e8, uplinkBitsPerSecond: 2e8, racks: [{ name: "r", hosts: [{ name: "h" }] }] };

describe("a lab's topology", () => {
  it("gives each host and rack the rate at the top when it has none", () => {
    const { racks } = parseTopology({ ...small, racks: [{ name: "r", hosts: [{ name: "h" }, { name: "i", nicBitsPerSecond: 5e7 }] }] });
    assert.equal(racks[0]?.uplinkBitsPerSecond, 2e8);
    assert.deepEqual(racks[0]?.hosts.map((host) => host.nicBitsPerSecond), [1e8, 5e7]);
  });
  it("lists every problem with its path", () => {
    assert.throws(() => parseTopology({ ...small, racks: [{ name: "R!", hosts: [{ name: "h", nicBitsPerSecond: 3 }, { name: "h" }] }] }), (error: Error) => {
      assert.match(error.message, /racks\[0\]\.name: expected .*, got "R!"/);
      assert.match(error.message, /racks\[0\]\.hosts\[0\]\.nicBitsPerSecond: expected bits per second from 1e6 to 1e11, got 3/);
      assert.match(error.message, /racks\[0\]\.hosts\[1\]\.name: expected a name not used elsewhere, got "h"/);
      return true;
    });
  });
  it("refuses what is no topology", () => {
    for (const input of [null, [], {}, { racks: [] }, { racks: {} }]) assert.throws(() => parseTopology(input), /racks: expected 1 to/);
  });
  it("the files in this folder are good", () => {
    assert.equal(parseTopology(read("topology.json")).racks.flatMap((rack) => rack.hosts).length, 4);
    assert.equal(parseTopology(read("topology-8.json")).racks.length, 4);
  });
});

describe("what a lab is called", () => {
  it("keeps every interface in the root namespace within 15 characters", () => {
    assert.ok(layOut("abcdefghij", parseTopology(small), 99).managementInterface.length <= 15);
  });
  it("refuses names that could be another lab's namespace", () => {
    for (const name of ["", "Lab", "a-b", "a/b", "abcdefghijk", "1a", 7]) assert.throws(() => checkLabName(name), /lab name: expected/);
  });
  it("prefers the same subnet at every time, 10.77 for the default lab", () => {
    assert.equal(subnetCandidates("lab")[0], 77);
    assert.deepEqual(subnetCandidates("test"), subnetCandidates("test"));
    assert.equal(new Set(subnetCandidates("test")).size, 43);
  });
  it("gives each host of each lab a UUID of its own that stays", () => {
    assert.equal(stableUuid("lab/a1"), stableUuid("lab/a1"));
    assert.notEqual(stableUuid("lab/a1"), stableUuid("test/a1"));
    assert.match(stableUuid("lab/a1"), /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});
