import type { FleetSpec, HostProblem, LibvirtCard, Observation } from "../../../fleet/model";
import { HypervisorError, type ObserveRequest } from "../../hypervisor";
import type { LibvirtClient } from "../rpc/client";
import { LibvirtError } from "../rpc/errors";
import { POOL_TYPES, type HostSession, type PoolFacts } from "../connection/session";
import { helperMachine, libvirts } from "../own";
import { cardsOf } from "../xml/cards";
import { isOnBus, isPlain, sampleOf, UnfitMachineError } from "../xml/memberDefinition";
import { at, parseXml, text } from "../xml/xml";

/** blockdev nodes of libvirt's own naming, and active commit on them, since 6.0; older ones were never tried. */
const OLDEST = 6_000_000;
/** `block-export-add` since 5.2, `yank` since 6.0. */
const OLDEST_QEMU = 6_000_000;
/** VLAN tags of cards on the kernel's own bridges, since 11.0. */
const VLAN_ON_BRIDGES = 11_000_000;
const versionText = (n: number): string => `${Math.floor(n / 1e6)}.${Math.floor(n / 1e3) % 1e3}`;

/** Whether this host can take clones; every problem at once, in the words of DESIGN.md section 9. */
export async function preflightHost(
  client: LibvirtClient, host: Pick<HostSession, "name" | "own">, pool: PoolFacts | null, request: ObserveRequest,
): Promise<HostProblem[]> {
  if (!request.spec.hosts.some(({ name }) => name === host.name)) return []; // no longer declared: nothing will be made on it
  const problems: HostProblem[] = [];
  const add = (message: string, property?: HostProblem["property"]): void => void problems.push({ message, ...(property && { property }) });

  const version = await client.libVersion();
  if (version < OLDEST) add(`expected libvirt 6.0 or newer on ${host.name}, got ${versionText(version)}`);
  const qemu = await client.hypervisorVersion();
  if (qemu < OLDEST_QEMU) add(`expected QEMU 6.0 or newer on ${host.name}, got ${versionText(qemu)}`);
  if (!pool) add(`expected a storage pool of host ${host.name}, got ${JSON.stringify(host.own.pool)}, which it does not have`, "pool");
  else if (!(await client.poolIsActive(pool.pool))) add(`expected an active storage pool, but ${host.own.pool} on ${host.name} is not started: virsh pool-start ${host.own.pool}`, "pool");
  else if (!POOL_TYPES.includes(pool.type)) add(`expected a pool of type ${POOL_TYPES.join(", ")}, but ${host.own.pool} on ${host.name} is of type ${pool.type}`, "pool");

  // What is inherited is asked for once the template was seen.
  if (request.spec.vm.hardware === "defaults") {
    const needs = declaredNeeds(request.spec);
    problems.push(...typeof needs === "string" ? [{ message: needs }] : await machineProblems(client, host.name, needs, version));
  }
  return problems;
}

/** What a machine needs of a host. */
interface MachineNeeds {
  domainType: "kvm" | "qemu";
  arch: string;
  machine?: string;
  cards: readonly LibvirtCard[];
  /** Who asks for the cards, for messages. */
  cardsOf: string;
  /** Of members that documented defaults alone do not make: asked about whole. */
  definition?: string;
}

/** @returns a text where what is declared makes no member */
function declaredNeeds({ vm }: FleetSpec): MachineNeeds | string {
  const { machine, ...own } = libvirts(vm.own);
  try {
    return {
      ...helperMachine(own), ...(machine !== undefined && { machine }), cards: (vm.networks ?? []).map((card) => libvirts(card.own)), cardsOf: "vm.networks",
      ...((!isPlain(vm) || vm.disks.some(isOnBus)) && { definition: sampleOf(vm) }),
    };
  } catch (error) {
    if (error instanceof UnfitMachineError) return error.message;
    throw error;
  }
}

/**
 * Whether each host can run members that are like the template: known once both were seen, and added to what is wrong with it.
 * @param sample the definition of a member that is never made
 */
export async function preflightHardware(sample: string, hosts: Observation["hosts"], spec: FleetSpec, session: (host: string) => HostSession): Promise<void> {
  const declared = new Set(spec.hosts.map(({ name }) => name));
  const needs = needsOf(sample);
  await Promise.all(hosts.map(async (host) => {
    if (host.status !== "reachable" || !declared.has(host.name)) return;
    try {
      host.problems.push(...await session(host.name).run("look at hardware", async (client) => machineProblems(client, host.name, needs, await client.libVersion())));
    } catch (error) {
      if (!(error instanceof HypervisorError)) throw error;
      host.problems.push({ message: `${host.name} did not say whether it can run members of this hardware: ${error.message}` });
    }
  }));
}

/** Of a definition: that of a member which is never made. */
function needsOf(definition: string): MachineNeeds {
  const domain = at(parseXml(definition), "domain");
  const type = at(domain, "os", "type");
  const machine = text(type, "@machine");
  const own = { domainType: text(domain, "@type") === "qemu" ? "qemu" : "kvm", arch: text(type, "@arch") } as const;
  return { ...helperMachine(own), ...(machine !== undefined && { machine }), cards: cardsOf(domain), cardsOf: "of the template's network cards", definition };
}

/** Every problem at once. @param version of the host's libvirt */
async function machineProblems(client: LibvirtClient, host: string, needs: MachineNeeds, version: number): Promise<HostProblem[]> {
  const problems: HostProblem[] = [];
  const add = (message: string): void => void problems.push({ message });
  const { cards, cardsOf, domainType, arch, machine } = needs;
  for (const network of new Set(cards.flatMap((card) => (card.kind === "network" ? [card.network] : [])))) {
    const active = await client.networkIsActive(network);
    if (active === undefined) add(`host ${host} has no network ${JSON.stringify(network)} (${cardsOf})`);
    else if (!active) add(`network ${network} on host ${host} is not started: virsh net-start ${network}`);
  }

  for (const [device, input] of new Map(cards.flatMap((card) => (card.kind === "network" ? [] : [card.kind === "bridge" ? [card.bridge, "bridge"] as const : [card.device, "direct"] as const])))) {
    if ((await client.interfaceIsThere(device)) === false) add(`host ${host} has no network device ${JSON.stringify(device)} (${cardsOf === "vm.networks" ? `vm.networks[].${input}` : cardsOf})`);
  }
  if (version < VLAN_ON_BRIDGES && cards.some((card) => card.kind === "bridge" && !card.isOpenVSwitch && card.vlanTags)) {
    add(`expected libvirt 11.0 or newer on ${host} for vlanTags on a bridge of the kernel, got ${versionText(version)}: plug the cards into a bridge for that VLAN`);
  }

  try {
    await client.domainCapabilities(arch, domainType, machine);
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    add(`host ${host} cannot run domainType ${domainType} for ${arch}: ${error.message}${domainType === "kvm" ? ' (without usable KVM set vm.domainType to "qemu")' : ""}`);
  }
  if (needs.definition !== undefined && problems.length === 0) {
    try {
      await client.assertStartable(needs.definition);
    } catch (error) {
      if (!(error instanceof LibvirtError)) throw error;
      add(`host ${host} cannot run members of this hardware: ${error.message}`);
    }
  }
  return problems;
}
