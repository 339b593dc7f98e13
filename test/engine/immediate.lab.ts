/** Whole fleets of guests that run before their disks are there, on real daemons. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { applyFleet, realClock, removeFleet, type RunResult } from "../../provider/engine";
import type { FleetState } from "../../provider/fleet/model";
import { createLibvirt } from "../../provider/hypervisors/libvirt";
import { freshFleetId, inventory, lab, LAB_NAME, labInputs, labStatus, specOf, virsh, type LabHost } from "../hypervisors/libvirt/labFleet";

const MIB = 1 << 20;

describe("a fleet on real hosts that starts immediately", function () {
  this.timeout(300_000);
  let hosts: LabHost[];
  let inputs: Record<string, unknown>;
  let fleetId: string;

  before(async () => { hosts = (await labStatus()).hosts; });
  beforeEach(async () => {
    fleetId = freshFleetId();
    inputs = await labInputs({ dataBytes: 96 * MIB, virtualBytes: 256 * MIB, inputs: { countPerHost: 1, policy: "relay", start: "immediately", stallTimeout: 10 } });
    (inputs.vm as { cmdline: string }).cmdline += " vmfleet.read=80,8";
    for (const { name } of hosts) await lab.setRate({ name: LAB_NAME, host: name, bitsPerSecond: 60e6 });
  });
  afterEach(async () => {
    for (const { name } of hosts) await lab.setRate({ name: LAB_NAME, host: name });
    const spec = specOf(inputs);
    const hypervisor = createLibvirt({ spec });
    await removeFleet({ spec, fleetId, incarnation: "one", hypervisor, clock: realClock, holder: "clean-up" }).finally(() => hypervisor.close());
    for (const host of hosts) {
      const { domains, volumes } = await inventory(host);
      assert.deepEqual([...domains, ...volumes].filter((name) => name.includes(fleetId)), []);
    }
  });

  async function up(previous?: FleetState): Promise<RunResult> {
    const spec = specOf(inputs);
    const hypervisor = createLibvirt({ spec });
    try {
      return await applyFleet({ spec, fleetId, incarnation: "one", previous, hypervisor, clock: realClock, holder: "test" });
    } finally {
      await hypervisor.close();
    }
  }
  const serial = (host: LabHost, name: string) => readFile(join(host.poolDir, "..", "log", "qemu", `${name}.serial.log`), "utf8").catch(() => "");
  /** Booted once, saw no error, stands on local disks, and nobody serves anything. */
  async function assertWhole(state: FleetState, bases: string): Promise<void> {
    assert.equal(state.members.length, hosts.length);
    for (const member of state.members) {
      const host = hosts.find((h) => h.name === member.host)!;
      assert.equal(member.base, bases);
      await lab.until(async () => (await serial(host, member.name)).includes("VMFLEET BOOTED"), { what: `${member.name} to boot`, timeoutMs: 120_000 });
      const log = await serial(host, member.name);
      assert.equal(log.split("VMFLEET BOOTED").length, 2, log);
      assert.doesNotMatch(log, /FAILED|I\/O error/i);
      assert.doesNotMatch(await virsh(host, "dumpxml", member.name), /protocol='nbd'|\.early\./);
    }
    for (const host of hosts) {
      const { domains, volumes } = await inventory(host);
      assert.deepEqual([...domains.filter((d) => d.startsWith(`vmfleet-helper-${fleetId}.`)), ...volumes.filter((v) => v.includes(fleetId) && v.includes(".early."))], []);
    }
  }

  for (const [clone, bases] of [["full", "consolidated"], ["linked", "replica"]] as const) {
    it(`makes ${clone} members that are what they would have been otherwise`, async () => {
      inputs.clone = clone;
      const { state } = await up();
      await assertWhole(state, bases);
      assert.deepEqual((await up(state)).plan.complete, []);
    });
  }

  it("completes what a provider left that was killed while guests were booting", async () => {
    const child = spawn(process.execPath, ["--require", "tsx/cjs", join(__dirname, "immediate-child.ts"), JSON.stringify({ inputs, fleetId })], { stdio: "inherit" });
    const exited = once(child, "exit");
    const arriving = async () => (await Promise.all(hosts.map(inventory))).flatMap((i) => i.volumes).filter((v) => v.includes(fleetId) && v.includes(".early.")).length;
    const running = async () => (await Promise.all(hosts.map(inventory))).flatMap((i) => i.domains).filter((d) => d.startsWith(String(inputs.namePrefix))).length;
    await lab.until(async () => (await arriving()) > 1 && (await running()) > 1, { what: "early guests", timeoutMs: 60_000 });
    child.kill("SIGKILL");
    await exited;
    const { plan, state } = await up();
    assert.ok(plan.complete.length > 0, "some wait for their disks");
    await assertWhole(state, "consolidated");
  });
});
