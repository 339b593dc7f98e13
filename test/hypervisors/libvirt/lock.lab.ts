import assert from "node:assert/strict";
import { realClock } from "../../../provider/async/clock";
import { createLibvirt } from "../../../provider/hypervisors/libvirt";
import type { Hypervisor } from "../../../provider/hypervisors/hypervisor";
import type { FleetSpec } from "../../../provider/fleet/model";
import { SILENCE_MS } from "../../../provider/hypervisors/libvirt/connection/lease";
import { lockTimeBy } from "../../../provider/hypervisors/libvirt/connection/lock";
import { until } from "../../lab";
import { freshFleetId, lab, LAB_NAME, labSpec, labStatus, lines, virsh, type LabHost } from "./labFleet";

const realLockTime = lockTimeBy(realClock);

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

  const connect = (lockTime = realLockTime): Hypervisor => {
    const hv = createLibvirt({ spec, lockTime });
    opened.push(hv);
    return hv;
  };
  /** What a waiter waits for a tenth of the time for: only where the holder is known to be dead. */
  const hasty = { ...realLockTime, nowMs: () => 10 * realLockTime.nowMs() };
  const look = async (hv: Hypervisor, fleetId: string) =>
    (await hv.observe({ fleetId, namePrefix: "lock", hosts: spec.hosts.slice(0, 1), spec, deadlineMs: 20_000, preflight: false })).hosts[0]!;
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

  it("is taken away where a crashed daemon left it behind, but never from a holder that lives, though wall clocks jump", async () => {
    const fleetId = freshFleetId();
    const victim = hosts[3]!;
    const first = connect();
    const held = await first.lock({ fleetId, hosts: spec.hosts, holder: "one", timeoutMs: 1000 });
    await lab.killDaemon({ name: LAB_NAME, host: victim.name });
    await lab.startDaemon({ name: LAB_NAME, host: victim.name });
    assert.equal(await locks(fleetId), hosts.length, "the daemon's death leaves the lock");
    assert.ok(!held.lost.aborted, "the other hosts are still held");
    const { now } = Date;
    const jumped = setInterval(() => { Date.now = () => now() + 3_600_000 * Math.random(); }, 1000);
    try {
      await assert.rejects(connect().lock({ fleetId, hosts: spec.hosts, holder: "two", timeoutMs: 8_000 }), /holds the lock .*\(one\)/);
    } finally {
      clearInterval(jumped);
      Date.now = now;
    }
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
    const lock = await connect(hasty).lock({ fleetId, hosts: spec.hosts, holder: "two", timeoutMs: 300_000, onWait: (h) => waits.push(h) });
    assert.ok(waits.includes("one"));
    await lock.release();
    assert.equal(await locks(fleetId), 0);
  });

  it("is let go at once by a holder that slept too long to be sure of it, and so is the host", async () => {
    const fleetId = freshFleetId();
    let sleptMs = 0;
    const sleepy = connect({ ...realLockTime, nowWithSleepMs: () => realLockTime.nowWithSleepMs() + sleptMs });
    const lock = await sleepy.lock({ fleetId, hosts: spec.hosts.slice(0, 1), holder: "one", timeoutMs: 1000 });
    assert.equal((await look(sleepy, fleetId)).status, "reachable");
    sleptMs = SILENCE_MS + 1000;
    const seen = await look(sleepy, fleetId);
    assert.match(seen.status === "unreachable" ? seen.reason : "reachable", /no sign of life could be left in the fleet's lock for 1\d s/);
    assert.ok(lock.lost.aborted);
    await until(async () => (await locks(fleetId)) === 0, { what: "the lock to go with the connection" });
    await lock.release();
  });

  it("that was taken away is not given back in another's stead, nor is its host entered again", async () => {
    const fleetId = freshFleetId();
    const request = { fleetId, hosts: spec.hosts.slice(0, 1), timeoutMs: 10_000 };
    const robbed = connect();
    const first = await robbed.lock({ ...request, holder: "one" });
    const host = hosts.find(({ name }) => name === spec.hosts[0]!.name)!;
    await virsh(host, "destroy", `vmfleet-lock-${fleetId}`);
    const second = await connect().lock({ ...request, holder: "two" });
    await until(() => first.lost.aborted, { what: "the one who was robbed to hear of it" });
    await first.release();
    assert.equal(await locks(fleetId), 1, "the other's is there");
    assert.equal((await look(robbed, fleetId)).status, "unreachable", "late cleaners find no way in");
    await second.release();
    assert.equal(await locks(fleetId), 0);
  });

  it("begins and ends beside others that want it without a word of somebody else's domain", async () => {
    const words = new Set<string>();
    for (let round = 0; round < 3; round++) {
      const fleetId = freshFleetId();
      await Promise.all(["one", "two", "three"].map(async (holder) => {
        const lock = await connect().lock({ fleetId, hosts: spec.hosts.slice(0, 2), holder, timeoutMs: 20_000, onWait: (h) => words.add(h) });
        await new Promise((resolve) => setTimeout(resolve, 400 * Math.random())); // a run's work
        await lock.release();
      }));
    }
    for (const word of words) assert.match(word, /^(one|two|three|another run that begins or ends just now)$/);
  });
});
