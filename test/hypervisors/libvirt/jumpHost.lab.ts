/** A fleet on eight hosts whose only way in is a jump host that takes two connections at a time and drops the others. */
import assert from "node:assert/strict";
import { applyFleet, realClock, type RunResult } from "../../../provider/engine";
import type { FleetState, Observation } from "../../../provider/fleet/model";
import { createLibvirt } from "../../../provider/hypervisors/libvirt";
import { recording } from "../../engine/wrappers";
import { freshFleetId, lab, LAB_NAME, specOf, virsh } from "./labFleet";
import { startJumpHost, type JumpHost } from "./labJumpHost";

/** Of its own, with eight hosts; what was made there goes with it. */
const NAME = `${LAB_NAME}j`;

describe("a fleet behind a jump host that takes two connections at a time", function () {
  this.timeout(120_000);
  let hosts: lab.LabHost[];
  let jump: JumpHost;
  let inputs: Record<string, unknown>;
  let state: FleetState | undefined;
  const fleetId = freshFleetId();

  before(async () => {
    await lab.down({ name: NAME }); // what a killed run left has members of these names
    const { hosts: eight, racks } = await lab.up({ name: NAME, topology: require.resolve("../../lab/topology-8.json"), owner: process.pid });
    hosts = eight;
    const { volume } = await lab.installTemplate({ name: NAME, host: hosts[0]!.name, dataBytes: 8 << 20, virtualBytes: 32 << 20 });
    jump = await startJumpHost(hosts, "2:100:2");
    inputs = {
      namePrefix: "behind", template: { host: hosts[0]!.name, pool: "default", volume }, clone: "linked", countPerHost: 1, powerOn: false,
      racks: racks.map(({ name, uplinkBitsPerSecond }) => ({ name, uplinkBitsPerSecond })),
      hosts: hosts.map((host) => ({
        name: host.name, uri: jump.uriOf(host), rack: host.rack, pool: "default", transferAddress: host.address, nicBitsPerSecond: host.nicBitsPerSecond,
      })),
      vm: { numCpus: 1, memory: 96, networks: [{ network: "default" }], domainType: "qemu" },
    };
  });
  after(async () => {
    await jump?.stop();
    await lab.down({ name: NAME });
  });

  async function up(): Promise<{ result: RunResult; seen: Observation["hosts"]; calls: string[] }> {
    const spec = specOf(inputs);
    const { hypervisor, calls } = recording(createLibvirt({ spec }));
    let seen: Observation["hosts"] = [];
    try {
      const onPlan = (_: unknown, observation: Observation): void => { seen = observation.hosts; };
      const result = await applyFleet({ spec, fleetId, incarnation: "one", previous: state, hypervisor, clock: realClock, holder: "test", onPlan });
      return { result, seen, calls: [...calls] };
    } finally {
      await hypervisor.close();
    }
  }

  it("is made, every host reached at the first attempt", async () => {
    const { result, seen, calls } = await up();
    state = result.state;
    assert.deepEqual(seen.map(({ status }) => status), hosts.map(() => "reachable"));
    assert.equal(calls.filter((call) => call === "lock").length, 1);
    for (const { host, name } of state.members) assert.equal((await virsh(hosts.find((each) => each.name === host)!, "list", "--all", "--name")).trim(), name);
    assert.equal(state.members.length, 8);
  });

  it("has nothing to do when run again: one lock, one look, every host reached", async () => {
    const { result, seen, calls } = await up();
    assert.deepEqual(calls, ["lock", "observe"]);
    assert.deepEqual(seen.map(({ status }) => status), hosts.map(() => "reachable"));
    assert.deepEqual(result.state.members, state!.members);
  });
});
