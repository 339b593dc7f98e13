import assert from "node:assert/strict";
import fc from "fast-check";
import { fleetIdFromOrigin, kindOfSlot, macAddress, memberKey, memberKeyOn, memberUuid, slotKey, slotKeyOn, slotName } from "../../provider/fleet";
import { macCollisions } from "../../provider/fleet/members/addresses";
import { member, observation, reachable, unreachable } from "./build";

const URN = "urn:pulumi:dev::shop::pulumi-nodejs:dynamic/vmfleet:ClonedVmFleet::workers";
const ORIGIN = { urn: URN, backend: "https://api.pulumi.com", organization: "shop" };

describe("identity", () => {
  it("derives a fleet id of ten base32 characters that never changes for an origin, and is of no other", () => {
    assert.match(fleetIdFromOrigin(ORIGIN), /^[a-z2-7]{10}$/);
    assert.equal(fleetIdFromOrigin(ORIGIN), "r7jfh4qw6v");
    assert.equal(fleetIdFromOrigin({ ...ORIGIN, organization: undefined }), fleetIdFromOrigin({ urn: URN, backend: ORIGIN.backend }));
    const others = [{ urn: `${URN}2` }, { backend: "https://pulumi.example.com" }, { organization: "acme" }, { organization: undefined }];
    assert.equal(new Set([ORIGIN, ...others.map((change) => ({ ...ORIGIN, ...change }))].map(fleetIdFromOrigin)).size, 5);
  });

  it("names slots with three digits at least and never pads them anew", () => {
    assert.deepEqual([0, 7, 999, 1000].map((slot) => slotName("workers", slot)), ["workers-000", "workers-007", "workers-999", "workers-1000"]);
  });

  it("derives RFC 4122 version 5 UUIDs, one for each slot", () => {
    const uuids = Array.from({ length: 500 }, (_, slot) => memberUuid("abcd", slot));
    assert.equal(new Set(uuids).size, 500);
    for (const uuid of uuids) assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(uuids[0], memberUuid("abcd", 0));
  });

  it("derives locally administered unicast MACs that no slot or card shares", () => {
    const macs = Array.from({ length: 1000 }, (_, i) => macAddress("abcd", i >> 1, i & 1));
    assert.equal(new Set(macs).size, 1000);
    for (const mac of macs) {
      assert.match(mac, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
      assert.equal(Number.parseInt(mac.slice(0, 2), 16) & 3, 2);
    }
  });

  it("tells of a derived MAC that another member has", () => {
    const found = observation([reachable("a1", [member(9, { cardAddresses: [macAddress("abcd", 3, 0).toUpperCase()] })])]);
    assert.deepEqual(macCollisions("abcd", [3], 1, found).map(({ path }) => path), ["fleetId"]);
    assert.deepEqual(macCollisions("abcd", [9, 10], 1, found), []);
  });

  it("says who has it, a member on its host or another new slot, and what to do", () => {
    const mac = (slot: number) => macAddress("abcdefghij", slot, 0);
    const said = (slot: number, who: string) => ({
      path: "fleetId", message: `expected MAC addresses that are free, got ${mac(slot)} for slot ${slot}, which ${who} has; remove that member, or choose another fleetId for a new fleet`,
    });
    const found = observation([unreachable("b1"), reachable("a1", [member(9, { cardAddresses: ["56:00:00:00:00:00", mac(3)] })])]);
    assert.deepEqual(macCollisions("abcdefghij", [3, 4], 1, found), [said(3, "workers-009 on a1")]);
    // Found by trying some millions: the two share a hash of 40 bits.
    assert.deepEqual(macCollisions("abcdefghij", [689_931, 7, 2_513_493], 1, undefined), [said(2_513_493, "new slot 689931")]);
    assert.deepEqual([macCollisions("abcdefghij", [3], 0, found), macCollisions("abcdefghij", [], 1, found)], [[], []]);
  });

  it("knows each member by its role, slot and generation, on a host by its name as well", () => {
    const plain = { slot: 3, generation: 1 };
    const master = { role: "master", ...plain };
    assert.deepEqual([plain, master].map((id) => [slotKey(id), memberKey(id), slotKeyOn("a1", id), memberKeyOn("a1", id)]), [
      ["3", "3.1", "3@a1", "3.1@a1"], ["master/3", "master/3.1", "master/3@a1", "master/3.1@a1"],
    ]);
  });

  it("makes a mixed fleet's share of slots linked, whatever its size", () => {
    fc.assert(fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 1, max: 400 }), (linkedShare, size) => {
      const kinds = Array.from({ length: size }, (_, slot) => kindOfSlot({ kind: "mixed", linkedShare }, slot));
      assert.equal(kinds.filter((kind) => kind === "linked").length, Math.floor(size * linkedShare));
    }));
    assert.equal(kindOfSlot({ kind: "full" }, 3), "full");
    assert.equal(kindOfSlot({ kind: "linked" }, 3), "linked");
  });
});
