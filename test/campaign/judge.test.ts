/** The judge itself: it must see a loss, and take nothing for one that the program asked for. */
import assert from "node:assert/strict";
import { host, spec } from "../fleet/build";
import { lost, type Living } from "./judge";

describe("the campaign's judge", () => {
  const member = (slot: number, contentId: string) => ({ host: "a1", slot, generation: 0, name: `w-00${slot}`, contentId });
  const on = (...living: Living["living"]): Living => ({ living, answering: new Set(["a1"]) });
  const replacing = spec({ hosts: [host("a1")], count: 2, onTemplateChange: "replace" });
  const isCurrent = (contentId: string): boolean => contentId === "rewritten";

  it("takes no member of an earlier template for lost that a killed run has destroyed and not yet made anew", () => {
    assert.deepEqual(lost(on(member(0, "first"), member(1, "first")), on(), replacing, undefined, isCurrent), []);
  });

  it("finds a member lost that is of the template as it stands", () => {
    const [loss, ...others] = lost(on(member(0, "first"), member(1, "rewritten")), on(), replacing, undefined, isCurrent);
    assert.match(loss!, /^1 living members of the fleet are gone \(w-001 g0 on a1\)/);
    assert.deepEqual(others, []);
  });

  it("finds a member lost where the program keeps those of an earlier template", () => {
    const keeping = spec({ hosts: [host("a1")], count: 2, onTemplateChange: "keep" });
    assert.equal(lost(on(member(0, "first"), member(1, "first")), on(member(0, "first")), keeping, undefined, isCurrent).length, 1);
  });
});
