import { memberKeyOn } from "../../fleet";
import type { GuestNews, Observation } from "../../fleet/model";
import type { MemberRef } from "../../hypervisors/hypervisor";
import { Limiter } from "../../async/limiter";
import { within } from "../../async/within";
import type { RunContext } from "./context";

/** What a guest is asked once it is ready, to be recorded: that it takes longer is nobody's failure. */
const NEWS_MS = 10_000;
/** Guests asked at once, over all hosts. */
const AT_ONCE = 64;

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
  const places = new Limiter(AT_ONCE);
  const running = hosts.flatMap((host) => (host.status === "reachable" ? host.members.map((member) => ({ host: host.name, member })) : []))
    .filter(({ member }) => member.power === "running" && member.incarnation === fleet.incarnation);
  await Promise.all(running.map(({ host, member }) => places.run(async () => {
    const leftMs = until - clock.nowMs();
    if (leftMs <= 0 || signal.aborted) return;
    const { slot, name, generation } = member;
    const news = await askNews(context, { fleet, host, slot, name, generation }, signal, leftMs);
    if (news) guests.set(memberKeyOn(host, member), news);
  })));
  return guests;
}
