/** What QEMU's guest agent says: a guest chooses every byte of it. Whatever is not as its protocol has it counts as not said. */

/** Of an answer. Longer ones are not read: libvirt lets 4 MiB pass. */
export const MAX_ANSWER_CHARACTERS = 131_072;
/** Of one answer: interfaces, and addresses of each. */
const MOST = 128;

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);

function returned(answer: string): unknown {
  if (answer.length > MAX_ANSWER_CHARACTERS) return undefined;
  try {
    const parsed: unknown = JSON.parse(answer);
    return isObject(parsed) ? parsed["return"] : undefined;
  } catch {
    return undefined;
  }
}

export interface AgentInterface {
  /** Lower case. */
  hardware?: string;
  addresses: string[];
}

/** Of `guest-network-get-interfaces`. */
export function readInterfaces(answer: string): AgentInterface[] {
  const all = returned(answer);
  if (!Array.isArray(all)) return [];
  return all.slice(0, MOST).filter(isObject).map((one) => {
    const [hardware, addresses] = [one["hardware-address"], one["ip-addresses"]];
    return {
      ...(typeof hardware === "string" && { hardware: hardware.toLowerCase() }),
      addresses: (Array.isArray(addresses) ? addresses.slice(0, MOST) : []).filter(isObject).flatMap((address) => {
        const text = address["ip-address"];
        return typeof text === "string" ? [text] : [];
      }),
    };
  });
}

/** Of `guest-get-host-name`. */
export function readHostname(answer: string): string | undefined {
  const said = returned(answer);
  const name = isObject(said) ? said["host-name"] : undefined;
  return typeof name === "string" ? name : undefined;
}

/**
 * Of the cards that its host gave it, in their order: a guest has bridges and tunnels of its own, whose addresses lead
 * nobody else to it. Where it names none of its cards, all.
 * @param cards their hardware addresses, lower case
 */
export function addressesOfCards(interfaces: readonly AgentInterface[], cards: readonly string[]): string[] {
  const place = new Map(cards.map((mac, index) => [mac, index]));
  const own = interfaces.filter(({ hardware }) => hardware !== undefined && place.has(hardware))
    .sort((a, b) => place.get(a.hardware!)! - place.get(b.hardware!)!);
  return (own.length > 0 ? own : interfaces).flatMap(({ addresses }) => addresses);
}
