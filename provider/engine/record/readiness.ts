import type { CloneTrace, FleetPlan, FleetSpec, Learned, PlannedCreate } from "../../fleet/model";
import type { Costs } from "../../hypervisors/hypervisor";
import { lastReadySeconds, learnTurns, turnEnds, type ReadyImage, type SimulatedTransfer } from "../../scheduler";
import { waitsForGuests } from "../../fleet";
import { replicaLabel } from "../distribution/sources";

type Member = Pick<PlannedCreate, "name" | "host" | "kind">;

/** When the images of these members were there, told by the copies that were made; one that nobody had to copy was from the start. */
export function imagesOfTraces(plan: Pick<FleetPlan, "create" | "complete">, traces: readonly CloneTrace[]): ReadyImage[] {
  const ends = new Map(traces.map(({ slot, endSeconds }) => [slot, endSeconds]));
  return [...plan.create, ...plan.complete].map(({ name, host, kind }) => ({ host, atSeconds: ends.get(kind === "full" ? name : replicaLabel(host)) ?? 0 }));
}

/** As imagesOfTraces, by a policy's simulation, which knows hosts only. A replica is its host's first. @param lacking hosts that get one */
export function imagesOfRun(
  members: readonly (Member & { base?: unknown })[], lacking: ReadonlySet<string>, hostNames: readonly string[], transfers: readonly SimulatedTransfer[],
): ReadyImage[] {
  const ends = new Map<string, number[]>();
  for (const { targetHost, endSeconds } of [...transfers].sort((a, b) => a.endSeconds - b.endSeconds)) {
    const host = hostNames[targetHost]!;
    const ofHost = ends.get(host);
    if (ofHost) ofHost.push(endSeconds);
    else ends.set(host, [endSeconds]);
  }
  const replicas = new Map([...lacking].map((host) => [host, ends.get(host)?.shift() ?? 0]));
  return members.map(({ host, kind, base }) => ({
    host, atSeconds: base === "arrived" ? 0 : (kind === "linked" ? replicas.get(host) : ends.get(host)?.shift()) ?? 0,
  }));
}

/** What the time model takes for a member's turn and its guest's boot, until the fleet's own runs have taught. */
export type MemberTurn = Pick<Costs, "memberSeconds" | "guestSeconds">;

/** Of a guest that nobody timed yet. */
const GUEST_SECONDS = 30;
const LATEST_WEIGHT = 0.6;

/**
 * From the first byte to the last member ready, and its guest where that is waited for.
 * @param copiesSeconds to the last copy's end
 */
export function readySeconds(
  images: readonly ReadyImage[], copiesSeconds: number, spec: FleetSpec, learned: Learned | undefined, { memberSeconds = 0, guestSeconds = GUEST_SECONDS }: MemberTurn,
): number {
  if (images.length === 0) return copiesSeconds;
  const { maxConcurrentOperations, maxConfiguring } = spec.limits;
  const ends = turnEnds(images, learned?.memberSeconds ?? memberSeconds, maxConcurrentOperations);
  const started = lastStart(ends.reduce((last, end) => Math.max(last, end), 0), copiesSeconds, learned);
  return waitsForGuests(spec) ? Math.max(started, lastReadySeconds(ends, learned?.guestSeconds ?? guestSeconds, maxConfiguring)) : started;
}

function lastStart(turns: number, copiesSeconds: number, learned: Learned | undefined): number {
  // What runs taught before turns were told apart holds them already.
  if (learned && learned.memberSeconds === undefined) return Math.max(turns, copiesSeconds + learned.finishSeconds);
  return Math.max(turns, copiesSeconds) + (learned?.finishSeconds ?? 0);
}

/** What a run taught about how long guests take; those that were started early wait for their disks, too, and teach nothing. */
export function withGuests(learned: Learned | undefined, before: Learned | undefined, tookSeconds: readonly number[]): Learned | undefined {
  if (!learned) return learned;
  if (tookSeconds.length === 0) return before?.guestSeconds === undefined || learned.guestSeconds !== undefined ? learned : { ...learned, guestSeconds: before.guestSeconds };
  const mean = tookSeconds.reduce((sum, one) => sum + one, 0) / tookSeconds.length;
  const known = before?.guestSeconds;
  const guestSeconds = known === undefined ? mean : known + LATEST_WEIGHT * (mean - known);
  return { ...learned, guestSeconds: Math.round(1e3 * guestSeconds) / 1e3 };
}

/** What a run taught about turns, where the hypervisor's members take any; `learned` is what else it taught. */
export function withTurns(
  learned: Learned | undefined, before: Learned | undefined, images: readonly ReadyImage[], readyAtSeconds: number, { limits }: FleetSpec,
  { memberSeconds }: MemberTurn,
): Learned | undefined {
  if (!learned || learned === before || memberSeconds === undefined || images.length === 0) return learned;
  const known = before?.memberSeconds;
  const prior = { memberSeconds: known ?? memberSeconds, finishSeconds: known === undefined ? 0 : before!.finishSeconds };
  return { ...learned, ...learnTurns(images, limits.maxConcurrentOperations, readyAtSeconds, prior, known === undefined) };
}
