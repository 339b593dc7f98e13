/**
 * What of a running member's hardware is changed at once. Done before its definition is, so that a run which dies in between
 * finds the difference again; each is done again without harm.
 */
import { cardPlace, memberMacs } from "../../../fleet";
import type { LivePart, NetworkInterfaceSpec } from "../../../fleet/model";
import type { CallContext, ReconfigureOrder } from "../../hypervisor";
import type { LibvirtClient } from "../rpc/client";
import { isLibvirtError } from "../rpc/errors";
import type { Domain } from "../rpc/handles";
import { ErrorCode, Flag } from "../rpc/protocol";
import { cardPlaces, cardXml } from "../xml/cards";
import { allBelow, append, attribute, below, children, readDefinition, remove, writeDefinition, type Element } from "../xml/definition";
import { buildXml, parseXml } from "../xml/xml";

/** What libvirt says where this machine, or this guest, does not take a change that others do. */
const REFUSALS = [
  ErrorCode.internalError, ErrorCode.noSupport, ErrorCode.invalidArg, ErrorCode.operationFailed, ErrorCode.operationInvalid, ErrorCode.configUnsupported,
  ErrorCode.operationUnsupported, ErrorCode.operationTimeout,
];
const WORDS: Readonly<Record<LivePart, string>> = { cpus: "its CPUs", memory: "its memory", networks: "its network cards" };

/** @param order of a member that runs; where something of `live` is refused it is there from its next start, and `onNotice` is told */
export async function changeLive(client: LibvirtClient, order: ReconfigureOrder, domain: Domain, { onNotice }: Pick<CallContext, "onNotice">): Promise<void> {
  for (const part of order.live ?? []) {
    const later = (why: string): void => onNotice?.(`${order.name} on ${order.host}: ${WORDS[part]} could not be changed while it runs, and will be as declared from its next start: ${why}`);
    try {
      const open = await changePart(client, order, domain, part);
      if (open !== undefined) later(open);
    } catch (error) {
      if (!isLibvirtError(error, ...REFUSALS)) throw error;
      later(`libvirt says: ${error.message}`);
    }
  }
}

/** @returns what it did not get, in words */
async function changePart(client: LibvirtClient, { vm, fleet: { fleetId }, slot }: ReconfigureOrder, domain: Domain, part: LivePart): Promise<string | undefined> {
  switch (part) {
    case "cpus": {
      if (vm.numCpus !== undefined) await client.setLiveCpus(domain, vm.numCpus);
      return undefined;
    }
    case "memory": {
      if (vm.memory !== undefined) await client.setLiveMemory(domain, vm.memory);
      return undefined;
    }
    case "networks": return vm.networks && changeCards(client, domain, vm.networks, memberMacs(fleetId, slot, vm.networks.length));
  }
}

const macOf = (card: Element): string => (attribute(below(card, "mac"), "address") ?? "").toLowerCase();

/** By their addresses: what its networks make of a running machine's cards says nothing of what was declared, its definition does. */
async function changeCards(client: LibvirtClient, domain: Domain, declared: readonly NetworkInterfaceSpec[], macs: readonly string[]): Promise<string | undefined> {
  const liveCards = async (): Promise<Map<string, Element>> => new Map(allBelow(readDefinition(await client.domainXml(domain)), "devices", "interface").map((card) => [macOf(card), card]));
  const defined = await client.domainXml(domain, Flag.xmlInactive);
  const places = cardPlaces(parseXml(defined)["domain"]);
  const was = new Map(allBelow(readDefinition(defined), "devices", "interface").map((card, index) => [macOf(card), places[index]]));
  const live = await liveCards();
  for (const [index, card] of declared.entries()) {
    const mac = macs[index]!;
    const there = live.get(mac.toLowerCase());
    if (!there) await client.changeLiveDevice(domain, "Attach", buildXml({ interface: cardXml(card, mac) }));
    else if (was.get(mac.toLowerCase()) !== cardPlace(card)) await client.changeLiveDevice(domain, "Update", replugged(there, card, mac));
  }
  // Only what its definition had: a card that somebody gave the running machine is his.
  const going = [...live].filter(([mac]) => was.has(mac) && !macs.some((one) => one.toLowerCase() === mac));
  for (const [, card] of going) await client.changeLiveDevice(domain, "Detach", writeDefinition(card));
  if (going.length === 0) return undefined;
  const left = await liveCards();
  return going.some(([mac]) => left.has(mac)) ? "its guest was asked to let a card go, and has not yet" : undefined;
}

/** The card as it runs, in another place. */
function replugged(there: Element, card: NetworkInterfaceSpec, mac: string): string {
  const made = readDefinition(buildXml({ interface: cardXml(card, mac) }));
  there.setAttribute("type", attribute(made, "type")!);
  remove(...["source", "virtualport", "vlan"].flatMap((name) => children(there, name)));
  append(there, { source: Object.fromEntries([...below(made, "source")!.attributes].map(({ name, value }) => [`@${name}`, value])) });
  return writeDefinition(there);
}
