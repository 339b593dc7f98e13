import assert from "node:assert/strict";
import type { ClonedVmFleetArgs } from "../../sdk";
import { byHost, cannotRun, ensureLab, labFleet, type Lab, labModule, leftovers, openStack, type TestStack, virsh } from "./harness";

// By the package's name, as any program would: what runs is the compiled class.
const { ClonedVmFleet } = require("pulumi-vmfleet") as typeof import("../../sdk");

describe("a fleet through Pulumi, on real hosts", function () {
  this.timeout(180_000);
  let lab: Lab;
  let test: TestStack;
  let args: Record<string, unknown>;
  let options: { name: string; aliases?: { name: string }[] } = { name: "fleet" };

  before(async function () {
    if (await cannotRun()) return this.skip();
    lab = await ensureLab();
    args = labFleet(lab);
    test = await openStack("fleet", {
      program: async () => {
        const { name, ...rest } = options;
        const fleet = new ClonedVmFleet(name, args as unknown as ClonedVmFleetArgs, rest);
        return { placement: fleet.placement };
      },
    });
  });
  after(async () => { await test?.close(); });

  it("tells the plan in a preview, once, and touches nothing", async () => {
    const { said, changes } = await test.preview();
    assert.equal(changes["create"], 2);
    const lasting = said.filter((each) => !each.ephemeral);
    assert.equal(lasting.length, 1, JSON.stringify(said));
    assert.match(lasting[0]!.message, /^\+2 VMs on 2 hosts in 2 racks, .* across racks, about .*, policy rounds$/);
    for (const { name } of lab.hosts) assert.doesNotMatch(virsh(lab, name, "list", "--all", "--name"), /^e2e-/m);
  });

  it("creates what was declared, with live progress on the row", async () => {
    const { said } = await test.up();
    const { members } = await test.fleet();
    assert.deepEqual(members.map((member) => member.name), ["e2e-000", "e2e-001"]);
    assert.ok(members.every((member) => member.state === "running"));
    for (const { name, host } of members) assert.equal(virsh(lab, host, "domstate", name), "running");
    assert.match(said.at(-1)!.message, /^done: 2 of 2 members/);
    assert.ok(said.every((each) => each.ephemeral));
  });

  it("has nothing to do in a second preview and up", async () => {
    const preview = await test.preview();
    assert.deepEqual(preview.changes, { same: 2 });
    assert.deepEqual(preview.said, []);
    assert.deepEqual((await test.up()).changes, { same: 2 });
  });

  it("grows by its difference alone", async () => {
    const before = (await test.fleet()).members;
    args = labFleet(lab, { count: 5 });
    assert.match((await test.preview()).said[0]!.message, /^\+3 VMs/);
    await test.up();
    const { members } = await test.fleet();
    assert.equal(members.length, 5);
    for (const old of before) assert.equal(members.find((member) => member.slot === old.slot)?.uuid, old.uuid);
    assert.ok(Object.values(byHost(members)).every((count) => count <= 2));
  });

  it("makes a member anew that was removed by hand", async () => {
    const [victim] = (await test.fleet()).members.slice(-1);
    virsh(lab, victim!.host, "destroy", victim!.name);
    virsh(lab, victim!.host, "undefine", victim!.name);
    await test.refresh();
    assert.equal((await test.fleet()).members.length, 4);
    await test.up();
    assert.equal((await test.fleet()).members.length, 5);
    assert.equal(virsh(lab, victim!.host, "domstate", victim!.name), "running");
  });

  it("is renamed with an alias without touching a member", async () => {
    const { members } = await test.fleet();
    options = { name: "renamed", aliases: [{ name: "fleet" }] };
    const { changes } = await test.up();
    assert.deepEqual(changes, { same: 2 });
    const after = await test.fleet();
    assert.match(after.urn, /::renamed$/);
    assert.deepEqual(after.members, members);
  });

  it("shrinks from the hosts that hold most", async () => {
    args = labFleet(lab, { count: 1 });
    await test.up();
    const { members, fleetId } = await test.fleet();
    assert.equal(members.length, 1);
    assert.equal(leftovers(lab, fleetId, "e2e").filter((line) => line.includes("domain e2e-")).length, 1);
  });

  it("makes the whole fleet anew with --replace, and loses none of the new", async () => {
    const old = await test.fleet();
    const { changes } = await test.up({ replace: [old.urn] });
    assert.equal(changes["replace"], 1);
    const { members, fleetId } = await test.fleet();
    assert.equal(members.length, 1);
    assert.equal(virsh(lab, members[0]!.host, "domstate", members[0]!.name), "running");
    assert.equal(fleetId.length > 0, true);
  });

  it("previews while no host answers, and says so", async () => {
    const { setLink } = await labModule();
    args = labFleet(lab, { count: 3 });
    const all = (up: boolean) => Promise.all(lab.hosts.map(({ name }) => setLink({ name: lab.name, host: name, up })));
    await all(false);
    const { said } = await test.preview().finally(() => all(true));
    assert.match(said.map((each) => each.message).join("\n"), /^\+2 VMs .* \(no host in reach\)\n.* does not answer \(.*\): planned as recorded/);
  });

  it("leaves nothing of ours behind when it is destroyed", async () => {
    const { fleetId } = await test.fleet();
    await test.destroy();
    assert.deepEqual(leftovers(lab, fleetId, "e2e"), []);
  });
});
