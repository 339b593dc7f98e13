/** Memory that members want when they start, against what their hosts have. */
import { groupBy } from "../groups";
import type { FleetPlan, Problem, ReachableHost } from "../model";
import { formatBytes, plural } from "../words/problems";
import type { PlanContext } from "./context";

const MEBIBYTE = 2 ** 20;

/** Of one new member when it starts. Undefined: nobody knows. */
function memoryOf({ spec: { vm }, observation }: PlanContext): number | undefined {
  const has = vm.memory ?? observation?.template?.hardware?.memory;
  return has === undefined ? vm.maxMemory : Math.max(has, vm.maxMemory ?? 0);
}

const hostsOf = ({ observation }: PlanContext): ReachableHost[] => (observation?.hosts ?? []).flatMap((host) => (host.status === "reachable" ? [host] : []));

/** One member that its host has no memory for, whatever else runs there. */
export function memoryRefusals(context: PlanContext, plan: FleetPlan): Problem[] {
  const each = memoryOf(context);
  if (each === undefined) return [];
  const gets = new Set(plan.create.map(({ host }) => host));
  return hostsOf(context).flatMap(({ name, memory }): Problem[] => {
    if (!memory || !gets.has(name) || memory.totalBytes >= each * MEBIBYTE) return [];
    return [{ path: (context.spec.vm.maxMemory ?? 0) === each ? "vm.maxMemory" : "vm.memory", message: `expected at most the ${Math.floor(memory.totalBytes / MEBIBYTE)} MiB that ${name} has, got ${each}; lower it, or place no members there` }];
  });
}

/** Guests share memory they do not use, so that more may be promised than is there: said, and not refused. */
export function memoryWarnings(context: PlanContext, plan: FleetPlan): string[] {
  if (!context.spec.powerOn) return [];
  const each = memoryOf(context);
  const created = groupBy(plan.create, ({ host }) => host);
  const started = groupBy(plan.reconfigure.filter(({ changes }) => changes.some((change) => change.kind === "power" && change.to === "running")), ({ host }) => host);
  return hostsOf(context).flatMap(({ name, memory, members }) => {
    const starting = new Set((started.get(name) ?? []).map(({ slot }) => slot));
    const made = created.get(name)?.length ?? 0;
    const wanted = (made * (each ?? 0) + members.filter(({ slot }) => starting.has(slot)).reduce((sum, one) => sum + one.memory, 0)) * MEBIBYTE;
    const count = made + starting.size;
    if (!memory || count === 0 || wanted <= memory.availableBytes) return [];
    return [`${name}: ${plural(count, "member")} to start there ${count === 1 ? "wants" : "want"} ${formatBytes(wanted)} of memory, and ${formatBytes(memory.availableBytes)} of ${formatBytes(memory.totalBytes)} is free: some may not start, or run slowly`];
  });
}
