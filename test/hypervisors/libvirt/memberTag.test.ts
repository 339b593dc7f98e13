import assert from "node:assert/strict";
import { memberUuid } from "../../../provider/fleet/members/identity";
import { setTag } from "../../../provider/hypervisors/libvirt/members/member";
import { uuidBytes } from "../../../provider/hypervisors/libvirt/look/ownership";
import type { LibvirtClient } from "../../../provider/hypervisors/libvirt/rpc/client";
import type { Domain } from "../../../provider/hypervisors/libvirt/rpc/handles";
import { tagXml, type MemberTag } from "../../../provider/hypervisors/libvirt/xml/tags";

const tag: MemberTag = { purpose: "member", fleetId: "f1", incarnation: "i1", slot: 3, generation: 1, kind: "full", contentId: "c1", base: "consolidating" };
const domain: Domain = { name: "w-003", id: -1, uuid: uuidBytes(memberUuid("f1", 3)) };

/** What the domain bears now, and what was written to it. */
function host(bears: string | null): { client: LibvirtClient; written: string[] } {
  const written: string[] = [];
  const client = {
    getMetadata: () => Promise.resolve(bears),
    domainState: () => Promise.resolve(5),
    setMetadata: (_domain: Domain, _uri: string, _key: string, xml: string) => Promise.resolve(void written.push(xml)),
  };
  return { client: client as unknown as LibvirtClient, written };
}

describe("a member's tag", () => {
  const next: MemberTag = { ...tag, base: "consolidated" };

  it("is changed while the domain bears it", async () => {
    const { client, written } = host(tagXml(tag));
    await setTag(client, domain, next);
    assert.deepEqual(written, [tagXml(next)]);
  });

  for (const [what, bears] of [
    ["was taken away", null], ["is another fleet's by now", tagXml({ ...tag, fleetId: "f2" })],
    ["is another slot's by now", tagXml({ ...tag, slot: 4 })], ["is a later member's by now", tagXml({ ...tag, generation: 2 })],
  ] as const) {
    it(`is not written back where it ${what}`, async () => {
      const { client, written } = host(bears);
      await assert.rejects(setTag(client, domain, next), /does not bear this member's tag any more/);
      assert.deepEqual(written, []);
    });
  }

  it("is not written to a domain that was renamed, or has another UUID by now", async () => {
    for (const other of [{ ...domain, name: "mine" }, { ...domain, uuid: Buffer.alloc(16, 7) }]) {
      const { client, written } = host(tagXml(tag));
      await assert.rejects(setTag(client, other, next), /does not bear/);
      assert.deepEqual(written, []);
    }
  });
});
