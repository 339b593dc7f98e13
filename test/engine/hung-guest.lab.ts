/** A guest whose QEMU stands still, with another's call waiting for it: its own change fails, and nothing else does. */
import assert from "node:assert/strict";
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { promisify } from "node:util";
import { applyFleet, FleetRunError, realClock, removeFleet, type RunResult } from "../../provider/engine";
import type { FleetState } from "../../provider/fleet/model";
import { createLibvirt } from "../../provider/hypervisors/libvirt";
import { freshFleetId, inventory, labInputs, labStatus, lines, specOf, virsh, type LabHost } from "../hypervisors/libvirt/labFleet";

const run = promisify(execFile);

describe("a fleet with a guest that hangs", function () {
  this.timeout(120_000);
  let host: LabHost;
  let other: LabHost;
  let inputs: Record<string, unknown>;
  let fleetId: string;
  let state: FleetState | undefined;
  let hung: number | undefined;
  let caller: ChildProcess | undefined;

  before(async () => { [host, other] = (await labStatus()).hosts as [LabHost, LabHost]; });
  beforeEach(async () => {
    fleetId = freshFleetId();
    state = undefined;
    inputs = await labInputs({ dataBytes: 8 << 20, hosts: [host.name, other.name], inputs: { keepSeeds: "host", callTimeout: 6, connectTimeout: 5, retries: 2 } });
  });
  afterEach(async () => {
    wake();
    const spec = specOf({ ...inputs, countPerHost: 1 });
    const hypervisor = createLibvirt({ spec });
    await removeFleet({ spec, fleetId, incarnation: "one", hypervisor, clock: realClock, holder: "clean-up" }).finally(() => hypervisor.close());
    for (const each of [host, other]) assert.deepEqual((await inventory(each)).volumes.filter((name) => name.includes(fleetId)), []);
  });

  async function up(changes: Record<string, unknown>): Promise<RunResult> {
    const spec = specOf({ ...inputs, ...changes });
    const hypervisor = createLibvirt({ spec });
    try {
      const result = await applyFleet({ spec, fleetId, incarnation: "one", previous: state, hypervisor, clock: realClock, holder: "test" });
      state = result.state;
      return result;
    } catch (error) {
      if (error instanceof FleetRunError) state = error.state;
      throw error;
    } finally {
      await hypervisor.close();
    }
  }

  /** As a guest whose disk is gone hangs: QEMU answers nothing, and a call of somebody's holds its place in line. */
  async function hang(name: string): Promise<void> {
    const { stdout } = await run("pgrep", ["-f", `guest=${name},`]);
    hung = Number(lines(stdout)[0]);
    process.kill(hung, "SIGSTOP");
    caller = spawn("virsh", ["-c", host.unixUri, "domblkstat", name, "vda"], { stdio: "ignore" });
  }
  function wake(): void {
    if (hung !== undefined) process.kill(hung, "SIGCONT");
    hung = undefined;
    caller?.kill();
  }

  it("fails that member's merge, naming it, while its host makes new members and merges others", async () => {
    await up({ countPerHost: 1 });
    const [name] = state!.members.filter((member) => member.host === host.name).map((member) => member.name);
    await hang(name!);
    const error = await up({ countPerHost: 2, keepSeeds: "none" }).then(() => undefined, (e: unknown) => e);
    assert.ok(error instanceof FleetRunError, String(error));
    assert.equal(error.reasons.length, 1, error.message);
    assert.match(error.reasons[0]!, new RegExp(`^${host.name}: ${name}: consolidate: (no answer to .* though the host answers|libvirt says)`));
    assert.equal(state!.members.length, 4, "the others are there");
    for (const each of [host, other]) assert.equal(lines(await virsh(each, "list", "--name")).filter((d) => d.startsWith(String(inputs.namePrefix))).length, 2);
    const merged = state!.members.filter((member) => member.name !== name);
    assert.deepEqual(merged.map((member) => member.chain.length), [1, 1, 1], "they are merged");
    wake();
    const result = await up({ countPerHost: 2, keepSeeds: "none" });
    assert.deepEqual([result.summary.created, state!.members.map((member) => member.chain.length)], [0, [1, 1, 1, 1]]);
  });

  it("is looked at and removed all the same", async () => {
    await up({ countPerHost: 1, keepSeeds: "none" });
    const [name] = state!.members.filter((member) => member.host === host.name).map((member) => member.name);
    await hang(name!);
    await up({ countPerHost: 0, shutdownTimeout: 1 });
    hung = undefined; // it was ended
    assert.deepEqual(state!.members, []);
  });
});
