/** Small fleets for tests: inputs, specs, and hosts as they look once a plan has been carried out. */
import assert from "node:assert/strict";
import { SIMULATED_WORDS } from "../../provider/hypervisors/simulated";
import {
  cardPlace, guestIdentity, memberMacs, memberUuid, parseFleetSpec, reconcile, recordState, NO_RUN,
  type FleetInputs, type FleetPlan, type FleetSpec, type FleetState, type Observation, type ObservedMember, type ReachableHost,
} from "../../provider/fleet";

export const FLEET = "abcdefghij";
export const INCARNATION = "one";
export const CONTENT = "c1";

export function inputs(changes: Partial<FleetInputs> = {}): FleetInputs {
  return {
    namePrefix: "workers",
    template: { host: "a1", pool: "default", volume: "golden.qcow2" },
    hosts: ["a1", "a2", "b1", "b2"].map((name) => host(name)),
    vm: { networks: [{ network: "default" }] },
    ...(!("count" in changes) && !("countPerHost" in changes) && !(changes.hosts ?? []).some?.((one) => one.count !== undefined) ? { count: 12 } : {}),
    ...changes,
  };
}

export function host(name: string, changes: Partial<FleetInputs["hosts"][number]> = {}): FleetInputs["hosts"][number] {
  return { name, uri: `qemu+ssh://root@${name}/system`, rack: `rack-${name[0]}`, ...changes };
}

export function spec(changes: Partial<FleetInputs> = {}): FleetSpec {
  const result = parseFleetSpec(inputs(changes));
  assert.ok(result.spec, JSON.stringify(result.problems));
  return result.spec;
}

const LEAST = { kind: "cloudInit" as const, addresses: [], dnsServers: [], dnsDomains: [], sshAuthorizedKeys: [] };

/** What a guest is told where the program says nothing of it. */
export function leastGuest({ slot, name, generation }: Pick<ObservedMember, "slot" | "name" | "generation">): string {
  return guestIdentity(LEAST, { fleetId: FLEET, slot, name, generation, host: "", rack: "", macs: [] })!.hash;
}

export function member(slot: number, changes: Partial<ObservedMember> = {}): ObservedMember {
  const it: ObservedMember = {
    slot, name: `workers-${String(slot).padStart(3, "0")}`, uuid: memberUuid(FLEET, slot), kind: "full", generation: 0,
    incarnation: INCARNATION, contentId: CONTENT, cardAddresses: memberMacs(FLEET, slot, 1), power: "running", base: "consolidated",
    chain: [disk(`base-${slot}`)], disks: [], numCpus: 1, memory: 1024, networks: ["default"], ...changes,
  };
  return { guest: leastGuest(it), ...it };
}

export function disk(name: string, allocationBytes = 300e6) {
  return { name, path: `/pool/${name}`, format: "qcow2", capacityBytes: 10e9, allocationBytes };
}

export function reachable(name: string, members: ObservedMember[] = [], changes: Partial<ReachableHost> = {}): ReachableHost {
  return {
    status: "reachable", name, uuid: `uuid-${name}`, hypervisorVersion: "9.0.0", words: SIMULATED_WORDS, members, replicas: [], leftovers: [], kept: [],
    strangers: [], heldGenerations: [], foreignNames: [], room: { freeBytes: 1e12 }, problems: [], ...changes,
  };
}

export const template = { contentId: CONTENT, host: "a1", disks: [{ bytes: 300e6, capacityBytes: 10e9, format: "qcow2" }] };

export function observation(hosts: Observation["hosts"], changes: Partial<Observation> = {}): Observation {
  return { hosts, template, ...changes };
}

export function plan(
  declared: FleetSpec, found: Observation | undefined, previous?: FleetState, more: { mode?: "apply" | "preview"; incarnation?: string } = {},
): FleetPlan {
  return reconcile({ spec: declared, fleetId: FLEET, incarnation: INCARNATION, ...(found && { observation: found }), ...(previous && { previous }), ...more });
}

/** The hosts after the plan was carried out to the letter. */
export function carryOut(declared: FleetSpec, before: Observation, done: FleetPlan): Observation {
  const hosts = before.hosts.map((one) => {
    if (one.status !== "reachable") return one;
    const gone = new Set(done.destroy.filter((entry) => entry.host === one.name).map((entry) => `${entry.slot}/${entry.generation}`));
    const created = done.create.filter((entry) => entry.host === one.name).map((entry) =>
      member(entry.slot, {
        name: entry.name, kind: entry.kind, generation: entry.generation, contentId: entry.image.contentId,
        numCpus: declared.vm.numCpus, memory: declared.vm.memory, networks: (declared.vm.networks ?? []).map(cardPlace),
      }));
    const kept = one.members.filter((entry) => !gone.has(`${entry.slot}/${entry.generation}`)).map((entry) => ({ ...entry, incarnation: INCARNATION }));
    return { ...one, members: [...kept, ...created], leftovers: [] };
  });
  return { ...before, hosts };
}

export function empty(declared: FleetSpec): Observation {
  return observation(declared.hosts.map((one) => reachable(one.name)));
}

export function record(declared: FleetSpec, found: Observation, previous?: FleetState): FleetState {
  return recordState({ spec: declared, fleetId: FLEET, incarnation: INCARNATION, observation: found, lastRun: NO_RUN, ...(previous && { previous }) });
}

/** A fleet that was just made: its spec, its hosts and its record. */
export function made(changes: Partial<FleetInputs> = {}): { declared: FleetSpec; found: Observation; state: FleetState } {
  const declared = spec(changes);
  const start = empty(declared);
  const found = carryOut(declared, start, plan(declared, start));
  return { declared, found, state: record(declared, found) };
}

/** The observation with one host replaced by what the function makes of it. */
export function withHost(found: Observation, name: string, change: (one: ReachableHost) => Observation["hosts"][number]): Observation {
  return { ...found, hosts: found.hosts.map((one) => (one.name === name && one.status === "reachable" ? change(one) : one)) };
}

export const unreachable = (name: string) => ({ status: "unreachable" as const, name, reason: "connection refused" });

export const slots = (entries: readonly { slot: number }[]) => entries.map((entry) => entry.slot);
export const perHost = (entries: readonly { host: string }[]) =>
  entries.reduce<Record<string, number>>((counts, { host: name }) => ({ ...counts, [name]: (counts[name] ?? 0) + 1 }), {});

/** All that a plan says but of which content it is. */
export function decisions(one: FleetPlan): Omit<FleetPlan, "seedContentId"> {
  const { seedContentId, ...rest } = one;
  void seedContentId;
  return rest;
}
