/** What is asked of a running machine, in which order, and what is said where it refuses. */
import assert from "node:assert/strict";
import { memberMacs } from "../../../provider/fleet";
import type { LivePart, NetworkInterfaceSpec } from "../../../provider/fleet/model";
import type { ReconfigureOrder } from "../../../provider/hypervisors/hypervisor";
import { changeLive } from "../../../provider/hypervisors/libvirt/members/liveHardware";
import type { LibvirtClient } from "../../../provider/hypervisors/libvirt/rpc/client";
import { LibvirtError } from "../../../provider/hypervisors/libvirt/rpc/errors";
import { ErrorCode, Flag } from "../../../provider/hypervisors/libvirt/rpc/protocol";
import { memoryOf, setSize } from "../../../provider/hypervisors/libvirt/xml/setSize";
import { readDefinition, writeDefinition } from "../../../provider/hypervisors/libvirt/xml/definition";

const macs = memberMacs("f1", 3, 3);
const domain = { name: "w-003", id: 7, uuid: Buffer.alloc(16) };
const plugged = (network: string): NetworkInterfaceSpec => ({ adapterType: "virtio", own: { hypervisor: "libvirt", kind: "network", network } });
const order = (live: LivePart[], networks: string[] = []): ReconfigureOrder => ({
  fleet: { fleetId: "f1", incarnation: "i1", namePrefix: "w" }, host: "a1", slot: 3, name: "w-003", kind: "full", generation: 0, contentId: "c", autostart: false, live,
  vm: { hardware: "defaults", numCpus: 3, memory: 512, networks: networks.map(plugged), disks: [], own: { hypervisor: "libvirt" } },
});
const card = (mac: string, network: string, more = ""): string => `<interface type='network'><mac address='${mac}'/><source network='${network}'/>${more}</interface>`;
const definition = (...cards: string[]): string => `<domain><devices>${cards.join("")}</devices></domain>`;

/** @param refuses libvirt's code, by the call */
function machine(defined: string[], live: string[], refuses: Record<string, number> = {}) {
  const calls: string[] = [];
  const call = (name: string, said: string): Promise<void> => {
    calls.push(`${name} ${said}`);
    const code = refuses[name];
    return code === undefined ? Promise.resolve() : Promise.reject(new LibvirtError(code, 0, "nein"));
  };
  const client = {
    domainXml: (_domain: unknown, flags = 0) => Promise.resolve(definition(...(flags & Flag.xmlInactive ? defined : live))),
    setLiveCpus: (_domain: unknown, count: number) => call("cpus", String(count)),
    setLiveMemory: (_domain: unknown, mebibytes: number) => call("memory", String(mebibytes)),
    changeLiveDevice: (_domain: unknown, how: string, xml: string) => call(how, xml.replace(/>\s+</g, "><").trim()),
  } as unknown as LibvirtClient;
  const notices: string[] = [];
  return { calls, notices, change: (wanted: ReconfigureOrder) => changeLive(client, wanted, domain, { onNotice: (notice) => notices.push(notice) }) };
}

describe("a running machine's hardware", () => {
  it("is asked for what was ordered and nothing else", async () => {
    const { calls, notices, change } = machine([], []);
    await change(order(["cpus", "memory"]));
    assert.deepEqual([calls, notices], [["cpus 3", "memory 512"], []]);
  });

  for (const code of [ErrorCode.operationFailed, ErrorCode.configUnsupported, ErrorCode.operationUnsupported, ErrorCode.operationInvalid]) {
    it(`that is refused with libvirt's code ${code} is told by the member's name, and all else is done`, async () => {
      const { calls, notices, change } = machine([], [], { cpus: code });
      await change(order(["cpus", "memory"]));
      assert.deepEqual([calls.length, notices.length], [2, 1]);
      assert.match(notices[0]!, /^w-003 on a1: its CPUs could not be changed while it runs, and will be as declared from its next start: libvirt says: .*nein/);
    });
  }

  it("fails where the host itself has a fault", async () => {
    await assert.rejects(machine([], [], { memory: ErrorCode.noDomain }).change(order(["memory"])), /nein/);
  });

  it("has cards attached, replugged with all that the machine says of them, and taken away, by their addresses", async () => {
    const [a, b, c] = macs as [string, string, string];
    const { calls, change } = machine([card(a, "one"), card(b, "two")], [card(a, "one"), card(b.toUpperCase(), "two", "<target dev='vnet3'/><address type='pci' slot='0x05'/>")]);
    await change(order(["networks"], ["one", "three", "four"]));
    assert.equal(calls.length, 2);
    assert.match(calls[0]!, new RegExp(`^Update <interface type="network"><mac address="${b.toUpperCase()}"/><target dev="vnet3"/><address type="pci" slot="0x05"/><source network="three"/></interface>$`));
    assert.match(calls[1]!, new RegExp(`^Attach <interface type="network"><source network="four"/?>.*<mac address="${c}"`));
    const fewer = machine([card(a, "one"), card(b, "two")], [card(a, "one"), card(b, "two")]);
    await fewer.change(order(["networks"], ["one"]));
    assert.match(fewer.calls.join(), new RegExp(`^Detach <interface type="network"><mac address="${b}"/>`));
    assert.match(fewer.notices.join(), /its network cards could not be changed while it runs, and will be as declared from its next start: its guest was asked to let a card go, and has not yet/);
  });

  it("keeps a card that somebody gave the running machine, and does again without harm what is done", async () => {
    const [a] = macs as [string];
    const { calls, notices, change } = machine([card(a, "one")], [card(a, "one"), card("52:54:00:00:00:01", "his")]);
    await change(order(["networks"], ["one"]));
    assert.deepEqual([calls, notices], [[], []]);
  });
});

describe("what a machine can be given while it runs", () => {
  const sized = (xml: string, size: Parameters<typeof setSize>[1]): string => {
    const root = readDefinition(`<domain>${xml}</domain>`);
    setSize(root, size);
    return writeDefinition(root).replace(/<\/?domain>/g, "");
  };
  const golden = "<memory unit='GiB'>1</memory><currentMemory unit='GiB'>1</currentMemory><vcpu>2</vcpu><cpu><topology sockets='1' cores='2' threads='1'/></cpu>";

  it("stands in its definition beside what it starts with", () => {
    assert.equal(sized(golden, { numCpus: 3, memory: 2048, maxCpus: 8, maxMemory: 4096 }),
      '<memory unit="MiB">4096</memory><currentMemory unit="MiB">2048</currentMemory><vcpu current="3">8</vcpu><cpu/>');
    assert.equal(sized(golden, { maxCpus: 2, maxMemory: 1024 }).replace(/"/g, "'"), golden.replaceAll("<memory unit='GiB'>1", "<memory unit='MiB'>1024").replace("<currentMemory unit='GiB'>1", "<currentMemory unit='MiB'>1024"), "what is inherited stays");
  });

  it("goes where it is not declared any more, or declared as what the machine has", () => {
    const made = sized(golden, { numCpus: 2, memory: 1024, maxCpus: 8, maxMemory: 4096 });
    for (const size of [{ numCpus: 2, memory: 1024 }, { numCpus: 2, memory: 1024, maxCpus: 2, maxMemory: 1024 }]) {
      assert.equal(sized(made, size), '<memory unit="MiB">1024</memory><currentMemory unit="MiB">1024</currentMemory><vcpu>2</vcpu><cpu/>');
    }
    assert.equal(memoryOf(readDefinition(`<domain>${made}</domain>`)), 4096);
  });
});
