import assert from "node:assert/strict";
import { createLibvirt } from "../../../provider/hypervisors/libvirt";
import type { Hypervisor } from "../../../provider/hypervisors/hypervisor";
import type { FleetSpec } from "../../../provider/fleet/model";
import { freshFleetId, lab, LAB_NAME, labSpec, labStatus, lines, virsh, type LabHost } from "./labFleet";

describe("a fleet's lock on real hosts", function () {
  this.timeout(90_000);
  let hosts: LabHost[];
  let spec: FleetSpec;
  const opened: Hypervisor[] = [];

  before(async () => {
    hosts = (await labStatus()).hosts;
    spec = await labSpec();
  });
  afterEach(async () => { for (const hv of opened.splice(0)) await hv.close(); });

  const connect = (): Hypervisor => {
    const hv = createLibvirt({ spec });
    opened.push(hv);
    return hv;
  };
  const locks = async (fleetId: string): Promise<number> => {
    const found = await Promise.all(hosts.map(async (h) => lines(await virsh(h, "list", "--name")).filter((n) => n === `vmfleet-lock-${fleetId}`).length));
    return found.reduce((a, b) => a + b, 0);
  };

  it("goes with its holder's connections", async () => {
    const fleetId = freshFleetId();
    const first = connect();
    await first.lock({ fleetId, hosts: spec.hosts, holder: "one", timeoutMs: 1000 });
    assert.equal(await locks(fleetId), hosts.length);
    await first.close();
    const lock = await connect().lock({ fleetId, hosts: spec.hosts, holder: "two", timeoutMs: 20_000 });
    await lock.release();
    assert.equal(await locks(fleetId), 0);
  });

  it("is taken away where a crashed daemon left it behind, but never from a holder that lives", async () => {
    const fleetId = freshFleetId();
    const victim = hosts[3]!;
    const first = connect();
    const held = await first.lock({ fleetId, hosts: spec.hosts, holder: "one", timeoutMs: 1000 });
    await lab.killDaemon({ name: LAB_NAME, host: victim.name });
    await lab.startDaemon({ name: LAB_NAME, host: victim.name });
    assert.equal(await locks(fleetId), hosts.length, "the daemon's death leaves the lock");
    assert.ok(!held.lost.aborted, "the other hosts are still held");
    await assert.rejects(connect().lock({ fleetId, hosts: spec.hosts, holder: "two", timeoutMs: 25_000 }), /holds the lock .*\(one\)/);
    await held.release();
    const waits: string[] = [];
    const lock = await connect().lock({ fleetId, hosts: spec.hosts, holder: "three", timeoutMs: 60_000, onWait: (h) => waits.push(h) });
    await lock.release();
    assert.equal(await locks(fleetId), 0);
  });

  it("that was left by a dead daemon of a dead holder is taken away when it stops beating", async () => {
    const fleetId = freshFleetId();
    const victim = hosts[2]!;
    const first = connect();
    await first.lock({ fleetId, hosts: spec.hosts, holder: "one", timeoutMs: 1000 });
    await lab.killDaemon({ name: LAB_NAME, host: victim.name });
    await first.close();
    await lab.startDaemon({ name: LAB_NAME, host: victim.name });
    const waits: string[] = [];
    const lock = await connect().lock({ fleetId, hosts: spec.hosts, holder: "two", timeoutMs: 60_000, onWait: (h) => waits.push(h) });
    assert.ok(waits.includes("one"));
    await lock.release();
    assert.equal(await locks(fleetId), 0);
  });
});
