/** What guests read when they boot early is kept with the content's id, and fetched first by later copies. */
import assert from "node:assert/strict";
import { parseState } from "../../provider/fleet";
import type { HintedCloneOrder } from "../../provider/hypervisors/hypervisor";
import { inputs, specOf, up, world } from "./world";
import { wrap } from "./wrappers";

const spec = (count: number, more: Record<string, unknown> = {}) => specOf(inputs(3, 1, { countPerHost: count, start: "immediately", policy: "singleSource", ...more }));

describe("a fleet that starts immediately", () => {
  const watched = (declared: ReturnType<typeof spec>) => {
    const where = world(declared);
    const orders: HintedCloneOrder[] = [];
    const hypervisor = wrap(where.hypervisor, (method, order: HintedCloneOrder, _context, proceed) => {
      if (method === "clone") orders.push(order);
      return proceed();
    });
    return { where: { ...where, hypervisor }, orders };
  };

  for (const clone of ["full", "linked"]) {
    it(`records what one guest reads, and tells later copies of the same content (${clone})`, async () => {
      const { where, orders } = watched(spec(2, { clone }));
      const { state } = await up(spec(2, { clone }), where);
      assert.equal(orders.filter((order) => order.recordReads).length, 1);
      assert.deepEqual(state.readProfiles?.map((p) => p.contentId), [state.contentId]);
      const read = parseState(JSON.parse(JSON.stringify(state)));
      assert.deepEqual(read?.readProfiles, state.readProfiles);
      if (clone === "linked") return;
      orders.length = 0;
      const { state: after } = await up(spec(3), where, read);
      const early = orders.filter((order) => order.readFirst);
      assert.ok(early.length > 0);
      for (const order of early) assert.deepEqual(order.readFirst, state.readProfiles![0]!.ranges);
      assert.ok(!orders.some((order) => order.recordReads));
      assert.deepEqual(after.readProfiles, state.readProfiles);
    });
  }

  it("records nothing where members start with their disks", async () => {
    const declared = spec(2, { start: "whenCopied" });
    const { where, orders } = watched(declared);
    const { state } = await up(declared, where);
    assert.ok(orders.every((order) => !order.recordReads && !order.readFirst));
    assert.equal(state.readProfiles, undefined);
  });
});
