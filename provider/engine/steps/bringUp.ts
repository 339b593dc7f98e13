/** A member that stands is started, and its guest waited for. Whatever is not ready in time is a failure of that member alone. */
import type { ObservedMember } from "../../fleet/model";
import type { MemberRef } from "../../hypervisors/hypervisor";
import { operate, signalFor, type RunContext } from "../run/context";
import { power } from "./members";
import { boot, waitForGuest, type Boot } from "./waiting";

export interface Followed {
  /** Called once: it was started, or will not be in this run. */
  onStarted?: () => void;
  /** Its guest is ready. @param tookSeconds undefined: it was no start of an ordinary kind */
  onReady: (tookSeconds: number | undefined) => void;
}

/** Of one that was made, and is marked as such. */
export const bootNew = (context: RunContext, member: MemberRef): Boot => boot(context, member, () => power(context, member, "running"));

/** Of one that was found, and may have been ready before. In the member's turn: its tag is written. */
export const bootAgain = (context: RunContext, member: MemberRef, { configuring }: Pick<ObservedMember, "configuring">): Boot =>
  boot(context, member, async () => {
    if (!configuring) await mark(context, member, true);
    await power(context, member, "running");
  });

/** Of one that runs since an earlier run: it has booted, or will not, and takes no place from those that are about to. */
export function bootOfBefore(context: RunContext, member: MemberRef): Followable {
  const ready = waitForGuest(context, member).then(() => undefined);
  ready.catch(() => undefined); // told to whoever waits for it
  return { started: Promise.resolve(), ready };
}

/**
 * Of one that was started over a disk that was arriving, which is there now: it goes on if it stands still. One that was
 * late until then has all the time anew.
 */
export function bootOfEarly(context: RunContext, member: MemberRef, early: Boot): Followable {
  const started = power(context, member, "running");
  const again = (): Promise<undefined> => context.configuring.run(() => waitForGuest(context, member), signalFor(context, member.host)).then(() => undefined);
  const ready = started.then(() => early.ready.then(() => undefined, again));
  ready.catch(() => undefined); // told to whoever waits for it
  return { started, ready };
}

interface Followable {
  started: Promise<void>;
  ready: Promise<number | undefined>;
}

/** To its end. Errors are recorded, never thrown. @returns whether its guest is ready */
export async function follow(context: RunContext, member: MemberRef, booting: Followable, { onStarted = () => undefined, onReady }: Followed): Promise<boolean> {
  const { turns, failures, signal } = context;
  const { host, name } = member;
  let step = "power on";
  let next = "starts it";
  try {
    await booting.started.finally(onStarted);
    [step, next] = ["wait for its guest", "waits for it again"];
    onReady(await booting.ready);
    step = "mark as ready";
    await turns.take(host, member, () => mark(context, member, false));
    return true;
  } catch (error) {
    if (!signal.aborted) failures.add({ host, name, step, error, next });
    return false;
  }
}

const mark = (context: RunContext, member: MemberRef, configuring: boolean): Promise<void> => (
  operate(context, member.host, (call) => context.abilities.reportsReadiness!.markConfiguring({ ...member, configuring }, call))
);
