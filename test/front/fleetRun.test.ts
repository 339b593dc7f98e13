import assert from "node:assert/strict";
import { FleetRefusedError, FleetRunError, type Progress } from "../../provider/engine/types";
import { fleetIdFromOrigin } from "../../provider/fleet";
import { declared, frontWorld, origin, plan, RESOURCE, state } from "./fakes";

const request = { resource: RESOURCE, declared, origin };
const recorded = { resource: RESOURCE, declaredBefore: declared, recorded: state() };
const progress = (changes: Partial<Progress>): Progress => ({
  phase: "clone", membersDone: 0, membersTotal: 2, bytesDone: 0, bytesTotal: 2e9, bytesPerSecond: 0, ...changes,
});

describe("one run of a fleet", () => {
  it("gives back what is to be recorded", async () => {
    const { front, closed } = frontWorld();
    const made = await front.create(request);
    assert.deepEqual([made.fleetId, made.incarnation], [fleetIdFromOrigin(origin()), "fedcba9876543210"]);
    assert.equal(closed(), 1);
  });

  it("goes on from the record, under its id and incarnation", async () => {
    const { front, entered } = frontWorld();
    await front.update({ resource: RESOURCE, declared, fleetId: "elsewhere0", recorded: state() });
    const { fleetId, incarnation, previous } = entered[0]!.request;
    assert.deepEqual([fleetId, incarnation, previous], ["abcdefghij", "0123456789abcdef", state()]);
  });

  it("fails with what was made when some of it failed", async () => {
    const failure = new FleetRunError(["b1: clone: disk full"], state({ placement: { a1: 1 } }));
    const { front, closed } = frontWorld({ apply: async () => { throw failure; } });
    await assert.rejects(front.create(request), failure);
    assert.equal(closed(), 1);
  });

  it("is refused with every problem, and no host is touched", async () => {
    const { front, entered } = frontWorld();
    await assert.rejects(front.create({ ...request, declared: { ...declared, count: -1, namePrefix: "" } }), (error: unknown) => {
      assert.ok(error instanceof FleetRefusedError);
      assert.deepEqual(error.problems.map(({ path }) => path), ["count", "namePrefix"]);
      return true;
    });
    assert.deepEqual(entered, []);
  });

  it("overlooks in a record what later versions are stricter about", async () => {
    const { front, entered } = frontWorld();
    const hosts = [{ name: "a1", uri: "qemu+ssh://root@a1/system?sshauth=password&foo=1" }, { name: "b1", uri: "qemu+ssh://root@localhost/system" }];
    await front.remove({ ...recorded, declaredBefore: { ...declared, hosts } });
    assert.equal(entered[0]!.door, "remove");
  });

  it("warns of what was done otherwise than planned", async () => {
    const { front, said } = frontWorld({
      apply: async ({ onNotice }) => {
        onNotice!("w-000 kept its memory");
        return state();
      },
    });
    await front.create(request);
    assert.deepEqual(said.map(({ manner, text }) => [manner, text]), [["warning", "w-000 kept its memory"]]);
  });

  it("tells live how far it is, the last of it always", async () => {
    const { front, said } = frontWorld({
      apply: async ({ onProgress }) => {
        onProgress!(progress({ bytesDone: 1e9 }));
        onProgress!(progress({ phase: "done", membersDone: 2, bytesDone: 2e9 }));
        return state();
      },
    });
    await front.create(request);
    assert.deepEqual(said.map(({ resource, manner, text }) => [resource, manner, text]), [
      [RESOURCE, "live", "cloning: 0 of 2 members, 1 GB of 2 GB"], [RESOURCE, "live", "done: 2 of 2 members, 2 GB"],
    ]);
  });

  it("warns of what a removal leaves", async () => {
    const { front, said } = frontWorld({ remove: async ({ onPlan }) => onPlan!(plan({ warnings: ["base-1 on a2 stays"] }), { hosts: [] }) });
    await front.remove(recorded);
    assert.deepEqual(said, [{ resource: RESOURCE, text: "base-1 on a2 stays", manner: "warning" }]);
  });

  it("is aborted when the other side goes, and the process ends when it has settled", async () => {
    const world = frontWorld({
      apply: ({ signal }) => new Promise((_, reject) => {
        signal!.addEventListener("abort", () => setImmediate(() => { assert.deepEqual(world.exits, []); reject(signal!.reason); }), { once: true });
        setImmediate(() => world.otherSideGoes());
      }),
    });
    await assert.rejects(world.front.create(request), { name: "EngineGoneError" });
    await new Promise(setImmediate);
    assert.deepEqual(world.exits, [1]);
  });
});
