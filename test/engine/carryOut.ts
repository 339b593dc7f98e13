/** A plan of a test's own, run as the doors run theirs. */
import { policyFor } from "../../provider/engine/distribution/policy";
import type { RunContext } from "../../provider/engine/run/context";
import { contextOf } from "../../provider/engine/run/session";
import type { ExecuteOptions, Execution } from "../../provider/engine/steps/execution";
import { executePlan } from "../../provider/engine/steps/execute";
import type { RunRequest } from "../../provider/engine";
import { reconcile, type FleetPlan, type FleetSpec, type Observation } from "../../provider/fleet";
import type { Hypervisor } from "../../provider/hypervisors/hypervisor";
import type { VirtualClock } from "../../provider/hypervisors/simulated";
import { look, request } from "./world";

interface Where {
  hypervisor: Hypervisor;
  clock: VirtualClock;
}

/** What the hosts hold and what is to be done about it, for a test to change before it is carried out. */
export async function planFor(spec: FleetSpec, where: Where): Promise<{ plan: FleetPlan; observation: Observation }> {
  const observation = await look(spec, where);
  return { observation, plan: reconcile({ spec, fleetId: "fleetaaaaa", incarnation: "one", observation }) };
}

export async function carryOut(
  spec: FleetSpec, where: Where, { plan, observation }: { plan: FleetPlan; observation: Observation },
  more: Partial<RunRequest> & Partial<Pick<ExecuteOptions, "choosePolicy">> = {},
): Promise<{ context: RunContext; execution: Execution }> {
  const context = contextOf(request(spec, where, more), more.signal ?? new AbortController().signal);
  const execution = await executePlan(context, plan, observation, {
    time: "network", watch: true, choosePolicy: more.choosePolicy ?? ((book) => policyFor(spec, book, where.clock, true)),
  });
  return { context, execution };
}
