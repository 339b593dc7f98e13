import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(__dirname, "..", "..");
const tsx = require.resolve("tsx/cli");
const cli = join(root, "provider", "cli.ts");

const FIG_3B = `
namePrefix: vm
template: { host: h312, pool: default, volume: golden.qcow2 }
policy: rounds
hosts:
  - { name: h312, count: 2 }
  - { name: h314, count: 3 }
  - { name: h316, count: 8 }
  - { name: h318, count: 2 }
`;

const TWO_RACKS = {
  namePrefix: "workers",
  template: { host: "a1", pool: "default", volume: "golden.qcow2" },
  countPerHost: 4,
  racks: [{ name: "a", uplinkBitsPerSecond: 4e10 }, { name: "b", uplinkBitsPerSecond: 4e10 }],
  hosts: ["a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4"].map((name) => ({
    name, rack: name[0], nicBitsPerSecond: 1e10, diskBytesPerSecond: 1e9,
  })),
  imageBytes: 10e9,
};

describe("vmfleet plan", function () {
  this.timeout(60_000);
  let folder: string;
  before(() => { folder = mkdtempSync(join(tmpdir(), "vmfleet-cli-")); });
  after(() => { rmSync(folder, { recursive: true, force: true }); });

  function write(name: string, content: string | object): string {
    const path = join(folder, name);
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  }

  function vmfleet(args: string[], input?: string): { code: number | null; out: string; err: string } {
    const { status, stdout, stderr } = spawnSync(process.execPath, [tsx, cli, ...args], { encoding: "utf8", cwd: folder, input });
    return { code: status, out: stdout, err: stderr };
  }

  it("gives FIG. 3B's trace for the figure's file in unit time", () => {
    const { code, out } = vmfleet(["plan", write("fig3b.yaml", FIG_3B), "--json", "--time", "unit"]);
    assert.equal(code, 0);
    const { policy, makespanSeconds, placement, clones } = JSON.parse(out);
    assert.deepEqual([policy, makespanSeconds, placement], ["rounds", 4, { h312: 2, h314: 3, h316: 8, h318: 2 }]);
    const round = (n: number): string[] => clones
      .filter((clone: { startSeconds: number }) => clone.startSeconds === n - 1)
      .map((clone: { sourceHost: string; targetHost: string }) => `${clone.sourceHost}>${clone.targetHost}`).sort();
    assert.deepEqual(round(1), ["h312>h314"]);
    assert.deepEqual(round(2), ["h312>h316", "h314>h318"]);
    assert.deepEqual(round(3), ["h312>h312", "h314>h314", "h316>h316", "h318>h316"]);
    assert.deepEqual(round(4), [
      "h312>h312", "h312>h316", "h314>h314", "h314>h316", "h316>h316", "h316>h316", "h316>h316", "h318>h318",
    ]);
  });

  it("prints exactly the promised JSON", () => {
    const { out } = vmfleet(["plan", write("two.json", TWO_RACKS), "--json"]);
    const result = JSON.parse(out);
    assert.deepEqual(Object.keys(result), ["policy", "makespanSeconds", "bytesMoved", "bytesAcrossRacks", "placement", "clones"]);
    assert.deepEqual(Object.keys(result.clones[0]), ["slot", "source", "sourceHost", "targetHost", "startSeconds", "endSeconds"]);
    assert.equal(result.clones.length, 32);
    assert.equal(result.clones[0].source, "template");
    assert.deepEqual([result.policy, result.makespanSeconds, result.bytesAcrossRacks], ["relay", 40, 20e9]);
  });

  it("reads JSON from standard input", () => {
    const { code, out } = vmfleet(["plan", "-", "--json", "--policy", "singleSource"], JSON.stringify(TWO_RACKS));
    assert.deepEqual([code, JSON.parse(out).makespanSeconds], [0, 320]);
  });

  it("shows placement, clones, makespan and crossings to a human", () => {
    const { code, out } = vmfleet(["plan", write("two.json", TWO_RACKS)]);
    assert.equal(code, 0);
    assert.match(out, /^\+32 VMs on 8 hosts in 2 racks, 20 GB across racks, about 40 s, policy relay/);
    assert.match(out, /^a {5}a1 {10}4$/m);
    assert.match(out, /^workers-\d{3} +template +a1 +\w\d +0\.0 +10\.0$/m);
    assert.match(out, /^makespan +40 s$/m);
    assert.match(out, /^across racks +20 GB$/m);
  });

  it("says which rates it assumed: in the text, and beside JSON on standard error", () => {
    const file = write("fig3b.yaml", FIG_3B);
    const assumed = /NICs of 10 Gbit\/s[^]*uplinks of 40 Gbit\/s[^]*disks of 1 GB\/s[^]*image of 10 GB/;
    assert.match(vmfleet(["plan", file]).out, assumed);
    assert.match(vmfleet(["plan", file, "--json"]).err, assumed);
    assert.doesNotMatch(vmfleet(["plan", write("two.json", TWO_RACKS)]).out, /assumed/);
  });

  it("draws the plan", () => {
    const { code } = vmfleet(["plan", write("two.json", TWO_RACKS), "--svg", "two.svg"]);
    assert.equal(code, 0);
    const svg = readFileSync(join(folder, "two.svg"), "utf8");
    assert.match(svg, /^<svg [^]*workers: planned, relay[^]*workers-001 from a1/);
  });

  it("says where it cannot draw", () => {
    const { code, err } = vmfleet(["plan", write("two.json", TWO_RACKS), "--svg", "nowhere/two.svg"]);
    assert.equal(code, 2);
    assert.match(err, /^nowhere\/two\.svg: cannot be written \(ENOENT/m);
  });

  it("compares all policies", () => {
    const { out } = vmfleet(["plan", write("two.json", TWO_RACKS), "--compare"]);
    assert.match(out, /^relay +40 s +1\.00 x/m);
    assert.match(out, /^earliestCompletion +1 min 10 s +1\.75 x/m);
    assert.match(out, /^singleSource +5 min 20 s +8\.00 x/m);
    const { compare } = JSON.parse(vmfleet(["plan", write("two.json", TWO_RACKS), "--compare", "--json"]).out);
    assert.deepEqual(compare.map((one: { policy: string }) => one.policy), ["rounds", "earliestCompletion", "relay", "singleSource"]);
  });

  const wrong: [string, string, string[], RegExp][] = [
    ["a misspelt field", FIG_3B.replace("namePrefix", "nameprefix"), [], /nameprefix.*namePrefix/s],
    ["a negative count", FIG_3B.replace("count: 8", "count: -1"), [], /^hosts\[2\]\.count: expected an integer from 0 to \d+, got -1$/m],
    ["a count in words", FIG_3B.replace("count: 8", "count: eight"), [], /^hosts\[2\]\.count: expected .*, got "eight"$/m],
    ["two ways to say how many", `${FIG_3B}\ncount: 3\n`, [], /count/],
    ["a template on a host that is not there", FIG_3B.replace("host: h312", "host: h999"), [], /^template\.host: .*h999/m],
    ["an empty file", "", [], /an object/],
    ["text that is no YAML", "hosts: [a, {\n", [], /wrong\.yaml:\d+:\d+: /],
    ["a key that stands twice", `${FIG_3B}\nnamePrefix: again\n`, [], /wrong\.yaml:\d+:\d+: .*unique/],
    ["a misspelt policy", FIG_3B, ["--policy", "round"], /^--policy: expected auto, rounds, earliestCompletion, relay or singleSource, got "round"$/m],
    ["a misspelt time model", FIG_3B, ["--time", "units"], /^--time: expected network or unit, got "units"$/m],
    ["a misspelt option", FIG_3B, ["--polcy", "rounds"], /unknown option '--polcy'[^]*--policy/],
  ];
  for (const [what, content, options, message] of wrong) {
    it(`refuses ${what} with exit code 2 and no stack`, () => {
      const { code, out, err } = vmfleet(["plan", write("wrong.yaml", content), ...options]);
      assert.deepEqual([code, out], [2, ""]);
      assert.match(err, message);
      assert.doesNotMatch(err, /^\s+at /m);
    });
  }

  it("lists every problem on a line of its own", () => {
    const { code, err } = vmfleet(["plan", write("wrong.yaml", FIG_3B.replace("count: 2 }", "count: x }").replace("count: 8", "count: -1"))]);
    assert.equal(code, 2);
    assert.deepEqual(err.trim().split("\n").map((line) => line.split(":")[0]), ["hosts[0].count", "hosts[2].count"]);
  });

  it("says which file is not there, or is none", () => {
    const missing = vmfleet(["plan", "no-such-file.yaml"]);
    assert.deepEqual([missing.code, missing.err], [2, "no-such-file.yaml: no such file; expected a fleet description in YAML or JSON\n"]);
    assert.match(vmfleet(["plan", folder]).err, /is a directory/);
  });

  it("explains itself", () => {
    const { code, out } = vmfleet(["plan", "--help"]);
    assert.equal(code, 0);
    assert.match(out, /--policy <name>[^]*--time <model>[^]*Rates left out/);
    assert.match(vmfleet(["--version"]).out, /^\d+\.\d+\.\d+/);
    assert.equal(vmfleet(["plna"]).code, 2);
  });
});
