import assert from "node:assert/strict";
import { formatProblem } from "../../provider/fleet";
import type { Observation } from "../../provider/fleet/model";
import { empty, made, plan, spec, withHost } from "./build";

const GIB = 2 ** 30;
const having = (found: Observation, totalBytes: number, availableBytes: number): Observation => ({ ...found, hosts: found.hosts.map((host) => ({ ...host, memory: { totalBytes, availableBytes } })) });

describe("memory that members want", () => {
  it("is told where a host has less to spare, and refused only where one member alone finds none", () => {
    const declared = spec({ count: 8, vm: { memory: 4096 } });
    const warnings = (from: Observation) => plan(declared, from).warnings;
    assert.deepEqual(warnings(having(empty(declared), 64 * GIB, 8 * GIB)), [], "two of 4 GiB on each host");
    assert.match(warnings(having(empty(declared), 64 * GIB, 8 * GIB - 1))[0]!, /^a1: 2 members to start there want 8\.6 GB of memory, and 8\.6 GB of 68\.7 GB is free: some may not start, or run slowly$/);
    assert.deepEqual(plan(declared, having(empty(declared), 64 * GIB, 0)).problems, [], "more may be promised than is there");
    assert.match(plan(declared, having(empty(declared), 4 * GIB - 1, 0)).problems.map(formatProblem).join(), /vm\.memory: expected at most the 4095 MiB that a1 has, got 4096/);
  });

  it("is all that a member can be given while it runs: it starts with that", () => {
    const declared = spec({ count: 8, vm: { memory: 1024, maxMemory: 4096 } });
    assert.match(plan(declared, having(empty(declared), 64 * GIB, 0)).warnings[0]!, /2 members to start there want 8\.6 GB/);
    assert.match(plan(declared, having(empty(declared), 2 * GIB, 0)).problems.map(formatProblem).join(), /vm\.maxMemory: expected at most the 2048 MiB that a1 has, got 4096/);
  });

  it("is asked of what starts, and of nothing else", () => {
    const stopped = spec({ count: 8, powerOn: false, vm: { memory: 4096 } });
    assert.deepEqual(plan(stopped, having(empty(stopped), 64 * GIB, 0)).warnings, []);
    const { found, state, declared } = made({ count: 4 });
    assert.deepEqual(plan(declared, having(found, 64 * GIB, 0), state).warnings, []);
    const off = withHost(having(found, 64 * GIB, 0), "a1", (one) => ({ ...one, members: one.members.map((each) => ({ ...each, power: "stopped" })) }));
    assert.match(plan(declared, off, state).warnings.join(), /^a1: 1 member to start there wants/);
  });

  it("that nobody knows is not judged", () => {
    const declared = spec({ count: 8 });
    assert.deepEqual(plan(declared, empty(declared)).warnings, [], "hosts that do not tell");
  });
});
