import assert from "node:assert/strict";
import { formatProblem } from "../../provider/fleet";
import { differenceOf } from "../../provider/fleet/members/changes";
import { disk, FLEET, made, member, plan, spec, withHost } from "./build";

const GB = 1e9;
const AT = { fleetId: FLEET, host: "a1", rack: "rack-a" };
const sized = (sizeBytes: number, changes = {}) => spec({ vm: { rootDisk: { sizeBytes } }, ...changes });
const large = (capacityBytes: number) => [{ ...disk("base"), capacityBytes }];

describe("a declared size of the cloned disk", () => {
  it("makes members grow that have less, and leaves those that have it", () => {
    const as = sized(20 * GB).vm;
    const shape = { numCpus: as.numCpus, memory: as.memory, networks: [] };
    assert.deepEqual(differenceOf(sized(20 * GB), member(0, { ...shape, chain: large(10 * GB) }), AT)?.changes, [{ kind: "grow", sizeBytes: 20 * GB }]);
    assert.equal(differenceOf(sized(20 * GB), member(0, { ...shape, chain: large(20 * GB) }), AT), null);
    assert.equal(differenceOf(spec({ vm: {} }), member(0, { ...shape, chain: large(1 * GB) }), AT), null, "none is declared");
    assert.equal(differenceOf(sized(20 * GB), member(0, { ...shape, chain: [] }), AT), null, "a disk that is not seen is not judged");
  });

  it("is kept by disks that hosts made larger by a part of a KiB", () => {
    const { found, state } = made({ count: 4 });
    const odd = 20 * GB + 1;
    const rounded = withHost(found, "a1", (one) => ({ ...one, members: one.members.map((each) => ({ ...each, chain: large(Math.ceil(odd / 1024) * 1024) })) }));
    assert.deepEqual(plan(sized(odd, { count: 4 }), rounded, state).problems, []);
  });

  it("is refused below the template's, where members are made, and below a member's that stays", () => {
    const { found, state } = made({ count: 4 });
    const problems = (bytes: number, count: number, from = found) => plan(sized(bytes, { count }), from, state).problems.map(formatProblem);
    assert.deepEqual(problems(9 * GB, 6), ["vm.rootDisk.sizeBytes: expected at least the 10000000000 bytes that the template's disk holds, got 9000000000; disks never shrink: raise it, or leave it out"]);
    assert.deepEqual(problems(10 * GB, 6), []);
    const grown = withHost(found, "a1", (one) => ({ ...one, members: one.members.map((each) => ({ ...each, chain: large(30 * GB) })) }));
    assert.match(problems(20 * GB, 4, grown).join(), /^vm\.rootDisk\.sizeBytes: expected at least the 30000000000 bytes that workers-00\d has, got 20000000000; disks never shrink/);
    assert.deepEqual(plan(sized(20 * GB, { count: 0 }), grown, state).problems, [], "one that goes shrinks nothing");
  });

  it("is refused by the largest of the members that stay, and by no template that nothing is made of", () => {
    const { found, state } = made({ count: 4 });
    const sizes: Record<string, number> = { a1: 12 * GB, a2: 30 * GB, b1: 40 * GB, b2: 20 * GB };
    const grown = (factor: number) => ({ ...found, hosts: found.hosts.map((host) => (host.status !== "reachable" ? host : { ...host, members: host.members.map((each) => ({ ...each, chain: large(sizes[host.name]! * factor) })) })) });
    const problems = (bytes: number, from = grown(1)) => plan(sized(bytes, { count: 4 }), from, state).problems.map(formatProblem).join("|");
    assert.match(problems(11 * GB), /^[^|]*the 40000000000 bytes that workers-00\d has, got 11000000000[^|]*$/);
    assert.equal(problems(9 * GB, grown(0.2)), "", "the template's is larger");
  });
});
