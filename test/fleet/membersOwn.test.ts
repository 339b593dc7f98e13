/** What is a member's for life: its name and UUID, the hardware it inherited, whose base stays for others. */
import assert from "node:assert/strict";
import { memberUuid } from "../../provider/fleet";
import { differenceOf, inheriting } from "../../provider/fleet/members/changes";
import { isSlotName } from "../../provider/fleet/members/identity";
import { seedKeeper } from "../../provider/fleet/members/seeds";
import type { FleetSpec } from "../../provider/fleet/model";
import { FLEET, member, spec } from "./build";

describe("a member's name", () => {
  it("is its slot's under any prefix, and no other slot's", () => {
    for (const name of ["workers-007", "old-007", "a-b-007"]) assert.equal(isSlotName(name, 7), true, name);
    for (const name of ["workers-070", "workers-1007", "-0071", "workers007", "007", "workers-7", ""]) assert.equal(isSlotName(name, 7), false, name);
    assert.deepEqual([isSlotName("w-1000", 1000), isSlotName("w-01000", 1000)], [true, false]);
  });
});

describe("a member's UUID", () => {
  it("is in every version what it was: hypervisors know it by that", () => {
    assert.deepEqual([memberUuid("abcdefghij", 0), memberUuid("abcdefghij", 41), memberUuid("r7jfh4qw6v", 0)], [
      "83fe738b-1787-5ba4-9710-e6de36470790", "0518f59c-a8b1-5e80-8ef4-c90e2935325b", "bf9c8869-2090-54d8-9957-ca07725d227b",
    ]);
  });
});

describe("hardware that a member inherited", () => {
  const networks = [{ network: "a" }, { network: "b" }];
  const { vm } = spec({ vm: { numCpus: 2, memory: 4096, networks } });
  const inherited = inheriting({ ...vm, leftOut: ["numCpus", "memory", "networks"] });

  it("is given up for what is declared, each part of it by itself", () => {
    assert.equal(inherited.hardware, "template");
    assert.deepEqual(["numCpus", "memory", "networks", "leftOut"].filter((key) => key in inherited), []);
    assert.deepEqual(inheriting({ ...vm, leftOut: ["memory", "networks"] }), { ...inherited, numCpus: 2 });
    assert.deepEqual(inheriting({ ...vm, leftOut: ["numCpus", "networks"] }), { ...inherited, memory: 4096 });
    assert.deepEqual(inheriting({ ...vm, leftOut: ["numCpus", "memory"] }), { ...inherited, networks: vm.networks });
    assert.deepEqual(inheriting(vm), { ...inherited, numCpus: 2, memory: 4096, networks: vm.networks });
  });

  it("is nothing of what nobody declared or defaulted", () => {
    const { numCpus: _numCpus, memory: _memory, networks: _networks, ...rest } = vm;
    assert.deepEqual(inheriting(rest), inherited);
  });

  it("is left as it is declared where the program takes the template's itself", () => {
    const template = { ...vm, hardware: "template" } as FleetSpec["vm"];
    assert.deepEqual(inheriting({ ...template, leftOut: [] }), template);
  });

  it("shows in a plan where it differs from what is declared, and nowhere else", () => {
    const of = (leftOut: NonNullable<FleetSpec["vm"]["leftOut"]>) => differenceOf(
      { ...spec({ guest: "none" }), vm: { ...vm, leftOut } }, { ...member(0, { inherits: true, numCpus: 8, memory: 1024, networks: ["x"] }), guest: undefined as never }, { fleetId: FLEET, host: "a1", rack: "rack-a" },
    )?.changes;
    assert.equal(of(["numCpus", "memory", "networks"]), undefined);
    assert.deepEqual(of(["memory", "networks"]), [{ kind: "hardware", numCpus: 2, memory: 1024, networks: ["x"] }]);
    assert.deepEqual(of(["numCpus", "memory"]), [{ kind: "hardware", numCpus: 8, memory: 1024, networks: ["a", "b"] }]);
  });
});

describe("bases that stay for later members", () => {
  it("are the first of each host, of each rack, or none", () => {
    const places = [["a1", "rack-a"], ["a1", "rack-a"], ["a2", "rack-a"], ["b1", "rack-b"], ["a2", "rack-a"], ["b1", "rack-b"]] as const;
    const kept = (keepSeeds: FleetSpec["keepSeeds"]): boolean[] => {
      const keeps = seedKeeper({ keepSeeds });
      return places.map(([host, rack]) => keeps({ host, rack }));
    };
    assert.deepEqual(kept("host"), [true, false, true, true, false, false]);
    assert.deepEqual(kept("rack"), [true, false, false, true, false, false]);
    assert.deepEqual(kept("none"), places.map(() => false));
  });
});
