/** What a preview says of a fleet: the plan in one line, and what stands in its way. It never fails for a host's sake. */
import { within } from "../async/within";
import { formatProblem, hostsToObserve, problemOfTemplate, problemsOfHost, templateHostOf } from "../fleet";
import type { FleetPlan, FleetSpec, FleetState, Observation } from "../fleet/model";
import type { Preview } from "../engine/types";
import type { Hypervisor, Traits } from "../hypervisors/hypervisor";
import { withBegun } from "./begun";
import type { FrontDependencies } from "./dependencies";

export interface PreviewQuestion {
  spec: FleetSpec;
  /** Paths of inputs whose values are not known yet; hosts cannot be asked with those. */
  unknown: string[];
  fleetId: string;
  incarnation: string;
  previous?: FleetState;
}

export interface PreviewAnswer extends Preview {
  /** The plan's line, and where the hosts could not be asked, that they were not. */
  line: string;
  /** What `pulumi up` will refuse, and what the user should know. */
  warnings: string[];
  /** Absent: no host could be asked. */
  observation?: Observation;
}

/** Looks at the hosts for a short while and plans; what does not answer is planned from inputs and recorded state. */
export async function previewOf(
  { unknown, ...asked }: PreviewQuestion, dependencies: FrontDependencies,
): Promise<PreviewAnswer> {
  const question = withBegun(asked, dependencies.begun.hostsOf(asked.fleetId));
  const { observation, traits, failure }: Look = unknown.length > 0
    ? { failure: `not known yet: ${unknown.join(", ")}` } : await look(question, dependencies);
  const preview = await dependencies.fleetDoors.previewFleet({
    ...question, ...(observation && { observation }),
    ...(traits && { traits }),
  });
  return {
    ...preview,
    line: `${preview.text}${unseenText(observation, failure)}`,
    warnings: warningsOf(preview.plan, question.spec, observation),
    ...(observation && { observation }),
  };
}

/** True when a run would touch or report anything. */
export function hasWork(plan: FleetPlan): boolean {
  return [
    plan.create, plan.adopt, plan.reconfigure, plan.consolidate, plan.complete, plan.awaiting, plan.move, plan.destroy, plan.lost, plan.cleanup, plan.removeReplicas,
  ].some((bucket) => bucket.length > 0);
}

interface Look {
  observation?: Observation;
  traits?: Traits;
  /** Why there is none. */
  failure?: string;
}

async function look(
  { spec, fleetId, previous }: Omit<PreviewQuestion, "unknown">, dependencies: FrontDependencies,
): Promise<Look> {
  const deadlineMs = dependencies.previewDeadlineMs;
  const abort = new AbortController();
  let hypervisor: Hypervisor | undefined;
  try {
    hypervisor = dependencies.createHypervisor({ spec, holder: dependencies.holder() });
    const observing = hypervisor.observe(
      { fleetId, namePrefix: spec.namePrefix, hosts: hostsToObserve(spec, previous), spec, deadlineMs, preflight: true, impatient: true },
      { signal: abort.signal },
    );
    // The adapter keeps the deadline itself; the margin is for one that does not.
    const observation = await within(dependencies.clock, deadlineMs + 1000, observing);
    if (!observation) throw new Error(`no answer within ${deadlineMs / 1000} s`);
    return { observation, traits: hypervisor };
  } catch (error) {
    abort.abort();
    return { failure: error instanceof Error ? error.message : String(error) };
  } finally {
    // Not waited for: a connection that is still being made would hold up the preview.
    hypervisor?.close().catch(() => undefined);
  }
}

/** Which hosts the plan was made without; the plan's own warnings say what was assumed of them. */
function unseenText(observation: Observation | undefined, failure: string | undefined): string {
  if (!observation) return ` (no host asked: ${failure})`;
  const silent = observation.hosts.flatMap((host) => (host.status === "unreachable" ? [host.name] : []));
  if (silent.length === 0) return "";
  return silent.length === observation.hosts.length ? " (no host in reach)" : ` (${silent.join(", ")} not in reach)`;
}

function warningsOf(plan: FleetPlan, spec: FleetSpec, observation: Observation | undefined): string[] {
  const hosts = observation?.hosts ?? [];
  const unfit = hosts.flatMap((host) => (host.status === "reachable" ? problemsOfHost(spec, host.name, host.problems) : []));
  // That its host does not answer has been said already; the template itself may be fine.
  const unseen = hosts.some((host) => host.status === "unreachable" && host.name === templateHostOf(spec.template));
  const missing = observation?.templateProblem && !unseen ? [problemOfTemplate(observation.templateProblem)] : [];
  const said = new Set([...plan.problems, ...unfit, ...missing].map(formatProblem));
  return [...[...said].map((text) => `\`pulumi up\` would refuse this: ${text}`), ...plan.warnings];
}
