/** A guest whose QEMU stands still, with another's call waiting for it: its own change fails, and nothing else does. */
import assert from "node:assert/strict";
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { promisify } from "node:util";
import { FleetRunError } from "../../provider/engine";
import { inventory, labInputs, labStatus, lines, virsh, type LabHost } from "../hypervisors/libvirt/labFleet";
import { failureOf, LabRun } from "./labRun";

const run = promisify(execFile);

describe("a fleet with a guest that hangs", function () {
  this.timeout(120_000);
  let host: LabHost;
  let other: LabHost;
  let fleet: LabRun;
  let hung: number | undefined;
  let caller: ChildProcess | undefined;

  before(async () => { [host, other] = (await labStatus()).hosts as [LabHost, LabHost]; });
  beforeEach(async () => {
    fleet = new LabRun(await labInputs({ dataBytes: 8 << 20, hosts: [host.name, other.name], inputs: { keepSeeds: "host", callTimeout: 6, connectTimeout: 5, retries: 2 } }));
  });
  afterEach(async () => {
    wake();
    await fleet.remove();
    for (const each of [host, other]) assert.deepEqual((await inventory(each)).volumes.filter((name) => name.includes(fleet.fleetId)), []);
  });

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
    await fleet.up({ countPerHost: 1 });
    const [name] = fleet.state!.members.filter((member) => member.host === host.name).map((member) => member.name);
    await hang(name!);
    const error = await failureOf(fleet.up({ countPerHost: 2, keepSeeds: "none" }));
    assert.ok(error instanceof FleetRunError, String(error));
    assert.equal(error.reasons.length, 1, error.message);
    assert.match(error.reasons[0]!, new RegExp(`^${host.name}: ${name}: consolidate: (no answer to .* though the host answers|libvirt says)`));
    assert.equal(fleet.state!.members.length, 4, "the others are there");
    for (const each of [host, other]) assert.equal(lines(await virsh(each, "list", "--name")).filter((d) => d.startsWith(String(fleet.inputs.namePrefix))).length, 2);
    const merged = fleet.state!.members.filter((member) => member.name !== name);
    assert.deepEqual(merged.map((member) => member.chain.length), [1, 1, 1], "they are merged");
    wake();
    const result = await fleet.up({ countPerHost: 2, keepSeeds: "none" });
    assert.deepEqual([result.summary.created, fleet.state!.members.map((member) => member.chain.length)], [0, [1, 1, 1, 1]]);
  });

  it("is looked at and removed all the same", async () => {
    await fleet.up({ countPerHost: 1, keepSeeds: "none" });
    const [name] = fleet.state!.members.filter((member) => member.host === host.name).map((member) => member.name);
    await hang(name!);
    await fleet.up({ countPerHost: 0, shutdownTimeout: 1 });
    hung = undefined; // it was ended
    assert.deepEqual(fleet.state!.members, []);
  });
});
