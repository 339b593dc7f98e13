import assert from "node:assert/strict";
import type { ObservedMember, ObservedReplica } from "../../../provider/fleet/model";
import type { ObserveRequest } from "../../../provider/hypervisors/hypervisor";
import { ImageUse, type DomainText } from "../../../provider/hypervisors/libvirt/guard/imageUse";
import { writtenReplicas } from "../../../provider/hypervisors/libvirt/look/observe";

const disk = { name: "replica.qcow2", path: "/pool/replica.qcow2", format: "qcow2", capacityBytes: 1, allocationBytes: 1 };
const replica = (users: number[]): ObservedReplica => ({ contentId: "c", purpose: "replica", disk, users });
const members = [{ slot: 0, name: "w-000" }, { slot: 1, name: "w-001" }] as ObservedMember[];
const running = { name: "somebody", id: 4, uuid: Buffer.alloc(16, 4) };
const writer: DomainText = {
  domain: running, managedSave: false,
  live: `<domain><devices><disk device='disk'><source file='${disk.path}'/></disk><disk device='disk'><source file='/alias/${disk.name}'/></disk></devices></domain>`,
};
const silent: DomainText = { domain: running, managedSave: false, unreadable: "cannot acquire state change lock" };
const said = (texts: DomainText[], users: number[]): string[] => {
  const use = new ImageUse(texts);
  const pool = { pool: { name: "default", uuid: Buffer.alloc(16) } };
  return writtenReplicas([replica(users)], members, { domainsOf: (image) => use.usersOf(image) }, pool, "a1", { spec: { hosts: [{ name: "a1" }] } } as unknown as ObserveRequest).map(({ message }) => message);
};

describe("replicas that somebody writes", () => {
  it("are told of once a domain, and are to be removed where nobody stands on them", () => {
    const [message, ...more] = said([writer], []);
    assert.match(message!, /written by nobody, got the running domain somebody.*virsh vol-delete/);
    assert.deepEqual(more, []);
  });

  it("are never to be removed under members, which are named", () => {
    const [message] = said([writer], [1]);
    assert.match(message!, /got the running domain somebody.*w-001.*leave it in its place/);
    assert.doesNotMatch(message!, /vol-delete|w-000/);
  });

  it("are not those that a domain might write whose definition cannot be read", () => assert.deepEqual([said([silent], []), said([silent], [0])], [[], []]));
});
