import type { FleetSpec, Problem } from "../../fleet/model";
import { choiceSteps, policies, simulationSteps, type Policy, type SimulatedTransfer } from "../../scheduler";
import type { Traits } from "../../hypervisors/hypervisor";
import type { SourceBook } from "./sourceBook";
import type { Clock } from "../../async/clock";

/** Events simulated in one go: some milliseconds, so that locks and connections are kept alive meanwhile. */
const STEPS_AT_ONCE = 8;

export interface ChosenPolicy {
  policy: Policy;
  /** Of its simulation, from now to the last copy's end. Absent where nobody asked, or something stays unmade. */
  makespanSeconds?: number;
  /** With it, the copies of that simulation. */
  transfers?: readonly SimulatedTransfer[];
}

/**
 * The declared policy; for `auto`, the one whose simulation on this very source book ends first.
 * @param predicts simulate a declared policy as well, for the time it will take
 */
export async function policyFor(spec: FleetSpec, book: SourceBook, clock: Clock, predicts: boolean): Promise<ChosenPolicy> {
  if (spec.policy !== "auto" && !predicts) return { policy: policies[spec.policy] };
  const { topology, image, view } = book;
  // All are tried on the same sources, whatever happens to the book meanwhile.
  const [targets, made, sources, excluded] = [[...view.targets], [...view.made], view.sources.map((one) => ({ ...one })), [...view.excluded]];
  const { maxConcurrentClones } = spec.limits;
  const options = { maxConcurrentClones, excluded, relay: book.relays };
  const { name, run } = spec.policy === "auto"
    ? await inTurns(clock, choiceSteps(topology, image, targets, made, sources, options))
    : { name: spec.policy, run: await inTurns(clock, simulationSteps(topology, image, targets, made, sources, policies[spec.policy], options)) };
  return { policy: policies[name], ...(run.unmade === 0 && { makespanSeconds: run.makespanSeconds, transfers: run.transfers }) };
}

async function inTurns<T>(clock: Clock, steps: Generator<void, T, void>): Promise<T> {
  for (let n = 1; ; n++) {
    const step = steps.next();
    if (step.done) return step.value;
    if (n % STEPS_AT_ONCE === 0) await clock.sleep(0);
  }
}

/** What is asked for and the hypervisor has not what it takes for. */
export function abilityProblems({ policy, clone, waitFor }: FleetSpec, { relaying, linksClones, reportsReadiness }: Traits["abilities"]): Problem[] {
  const problems: Problem[] = [];
  if (policy === "relay" && !relaying) {
    problems.push({
      path: "policy",
      message: 'expected auto, rounds, earliestCompletion or singleSource, got "relay"; this hypervisor cannot copy from a copy that is still arriving, use auto',
    });
  }
  if (!linksClones && clone.kind === "linked") {
    problems.push({ path: "clone", message: 'expected "full", got "linked"; this hypervisor cannot put a disk over a replica that others share' });
  }
  if (!linksClones && clone.kind === "mixed" && clone.linkedShare > 0) {
    problems.push({
      path: "clone.mixed.linkedShare", message: `expected 0, got ${clone.linkedShare}; this hypervisor cannot put a disk over a replica that others share`,
    });
  }
  if (!reportsReadiness && waitFor.kind !== "started") {
    const got = waitFor.kind === "tcpPort" ? `{ tcpPort: ${waitFor.port} }` : `"${waitFor.kind}"`;
    problems.push({ path: "waitFor", message: `expected "started", got ${got}; this hypervisor cannot ask guests whether they are there` });
  }
  return problems;
}
