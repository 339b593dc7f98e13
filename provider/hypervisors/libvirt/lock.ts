import { setTimeout as sleep } from "node:timers/promises";
import { HostUnreachableError, LockTimeoutError, type FleetLock, type LockRequest } from "../hypervisor";
import { helperXml } from "./domainXml";
import { createHelper } from "./helper";
import { lockDomainName } from "./names";
import type { Domain, LibvirtClient } from "./rpc/client";
import { isLibvirtError, LibvirtError } from "./rpc/errors";
import { ErrorCode } from "./rpc/protocol";
import type { HostSession } from "./session";
import { parseTag, TAG_KEY, TAG_URI, tagXml, type HelperTag } from "./tags";

const RETRY_MS = 500;
const START_DEADLINE_MS = 120_000;
/** How often a holder shows that it lives. */
const BEAT_MS = 3_000;
/**
 * After this long without a beat a lock is nobody's. Autodestroy ends a lock with its holder's connection, but the
 * daemon forgets that when it dies itself: its guests live on, and so would the lock, for ever.
 */
const STALE_MS = 30_000;
const RELEASE_PATIENCE_MS = 5_000;
/** virDomainEventType */
const LIFECYCLE_STOPPED = 5;

interface Held {
  session: HostSession;
  /** The connection it was taken on, with which it goes. */
  client: LibvirtClient;
  domain: Domain;
  lost: boolean;
}

/** What a waiter saw of a lock, and since when. */
interface Sight {
  holder: string;
  ours: boolean;
  signature: string;
  since: number;
}

/**
 * One run per fleet: a paused transient domain of one name on every host, which dies with our connection. The host
 * of the lowest uuid is taken first and decides; the others follow at once. Hosts that do not answer are passed
 * over: nobody else can take them either. A lock whose holder no longer beats is taken away.
 */
export async function lockFleet(request: LockRequest, sessions: HostSession[], domainType: (s: HostSession) => { type: string; arch: string }): Promise<FleetLock> {
  const started = Date.now();
  const lost = new AbortController();
  const held: Held[] = [];
  const beating = setInterval(() => void Promise.all(held.map((one) => beat(one, request))), BEAT_MS);
  beating.unref();
  const letGo = (): Promise<void> => {
    clearInterval(beating);
    return release(held);
  };
  try {
    const hosts = await inUuidOrder(sessions);
    const [first, ...others] = hosts;
    const take = async (session: HostSession): Promise<void> => {
      const taken = await takeOne(session, request, domainType(session), started);
      if (!taken) return;
      const one: Held = { session, ...taken, lost: false };
      held.push(one);
      session.holdLock(true);
      await watch(one, () => {
        if (held.every((other) => other.lost)) lost.abort(new Error("the connections that held the fleet's lock died"));
      });
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

/** Reachable hosts, each once, however many names it has. */
async function inUuidOrder(sessions: HostSession[]): Promise<HostSession[]> {
  const byUuid = new Map<string, HostSession>();
  await Promise.all(sessions.map(async (session) => {
    try {
      const uuid = await session.uuid();
      if (!byUuid.has(uuid)) byUuid.set(uuid, session);
    } catch (error) {
      if (!(error instanceof HostUnreachableError)) throw error;
    }
  }));
  return [...byUuid].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, session]) => session);
}

async function takeOne(
  session: HostSession, request: LockRequest, machine: { type: string; arch: string }, started: number,
): Promise<{ domain: Domain; client: LibvirtClient } | null> {
  const name = lockDomainName(request.fleetId);
  const xml = (quick: boolean): string => helperXml(name, lockTag(request, 0), machine.type, machine.arch, [], quick);
  let sight: Sight | undefined;
  for (;;) {
    request.signal?.throwIfAborted();
    try {
      const client = await session.client();
      return { client, domain: await createHelper(session, client, xml) };
    } catch (error) {
      if (error instanceof HostUnreachableError) return null;
      if (!(error instanceof LibvirtError)) throw session.wrap("lock", error);
      sight = await look(session, request.fleetId, sight);
      if (sight === undefined && !/already exists|already active|domain .* exists/i.test(error.message)) throw session.wrap("lock", error);
      const waited = Date.now() - started;
      if (sight) request.onWait?.(sight.holder);
      if (waited > request.timeoutMs) throw new LockTimeoutError(request.fleetId, session.name, sight?.holder ?? "unknown", waited);
      if (sight?.ours && Date.now() - sight.since > STALE_MS) await removeLock(session, name);
      else if (sight) await sleep(RETRY_MS, undefined, { signal: request.signal });
    }
  }
}

const lockTag = ({ fleetId, holder }: LockRequest, beats: number): HelperTag => ({ purpose: "lock", fleetId, holder, beat: String(beats) });

/** Undefined: the lock is gone. `since` is when it was first seen as it is now: a holder that lives changes it. */
async function look(session: HostSession, fleetId: string, before: Sight | undefined): Promise<Sight | undefined> {
  return session.run("look at lock", async (client) => {
    const domain = await client.lookupDomain(lockDomainName(fleetId));
    if (!domain) return undefined;
    const xml = await client.getMetadata(domain, TAG_URI);
    const tag = xml === null ? null : parseTag(xml);
    const ours = tag?.purpose === "lock" && tag.fleetId === fleetId;
    const holder = ours ? tag.holder : "a domain that is not ours";
    const signature = `${domain.uuid.toString("hex")} ${ours ? tag.beat : ""}`;
    return { holder, ours, signature, since: before?.signature === signature ? before.since : Date.now() };
  });
}

async function removeLock(session: HostSession, name: string): Promise<void> {
  await session.run("remove stale lock", async (client) => {
    const domain = await client.lookupDomain(name);
    if (domain) await client.destroyDomain(domain, 0, START_DEADLINE_MS);
  });
}

let beats = 0;
async function beat(one: Held, request: LockRequest): Promise<void> {
  if (one.lost) return;
  try {
    await one.client.setLiveMetadata(one.domain, TAG_URI, TAG_KEY, tagXml(lockTag(request, ++beats)));
  } catch (error) {
    // Somebody found it silent and took it; any other trouble is the connection's to tell.
    if (isLibvirtError(error, ErrorCode.noDomain) && one.session.holdsLock) one.session.poison(takenAway());
  }
}
const takenAway = (): Error => new Error("the fleet's lock on this host was taken away");

/** A host whose connection died is out of this run (its session refuses); all of them gone ends the run. */
async function watch(one: Held, gone: () => void): Promise<void> {
  const { session, client, domain } = one;
  client.onClose(() => {
    one.lost = true;
    if (session.holdsLock) gone();
  });
  // Taken away by somebody who found it silent (this process was stopped, or hung): the host is theirs now.
  const uuid = domain.uuid.toString("hex");
  await client.onLifecycle((stopped, event) => {
    if (event === LIFECYCLE_STOPPED && stopped.uuid.toString("hex") === uuid && session.holdsLock) session.poison(takenAway());
  });
}

/** Names of the sessions whose machine is locked; one machine may have several names. */
function namesLocked(sessions: HostSession[], held: Held[]): string[] {
  const locked = new Set(held.map((one) => one.session.knownUuid));
  return sessions.filter(({ knownUuid }) => knownUuid !== undefined && locked.has(knownUuid)).map(({ name }) => name);
}

async function release(held: Held[]): Promise<void> {
  const all = held.splice(0).map(async ({ session, domain }) => {
    session.holdLock(false);
    // Through the session: where the connection died with the daemon, the lock outlived it and needs another one.
    await session.run("unlock", (client) => client.destroyDomain(domain, 0, START_DEADLINE_MS)).catch(() => undefined);
  });
  await Promise.race([Promise.all(all), sleep(RELEASE_PATIENCE_MS, undefined, { ref: false })]);
}
