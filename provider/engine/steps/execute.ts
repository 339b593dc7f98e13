import { canBeAwaited, imageBytes, plural, slotKeyOn, supposedImage, waitsForGuests } from "../../fleet";
import type { FleetPlan, FleetSpec, Image, Observation, ObservedMember, PlannedReconfigure } from "../../fleet/model";
import { asLearned, topologyOf, type Topology } from "../../scheduler";
import { BaseKeeper } from "./baseKeeper";
import { bootAgain, bootOfBefore, follow } from "./bringUp";
import { clear, removeReplicas } from "./removals";
import type { RunContext } from "../run/context";
import { Creation } from "./creation";
import type { ExecuteOptions, Execution } from "./execution";
import { copiedImages, refuseUnrunnable } from "./runnable";
import { FoundMembers } from "../run/found";
import { TransferLog } from "../distribution/transferLog";
import { changeMember } from "./members";
import type { Boot } from "./waiting";
import { SourceBook } from "../distribution/sourceBook";
import { roomFor } from "../distribution/room";
import { countStanding } from "./standing";

/**
 * Runs a plan that was accepted, against whatever hypervisor the context has: the real one, or the simulator for a
 * preview. Resolves when nothing is under way any more, whatever failed: that stands in the context's failures.
 * @throws FleetRefusedError, when nothing was touched, where the plan says more than the engine can run
 */
export async function executePlan(
  context: RunContext, plan: FleetPlan, observation: Observation, options: ExecuteOptions,
): Promise<Execution> {
  refuseUnrunnable(plan);
  const topology = topologyOf(context.spec, {
    time: options.time,
    freeLocalCopies: context.costs.freeLocalCopies,
    startupSeconds: context.costs.copyStartupSeconds,
    hopSeconds: context.abilities.relaying?.hopSeconds,
  });
  const image = imageToCopy(context.spec, plan);
  const book = new SourceBook(asLearned(topology, context.learned), image, context.spec.limits.maxConcurrentClones, context.abilities.relaying !== undefined);
  const result = emptyExecution(context, book, topology);
  const found = new FoundMembers(observation);
  await guarded(context, async () => {
    const { destroyed, stuck } = await clear(context, plan, found);
    result.destroyed = destroyed;
    const creates = plan.create.filter((create) => !stuck.has(create.slot));
    const keeper = new BaseKeeper(context, book);
    context.room = roomFor(book, context.spec, observation, plan);
    const creation = new Creation(context, [...creates, ...plan.complete], observation, book, keeper, result, context.room, options);
    announce(context, plan, creation.copies * imageBytes(image));
    // Before the standing bases are counted: a merge of the same member then waits for its change.
    changeMembers(context, plan, found, result);
    awaitMembers(context, plan, found, result);
    countStanding(context, plan, observation, book, keeper);
    if (creation.isNeeded) {
      await creation.findSources();
      context.meter.enter("clone");
      creation.start();
    } else {
      keeper.review();
      if (plan.reconfigure.length > 0) context.meter.enter("define", `changing ${plural(plan.reconfigure.length, "member")}`);
      else if (plan.awaiting.length > 0) context.meter.enter("configure", `waiting for ${plural(plan.awaiting.length, "guest")}`);
      else if (keeper.isMerging) context.meter.enter("consolidate");
    }
    await context.tasks.idle();
    // Whatever the run had to copy, and however that ended: nobody needs a base now that is not kept as a seed.
    keeper.review();
    await context.tasks.idle();
    await removeReplicas(context, plan);
  });
  return result;
}

/** Only takes away: what a removal's plan names, and touches nothing that stays. @throws FleetRefusedError as `executePlan` */
export async function executeRemoval(context: RunContext, plan: FleetPlan, observation: Observation): Promise<Execution> {
  refuseUnrunnable(plan);
  const topology = topologyOf(context.spec);
  const result = emptyExecution(context, new SourceBook(topology, imageToCopy(context.spec, plan), 1), topology);
  await guarded(context, async () => {
    result.destroyed = (await clear(context, plan, new FoundMembers(observation))).destroyed;
    await removeReplicas(context, plan);
  });
  return result;
}

/** The image that all copies of the plan are of; where it copies nothing, that of the seeds that stand: nobody asks then how large it is. */
function imageToCopy(spec: FleetSpec, plan: FleetPlan): Image {
  return copiedImages(plan)[0] ?? supposedImage(spec, plan.seedContentId);
}

function emptyExecution(context: RunContext, book: SourceBook, topology: Topology): Execution {
  return { log: new TransferLog(context.clock, book), topology, image: book.image, policy: "none", created: 0, destroyed: 0, reconfigured: 0 };
}

/** Waits for all that was started; a fault of our own is recorded like any other, so that no state is lost over it. */
async function guarded(context: RunContext, run: () => Promise<void>): Promise<void> {
  const record = (error: unknown) => {
    if (context.signal.aborted) return;
    const known = context.failures.all.some((failure) => failure.error === error);
    if (!known) context.failures.add({ host: "this run", step: "internal error", error, next: "tries it again" });
  };
  await run().catch(record);
  await context.tasks.idle().catch(record);
}

function announce({ meter }: RunContext, plan: FleetPlan, bytes: number): void {
  const changing = new Set(plan.reconfigure.map((e) => e.slot));
  const standing = [...plan.keep, ...plan.adopt].filter((e) => !changing.has(e.slot)).length;
  meter.plan(standing, standing + changing.size + plan.create.length, bytes);
}

function changeMembers(context: RunContext, plan: FleetPlan, found: FoundMembers, result: Execution): void {
  const { fleet, tasks, turns, meter } = context;
  for (const planned of plan.reconfigure) {
    const member = found.at(planned.host, planned);
    if (!member) continue;
    tasks.start(async () => {
      const boots = isBooted(context, planned, member);
      const { host, slot, name } = planned;
      const ref = { fleet, host, slot, name, generation: member.generation };
      let booting: Boot | undefined;
      // As with new ones, it is started, then merged, and meanwhile waited for.
      const changed = await turns.take(host, planned, async () => {
        if (!await changeMember(context, planned, member, boots)) return false;
        booting = boots ? bootAgain(context, ref, member) : undefined;
        await booting?.started.catch(() => undefined); // told below
        return true;
      });
      if (!changed) return;
      result.reconfigured++;
      const done = () => meter.memberDone(name);
      if (booting) await follow(context, ref, booting, { onReady: done });
      else done();
    });
  }
}

/** One that merely stood still has booted before. */
const isBooted = ({ spec, copiesOnly }: RunContext, { changes }: PlannedReconfigure, member: ObservedMember): boolean =>
  !copiesOnly && waitsForGuests(spec) && canBeAwaited(spec, member) && (member.power === "stopped" || member.configuring === true) &&
  changes.some((change) => change.kind === "power" && change.to === "running");

/** Those that an earlier run started and left before they were ready. Whose disk is completed, or that is started, is waited for with that. */
function awaitMembers(context: RunContext, plan: FleetPlan, found: FoundMembers, result: Execution): void {
  const { fleet, tasks, copiesOnly } = context;
  if (copiesOnly) return;
  const powered = plan.reconfigure.filter(({ changes }) => changes.some(({ kind }) => kind === "power"));
  const others = new Set([...plan.complete, ...powered].map((one) => slotKeyOn(one.host, one)));
  for (const { host, slot, name } of plan.awaiting) {
    const member = found.at(host, { slot });
    if (!member || others.has(slotKeyOn(host, { slot }))) continue;
    tasks.start(async () => {
      const ref = { fleet, host, slot, name, generation: member.generation };
      await follow(context, ref, bootOfBefore(context, ref), { onReady: () => result.log.guestReady(undefined) });
    });
  }
}
