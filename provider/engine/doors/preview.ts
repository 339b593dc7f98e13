import { describePlan, hostsToObserve, reconcile } from "../../fleet";
import type { FleetPlan, FleetSpec } from "../../fleet/model";
import { createSimulated, UNBOUNDED } from "../../hypervisors/simulated";
import { assumeObservation } from "./assumed";
import { executePlan } from "../steps/execute";
import { learnedFor } from "../record/lessons";
import { abilityProblems, policyFor } from "../distribution/policy";
import { imagesOfTraces, readySeconds } from "../record/readiness";
import { contextOf } from "../run/session";
import { summaryOf } from "../record/summary";
import type { Preview, PreviewRequest } from "../types";

/**
 * The plan, and what running it would cost: the engine itself over the simulated hypervisor's virtual clock. Asks no
 * host and waits for nothing; without an observation it plans from the inputs and the recorded state.
 */
export async function previewFleet(request: PreviewRequest): Promise<Preview> {
  const { fleetId, incarnation, previous, observation, time = "network", traits = UNBOUNDED } = request;
  const spec = request.policy ? { ...request.spec, policy: request.policy } : request.spec;
  const plan = reconcile({ spec, fleetId, incarnation, observation, previous, mode: "preview" });
  plan.problems.push(...abilityProblems(spec, traits.abilities));
  const learned = request.learned ?? learnedFor(spec, previous);
  const hosts = hostsToObserve(spec, previous);
  const assumed = assumeObservation(spec, hosts, previous, observation, plan.seedContentId);
  const { hypervisor, clock } = createSimulated({
    spec, observation: assumed, fleetId, options: { time, learned, traits, progressSeconds: Infinity },
  });
  const run = contextOf({ ...request, spec, hypervisor, clock, holder: "preview" }, new AbortController().signal);
  const context = { ...run, copiesOnly: true };
  const execution = await executePlan(context, plan, assumed, {
    time, watch: false, choosePolicy: (book) => policyFor(spec, book, clock, false),
  });
  const broken = context.failures.all.find((failure) => failure.step === "internal error");
  if (broken) throw broken.error;
  const summary = summaryOf(execution);
  // Members cost nothing here; what they cost is measured.
  if (time === "network" && execution.created > 0) {
    summary.makespanSeconds = readySeconds(imagesOfTraces(plan, execution.log.traces), summary.makespanSeconds, spec, learned, traits.costs);
  }
  const { policy } = summary;
  return {
    plan, policy, summary,
    clones: execution.log.traces,
    text: `${describePlan(plan, summary)}${hardwareWords(plan, observation)}${traits.abilities.startsEarly && startsEarly(spec, plan) ? ", guests start before their disks are there" : ""}`,
    observed: observation?.hosts.some((host) => host.status === "reachable") ?? false,
  };
}

/** Said where somebody gets it. */
const hardwareWords = (plan: FleetPlan, observation: PreviewRequest["observation"]): string =>
  (plan.create.length > 0 && observation?.template?.hardware ? `; ${observation.template.hardware.words}` : "");

const startsEarly = ({ start, powerOn }: FleetSpec, plan: FleetPlan): boolean =>
  start === "immediately" && powerOn && plan.create.length > 0 && plan.problems.length === 0;
