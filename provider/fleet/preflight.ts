/** Everything that would make a run fail, found before anything is touched, in one list. */
import { groupBy } from "./groups";
import type { FleetPlan, FleetSpec, Observation, Problem, ReachableHost } from "./model";
import { expected, formatBytes, tidy } from "./problems";

/** What a delta disk, a definition and a marker volume need at first. */
const MEMBER_OVERHEAD_BYTES = 1_048_576;

/**
 * The plan's own problems, those that the adapter found on hosts the plan works on, and pools that are too small.
 * A full clone needs what a copy writes (the template's allocated bytes), a linked one its host's replica and a small
 * delta. Space that the plan frees on a host counts, because a run removes before it clones.
 */
export function preflight(spec: FleetSpec, observation: Observation, plan: FleetPlan): Problem[] {
  const reachable = observation.hosts.filter((host): host is ReachableHost => host.status === "reachable");
  const shareOf = sharesOf(spec, plan);
  const busy = new Set([...plan.create, ...plan.complete, ...plan.reconfigure].map((one) => one.host));
  return tidy([
    ...plan.problems,
    ...reachable.filter((host) => busy.has(host.name)).flatMap((host) => host.problems),
    ...reachable.flatMap((host) => spaceProblems(spec, observation, shareOf(host.name), host)),
  ]);
}

/** What of a plan concerns a host: of the first, which a local template is uploaded to, all, since any copy anywhere brings that. */
function sharesOf(spec: FleetSpec, plan: FleetPlan): (host: string) => FleetPlan {
  const at = ({ host }: { host: string }) => host;
  const [create, complete, destroy, cleanup] = [groupBy(plan.create, at), groupBy(plan.complete, at), groupBy(plan.destroy, at), groupBy(plan.cleanup, at)];
  const of = <T>(groups: Map<string, T[]>, host: string): T[] => groups.get(host) ?? [];
  return (host) => (host === spec.hosts[0]?.name ? plan : {
    ...plan, create: of(create, host), complete: of(complete, host), destroy: of(destroy, host), cleanup: of(cleanup, host),
  });
}

function spaceProblems(spec: FleetSpec, observation: Observation, plan: FleetPlan, host: ReachableHost): Problem[] {
  const needed = bytesNeeded(spec, observation, plan, host);
  const free = host.poolFreeBytes + bytesFreed(plan, host);
  if (needed <= free) return [];
  const index = spec.hosts.findIndex((one) => one.name === host.name);
  const pool = spec.hosts[index]?.pool;
  const wanted = `a pool with ${formatBytes(needed)} free for ${plan.create.filter((one) => one.host === host.name).length} new members`;
  return [{
    path: index < 0 ? "hosts" : `hosts[${index}].pool`,
    message: `${expected(wanted, pool ?? host.name)} with ${formatBytes(free)} free; make room on ${host.name}, or want fewer members there`,
  }];
}

/** Bytes that the plan writes to the host's pool at once. */
export function bytesNeeded(spec: FleetSpec, observation: Observation, plan: FleetPlan, host: ReachableHost): number {
  const create = [...plan.create, ...plan.complete.filter((one) => one.base === "arriving")].filter((one) => one.host === host.name);
  const image = observation.template?.allocationBytes ?? spec.imageBytes ?? 0;
  const full = create.filter((one) => one.kind === "full").length;
  const linked = create.length > full;
  const holds = (purpose: "replica" | "template") =>
    host.replicas.some((replica) => replica.purpose === purpose && replica.contentId === plan.contentId);
  const uploads = spec.template.kind === "file" && plan.create.length > 0 && observation.template?.host === undefined
    && spec.hosts[0]?.name === host.name && !holds("template");
  const images = full + (linked && !holds("replica") ? 1 : 0) + (uploads ? 1 : 0);
  return images * image + create.length * MEMBER_OVERHEAD_BYTES;
}

function bytesFreed(plan: FleetPlan, host: ReachableHost): number {
  const leaving = new Set(plan.destroy.filter((one) => one.host === host.name).map((one) => `${one.slot}/${one.generation}`));
  const members = host.members.filter((member) => leaving.has(`${member.slot}/${member.generation}`));
  const disks = members.flatMap((member) => [
    // A linked clone's base is the replica, which stays until the end of the run.
    ...(member.kind === "linked" ? member.chain.slice(0, -1) : member.chain),
    ...member.disks.filter((disk) => disk.onDelete === "delete"),
  ]);
  // What is removed, and what the plan goes on from: that need not be written again.
  const removed = new Set(plan.cleanup.filter((one) => one.host === host.name).map((one) => one.partial));
  const partials = host.partials.filter((one) => removed.has(one) || one.resumable).map((one) => one.bytes);
  return [...disks.map((disk) => disk.allocationBytes), ...partials].reduce((sum, bytes) => sum + bytes, 0);
}
