import { memberKeyOn } from "../../fleet";
import type { GuestNews, Observation, ObservedMember } from "../../fleet/model";
import type { MemberRef } from "../../hypervisors/hypervisor";
import { Limiter } from "../../async/limiter";
import { within } from "../../async/within";
import type { RunContext } from "./context";

/** What a guest is asked once it is ready, to be recorded: that it takes longer is nobody's failure. */
const NEWS_MS = 10_000;
/** Guests asked at once, of one host: those that hang keep only their own host's from being asked. */
const AT_ONCE = 4;

/** What a guest says of itself. Undefined: nothing in that time. Never throws. */
export async function askNews({ abilities, clock }: RunContext, member: MemberRef, signal: AbortSignal, ms = NEWS_MS): Promise<GuestNews | undefined> {
  if (!abilities.reportsReadiness) return undefined;
  const asked = abilities.reportsReadiness.askGuest({ ...member, question: { kind: "news" } }, { signal });
  const answer = await within(clock, ms, asked).catch(() => undefined);
  return answer?.news;
}

/**
 * What the running members' guests say of themselves, of as many as there is time for: of the others the record holds.
 * Never throws.
 */
export async function hearGuests(context: RunContext, { hosts }: Observation): Promise<ReadonlyMap<string, GuestNews>> {
  const { abilities, clock, fleet, spec, signal, guests } = context;
  if (!abilities.reportsReadiness) return guests;
  const until = clock.nowMs() + spec.timeouts.connectMs + spec.timeouts.callMs;
  const hear = async (host: string, member: ObservedMember): Promise<void> => {
    const leftMs = until - clock.nowMs();
    if (leftMs <= 0 || signal.aborted) return;
    const { slot, name, generation } = member;
    const news = await askNews(context, { fleet, host, slot, name, generation }, signal, leftMs);
    if (news) guests.set(memberKeyOn(host, member), news);
  };
  await Promise.all(hosts.flatMap((host) => {
    if (host.status === "unreachable") return [];
    const places = new Limiter(AT_ONCE);
    return host.members.filter((member) => member.power === "running" && member.incarnation === fleet.incarnation)
      .map((member) => places.run(() => hear(host.name, member)));
  }));
  return guests;
}
