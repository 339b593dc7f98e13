import assert from "node:assert/strict";
import { bytesNeeded, preflight, type ReachableHost } from "../../provider/fleet";
import { roomOf, sharesOf } from "../../provider/fleet/plan/preflight";
import { disk, empty, host, made, observation, plan, reachable, spec, template, unreachable, withHost } from "./build";

const IMAGE = template.disks[0]!.bytes;
const OVERHEAD = 1_048_576;

describe("preflight", () => {
  it("passes when everything fits", () => {
    const declared = spec();
    assert.deepEqual(preflight(declared, empty(declared), plan(declared, empty(declared))), []);
  });

  it("counts of unfinished copies as room only what the plan goes on from or removes", () => {
    const declared = spec();
    const free = (leftovers: ReachableHost["leftovers"]): number => {
      const found = withHost(empty(declared), "a1", (one) => ({ ...one, room: { freeBytes: 1e6 }, leftovers }));
      const next = plan(declared, found);
      // As with one whose owner is seen elsewhere: it stays.
      return roomOf(sharesOf(declared, { ...next, cleanup: [] }), [reachable("a1", [], { room: { freeBytes: 1e6 }, leftovers })]) - 1e6;
    };
    const { slot, generation } = plan(declared, empty(declared)).create.find((one) => one.host === "a1")!;
    const leftover = { kind: "volume" as const, name: "partial", bytes: 5e8, slot, generation, resumable: { contentId: template.contentId } };
    assert.equal(free([leftover]), 5e8);
    for (const other of [{ slot: 99 }, { slot: undefined, generation: undefined }, { resumable: { contentId: "another" } }]) {
      assert.equal(free([{ ...leftover, ...other }]), 0, JSON.stringify(other));
    }
  });

  it("lists full pools, unfit hosts and silent hosts together", () => {
    const declared = spec();
    let found = withHost(empty(declared), "a1", (one) => ({ ...one, room: { freeBytes: 100e6 } }));
    found = withHost(found, "a2", (one) => ({ ...one, problems: [{ property: "pool", message: "expected an active pool, got none" }] }));
    found = withHost(found, "b1", () => unreachable("b1"));
    assert.deepEqual(preflight(declared, found, plan(declared, found)), [
      { path: "hosts[0].pool", message: 'expected a pool with 903 MB free for 3 new members, got "default" with 100 MB free; make room on a1, or want fewer members there' },
      { path: "hosts[1].pool", message: "expected an active pool, got none" },
      { path: "hosts[2]", message: 'expected a host that answers, got none: b1 does not answer (connection refused); bring it back, or give it up with abandonHosts: ["b1"]' },
    ]);
  });

  it("does not mind what is wrong with a host it does not work on", () => {
    const { declared, found, state } = made({ count: 4 });
    const unfit = withHost(found, "a2", (one) => ({ ...one, room: { freeBytes: 0 }, problems: [{ property: "pool", message: "full" }] }));
    assert.deepEqual(preflight(declared, unfit, plan(declared, unfit, state)), []);
  });

  it("counts a copy for each full clone and one replica for all linked ones of a host", () => {
    const on = (clone: "full" | "linked", more: Partial<ReachableHost> = {}) => {
      const declared = spec({ hosts: [host("a1")], count: 3, clone });
      const found = observation([reachable("a1", [], more)]);
      return bytesNeeded(declared, found, plan(declared, found), found.hosts[0] as ReachableHost);
    };
    assert.equal(on("full"), 3 * (IMAGE + OVERHEAD));
    assert.equal(on("linked"), IMAGE + 3 * OVERHEAD);
    assert.equal(on("linked", { replicas: [{ contentId: "c1", purpose: "replica", disk: disk("r"), users: [] }] }), 3 * OVERHEAD);
  });

  it("counts the upload of a local file on the first host, once", () => {
    const declared = spec({ hosts: [host("a1"), host("a2")], count: 2, template: { file: "./golden.qcow2" } });
    const found = observation([reachable("a1"), reachable("a2")], { template: { ...template, host: undefined } });
    const planned = plan(declared, found);
    assert.deepEqual(found.hosts.map((one) => bytesNeeded(declared, found, planned, one as ReachableHost)), [2 * IMAGE + OVERHEAD, IMAGE + OVERHEAD]);
  });

  it("counts the space that the plan frees first", () => {
    const { found, state } = made({ hosts: [host("a1")], count: 2 });
    const declared = spec({ hosts: [host("a1")], count: 2, onTemplateChange: "replace" });
    const full = withHost({ ...found, template: { ...template, contentId: "c2" } }, "a1", (one) => ({ ...one, room: { freeBytes: 10e6 } }));
    assert.deepEqual(preflight(declared, full, plan(declared, full, state)), []);
  });
});
