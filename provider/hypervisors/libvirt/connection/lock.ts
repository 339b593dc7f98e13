import { every, type Clock } from "../../../async/clock";
import { within } from "../../../async/within";
import { uptime } from "node:os";
import { HostUnreachableError, LockTimeoutError, type FleetLock, type LockRequest } from "../../hypervisor";
import { helperXml } from "../xml/domainXml";
import { createHelper } from "../helper/helper";
import { BEAT_MS, FIRST_BEAT, takeLock, type Lease, type LockHost, type LockTime, type Sight } from "./lease";
import { lockDomainName } from "../volumes/names";
import type { LibvirtClient } from "../rpc/client";
import type { Domain } from "../rpc/handles";
import { ErrorCode, LONG_CALL_MS } from "../rpc/protocol";
import { isLibvirtError, LibvirtError } from "../rpc/errors";
import type { HostSession } from "./session";
import { parseTag, TAG_KEY, TAG_URI, tagXml, type HelperTag } from "../xml/tags";

const RELEASE_PATIENCE_MS = 5_000;
/** virDomainEventType */
const LIFECYCLE_STOPPED = 5;

/** A process's clock stands still while Linux sleeps, `uptime` does not; where a system counts otherwise, the longer counts. */
export function lockTimeBy(clock: Clock): LockTime {
  const started = { now: clock.nowMs(), up: uptime() * 1000 };
  return {
    nowMs: () => clock.nowMs(), sleep: (ms, signal) => clock.sleep(ms, signal),
    nowWithSleepMs: () => Math.max(clock.nowMs() - started.now, uptime() * 1000 - started.up),
  };
}

/** The lock's domain, and the connection it was made on, with which it goes. */
interface LockDomain {
  client: LibvirtClient;
  domain: Domain;
}
interface Held extends LockDomain {
  machine: Machine;
  lease: Lease;
}
/** One machine under all the names it has: what is lost under one is lost under all. */
type Machine = readonly [HostSession, ...HostSession[]];

/**
 * One run per fleet: a paused transient domain of one name on every host, which dies with our connection. The host
 * of the lowest uuid is taken first and decides; the others follow at once. Hosts that do not answer are passed
 * over: nobody else can take them either. A lock whose holder no longer beats is taken away (`lease.ts`): autodestroy
 * ends a lock with its holder's connection, but a daemon forgets that when it dies itself, and its guests live on.
 */
export async function lockFleet(
  request: LockRequest, sessions: HostSession[], domainType: (s: HostSession) => { type: string; arch: string }, clock: Clock, time: LockTime = lockTimeBy(clock),
): Promise<FleetLock> {
  const lost = new AbortController();
  const held: Held[] = [];
  const endBeating = every(clock, BEAT_MS, () => { for (const { lease } of held) void lease.beat(); });
  const letGo = (): Promise<void> => {
    endBeating();
    return release(held.splice(0), clock);
  };
  try {
    const [first, ...others] = await inUuidOrder(sessions);
    const count = (): void => {
      if (held.length > 0 && held.every(({ lease }) => lease.isLost)) lost.abort(new Error("the connections that held the fleet's lock died"));
    };
    const take = async (machine: Machine): Promise<void> => {
      const one = await takeOne(machine, request, domainType(machine[0]), time, count);
      if (!one) return;
      held.push(one);
      await watch(one).catch((error: unknown) => {
        if (!one.lease.isLost) throw machine[0].wrap("lock", error);
      });
      count(); // it may have been lost before it was held
    };
    if (first) await take(first);
    const results = await Promise.allSettled(others.map(take));
    for (const result of results) if (result.status === "rejected") throw result.reason;
  } catch (error) {
    await letGo();
    throw error;
  }
  return { lost: lost.signal, release: letGo, lockedHosts: namesLocked(sessions, held) };
}

/** Reachable hosts. */
async function inUuidOrder(sessions: HostSession[]): Promise<Machine[]> {
  const byUuid = new Map<string, [HostSession, ...HostSession[]]>();
  await Promise.all(sessions.map(async (session) => {
    try {
      const uuid = await session.uuid();
      const known = byUuid.get(uuid);
      if (known) known.push(session);
      else byUuid.set(uuid, [session]);
    } catch (error) {
      if (!(error instanceof HostUnreachableError)) throw error;
    }
  }));
  return [...byUuid].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, machine]) => machine);
}

/** Null: the host does not answer. */
async function takeOne(
  machine: Machine, request: LockRequest, domain: { type: string; arch: string }, time: LockTime, lost: () => void,
): Promise<Held | null> {
  const [session] = machine;
  const host = lockHost(session, request, domain);
  const waiting = {
    timeoutMs: request.timeoutMs, signal: request.signal, onWait: request.onWait,
    late: (holder: string, waitedMs: number) => new LockTimeoutError(request.fleetId, session.name, holder, waitedMs),
  };
  try {
    const { lock, lease } = await takeLock(host, waiting, time, (reason) => {
      for (const each of machine) each.poison(reason);
      lost();
    });
    for (const each of machine) each.holdLock({ client: lock.client, check: () => lease.check() });
    return { ...lock, machine, lease };
  } catch (error) {
    if (error instanceof HostUnreachableError) return null;
    throw error instanceof LockTimeoutError ? error : session.wrap("lock", error);
  }
}

const lockTag = ({ fleetId, holder }: LockRequest, beat: string): HelperTag => ({ purpose: "lock", fleetId, holder, beat });
const idOf = ({ uuid }: Domain): string => uuid.toString("hex");

/** Codes of a domain that cannot be made because its name is taken; they say other things, too. */
const MAYBE_TAKEN = [ErrorCode.operationFailed, ErrorCode.operationInvalid, ErrorCode.domExist] as const;

/** One host's door to the lock of a fleet. */
function lockHost(session: HostSession, request: LockRequest, { type, arch }: { type: string; arch: string }): LockHost<LockDomain> {
  const name = lockDomainName(request.fleetId);
  const xml = (quick: boolean): string => helperXml(name, lockTag(request, FIRST_BEAT), type, arch, [], quick);
  const removeDomain = (domain: Domain): Promise<void> => session.run("remove lock", async (client) => {
    await client.destroyDomain(domain, 0, LONG_CALL_MS).catch((error: unknown) => {
      if (!isLibvirtError(error, ErrorCode.noDomain, ErrorCode.operationInvalid)) throw error; // gone is gone
    });
  });
  return {
    make: () => session.run("lock", async (client) => {
      try {
        return { lock: { client, domain: await createHelper(session, client, xml) } };
      } catch (error) {
        if (!(error instanceof LibvirtError)) throw error;
        // Of any other code: it is taken where one is there.
        if (isLibvirtError(error, ...MAYBE_TAKEN) || (await client.lookupDomain(name))) return { taken: session.wrap("lock", error) };
        throw error;
      }
    }),
    look: () => session.run("look at lock", (client) => look(client, name, request.fleetId)),
    async beat({ client, domain }, beat) {
      try {
        await client.setLiveMetadata(domain, TAG_URI, TAG_KEY, tagXml(lockTag(request, beat)));
        return true;
      } catch (error) {
        // It is gone, or it is going.
        if (isLibvirtError(error, ErrorCode.noDomain, ErrorCode.operationInvalid)) return false;
        throw error;
      }
    },
    // Whoever waits knows the lock by its id alone: a libvirt finds its domains by uuid.
    remove: (id) => removeDomain({ name, uuid: Buffer.from(id, "hex"), id: -1 }),
    idOf: ({ domain }) => idOf(domain),
  };
}

/** Of a lock that comes or goes just now nobody can read whose it is: it is a run of this fleet's all the same. */
const PASSING = "another run that begins or ends just now";

async function look(client: LibvirtClient, name: string, fleetId: string): Promise<Sight | null> {
  const domain = await client.lookupDomain(name);
  if (!domain) return null;
  const passing = { id: idOf(domain), holder: PASSING, ours: false, beat: "" };
  let xml: string | null;
  try {
    xml = await client.getMetadata(domain, TAG_URI);
  } catch (error) {
    if (isLibvirtError(error, ErrorCode.operationInvalid)) return passing; // it is not yet started
    throw error;
  }
  const tag = xml === null ? null : parseTag(xml);
  if (tag?.purpose === "lock" && tag.fleetId === fleetId) return { ...passing, holder: tag.holder, ours: true, beat: tag.beat ?? FIRST_BEAT };
  const still = xml === null ? await client.lookupDomain(name) : domain;
  if (!still) return null;
  if (idOf(still) !== idOf(domain)) return passing;
  return { ...passing, holder: `a domain named ${name} that is no lock of this fleet` };
}

/** A host whose connection died, or whose lock was taken away, is out of this run (its session refuses). */
async function watch({ client, domain, lease }: Held): Promise<void> {
  client.onClose((error) => lease.lose(error));
  await client.events.onLifecycle((stopped, event) => {
    if (event === LIFECYCLE_STOPPED && idOf(stopped) === idOf(domain)) lease.lose(new Error("the fleet's lock on this host was taken away"));
  });
}

/** Names of the sessions whose machine is locked; one machine may have several names. */
function namesLocked(sessions: HostSession[], held: Held[]): string[] {
  const locked = new Set(held.map(({ machine }) => machine[0].knownUuid));
  return sessions.filter(({ knownUuid }) => knownUuid !== undefined && locked.has(knownUuid)).map(({ name }) => name);
}

/** Ours alone, by its uuid, whatever bears its name by now. A host that was lost stays lost: late cleaners find no way in. */
async function release(held: Held[], clock: Clock): Promise<void> {
  const all = held.map(async ({ machine, domain, lease }) => {
    const [session] = machine;
    const unlock = (client: LibvirtClient): Promise<void> => client.destroyDomain(domain, 0, LONG_CALL_MS);
    lease.end();
    if (lease.isLost) return session.onceMore(unlock).catch(() => undefined); // where the daemon died, the lock outlived it
    for (const each of machine) if (each !== session) each.stopCalls();
    await session.giveBack(unlock).catch(() => undefined);
  });
  await within(clock, RELEASE_PATIENCE_MS, Promise.all(all));
  for (const { machine, lease } of held) if (!lease.isLost) for (const each of machine) each.leave();
}
