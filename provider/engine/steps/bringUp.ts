/** A member that stands is started, and its guest waited for. Whatever is not ready in time is a failure of that member alone. */
import type { ObservedMember } from "../../fleet/model";
import type { MemberRef } from "../../hypervisors/hypervisor";
import { operate, type RunContext } from "../run/context";
import { power } from "./members";
import { boot, waitForGuest, type Boot } from "./waiting";

export interface BringUp {
  /** Of an early start: it runs, or stands still, in a place of its own. */
  early?: Boot;
  /** Called once: it was started, or will not be in this run. */
  onStarted?: () => void;
  /** Its guest is ready. @param tookSeconds undefined: it was no start of an ordinary kind */
  onReady: (tookSeconds: number | undefined) => void;
}

/** Of one that was made, or is marked as such. Errors are recorded, never thrown. @returns whether its guest is ready */
export function bringUp(context: RunContext, member: MemberRef, how: BringUp): Promise<boolean> {
  return startAndWait(context, member, how, () => power(context, member, "running"));
}

/** Of one that was found, and may have been ready before. As bringUp. */
export function bringUpAgain(context: RunContext, member: MemberRef, { configuring }: Pick<ObservedMember, "configuring">, how: BringUp): Promise<boolean> {
  return startAndWait(context, member, how, () => context.turns.take(member.host, member, async () => {
    if (!configuring) await mark(context, member, true);
    await power(context, member, "running");
  }));
}

/** Of one that runs since an earlier run. As bringUp. */
export const awaitAgain = (context: RunContext, member: MemberRef, how: BringUp): Promise<boolean> =>
  startAndWait(context, member, how, () => Promise.resolve());

async function startAndWait(
  context: RunContext, member: MemberRef, { early, onStarted = () => undefined, onReady }: BringUp, start: () => Promise<void>,
): Promise<boolean> {
  const { turns, failures, signal } = context;
  const { host, name } = member;
  let step = "power on";
  let next = "starts it";
  let tell = onStarted;
  const started = (): void => {
    tell();
    tell = () => undefined;
  };
  try {
    // One that was late while its disk arrived has all the time anew, now that the disk is there.
    const whenReady = early ? await startedEarly(context, member, early, start) : boot(context, member, start);
    await whenReady.started;
    started();
    [step, next] = ["wait for its guest", "waits for it again"];
    onReady(await whenReady.ready);
    step = "mark as ready";
    await turns.take(host, member, () => mark(context, member, false));
    return true;
  } catch (error) {
    started();
    if (!signal.aborted) failures.add({ host, name, step, error, next });
    return false;
  }
}

async function startedEarly(context: RunContext, member: MemberRef, early: Boot, start: () => Promise<void>): Promise<{ started: Promise<void>; ready: Promise<number | undefined> }> {
  await start();
  const ready = early.ready.then(() => undefined, async () => {
    await waitForGuest(context, member);
    return undefined;
  });
  ready.catch(() => undefined); // told to whoever waits for it
  return { started: early.started, ready };
}

const mark = (context: RunContext, member: MemberRef, configuring: boolean): Promise<void> => (
  operate(context, member.host, (call) => context.abilities.reportsReadiness!.markConfiguring({ ...member, configuring }, call))
);
