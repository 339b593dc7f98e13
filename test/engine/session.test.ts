import assert from "node:assert/strict";
import { FleetRefusedError } from "../../provider/engine";
import { assertSettled, inputs, specOf, up, world } from "./world";
import { recording, wrap } from "./wrappers";

describe("a host that was passed over when the fleet was locked", () => {
  const spec = specOf(inputs(4, 2, { count: 8 }));

  it("is locked as well once it answers, before anything is done", async () => {
    const where = world(spec);
    where.hypervisor.takeDown("b2");
    const flickering = wrap(where.hypervisor, async (method, _order, _context, proceed) => {
      const result = await proceed();
      if (method === "lock") where.hypervisor.bringUp("b2");
      return result;
    });
    const { hypervisor, calls } = recording(flickering);
    await up(spec, { ...where, hypervisor });
    assert.deepEqual(calls.slice(0, 4), ["lock", "observe", "lock", "observe"]);
    await assertSettled(spec, where, 8);
  });

  it("is not worked on while it cannot be locked, and no lock stays behind", async () => {
    for (const lockedHosts of [["a1", "b1", "a2"], []]) {
      const where = world(spec);
      const inner = wrap(where.hypervisor, async (method, _order, _context, proceed) => (
        method === "lock" ? { ...(await proceed() as object), lockedHosts } : proceed()
      ));
      const { hypervisor, calls } = recording(inner);
      await assert.rejects(up(spec, { ...where, hypervisor }), (error: unknown) => (
        error instanceof FleetRefusedError && error.message.includes(lockedHosts.length > 0 ? "got b2," : "got a1, b1, a2, b2,")
      ));
      assert.deepEqual(new Set(calls), new Set(["lock", "observe"]));
      await up(spec, where);
    }
  });
});
