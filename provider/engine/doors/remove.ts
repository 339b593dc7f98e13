import { planRemoval, recordState } from "../../fleet";
import { executeRemoval } from "../steps/execute";
import { lookAgain } from "../run/finish";
import { openSession } from "../run/session";
import { summaryOf } from "../record/summary";
import { FleetRefusedError, FleetRunError, type RunRequest } from "../types";

/**
 * Delete: this incarnation's members, and with the last member of all the fleet's replicas, uploads and leftovers.
 * What another incarnation made lives on.
 *
 * @throws FleetRefusedError when protected, or when members stand on a host that does not answer
 * @throws FleetRunError when something is left; its `state` says what
 */
export async function removeFleet(request: RunRequest): Promise<void> {
  const { spec, fleetId, incarnation, previous } = request;
  const session = await openSession(request, false);
  const { context, observation } = session;
  try {
    const plan = planRemoval({ spec, fleetId, incarnation, observation, previous });
    if (plan.problems.length > 0) throw new FleetRefusedError(plan.problems);
    request.onPlan?.(plan, observation);
    const execution = await executeRemoval(context, plan, observation);
    const interrupted = session.interrupted();
    const reasons = context.failures.reasons();
    if (interrupted) reasons.unshift(`${interrupted}: some of the fleet still exists; destroying it again removes the rest`);
    if (reasons.length > 0) {
      // Leftovers stay for the next try: with members of another incarnation about, they may be that one's.
      const { observation: after, unsettled, failure } = await lookAgain(context, observation, previous, false);
      if (failure) reasons.push(failure);
      const lastRun = summaryOf(execution);
      const state = recordState({ spec, fleetId, incarnation, observation: after, previous, lastRun, unsettled });
      throw new FleetRunError(reasons, state, { cause: context.failures.all[0]?.error });
    }
    context.meter.enter("done");
  } finally {
    await session.close();
  }
}
