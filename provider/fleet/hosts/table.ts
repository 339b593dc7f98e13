/**
 * Which machine is which: declared hosts, recorded hosts and observed hosts are brought together by the hypervisor's
 * own id, then by address, then by name, so that renaming a host in the program is no change.
 */
import { groupBy, groupOf } from "../groups";
import type { FleetSpec, FleetState, HostSpec, MemberState, Observation, Problem, ReachableHost, RecordedHost } from "../model";
import { addressOf, hostFacts } from "../own";
import { declaredHost, recordedAddress } from "../record/host";

/** A host that is declared, or recorded as holding members. */
export interface KnownHost {
  /** The declared name; for a host that is no longer declared the one it was observed or recorded under. */
  name: string;
  rack: string;
  /** Its place in the program; absent: no longer declared. */
  declared?: { index: number; spec: HostSpec };
  recorded?: RecordedHost;
  uuid?: string;
  /** Absent: it was not asked, or did not answer. */
  seen?: ReachableHost;
  /** Why it was not seen, in words. */
  unseenReason: string;
  /** Given up in `abandonHosts`, and indeed not answering. */
  abandoned: boolean;
}

export interface HostTable {
  /** Declared ones first, in their order; then the others. */
  hosts: KnownHost[];
  /** Two declared hosts that are one machine. */
  problems: Problem[];
  hostOf(member: Pick<MemberState, "host" | "hostUuid">): KnownHost | undefined;
}

/**
 * A name that no other host has, which it then has: what is known of hosts by their names is known of one each.
 * @returns the name, or where that is taken `a1 (former)`, `a1 (former 2)` and so on
 */
function ownName(name: string, taken: Set<string>): string {
  let own = name;
  for (let other = 1; taken.has(own); other++) own = `${name} (former${other > 1 ? ` ${other}` : ""})`;
  taken.add(own);
  return own;
}

/** The recorded hosts that may be other machines than the declared ones, under names of their own. */
function formerHosts(spec: FleetSpec, previous: FleetState | undefined): { host: HostSpec; recorded: RecordedHost }[] {
  const addresses = new Set(spec.hosts.map(addressOf));
  const names = new Set(spec.hosts.map((host) => host.name));
  return (previous?.hosts ?? [])
    .filter((recorded) => !addresses.has(recordedAddress(recorded)))
    .map((recorded) => ({ host: { ...declaredHost(recorded), name: ownName(recorded.name, names) }, recorded }));
}

/**
 * Whom to observe: the declared hosts and those of the last run that are no longer declared, so that they can be
 * emptied. A recorded host whose name now stands for another address is called `a1 (former)`; no two have one name.
 */
export function hostsToObserve(spec: FleetSpec, previous: FleetState | undefined): HostSpec[] {
  return [...spec.hosts, ...formerHosts(spec, previous).map((former) => former.host)];
}

export function knowHosts(spec: FleetSpec, previous: FleetState | undefined, observation: Observation | undefined): HostTable {
  const answers = new Map((observation?.hosts ?? []).map((host) => [host.name, host]));
  const hosts: KnownHost[] = spec.hosts.map((host, index) => known(host, answers, { index, spec: host }));
  const problems = sameMachine(hosts);
  const former = formerHosts(spec, previous);

  for (const { host, recorded } of former) {
    const answer = known(host, answers, undefined);
    const same = hosts.find((one) => isSame(one, recorded, answer.uuid));
    if (same) same.recorded ??= recorded;
    else hosts.push({ ...answer, recorded, uuid: answer.uuid ?? recorded.uuid });
  }
  const names = new Set([...hosts.map((one) => one.name), ...former.map((one) => one.host.name)]);
  const uuids = new Set(hosts.map((one) => one.uuid));
  const byAddress = new Map([...hosts].reverse().flatMap((one) => (one.declared ? [[addressOf(one.declared.spec), one]] : [])));
  for (const recorded of previous?.hosts ?? []) {
    const same = byAddress.get(recordedAddress(recorded));
    if (same && (!same.uuid || !recorded.uuid || same.uuid === recorded.uuid)) {
      same.recorded = recorded;
      same.uuid ??= recorded.uuid;
      uuids.add(same.uuid);
    } else if (same && !uuids.has(recorded.uuid)) {
      // The address leads to another machine now; the one that held our members is out of sight.
      const unseenReason = hostFacts(declaredHost(recorded).own).addressMoved;
      hosts.push({ name: ownName(recorded.name, names), rack: recorded.rack, recorded, uuid: recorded.uuid, unseenReason, abandoned: false });
      uuids.add(recorded.uuid);
    }
  }
  for (const answer of answers.values()) {
    if (names.has(answer.name) || (answer.status === "reachable" && uuids.has(answer.uuid))) continue;
    hosts.push(known({ name: answer.name, rack: "" }, answers, undefined));
    if (answer.status === "reachable") uuids.add(answer.uuid);
  }
  const given = new Set(spec.abandonHosts);
  for (const host of hosts) host.abandoned = !host.seen && hostNames(host).some((name) => given.has(name));
  return { hosts, problems, hostOf: hostFinder(hosts) };
}

function known(
  host: Pick<HostSpec, "name" | "rack">, answers: ReadonlyMap<string, Observation["hosts"][number]>, declared: KnownHost["declared"],
): KnownHost {
  const answer = answers.get(host.name);
  const base = { name: host.name, rack: host.rack, abandoned: false, ...(declared && { declared }) };
  if (answer?.status === "reachable") return { ...base, seen: answer, uuid: answer.uuid, unseenReason: "" };
  return { ...base, unseenReason: answer?.reason ?? "it was not asked" };
}

/** A declared host under another address is the recorded one when the ids agree; without ids, when the names do. */
function isSame(host: KnownHost, recorded: RecordedHost, observedUuid: string | undefined): boolean {
  const uuid = observedUuid ?? recorded.uuid;
  if (host.uuid && uuid) return host.uuid === uuid;
  return host.name === recorded.name;
}

function hostFinder(hosts: readonly KnownHost[]): HostTable["hostOf"] {
  const [byUuid, byRecord, byName] = [groupBy(hosts, (host) => host.uuid), groupBy(hosts, (host) => host.recorded?.name), groupBy(hosts, (host) => host.name)];
  return (member) => {
    // A host of an id is found by it: another one is none of a member that names an id.
    const isPossible = ({ uuid }: KnownHost) => !uuid || !member.hostUuid;
    return (member.hostUuid ? groupOf(byUuid, member.hostUuid)[0] : undefined)
      ?? groupOf(byRecord, member.host).find(isPossible)
      ?? groupOf(byName, member.host).find(isPossible);
  };
}

/** What makes a host that no member is on record for one that must answer, in words after "which". */
export const unsettledReason = ({ recorded }: KnownHost): string => (recorded?.noted
  ? "a run that was killed on this machine noted as one it worked on"
  : "was worked on when it went silent or was left with leftovers or members that are not on record");

/** All that a program may call it by. */
export function hostNames(host: KnownHost): string[] {
  const { name, declared, recorded, uuid } = host;
  return [name, declared && addressOf(declared.spec), recorded?.name, recorded && recordedAddress(recorded), uuid].filter((one): one is string => !!one);
}

function sameMachine(hosts: readonly KnownHost[]): Problem[] {
  const first = new Map<string, number>();
  return hosts.flatMap((host, index) => {
    if (!host.seen) return [];
    const earlier = first.get(host.seen.uuid);
    if (earlier === undefined) {
      first.set(host.seen.uuid, index);
      return [];
    }
    return [{
      path: `hosts[${index}].${hostFacts(host.declared!.spec.own).addressProperty}`,
      message: `expected a machine of its own for each host, got one (${host.seen.uuid}) that hosts[${earlier}] reaches too; remove one of them`,
    }];
  });
}
