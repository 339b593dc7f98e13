/**
 * Guests that are waited for, on real daemons: QEMU's own guest agent in each, an address by DHCP of libvirt's own network. What is
 * so is said by virsh.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FleetRunError, realClock, refreshFleet } from "../../provider/engine";
import type { FleetState, MemberState } from "../../provider/fleet/model";
import { createLibvirt } from "../../provider/hypervisors/libvirt";
import { inventory, lab, LAB_NAME, labInputs, labStatus, lines, specOf, virsh, type LabHost } from "../hypervisors/libvirt/labFleet";
import { failureOf, LabRun } from "./labRun";

const MIB = 1 << 20;
const NETWORK = "leased";
const MUTE_PORT = "7007";
/** Emulated guests of a loaded machine boot in half of it. */
const LATE_SECONDS = 45;

describe("guests that are waited for on real hosts", function () {
  this.timeout(300_000);
  let hosts: LabHost[];
  let fleet: LabRun;
  let mute: string;

  before(async () => {
    hosts = (await labStatus()).hosts.slice(0, 2);
    const xml = `/tmp/vmfleet-leased-${process.pid}.xml`;
    await writeFile(xml, `<network><name>${NETWORK}</name><forward mode='open'/><bridge name='leased0'/><ip address='10.213.0.1' netmask='255.255.255.0'><dhcp><range start='10.213.0.100' end='10.213.0.200'/></dhcp></ip></network>`);
    for (const host of hosts) {
      await dropNetwork(host); // of a run that was killed
      await virsh(host, "net-define", xml);
      await virsh(host, "net-start", NETWORK);
    }
    const template = await lab.installTemplate({ name: LAB_NAME, host: hosts[0]!.name, volume: "golden-agent.qcow2", dataBytes: 4 * MIB, virtualBytes: 8 * MIB, agent: true });
    const inputs = await labInputs({ dataBytes: 4 * MIB, virtualBytes: 8 * MIB, hosts: hosts.map(({ name }) => name) });
    mute = `${String(inputs["namePrefix"])}-003`;
    fleet = new LabRun({
      ...inputs, template: { host: hosts[0]!.name, pool: "default", volume: template.volume }, count: 4, clone: "linked", waitFor: "guestAgent",
      vm: {
        ...inputs["vm"] as object, memory: lab.MIN_AGENT_MEMORY_MIB, networks: [{ network: NETWORK }], kernel: template.kernel, initrd: template.initrd,
        cmdline: `${template.cmdline} vmfleet.name={name} vmfleet.mute=${mute},${MUTE_PORT}`,
      },
    });
  });
  after(async () => {
    await fleet.remove();
    for (const host of hosts) {
      assert.deepEqual((await inventory(host)).volumes.filter((name) => name.includes(fleet.fleetId)), []);
      await dropNetwork(host);
    }
  });

  async function dropNetwork(host: LabHost): Promise<void> {
    for (const command of ["net-destroy", "net-undefine"]) await virsh(host, command, NETWORK).catch(() => undefined);
  }
  const hostOf = (member: MemberState): LabHost => hosts.find(({ name }) => name === member.host)!;
  /** By virsh, without loopback and link-local ones. */
  async function addresses(member: MemberState, source: "agent" | "lease"): Promise<string[]> {

    const said = lines(await virsh(hostOf(member), "domifaddr", member.name, "--source", source)).map((line) => line.split(/\s+/).at(-1)!.replace(/\/\d+$/, ""));
    return said.filter((one) => !/^(127\.|::1$|fe80:)/.test(one) && /[.:]/.test(one));
  }
  const configuring = (state: FleetState): string[] => state.members.filter((one) => one.configuring).map((one) => one.name);
  const running = async (): Promise<number> => (await Promise.all(hosts.map(async (host) => lines(await virsh(host, "list", "--name"))))).flat().filter((name) => name.startsWith(String(fleet.inputs["namePrefix"]))).length;

  it("are still there when the provider is killed among them, and the next up waits for them; one that never answers fails by name, alone", async () => {
    const child = spawn(process.execPath, ["--require", "tsx/cjs", join(__dirname, "immediate-child.ts"), JSON.stringify({ inputs: fleet.inputs, fleetId: fleet.fleetId })], { stdio: "inherit" });
    const exited = once(child, "exit");
    await lab.until(async () => (await running()) === 4, { what: "four guests to be started", timeoutMs: 120_000 });
    child.kill("SIGKILL");
    await exited;
    const failure = await failureOf(fleet.up({ waitForTimeoutSeconds: LATE_SECONDS }));
    assert.ok(failure instanceof FleetRunError);
    assert.match(failure.message, new RegExp(`^\\w+: ${mute}: wait for its guest: its guest's agent did not answer within ${LATE_SECONDS} s .*; the next \`pulumi up\` waits for it again$`));
    const { state } = failure;
    assert.deepEqual([state.members.map(({ state: power }) => power), configuring(state)], [["running", "running", "running", "running"], [mute]]);
    for (const member of state.members.slice(0, 3)) {
      const said = await addresses(member, "agent");
      assert.ok(said.length > 0);
      assert.deepEqual(member.ipAddresses, said);
      assert.deepEqual([member.hostname], lines(await virsh(hostOf(member), "domhostname", member.name, "--source", "agent")));
    }
    assert.deepEqual(state.members[3]!.ipAddresses, []);
  });

  it("have an address by their lease where no agent says it, which a refresh hears", async () => {
    const spec = specOf(fleet.inputs);
    const hypervisor = createLibvirt({ spec });
    const state = await refreshFleet({ spec, fleetId: fleet.fleetId, incarnation: "one", previous: fleet.state, hypervisor, clock: realClock, holder: "test" }).finally(() => hypervisor.close());
    const member = state!.members[3]!;
    const leased = await addresses(member, "lease");
    assert.equal(leased.length, 1);
    assert.deepEqual([member.ipAddresses, member.hostname], [leased, member.name]);
    assert.deepEqual(state!.members.slice(0, 3), fleet.state!.members.slice(0, 3));
    fleet.state = state!;
  });

  it("are all there once that one is mended, and nobody asks the others again", async () => {
    const member = fleet.state!.members[3]!;
    await lab.execIn(hostOf(member), ["busybox", "nc", member.ipAddresses[0]!, MUTE_PORT], { input: "" });
    const { state, plan } = await fleet.up({});
    assert.deepEqual(plan.awaiting.map(({ name }) => name), [mute]);
    assert.deepEqual([plan.create, plan.destroy, plan.reconfigure, configuring(state)], [[], [], [], []]);
    assert.deepEqual(state.members.map(({ ipAddresses }) => ipAddresses), await Promise.all(state.members.map((one) => addresses(one, "agent"))));
    const again = await fleet.up({});
    assert.deepEqual([again.plan.awaiting, again.state.members], [[], state.members]);
  });
});
