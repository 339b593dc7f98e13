/** A simulated datacenter to run the engine in, and the words its tests share. */
import assert from "node:assert/strict";
import { applyFleet, removeFleet, type RunRequest, type RunResult } from "../../provider/engine";
import { type FleetSpec, type FleetState, type Image, type Observation, parseFleetSpec, type ReachableHost } from "../../provider/fleet";
import type { Hypervisor, Traits } from "../../provider/hypervisors/hypervisor";
import { createSimulated, UNBOUNDED, type SimulatedHypervisor, type SimulatedOptions, type VirtualClock } from "../../provider/hypervisors/simulated";

export const IMAGE_BYTES = 1e9;
/** For what is tried without a hypervisor. */
export const IMAGE: Image = { contentId: "0".repeat(64), disks: [{ bytes: 10e9 }] };

/** Inputs of a fleet on `hosts` hosts in `racks` racks, a1 b1 a2 b2 …; the template on the first. */
export function inputs(hosts = 4, racks = 2, more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    namePrefix: "w",
    template: { host: hostName(0, racks), pool: "default", volume: "golden.qcow2" },
    clone: "full",
    policy: "rounds",
    racks: Array.from({ length: racks }, (_, r) => ({ name: rackName(r), uplinkBitsPerSecond: 4e10 })),
    hosts: Array.from({ length: hosts }, (_, h) => ({
      name: hostName(h, racks), uri: `qemu+ssh://root@${hostName(h, racks)}/system`, rack: rackName(h % racks), pool: "default",
      transferAddress: `10.${h >> 16}.${(h >> 8) & 255}.${h & 255}`, nicBitsPerSecond: 1e10, diskBytesPerSecond: 1e9, maxConcurrent: 8,
    })),
    vm: { numCpus: 1, memory: 256, networks: [{ network: "default" }], domainType: "qemu" },
    imageBytes: IMAGE_BYTES,
    ...more,
  };
}

const rackName = (rack: number) => `rack-${String.fromCharCode(97 + rack)}`;
const hostName = (host: number, racks: number) => `${String.fromCharCode(97 + (host % racks))}${Math.floor(host / racks) + 1}`;

export function specOf(from: Record<string, unknown>): FleetSpec {
  const { spec, problems } = parseFleetSpec(from);
  assert.deepEqual(problems ?? [], []);
  return spec!;
}

export interface World {
  hypervisor: SimulatedHypervisor;
  clock: VirtualClock;
}

/** Operations take some time, so that things overlap as they do on real hosts. */
export const COSTS = { defineSeconds: 0.2, startSeconds: 0.4, snapshotSeconds: 0.1, consolidateSeconds: 1, destroySeconds: 0.3 };

/** A hypervisor that has not these abilities. */
export const lacking = (...names: (keyof Traits["abilities"])[]): Traits => (
  { ...UNBOUNDED, abilities: Object.fromEntries(Object.entries(UNBOUNDED.abilities).filter(([name]) => !(names as string[]).includes(name))) }
);

export function world(spec: FleetSpec, options: SimulatedOptions = {}): World {
  return createSimulated({ spec, options: { costs: COSTS, ...options } });
}

export function request(spec: FleetSpec, { hypervisor, clock }: { hypervisor: Hypervisor; clock: VirtualClock }, more: Partial<RunRequest> = {}): RunRequest {
  return { spec, fleetId: "fleetaaaaa", incarnation: "one", hypervisor, clock, holder: "test", ...more };
}

export function up(spec: FleetSpec, where: { hypervisor: Hypervisor; clock: VirtualClock }, previous?: FleetState, more: Partial<RunRequest> = {}): Promise<RunResult> {
  return applyFleet(request(spec, where, { previous, ...more }));
}

export function down(spec: FleetSpec, where: { hypervisor: Hypervisor; clock: VirtualClock }, previous?: FleetState): Promise<void> {
  return removeFleet(request(spec, where, { previous }));
}

/** What the hosts hold, asked of the world itself. */
export function look(spec: FleetSpec, { hypervisor }: { hypervisor: Hypervisor }, fleetId = "fleetaaaaa"): Promise<Observation> {
  return hypervisor.observe({ fleetId, namePrefix: spec.namePrefix, hosts: spec.hosts, spec, deadlineMs: 1000, preflight: false });
}

export async function reachable(spec: FleetSpec, where: { hypervisor: Hypervisor }): Promise<ReachableHost[]> {
  return (await look(spec, where)).hosts.filter((host): host is ReachableHost => host.status === "reachable");
}

/** Every promise of a finished fleet: wholeness, nothing left over, counts as planned. */
export async function assertSettled(spec: FleetSpec, where: { hypervisor: Hypervisor }, members: number): Promise<void> {
  const hosts = await reachable(spec, where);
  const all = hosts.flatMap((host) => host.members);
  assert.equal(all.length, members);
  assert.equal(new Set(all.map((m) => m.slot)).size, members, "every slot once");
  assert.deepEqual(hosts.flatMap((host) => host.leftovers), []);
  for (const member of all) {
    assert.equal(member.power, spec.powerOn ? "running" : "stopped");
    assert.ok(["frozen", "consolidated", "replica"].includes(member.base), member.base);
    assert.equal(member.chain.length, member.base === "consolidated" ? 1 : 2);
  }
  if (spec.keepSeeds === "none") assert.deepEqual(all.filter((m) => m.base === "frozen").map((m) => m.name), []);
  for (const host of hosts) {
    const linked = host.members.some((m) => m.kind === "linked");
    assert.equal(host.replicas.filter((r) => r.purpose === "replica").length, linked ? 1 : 0, `replicas on ${host.name}`);
  }
}
