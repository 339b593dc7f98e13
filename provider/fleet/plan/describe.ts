/** A plan in words: one line for the resource's row, several for whoever wants to know why. */
import { slotKeyOn } from "../members/keys";
import type { FleetPlan, RunSummary, SlotId } from "../model";
import { formatBytes, formatProblem, plural } from "../words/problems";

/**
 * `+12 VMs on 4 hosts in 2 racks, 2.1 GB across racks, about 38 s, policy rounds`; `-7 VMs`; `no change`;
 * `move 2 VMs: data is lost`.
 * @param summary what the run costs, as simulated; absent: left out.
 */
export function describePlan(plan: FleetPlan, summary?: RunSummary): string {
  const { added, removed, replaced } = tally(plan);
  const parts: string[] = [];
  if (added.length > 0) {
    const hosts = new Set(added.map((one) => one.host)).size;
    const racks = new Set(added.map((one) => one.rack)).size;
    parts.push(`+${plural(added.length, "VM")} on ${plural(hosts, "host")} in ${plural(racks, "rack")}`);
  }
  const attached = plan.create.reduce((sum, { reattach = [] }) => sum + reattach.length, 0);
  if (attached > 0) parts.push(`attach ${plural(attached, "kept disk")} again`);
  if (removed.length > 0) parts.push(`-${plural(removed.length, "VM")}`);
  if (plan.move.length > 0) parts.push(`move ${plural(plan.move.length, "VM")}: data is lost`);
  if (replaced > 0) parts.push(`replace ${plural(replaced, "VM")}: data is lost`);
  if (plan.reconfigure.length > 0) parts.push(`reconfigure ${plural(plan.reconfigure.length, "VM")}`);
  if (plan.complete.length > 0) parts.push(`complete the disks of ${plural(plan.complete.length, "VM")}`);
  if (plan.awaiting.length > 0) parts.push(`wait for ${plural(plan.awaiting.length, "VM")}`);
  if (plan.adopt.length > 0) parts.push(`adopt ${plural(plan.adopt.length, "VM")}`);
  if (plan.lost.length > 0) parts.push(`${plural(plan.lost.length, "VM")} lost`);
  const leftovers = plan.cleanup.length + plan.removeReplicas.length;
  if (plan.consolidate.length > 0) parts.push(`merge the disks of ${plural(plan.consolidate.length, "VM")}`);
  if (leftovers > 0) parts.push(`remove ${plural(leftovers, "leftover")}`);
  if (parts.length === 0) parts.push("no change");
  else if (summary && plan.create.length > 0) {
    parts.push(`${formatBytes(summary.bytesAcrossRacks)} across racks`, `about ${formatSeconds(summary.makespanSeconds)}`);
    if (summary.policy !== "none") parts.push(`policy ${summary.policy}`);
  }
  if (plan.problems.length > 0) parts.push(`refused: ${plural(plan.problems.length, "problem")}`);
  return parts.join(", ");
}

/** The line, then every entry that changes something with its reason, then warnings and problems. */
export function describePlanAtLength(plan: FleetPlan, summary?: RunSummary): string {
  const { added, removed } = tally(plan);
  const moved = new Set(plan.move.map((one) => one.slot));
  const isAdded = new Set(added);
  const recreated = plan.create.filter((one) => !isAdded.has(one) && !moved.has(one.slot));
  return [
    describePlan(plan, summary),
    ...plan.adopt.map((one) => `  = ${one.name} on ${one.host}: adopted, ${one.reason}`),
    ...added.map((one) => `  + ${one.name} on ${one.host} (${one.kind}): ${one.reason}`),
    ...removed.map((one) => `  - ${one.name} on ${one.host}: ${one.reason}`),
    ...plan.move.map((one) => `  > ${one.name} from ${one.from} to ${one.to}: ${one.reason}`),
    ...recreated.map((one) => `  ± ${one.name} on ${one.host} (${one.kind}): ${one.reason}`),
    ...plan.reconfigure.map((one) => `  ~ ${one.name} on ${one.host}: ${one.reason}`),
    ...plan.consolidate.map((one) => `  ~ ${one.name} on ${one.host}: delta disk merged, ${one.reason}`),
    ...plan.complete.map((one) => `  ~ ${one.name} on ${one.host}: ${one.reason}`),
    ...plan.awaiting.map((one) => `  ~ ${one.name} on ${one.host}: waited for, ${one.reason}`),
    ...plan.lost.map((one) => `  ! ${one.name} on ${one.host}: lost, ${one.reason}`),
    ...plan.cleanup.map((one) => `  - ${one.leftover.kind} ${one.leftover.name} on ${one.host}: ${one.reason}`),
    ...plan.removeReplicas.map((one) => `  - ${one.purpose === "replica" ? "replica" : "uploaded template"} on ${one.host}: ${one.reason}`),
    ...plan.warnings.map((warning) => `  warning: ${warning}`),
    ...plan.problems.map((problem) => `  refused: ${formatProblem(problem)}`),
  ].join("\n");
}

/** Creates and destroys that are neither moves nor replacements. */
function tally(plan: FleetPlan) {
  const moved = new Set(plan.move.map((one) => one.slot));
  const leaving = new Set(plan.destroy.map((one) => one.slot));
  const at = (one: SlotId & { host: string }) => slotKeyOn(one.host, one);
  // Few slots are in both: with none, nothing is put together for a hundred thousand members.
  const createdOn = new Set(plan.create.filter((one) => leaving.has(one.slot)).map(at));
  const destroyedOn = new Set(plan.destroy.map(at));
  const movedFrom = new Set(plan.move.map((move) => slotKeyOn(move.from, move)));
  const isReplacement = (one: SlotId & { host: string }) => leaving.has(one.slot) && createdOn.has(at(one)) && destroyedOn.has(at(one));
  return {
    added: plan.create.filter((one) => !moved.has(one.slot) && !isReplacement(one)),
    removed: plan.destroy.filter((one) => !movedFrom.has(at(one)) && !isReplacement(one)),
    replaced: plan.create.filter(isReplacement).length,
  };
}

/** `38 s`, `4 min 10 s`, `2 h 5 min` */
export function formatSeconds(seconds: number): string {
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const pair = (big: number, bigUnit: string, small: number, smallUnit: string) => `${big} ${bigUnit}${small > 0 ? ` ${small} ${smallUnit}` : ""}`;
  if (whole < 3600) return pair(Math.floor(whole / 60), "min", whole % 60, "s");
  return pair(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
}
