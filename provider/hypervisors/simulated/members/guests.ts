/** Simulated guests: each is ready so long after its start, unless somebody silenced it. */
import { cleanNews } from "../../../fleet/guest/news";
import type { GuestNews } from "../../../fleet/model";
import type { CallContext, GuestAnswer, GuestOrder, MarkOrder, MemberRef, ReportsReadiness } from "../../hypervisor";
import type { VirtualClock } from "../clock";
import type { SimulatedCosts } from "../options";
import { slotKey, type SimulatedHost, type SimulatedMember } from "../world";

/** What the simulated hypervisor lends to them. */
export interface GuestGround {
  readonly clock: VirtualClock;
  readonly seconds: SimulatedCosts;
  step(host: string, step: string, seconds: number, context: CallContext): Promise<SimulatedHost>;
  /** @throws HypervisorError: there is none */
  member(host: SimulatedHost, order: MemberRef, step: string): SimulatedMember;
}

export class SimulatedGuests implements ReportsReadiness {
  /** Slots whose guests never get ready. */
  readonly silent = new Set<number>();
  /** Given out by DHCP since: slots that moved, and where to. */
  readonly moved = new Map<number, string>();
  /** When each was started, by host and slot. Absent: before this world began. */
  private readonly startedMs = new Map<string, number>();

  constructor(private readonly ground: GuestGround) {}

  started(host: string, fleetId: string, slot: number): void {
    this.startedMs.set(`${host}/${slotKey(fleetId, slot)}`, this.ground.clock.nowMs());
  }

  isReady(host: string, { fleetId, slot, power }: Pick<SimulatedMember, "fleetId" | "slot" | "power">): boolean {
    const sinceMs = this.ground.clock.nowMs() - (this.startedMs.get(`${host}/${slotKey(fleetId, slot)}`) ?? -Infinity);
    return power === "running" && !this.silent.has(slot) && sinceMs >= this.ground.seconds.bootSeconds * 1000;
  }

  async askGuest(order: GuestOrder, context: CallContext = {}): Promise<GuestAnswer> {
    const host = await this.ground.step(order.host, "ask guest", 0, context);
    const member = this.ground.member(host, order, "ask guest");
    if (member.power === "stopped") return { agent: "off" };
    const isReady = this.isReady(order.host, member);
    const { question } = order;
    const agent = isReady ? "answers" : "silent";
    if (question.kind === "guestAgent") return { agent };
    const news = isReady ? this.newsOf(member) : { ipAddresses: [] };
    return { agent, news, ...(question.kind === "tcpPort" && { tcpPortOpen: isReady && news.ipAddresses.length + question.addresses.length > 0 }) };
  }

  private newsOf({ slot, name, networks }: SimulatedMember): GuestNews {
    const leased = this.moved.get(slot) ?? `10.99.${(slot >> 8) & 255}.${slot & 255}`;
    return cleanNews({ addresses: networks.length > 0 ? ["127.0.0.1", leased, "fe80::1"] : ["127.0.0.1"], hostname: name });
  }

  async markConfiguring(order: MarkOrder, context: CallContext = {}): Promise<void> {
    const host = await this.ground.step(order.host, "mark", 0, context);
    const member = this.ground.member(host, order, "mark");
    if (order.configuring) member.configuring = true;
    else delete member.configuring;
  }
}
