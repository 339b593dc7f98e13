/** From a member's start to the moment that its guest is ready: at most `maxConfiguring` are on that way at once. */
import { memberKeyOn, staticAddresses } from "../../fleet";
import type { FleetSpec, WaitFor } from "../../fleet/model";
import { HostUnreachableError, type GuestAnswer, type GuestOrder, type MemberRef } from "../../hypervisors/hypervisor";
import { within } from "../../async/within";
import { signalFor, type RunContext } from "../run/context";
import { askNews } from "../run/news";

/** A guest is not what it is waited for to be. */
export class NotReadyError extends Error {
  override readonly name = "NotReadyError";
}

/** A start that was ordered. */
export interface Boot {
  /** Rejects when it could not be started, or gave up waiting for its place. */
  readonly started: Promise<void>;
  /** When its guest is ready, what that took since the start. @throws what kept it from being started; NotReadyError */
  readonly ready: Promise<number>;
}

export interface BootSignals {
  /** Ends waiting for a place. */
  place: AbortSignal;
  /** Ends waiting for the guest. */
  wait: AbortSignal;
}

/** Starts a member as soon as it has a place among those that configure, which it keeps until its guest is ready or late. */
export function boot(context: RunContext, member: MemberRef, start: () => Promise<void>, signals?: BootSignals): Boot {
  const { clock } = context;
  const { place, wait } = signals ?? { place: signalFor(context, member.host), wait: signalFor(context, member.host) };
  let tellStarted!: () => void;
  let tellFailed!: (error: unknown) => void;
  const started = new Promise<void>((resolve, reject) => { [tellStarted, tellFailed] = [resolve, reject]; });
  const ready = context.configuring.run(async () => {
    const fromMs = clock.nowMs();
    await start();
    tellStarted();
    await waitForGuest(context, member, wait);
    return (clock.nowMs() - fromMs) / 1000;
  }, place);
  started.catch(() => undefined);
  ready.catch(tellFailed); // of no effect once it was started
  return { started, ready };
}

const FIRST_LOOK_MS = 500;
const LONGEST_LOOK_MS = 4000;
/** A host that does not let its guests be asked so often, one time after the other, will not in the time that is left. */
const MOST_UNANSWERED = 5;
/** Half a second, doubled each time, four at most: a guest boots in seconds to minutes. */
const lookMs = (attempt: number): number => Math.min(LONGEST_LOOK_MS, FIRST_LOOK_MS * 2 ** Math.min(attempt, 8));

/**
 * Resolves when a running guest is ready, and keeps what it says of itself. Holds up nobody and takes none of the run's operations.
 * @throws NotReadyError when it is not within `timeouts.readyMs`, or cannot be any more
 */
export async function waitForGuest(context: RunContext, member: MemberRef, signal = signalFor(context, member.host)): Promise<void> {
  const { clock, spec, abilities, hostBook, guests } = context;
  const { waitFor, timeouts: { readyMs } } = spec;
  const untilMs = clock.nowMs() + readyMs;
  const order: GuestOrder = { ...member, question: questionOf(spec, member.slot) };
  let trouble: string | undefined;
  let unanswered = 0;
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    hostBook.check(member.host);
    try {
      const answer = await within(clock, untilMs - clock.nowMs(), abilities.reportsReadiness!.askGuest(order, { signal }));
      trouble = undefined;
      unanswered = 0;
      if (answer && isReady(waitFor, answer)) {
        const news = answer.news ?? await askNews(context, member, signal);
        if (news) guests.set(memberKeyOn(member.host, member), news);
        return;
      }
      if (answer) assertCanBe(waitFor, answer);
    } catch (error) {
      if (signal.aborted || error instanceof NotReadyError) throw error;
      // What makes and starts members says whether a host is to be given up: guests are asked another way.
      if (error instanceof HostUnreachableError && ++unanswered >= MOST_UNANSWERED) throw error;
      trouble = error instanceof Error ? error.message : String(error);
    }
    const leftMs = untilMs - clock.nowMs();
    if (leftMs <= 0) throw new NotReadyError(lateMessage(waitFor, readyMs, trouble));
    await clock.sleep(Math.min(leftMs, lookMs(attempt)), signal);
  }
}

function questionOf({ waitFor, guest }: FleetSpec, slot: number): GuestOrder["question"] {
  switch (waitFor.kind) {
    case "tcpPort": return { kind: "tcpPort", port: waitFor.port, addresses: staticAddresses(guest, slot) };
    case "address": return { kind: "news" };
    // started: nobody asks.
    case "guestAgent": case "started": return { kind: "guestAgent" };
  }
}

function isReady(waitFor: WaitFor, { agent, news, tcpPortOpen }: GuestAnswer): boolean {
  switch (waitFor.kind) {
    case "started": return true;
    case "guestAgent": return agent === "answers";
    case "address": return (news?.ipAddresses.length ?? 0) > 0;
    case "tcpPort": return tcpPortOpen === true;
  }
}

function assertCanBe({ kind }: WaitFor, { agent }: GuestAnswer): void {
  if (agent === "off") throw new NotReadyError("its machine was switched off while its guest was waited for: see its console");
  if (kind === "guestAgent" && agent === "none") throw new NotReadyError("it has no channel org.qemu.guest_agent.0, so that nobody can ask its guest's agent: add the channel to the machine");
}

function lateMessage(waitFor: WaitFor, readyMs: number, trouble: string | undefined): string {
  return `${lacking(waitFor)} within ${readyMs / 1000} s (waitForTimeoutSeconds)${trouble === undefined ? "" : `; asked last: ${trouble}`}`;
}

function lacking(waitFor: WaitFor): string {
  switch (waitFor.kind) {
    case "tcpPort": return `none of its addresses took connections at port ${waitFor.port} from here`;
    case "address": return "nobody heard of an address of its guest";
    case "guestAgent": case "started": return "its guest's agent did not answer";
  }
}
