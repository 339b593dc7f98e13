/** Network cards in a domain's XML: as they are written, and as they are read back. */
import { cardPlace, DIRECT_MODES } from "../../../fleet";
import type { LibvirtCard, NetworkInterfaceSpec } from "../../../fleet/model";
import { libvirts } from "../own";
import { all, at, text, type XmlNode } from "./xml";

/** What it is plugged into, as an element of its own would have it. */
function source(card: LibvirtCard): XmlNode {
  switch (card.kind) {
    case "network": return { "@type": "network", source: { "@network": card.network } };
    case "bridge": return { "@type": "bridge", source: { "@bridge": card.bridge }, virtualport: card.isOpenVSwitch ? { "@type": "openvswitch" } : undefined };
    case "direct": return { "@type": "direct", source: { "@dev": card.device, "@mode": card.mode } };
  }
}

export function cardXml({ adapterType, mtu, own }: NetworkInterfaceSpec, mac: string): XmlNode {
  const card = libvirts(own);
  const tags = card.vlanTags;
  return {
    ...source(card),
    mac: { "@address": mac },
    vlan: tags && { "@trunk": tags.length > 1 ? "yes" : undefined, tag: tags.map((tag) => ({ "@id": tag })) },
    model: { "@type": adapterType },
    mtu: mtu === undefined ? undefined : { "@size": mtu },
  };
}

/**
 * What each card of a definition is plugged into (`cardPlace`), in order.
 * @param definition as the machine will start: while it runs libvirt adds what its networks say
 * @returns "" for a card of a kind that is never declared
 */
export function cardPlaces(definition: unknown): string[] {
  return all(definition, "devices", "interface").map((card) => {
    const tags = all(card, "vlan", "tag").map((tag) => Number(text(tag, "@id")));
    const own = sourceOf(card);
    const mtu = text(card, "mtu", "@size");
    if (!own) return "";
    return cardPlace({ own: { ...own, ...(tags.length > 0 && { vlanTags: tags }) }, ...(mtu !== undefined && { mtu: Number(mtu) }) });
  });
}

/** What the cards of a definition are plugged into; those of kinds that are never declared are left out. */
export const cardsOf = (definition: unknown): LibvirtCard[] => all(definition, "devices", "interface").flatMap((card) => sourceOf(card) ?? []);

function sourceOf(card: unknown): LibvirtCard | undefined {
  const from = (name: string): string | undefined => text(card, "source", name);
  switch (text(card, "@type")) {
    case "network": return { hypervisor: "libvirt", kind: "network", network: from("@network") ?? "" };
    case "bridge": return { hypervisor: "libvirt", kind: "bridge", bridge: from("@bridge") ?? "", isOpenVSwitch: text(at(card, "virtualport"), "@type") === "openvswitch" };
    case "direct": {
      const mode = DIRECT_MODES.find((one) => one === (from("@mode") ?? "vepa")); // libvirt's default
      return mode && { hypervisor: "libvirt", kind: "direct", device: from("@dev") ?? "", mode };
    }
    default: return undefined;
  }
}
