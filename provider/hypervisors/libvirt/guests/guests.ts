import { cleanNews } from "../../../fleet/guest/news";
import { memberMacs } from "../../../fleet/members/addresses";
import { memberUuid } from "../../../fleet/members/identity";
import type { GuestNews } from "../../../fleet/model";
import { abortable } from "../../../async/abortable";
import type { CallContext, GuestAnswer, GuestOrder, MarkOrder, ReportsReadiness } from "../../hypervisor";
import type { Place } from "../connection/place";
import type { HostSession } from "../connection/session";
import { findMember } from "../look/memberDomain";
import { uuidBytes } from "../look/ownership";
import { setTag } from "../members/member";
import type { LibvirtClient } from "../rpc/client";
import { CallTimeoutError, isLibvirtError, LibvirtError } from "../rpc/errors";
import type { Domain } from "../rpc/handles";
import { AddressSource, DomainState, ErrorCode } from "../rpc/protocol";
import { addressesOfCards, readHostname, readInterfaces } from "./agent";
import { GuestLine } from "./line";
import { takesConnections } from "./tcp";

/** For one answer of an agent; a loaded host's guests take seconds. */
const AGENT_SECONDS = 5;
/** What a machine has of network cards at most. */
const MOST_CARDS = 56;

type Agent = GuestAnswer["agent"];
const OFF: readonly number[] = [DomainState.shutoff, DomainState.crashed];

/** Members' guests, asked by their agent, else by what others heard of them. */
export class LibvirtGuests implements ReportsReadiness {
  private readonly lines = new WeakMap<HostSession, GuestLine>();

  constructor(private readonly placeOf: (order: GuestOrder | MarkOrder) => Promise<Place>) {}

  async askGuest(order: GuestOrder, { signal }: CallContext = {}): Promise<GuestAnswer> {
    const { session } = await this.placeOf(order);
    return abortable(this.lineTo(session).ask((client) => answerOf(client, order)), signal);
  }

  async markConfiguring(order: MarkOrder): Promise<void> {
    const { session } = await this.placeOf(order);
    await session.run("mark", async (client) => {
      const found = await findMember(client, order);
      if (found?.tag.generation !== order.generation) throw new Error(`${order.name} is gone`);
      if ((found.tag.configuring ?? false) === order.configuring) return;
      await setTag(client, found.domain, { ...found.tag, configuring: order.configuring ? true : undefined });
    });
  }

  private lineTo(session: HostSession): GuestLine {
    let line = this.lines.get(session);
    if (!line) this.lines.set(session, line = new GuestLine(session));
    return line;
  }
}

async function answerOf(client: LibvirtClient, { fleet, slot, name, question }: GuestOrder): Promise<GuestAnswer> {
  // libvirt finds it by its UUID alone, so that nothing has to be looked up for each question.
  const domain: Domain = { name, uuid: uuidBytes(memberUuid(fleet.fleetId, slot)), id: -1 };
  if (question.kind === "guestAgent") return { agent: (await askAgent(client, domain, "guest-ping")).agent };
  const { agent, news } = await newsOf(client, domain, memberMacs(fleet.fleetId, slot, MOST_CARDS));
  if (question.kind === "news" || agent === "off") return { agent, news };
  // Whoever declared where it is does not ask the guest.
  const addresses = question.addresses.length > 0 ? question.addresses : news.ipAddresses;
  return { agent, news, tcpPortOpen: await takesConnections(client.clock, addresses, question.port) };
}

/** @throws LibvirtError where the domain is gone */
async function askAgent(client: LibvirtClient, domain: Domain, command: string): Promise<{ agent: Agent; answer?: string }> {
  try {
    return { agent: "answers", answer: await client.agentCommand(domain, command, AGENT_SECONDS) };
  } catch (error) {
    if (isLibvirtError(error, ErrorCode.noDomain)) throw error;
    if (isLibvirtError(error, ErrorCode.argumentUnsupported)) return { agent: "none" };
    // It answers so for whatever does not run: a machine that stands still for a moment has a guest all the same.
    if (isLibvirtError(error, ErrorCode.operationInvalid)) return { agent: OFF.includes(await client.domainState(domain)) ? "off" : "silent" };
    if (error instanceof LibvirtError || error instanceof CallTimeoutError) return { agent: "silent" };
    throw error;
  }
}

/** By its agent, else by the leases of its networks, else by what its host heard. */
async function newsOf(client: LibvirtClient, domain: Domain, cards: readonly string[]): Promise<{ agent: Agent; news: GuestNews }> {
  const { agent, answer } = await askAgent(client, domain, "guest-network-get-interfaces");
  if (agent === "off") return { agent, news: { ipAddresses: [] } };
  const hostname = answer === undefined ? undefined : readHostname((await askAgent(client, domain, "guest-get-host-name")).answer ?? "");
  const said = cleanNews({ addresses: answer === undefined ? [] : addressesOfCards(readInterfaces(answer), cards), hostname });
  if (said.ipAddresses.length > 0) return { agent, news: said };
  const leased = await heard(client, domain, AddressSource.lease);
  const addresses = leased.length > 0 ? leased : await heard(client, domain, AddressSource.arp);
  return { agent, news: cleanNews({ addresses, hostname: hostname ?? (leased.length > 0 ? await leaseHostname(client, domain) : undefined) }) };
}

/** A source that a host, or its kind of network, has not tells nothing. */
async function heard(client: LibvirtClient, domain: Domain, source: number): Promise<string[]> {
  const cards = await client.interfaceAddresses(domain, source).catch(ignoreRefusal);
  return (cards ?? []).flatMap(({ addresses }) => addresses);
}

const leaseHostname = (client: LibvirtClient, domain: Domain): Promise<string | undefined> => client.leaseHostname(domain).catch(ignoreRefusal);

function ignoreRefusal(error: unknown): undefined {
  if (error instanceof LibvirtError || error instanceof CallTimeoutError) return undefined;
  throw error;
}
