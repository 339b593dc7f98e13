import { setTimeout as sleep } from "node:timers/promises";
import { HostUnreachableError, LockTimeoutError, type FleetLock, type LockRequest } from "../hypervisor";
import { helperXml } from "./domainXml";
import { lockDomainName } from "./names";
import type { Domain } from "./rpc/client";
import { LibvirtError } from "./rpc/errors";
import { Flag } from "./rpc/protocol";
import type { HostSession } from "./session";
import { parseTag, TAG_URI } from "./tags";

const RETRY_MS = 500;
const START_DEADLINE_MS = 120_000;

interface Held {
  session: HostSession;
  domain: Domain;
}

/**
 * One run per fleet: a paused transient domain of one name on every host, which dies with our connection. The host
 * of the lowest uuid is taken first and decides; the others follow at once. Hosts that do not answer are passed
 * over: nobody else can take them either.
 */
export async function lockFleet(request: LockRequest, sessions: HostSession[], domainType: (s: HostSession) => { type: string; arch: string }): Promise<FleetLock> {
  const started = Date.now();
  const lost = new AbortController();
  const held: Held[] = [];
  try {
    const hosts = await inUuidOrder(sessions);
    const [first, ...others] = hosts;
    const take = async (session: HostSession): Promise<void> => {
      const domain = await takeOne(session, request, domainType(session), started);
      if (domain) held.push({ session, domain });
    };
    if (first) await take(first);
    const results = await Promise.allSettled(others.map(take));
    for (const result of results) if (result.status === "rejected") throw result.reason;
    await watch(held, lost);
  } catch (error) {
    await release(held);
    throw error;
  }
  return { lost: lost.signal, release: () => release(held) };
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
): Promise<Domain | null> {
  const name = lockDomainName(request.fleetId);
  const tag = { purpose: "lock" as const, fleetId: request.fleetId, holder: request.holder };
  const xml = helperXml(name, tag, machine.type, machine.arch, []);
  for (;;) {
    request.signal?.throwIfAborted();
    try {
      const client = await session.client();
      return await client.createDomain(xml, Flag.startPaused | Flag.startAutodestroy, START_DEADLINE_MS);
    } catch (error) {
      if (error instanceof HostUnreachableError) return null;
      if (!(error instanceof LibvirtError)) throw session.wrap("lock", error);
      const holder = await holderOf(session, name);
      if (holder === null && !/already exists|already active|domain .* exists/i.test(error.message)) throw session.wrap("lock", error);
      const waited = Date.now() - started;
      if (holder !== null) {
        request.onWait?.(holder);
        if (waited > request.timeoutMs) throw new LockTimeoutError(request.fleetId, session.name, holder, waited);
        await sleep(RETRY_MS, undefined, { signal: request.signal });
      } else if (waited > request.timeoutMs) throw new LockTimeoutError(request.fleetId, session.name, "unknown", waited);
    }
  }
}

async function holderOf(session: HostSession, name: string): Promise<string | null> {
  return session.run("look at lock", async (client) => {
    const domain = await client.lookupDomain(name);
    if (!domain) return null;
    const xml = await client.getMetadata(domain, TAG_URI);
    const tag = xml === null ? null : parseTag(xml);
    return tag?.purpose === "lock" ? tag.holder : "a domain that is not ours";
  });
}

/** A host whose connection died is out of this run (its session refuses); all of them gone ends the run. */
async function watch(held: Held[], lost: AbortController): Promise<void> {
  let alive = held.length;
  for (const { session } of held) {
    session.holdLock(true);
    const client = await session.client();
    client.onClose(() => {
      alive--;
      if (alive === 0) lost.abort(new Error("the connections that held the fleet's lock died"));
    });
  }
}

async function release(held: Held[]): Promise<void> {
  await Promise.all(held.splice(0).map(async ({ session, domain }) => {
    session.holdLock(false);
    await session.run("unlock", (client) => client.destroyDomain(domain, 0, START_DEADLINE_MS)).catch(() => undefined);
  }));
}
