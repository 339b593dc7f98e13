/** The record of a run: what Pulumi's state holds. The hosts are the truth; this is for when they cannot be asked. */
import { z } from "zod";
import { takeCensus } from "./census";
import { DEFAULTS } from "./inputs";
import { knowHosts, type KnownHost } from "./hosts";
import type { FleetSpec, FleetState, Learned, MemberState, Observation, ObservedMember, ReadProfile, RunSummary, RunTimeline } from "./model";
import { compare } from "./problems";
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
  /** Names of hosts that were worked on and could not be looked at since. @default none */
  unsettled?: ReadonlySet<string>;
}

export const NO_RUN: RunSummary = {
  policy: "none", makespanSeconds: 0, bytesMoved: 0, bytesAcrossRacks: 0, bytesResent: 0, created: 0, destroyed: 0, reconfigured: 0,
};

export function recordState({ spec, fleetId, incarnation, observation, previous, lastRun, timeline, learned, readProfiles = [], unsettled }: RecordRequest): FleetState {
  const table = knowHosts(spec, previous, observation);
  const census = takeCensus(table, previous, false);
  const recorded = new Map((previous?.members ?? []).map((member) => [`${member.slot}/${member.generation}`, member]));
  const members = [...census.present, ...census.stranded, ...census.outdated, ...census.lost].flatMap(({ slot, generation, host, member }): MemberState[] => {
    if (member) return member.incarnation === incarnation ? [memberState(member, host)] : [];
    const before = recorded.get(`${slot}/${generation}`)!;
    return [{ ...before, host: host.name, ...(host.declared ? {} : { state: "lost" as const }) }];
  }).sort((a, b) => a.slot - b.slot || a.generation - b.generation);
  const replicas = table.hosts.flatMap((host) => replicasOn(host, previous));
  const holding = new Set([...members, ...replicas].map((one) => one.host));
  const counts = (name: string) => members.filter((member) => member.host === name).length;
  const contentId = observation.template?.contentId ?? previous?.contentId ?? members[0]?.contentId ?? "";
  const profiles = keptProfiles(readProfiles, new Set([contentId, ...members.map((member) => member.contentId)]));
  return {
    fleetId,
    incarnation,
    contentId,
    members,
    replicas,
    snapshots: members.flatMap(({ slot, host, base, kind, chain }) =>
      kind === "full" && base === "frozen" && chain.length > 1 ? [{ slot, host, volume: chain[chain.length - 1]! }] : []),
    placement: Object.fromEntries(spec.hosts.map((host) => [host.name, counts(host.name)])),
    hosts: table.hosts.flatMap((host) => {
      const described = host.declared?.spec ?? host.recorded;
      const isOpen = isUnsettled(host, unsettled);
      if (!described || (!host.declared && !isOpen && !holding.has(host.name))) return [];
      const { unsettled: _before, ...rest }: RecordedHost = described;
      return [{ ...rest, name: host.name, ...(host.uuid !== undefined && { uuid: host.uuid }), ...(isOpen && { unsettled: true }) }];
    }),
    lastRun,
    ...(timeline && { timeline }),
    ...(learned && { learned }),
    ...(profiles.length > 0 && { readProfiles: profiles }),
  };
}

type RecordedHost = FleetState["hosts"][number];

function isUnsettled({ name, abandoned, seen, recorded }: KnownHost, unsettled: ReadonlySet<string> | undefined): boolean {
  if (abandoned) return false;
  return unsettled?.has(name) || (seen ? seen.partials.length > 0 : recorded?.unsettled === true);
}

/** As seen; of a host that is out of sight, as recorded. */
function replicasOn({ name, seen, recorded, abandoned }: KnownHost, previous: FleetState | undefined): FleetState["replicas"] {
  if (!seen) {
    if (abandoned) return [];
    return (previous?.replicas ?? []).filter((one) => one.host === (recorded?.name ?? name)).map((one) => ({ ...one, host: name }));
  }
  return seen.replicas
    .map(({ contentId, purpose, disk }) => ({ host: name, contentId, purpose, volume: disk.volume }))
    .sort((a, b) => compare(a.volume, b.volume));
}

function memberState(member: ObservedMember, host: KnownHost): MemberState {
  const { slot, name, uuid, kind, generation, contentId, macs, power, base, chain } = member;
  return {
    slot, name, host: host.name, hostUuid: host.uuid ?? "", rack: host.rack, uuid, kind, generation, contentId, macs,
    state: power, base, chain: chain.map((disk) => disk.volume),
  };
}

// Older versions wrote less: what is missing takes a value that the next observation corrects.
const count = z.number().catch(0);
const word = z.string().catch("");
const memberSchema = z.looseObject({
  slot: z.int().min(0), name: z.string(), host: z.string(), hostUuid: word, rack: word, uuid: word,
  kind: z.enum(["full", "linked"]).catch("full"), generation: z.int().min(0).catch(0), contentId: word,
  macs: z.array(z.string()).catch([]), state: z.enum(["running", "stopped", "paused", "lost"]).catch("running"),
  base: z.enum(["frozen", "consolidating", "consolidated", "replica", "arriving", "arrived"]).catch("consolidated"), chain: z.array(z.string()).catch([]),
});
const hostSchema = z.looseObject({
  name: z.string(), uri: z.string(), rack: z.string().catch(DEFAULTS.rack), pool: z.string().catch("default"),
  transferAddress: z.string().optional().catch(undefined),
  transferPorts: z.object({ from: z.number(), to: z.number() }).catch({ ...DEFAULTS.transferPorts }),
  nicBitsPerSecond: z.number().catch(DEFAULTS.nicBitsPerSecond), diskBytesPerSecond: z.number().catch(DEFAULTS.diskBytesPerSecond),
  transferRateBitsPerSecond: z.number().optional().catch(undefined), maxConcurrent: z.number().catch(DEFAULTS.hostMaxConcurrent), capacity: z.number().optional().catch(undefined),
  uuid: z.string().optional().catch(undefined), unsettled: z.boolean().optional().catch(undefined),
});
const purpose = z.enum(["replica", "template"]);
const replicaSchema = z.object({ host: z.string(), contentId: z.string(), purpose, volume: z.string() });
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
  hopSeconds: z.number().min(0).optional(), finishSeconds: count, memberSeconds: z.number().min(0).optional(),
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

/** The items that can be read; the hosts tell the rest. */
function readable<T extends z.ZodType>(item: T) {
  return z.array(z.unknown()).catch([]).transform((values) =>
    values.flatMap((value): z.output<T>[] => {
      const result = item.safeParse(value);
      return result.success ? [result.data] : [];
    }));
}

const stateSchema = z.object({
  fleetId: z.string().min(1), incarnation: z.string().min(1), contentId: word,
  members: readable(memberSchema), replicas: readable(replicaSchema), snapshots: readable(snapshotSchema),
  placement: z.record(z.string(), z.number()).catch({}), hosts: readable(hostSchema), lastRun: lastRunSchema,
  timeline: timelineSchema.optional().catch(undefined), learned: learnedSchema.optional().catch(undefined),
  readProfiles: readable(readProfileSchema),
});

/**
 * A recorded state as read back from Pulumi, tolerant of what older versions left out and of what newer ones add.
 * undefined: this is no recorded state (it names no fleet id and incarnation).
 */
export function parseState(value: unknown): FleetState | undefined {
  const result = stateSchema.safeParse(value);
  if (!result.success) return undefined;
  const { timeline, learned, readProfiles, lastRun: { predictedSeconds, ...lastRun }, ...state } = result.data;
  return {
    ...state, lastRun: { ...lastRun, ...(predictedSeconds !== undefined && { predictedSeconds }) }, ...(timeline && { timeline }), ...(learned && { learned }),
    ...(readProfiles.length > 0 && { readProfiles }),
  };
}
