/** The record of a run: what Pulumi's state holds. The hosts are the truth; this is for when they cannot be asked. */
import { z } from "zod";
import { takeCensus } from "../hosts/census";
import { groupBy, groupOf } from "../groups";
import { knowHosts, type KnownHost } from "../hosts/table";
import { missedMembers } from "../hosts/leftovers";
import { memberKey, memberKeyOn } from "../members/keys";
import type { FleetSpec, FleetState, GuestNews, Learned, MemberState, Observation, ObservedMember, ReadProfile, RecordedHost, RunSummary, RunTimeline } from "../model";
import { compare, formatPath, seen } from "../words/problems";
import { asRead, hostSchema, recordedHost } from "./host";
import { absent, maybe, slotSchema } from "./parts";
import { recordedGuest } from "./guests";
import { keptProfiles, MAX_RANGES } from "./readProfile";

export interface RecordRequest {
  spec: FleetSpec;
  fleetId: string;
  /** Members of other incarnations are not recorded: they are not this resource's. */
  incarnation: string;
  /** As the hosts are after the run. */
  observation: Observation;
  /** For hosts that did not answer: their members stay as recorded, or become `lost` when the host is not declared. */
  previous?: FleetState;
  lastRun: RunSummary;
  /** @default none */
  timeline?: RunTimeline;
  /** @default nothing */
  learned?: Learned;
  /** All that are known, the newest last. @default none */
  readProfiles?: readonly ReadProfile[];
  /** What was heard of guests, by member on its host. @default nothing: what is on record holds */
  guests?: ReadonlyMap<string, GuestNews>;
  /** Names of hosts that were worked on and could not be looked at since. @default none */
  unsettled?: ReadonlySet<string>;
}

export const NO_RUN: RunSummary = {
  policy: "none", makespanSeconds: 0, bytesMoved: 0, bytesAcrossRacks: 0, bytesResent: 0, created: 0, destroyed: 0, reconfigured: 0,
};

export function recordState({ spec, fleetId, incarnation, observation, previous, lastRun, timeline, learned, readProfiles = [], guests, unsettled }: RecordRequest): FleetState {
  const table = knowHosts(spec, previous, observation);
  const census = takeCensus(table, previous, false);
  const onRecord = new Map(previous?.members.map((one) => [memberKey(one), one]));
  const members = [...census.present, ...census.stranded, ...census.outdated, ...census.lost, ...census.doubles].flatMap(({ host, member, recorded }): MemberState[] => {
    if (member) {
      if (member.incarnation !== incarnation) return [];
      const guest = recordedGuest(spec, member, guests?.get(memberKeyOn(host.name, member)), onRecord.get(memberKey(member)));
      return [{ ...memberState(member, host), ...guest }];
    }
    return [{ ...recorded!, host: host.name, ...(host.declared ? {} : { state: "lost" as const }) }];
  }).sort((a, b) => a.slot - b.slot || a.generation - b.generation);
  const replicasRecorded = groupBy(previous?.replicas ?? [], (one) => one.host);
  const replicas = table.hosts.flatMap((host) => replicasOn(host, replicasRecorded));
  const holding = new Set([...members, ...replicas].map((one) => one.host));
  const missedOn = missedMembers(table, previous);
  const membersOn = groupBy(members, (member) => member.host);
  const contentId = observation.template?.contentId ?? previous?.contentId ?? members[0]?.contentId ?? "";
  const profiles = keptProfiles(readProfiles, new Set([contentId, ...members.map((member) => member.contentId)]));
  return {
    fleetId,
    incarnation,
    // Fleets of before have none, and are to have none: nothing of what they leave out changes its meaning.
    ...(spec.defaultsVersion > 1 && { defaultsVersion: spec.defaultsVersion }),
    contentId,
    members,
    replicas,
    snapshots: members.flatMap(({ slot, host, base, kind, chain }) =>
      // Each disk of a frozen member is a delta over its base.
      kind === "full" && base === "frozen" ? chain.filter((_, at) => at % 2 === 1).map((volume) => ({ slot, host, volume })) : []),
    placement: Object.fromEntries(spec.hosts.map((host) => [host.name, groupOf(membersOn, host.name).length])),
    hosts: table.hosts.flatMap((host) => {
      const described = host.declared ? recordedHost(host.declared.spec) : host.recorded;
      const isOpen = isUnsettled(host, unsettled, groupOf(membersOn, host.name), incarnation);
      if (!described || (!host.declared && !isOpen && !holding.has(host.name))) return [];
      const missed = host.abandoned ? [] : missedOn.get(host) ?? [];
      const { unsettled: _before, missed: _missed, noted: _noted, ...rest }: RecordedHost = described;
      return [{
        ...rest, name: host.name, ...(host.uuid !== undefined && { uuid: host.uuid }), ...(isOpen && { unsettled: true }),
        ...(missed.length > 0 && { missed }),
      }];
    }),
    lastRun,
    ...(timeline && { timeline }),
    ...(learned && { learned }),
    ...(profiles.length > 0 && { readProfiles: profiles }),
  };
}

/**
 * Also a host that shows members which the record does not have: of another incarnation, as of a create that crashed. Taken
 * out of the program it would be known to nobody, and their slots would be made a second time.
 */
function isUnsettled({ name, abandoned, seen, recorded }: KnownHost, unsettled: ReadonlySet<string> | undefined, members: readonly MemberState[], incarnation: string): boolean {
  if (abandoned) return false;
  if (unsettled?.has(name)) return true;
  if (!seen) return recorded?.unsettled === true;
  const onRecord = new Set(members.map(memberKey));
  return seen.leftovers.length > 0 || seen.members.some((one) => one.incarnation !== incarnation || !onRecord.has(memberKey(one)));
}

/** As seen; of a host that is out of sight, as recorded. */
function replicasOn({ name, seen, recorded, abandoned }: KnownHost, before: ReadonlyMap<string, FleetState["replicas"]>): FleetState["replicas"] {
  if (!seen) {
    if (abandoned) return [];
    return groupOf(before, recorded?.name ?? name).map((one) => ({ ...one, host: name }));
  }
  return seen.replicas
    .map(({ contentId, purpose, disk }) => ({ host: name, contentId, purpose, volume: disk.name }))
    .sort((a, b) => compare(a.volume, b.volume));
}

function memberState(member: ObservedMember, host: KnownHost): Omit<MemberState, "ipAddresses"> {
  const { slot, name, uuid, kind, generation, contentId, cardAddresses, power, base, chain, configuring } = member;
  return {
    slot, name, host: host.name, hostUuid: host.uuid ?? "", rack: host.rack, uuid, kind, generation, contentId, macs: cardAddresses,
    state: power, base, chain: chain.map((disk) => disk.name), ...(configuring && { configuring }),
  };
}

const word = absent(z.string(), "");
const memberSchema = z.looseObject({
  slot: slotSchema, name: z.string().min(1), host: z.string().min(1), hostUuid: word, rack: word, uuid: word,
  kind: absent(z.enum(["full", "linked"]), "full"), generation: absent(z.int().min(0), 0), contentId: word,
  macs: absent(z.array(z.string()), []), state: absent(z.enum(["running", "stopped", "paused", "lost"]), "running"),
  base: absent(z.enum(["frozen", "consolidating", "consolidated", "replica", "arriving", "arrived"]), "consolidated"), chain: absent(z.array(z.string()), []),
  ipAddresses: absent(z.array(z.string()), []), hostname: maybe(z.string()), configuring: maybe(z.boolean()),
}).transform(({ hostname, configuring, ...member }) => ({ ...member, ...(hostname !== undefined && { hostname }), ...(configuring && { configuring }) }));
const purpose = z.enum(["replica", "template"]);
const replicaSchema = z.object({ host: z.string(), contentId: z.string(), purpose, volume: z.string() });
// What follows tells of runs that ended. Nothing is lost with it, and a part that cannot be read is left out.
const count = z.number().catch(0);
const snapshotSchema = z.object({ slot: z.number(), host: z.string(), volume: z.string() });
const policy = z.enum(["rounds", "earliestCompletion", "relay", "singleSource", "none"]).catch("none");
const cloneSchema = z.object({
  slot: z.string(), source: z.string(), sourceHost: z.string(), targetHost: z.string(), startSeconds: z.number(), endSeconds: z.number(),
  replaced: z.array(z.object({ source: z.string(), sourceHost: z.string(), untilSeconds: z.number() })).optional(),
});
/** What `vmfleet picture` reads as well. */
export const timelineSchema = z.object({
  policy, imageBytes: z.number(), racks: z.array(z.object({ name: z.string(), hosts: z.array(z.string()) })), clones: z.array(cloneSchema), leftOut: count,
});
const learnedSchema = z.object({
  runs: count, networkFactor: z.number().positive(), diskFactor: z.number().positive(), startupSeconds: z.number().min(0).optional(),
  hopSeconds: z.number().min(0).optional(), finishSeconds: count, memberSeconds: z.number().min(0).optional(), guestSeconds: z.number().min(0).optional(),
});
const bytes = z.int().min(0);
const readProfileSchema = z.object({
  contentId: z.string(), ranges: z.array(z.object({ offsetBytes: bytes, lengthBytes: bytes })).min(1).max(MAX_RANGES),
});
const lastRunSchema = z.object({
  policy, makespanSeconds: count, bytesMoved: count,
  bytesAcrossRacks: count, bytesResent: count, created: count, destroyed: count, reconfigured: count,
  predictedSeconds: z.number().optional().catch(undefined),
}).catch(NO_RUN);

/** The items that can be read. */
function readable<T extends z.ZodType>(item: T) {
  return z.array(z.unknown()).catch([]).transform((values) =>
    values.flatMap((value): z.output<T>[] => {
      const result = item.safeParse(value);
      return result.success ? [result.data] : [];
    }));
}

const stateSchema = z.object({
  fleetId: z.string().min(1), incarnation: z.string().min(1), defaultsVersion: maybe(z.union([z.literal(1), z.literal(2), z.literal(3)])), contentId: word,
  members: absent(z.array(memberSchema), []), replicas: absent(z.array(replicaSchema), []), hosts: absent(z.array(hostSchema), []),
  snapshots: readable(snapshotSchema), placement: z.record(z.string(), z.number()).catch({}), lastRun: lastRunSchema,
  timeline: timelineSchema.optional().catch(undefined), learned: learnedSchema.optional().catch(undefined),
  readProfiles: readable(readProfileSchema),
});

/**
 * A record that cannot be read. It is refused as a whole: a member that was left out of it would be forgotten, and made a
 * second time while the first one lives.
 */
export class DamagedRecordError extends Error {
  override readonly name = "DamagedRecordError";
  /** @param path of the first value that is wrong, such as `members[3].slot` */
  constructor(readonly path: string, value: unknown) {
    super(`the recorded state of this fleet is damaged: ${path}: expected what this version or an older one writes there, got ${seen(value)}; ` +
      "`pulumi stack export` shows it");
  }
}

/**
 * A recorded state as read back from Pulumi, tolerant of what older versions left out and of properties that newer ones add.
 * undefined: this is no recorded state (it names no fleet id and incarnation).
 * @throws DamagedRecordError
 */
export function parseState(value: unknown): FleetState | undefined {
  const result = stateSchema.safeParse(value);
  if (!result.success) {
    const paths = result.error.issues.map(({ path }) => path);
    if (paths.some(([first]) => first === undefined || first === "fleetId" || first === "incarnation")) return undefined;
    throw new DamagedRecordError(formatPath(paths[0]!), paths[0]!.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown>)[key], value));
  }
  const { timeline, learned, readProfiles, defaultsVersion, lastRun: { predictedSeconds, ...lastRun }, ...state } = result.data;
  return {
    ...state, hosts: state.hosts.map(asRead), lastRun: { ...lastRun, ...(predictedSeconds !== undefined && { predictedSeconds }) },
    ...(defaultsVersion !== undefined && { defaultsVersion }),
    ...(timeline && { timeline }), ...(learned && { learned }), ...(readProfiles.length > 0 && { readProfiles }),
  };
}
