import assert from "node:assert/strict";
import { describePlan, describePlanAtLength, formatBytes, formatSeconds, type FleetPlan, type RunSummary } from "../../provider/fleet";
import { empty, host, made, plan, spec, template, withHost } from "./build";

const summary: RunSummary = {
  policy: "rounds", makespanSeconds: 37.6, bytesMoved: 9e9, bytesAcrossRacks: 2.1e9, bytesResent: 0, created: 12, destroyed: 0, reconfigured: 0,
};

describe("plans in words", () => {
  const { declared, found, state } = made();

  it("say growth with its cost", () => {
    const fresh = plan(declared, empty(declared));
    assert.equal(describePlan(fresh, summary), "+12 VMs on 4 hosts in 2 racks, 2.1 GB across racks, about 38 s, policy rounds");
    assert.equal(describePlan(fresh), "+12 VMs on 4 hosts in 2 racks");
  });

  it("say one VM on one host in the singular", () => {
    assert.equal(describePlan(plan(spec({ count: 13 }), found, state)), "+1 VM on 1 host in 1 rack");
  });

  it("say shrinking, no change, adoption and reconfiguration", () => {
    assert.equal(describePlan(plan(spec({ count: 5 }), found, state), summary), "-7 VMs");
    assert.equal(describePlan(plan(declared, found, state), summary), "no change");
    assert.equal(describePlan(plan(declared, found, undefined, { incarnation: "two" })), "adopt 12 VMs");
    assert.equal(describePlan(plan(spec({ count: 12, powerOn: false }), found, state)), "reconfigure 12 VMs");
  });

  it("say that leftovers are removed, beside other changes too", () => {
    const leftovers = ["x", "y"].map((name) => ({ kind: "volume" as const, name, bytes: 1 }));
    const littered = withHost(found, "a1", (one) => ({ ...one, leftovers }));
    assert.equal(describePlan(plan(declared, littered, state)), "remove 2 leftovers");
    assert.equal(describePlan(plan(spec({ count: 5 }), littered, state)), "-7 VMs, remove 2 leftovers");
  });

  it("say that moves and replacements lose data", () => {
    const three = spec({ count: 13, allowRecreate: true, hosts: ["a1", "a2", "b1"].map((name) => host(name)) });
    assert.equal(describePlan(plan(three, found, state)), "+1 VM on 1 host in 1 rack, move 3 VMs: data is lost");
    const changed = { ...found, template: { ...template, contentId: "c2" } };
    assert.equal(describePlan(plan(spec({ count: 12, onTemplateChange: "replace" }), changed, state)), "replace 12 VMs: data is lost");
  });

  it("give each entry's reason at length", () => {
    const moved = plan(spec({ count: 12, hosts: ["a1", "a2", "b1"].map((name) => host(name)) }), found, state);
    const lines = describePlanAtLength(moved).split("\n");
    assert.equal(lines[0], "move 3 VMs: data is lost, refused: 1 problem");
    assert.equal(lines[1], "  > workers-003 from b2 to a1: move: data is lost; b2 is no longer declared and a1 is below its own");
    assert.match(lines.at(-1)!, /^ {2}refused: allowRecreate: expected true/);
  });

  it("name every entry that changes something, each once and with its reason, then what is to be known and what is refused", () => {
    const { found: before, state: recorded } = made({ hosts: [host("a1", { count: 3 }), host("a2", { count: 1 })] });
    const changed = { ...before, template: { ...template, contentId: "c2" } };
    const wanted = plan(spec({ hosts: [host("a1", { count: 2 }), host("a2", { count: 3 })], onTemplateChange: "replace" }), changed, recorded);
    const shrunk = plan(spec({ hosts: [host("a1", { count: 2 }), host("a2", { count: 1 })] }), before, recorded);
    const of = (slot: number, reason: string) => ({ slot, name: `workers-0${slot}`, host: "b1", reason });
    const busy: FleetPlan = {
      ...wanted,
      adopt: [of(10, "another's")], reconfigure: [{ ...of(11, "more CPUs"), wave: 0, changes: [] }], consolidate: [of(12, "not merged")], lost: [of(14, "it is silent")],
      complete: [{ ...of(13, "not arrived"), rack: "rack-b", kind: "full", generation: 0, base: "arriving", image: { contentId: "c1", disks: [{ bytes: 1 }] }, wave: 0 }],
      cleanup: [{ host: "b1", leftover: { kind: "volume", name: "part", bytes: 1 }, reason: "of a run that did not end" }],
      removeReplicas: [{ host: "b1", contentId: "c1", purpose: "replica", reason: "nobody stands on it" }, { host: "b2", contentId: "c1", purpose: "template", reason: "it is old" }],
      warnings: ["b2 is slow", "b1 is slower"], problems: [{ path: "hosts[3]", message: "expected a host" }, { path: "", message: "too much" }],
    };
    assert.deepEqual(describePlanAtLength(busy, summary).split("\n"), [
      "+1 VM on 1 host in 1 rack, move 1 VM: data is lost, replace 3 VMs: data is lost, reconfigure 1 VM, complete the disks of 1 VM, adopt 1 VM, 1 VM lost, " +
        "merge the disks of 1 VM, remove 3 leftovers, 2.1 GB across racks, about 38 s, policy rounds, refused: 2 problems",
      "  = workers-010 on b1: adopted, another's",
      "  + workers-004 on a2 (full): a2 is below its target",
      "  > workers-003 from a1 to a2: move: data is lost; a1 is over its target and a2 is below its own",
      "  ± workers-000 on a1 (full): cloned anew from the changed template",
      "  ± workers-001 on a2 (full): cloned anew from the changed template",
      "  ± workers-002 on a1 (full): cloned anew from the changed template",
      "  ~ workers-011 on b1: more CPUs",
      "  ~ workers-012 on b1: delta disk merged, not merged",
      "  ~ workers-013 on b1: not arrived",
      "  ! workers-014 on b1: lost, it is silent",
      "  - volume part on b1: of a run that did not end",
      "  - replica on b1: nobody stands on it",
      "  - uploaded template on b2: it is old",
      "  warning: b2 is slow",
      "  warning: b1 is slower",
      "  refused: hosts[3]: expected a host",
      "  refused: too much",
    ]);
    assert.deepEqual(describePlanAtLength(shrunk, summary).split("\n"), ["-1 VM", "  - workers-003 on a1: a1 is over its target"]);
    assert.deepEqual(describePlanAtLength(plan(declared, found, state), summary), "no change");
  });

  it("say no policy where the copies were in no order", () => {
    assert.equal(describePlan(plan(declared, empty(declared)), { ...summary, policy: "none" }), "+12 VMs on 4 hosts in 2 racks, 2.1 GB across racks, about 38 s");
  });

  it("round bytes and seconds to what reads best", () => {
    assert.deepEqual([0, 999, 1000, 2.1e9, 99.96e6, 999.6e6, 1e12].map(formatBytes), ["0 B", "999 B", "1 kB", "2.1 GB", "100 MB", "1 GB", "1 TB"]);
    assert.deepEqual([0.5, 9.96, 37.6, 59.7, 250, 3600, 7500].map(formatSeconds), ["0.5 s", "10 s", "38 s", "1 min", "4 min 10 s", "1 h", "2 h 5 min"]);
  });
});
