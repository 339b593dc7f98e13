import { imageBytes, maybeOneStore, preflight, recordState, reconcile, type RecordRequest } from "../../fleet";
import type { FleetPlan, FleetState, Learned, Observation, ReadProfile, RunSummary, RunTimeline } from "../../fleet/model";
import { executePlan } from "../steps/execute";
import { type Aftermath, lookAgain } from "../run/finish";
import { lessonOf } from "../record/lessons";
import { abilityProblems, policyFor } from "../distribution/policy";
import { imagesOfTraces, withGuests, withTurns } from "../record/readiness";
import { openSession, type Session } from "../run/session";
import { summaryOf } from "../record/summary";
import { timelineOf } from "../record/timeline";
import { FleetRefusedError, FleetRunError, type RunRequest, type RunResult } from "../types";

/**
 * Create and update: brings the fleet to what is declared. Idempotent: it begins by observing, does only what is
 * missing, and finishes what an earlier run left half done.
 *
 * @throws FleetRefusedError before anything is touched
 * @throws FleetRunError when something failed or the run was cancelled; its `state` is what exists then
 * @throws LockTimeoutError when another run of this fleet goes on for longer than `timeouts.lockMs`
 */
export async function applyFleet(request: RunRequest): Promise<RunResult> {
  const session = await openSession(request, true);
  try {
    const plan = await acceptedPlan(request, session);
    request.onPlan?.(plan, session.observation);
    return await runPlan(request, session, plan);
  } finally {
    await session.close();
  }
}

async function acceptedPlan({ spec, fleetId, incarnation, previous }: RunRequest, { observation, context: { abilities, signal } }: Session): Promise<FleetPlan> {
  const plan = reconcile({ spec, fleetId, incarnation, observation, previous, mode: "apply" });
  const findProblems = () => [...abilityProblems(spec, abilities), ...preflight(spec, observation, plan)];
  let problems = findProblems();
  // Asked only where the answer matters: it takes a file in each of these pools.
  if (problems.length === 0 && abilities.findsSharedStores) {
    for (const hosts of maybeOneStore(spec, observation, plan)) {
      for (const group of await abilities.findsSharedStores.sharedStores({ fleetId, hosts }, { signal })) shareStore(observation, group);
    }
    problems = findProblems();
  }
  if (problems.length > 0) throw new FleetRefusedError(problems);
  return plan;
}

function shareStore(observation: Observation, names: readonly string[]): void {
  for (const host of observation.hosts) if (host.status === "reachable" && names.includes(host.name)) host.store = `with ${names[0]!}`;
}

async function runPlan(request: RunRequest, session: Session, plan: FleetPlan): Promise<RunResult> {
  const { context, observation } = session;
  const execution = await executePlan(context, plan, observation, {
    time: "network", watch: true, choosePolicy: (book) => policyFor(request.spec, book, request.clock, true),
  });
  const summary = summaryOf(execution);
  const after: Aftermath = context.ledger.worked.size > 0
    ? await lookAgain(context, observation, request.previous, !session.lockLost())
    : { observation, unsettled: new Set() };
  const interrupted = session.interrupted();
  const reasons = context.failures.reasons();
  const { log, topology, image } = execution;
  const clones = log.traces;
  // A run in which something broke says nothing about the next one.
  const learned = interrupted || reasons.length > 0 ? context.learned : withGuests(withTurns(
    lessonOf(topology, image, log, context.learned), context.learned, imagesOfTraces(plan, clones), log.readySeconds, request.spec, context.costs,
  ), context.learned, log.guestSeconds);
  const state = stateOf(request, after, {
    summary, learned, timeline: timelineOf(request.spec, summary.policy, clones, imageBytes(image)), readProfiles: context.reads.all, guests: context.guests,
  });
  if (interrupted) reasons.unshift(interruptedReason(interrupted, plan, state));
  if (after.failure) reasons.push(after.failure);
  if (reasons.length > 0) throw new FleetRunError(reasons, state, { cause: context.failures.all[0]?.error, clones });
  context.meter.enter("done");
  return { state, plan, clones, summary };
}

interface Outcome {
  summary: RunSummary;
  learned: Learned | undefined;
  timeline: RunTimeline | undefined;
  readProfiles: ReadProfile[];
  guests: RecordRequest["guests"];
}

function stateOf(request: RunRequest, { observation, unsettled }: Aftermath, { summary, learned, timeline, readProfiles, guests }: Outcome): FleetState {
  const { spec, fleetId, incarnation, previous } = request;
  // A run that found nothing to do says nothing about the one that made the fleet.
  const idle = summary.policy === "none" && summary.created + summary.destroyed + summary.reconfigured + summary.bytesMoved === 0;
  const lastRun = idle && previous ? previous.lastRun : summary;
  return recordState({ spec, fleetId, incarnation, observation, previous, lastRun, timeline: timeline ?? previous?.timeline, learned, readProfiles, guests, unsettled });
}

function interruptedReason(why: string, plan: FleetPlan, state: FleetState): string {
  const wanted = Object.values(plan.placement).reduce((sum, n) => sum + n, 0);
  return `${why}: ${state.members.length} of ${wanted} members exist; the next \`pulumi up\` completes the rest`;
}
