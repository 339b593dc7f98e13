import assert from "node:assert/strict";
import { parseTag, tagFleetId, tagXml, type MemberTag } from "../../../provider/hypervisors/libvirt/xml/tags";

const tag: MemberTag = { purpose: "member", fleetId: "f1", incarnation: "i1", slot: 3, generation: 1, kind: "full", contentId: "c1", base: "frozen" };
const without = (key: string, text?: string): string => tagXml({ ...tag, [key]: text } as unknown as MemberTag);

describe("whose a tag says a thing is", () => {
  it("nobody's, where anything that tells a member is missing or not understood: it is left alone", () => {
    for (const key of ["purpose", "fleetId", "slot", "generation", "kind", "base"]) {
      assert.equal(parseTag(without(key)), null, `without ${key}`);
      if (key !== "fleetId") assert.equal(parseTag(without(key, "other")), null, `another ${key}`);
    }
    for (const [key, text] of [["slot", "1.5"], ["generation", "2.5"], ["slot", "x"], ["base", "constructor"]] as const) assert.equal(parseTag(without(key, text)), null, `${key} ${text}`);
    for (const text of ["<other/>", "<fleet/>", "<fleet>words</fleet>"]) assert.equal(parseTag(text), null, text);
  });

  it("a member's, a helper's or a lock's, as it was written", () => {
    for (const kind of ["full", "linked"] as const) assert.deepEqual(parseTag(tagXml({ ...tag, kind })), { ...tag, kind });
    for (const purpose of ["helper", "lock"] as const) {
      assert.deepEqual(parseTag(tagXml({ purpose, fleetId: "f1", holder: "pid 1", beat: "7" })), { purpose, fleetId: "f1", holder: "pid 1", beat: "7" });
      assert.deepEqual(parseTag(`<fleet purpose='${purpose}' fleetId='f1'/>`), { purpose, fleetId: "f1", holder: "unknown", beat: undefined });
    }
  });

  it("of a member whose guest is told who it is says what, by its hash; of one of before it says nothing of it", () => {
    assert.deepEqual(parseTag(tagXml({ ...tag, guest: "ab12" })), { ...tag, guest: "ab12" });
    assert.deepEqual(parseTag(tagXml({ ...tag, guest: undefined })), tag);
    assert.equal("guest" in parseTag(tagXml(tag))!, false);
  });

  it("which fleet's it is stands in it whatever else is wrong", () => {
    assert.equal(tagFleetId("<fleet fleetId='f1' purpose='of tomorrow'/>"), "f1");
    assert.equal(tagFleetId("<other fleetId='f1'/>"), undefined);
    assert.equal(tagFleetId("<fleet/>"), undefined);
  });
});
