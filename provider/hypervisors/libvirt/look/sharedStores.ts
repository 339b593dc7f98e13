import { randomBytes } from "node:crypto";
import { HypervisorError } from "../../hypervisor";
import { inPlace, type Place } from "../connection/place";
import { deleteOwnMap } from "../guard/guard";
import { volumeName } from "../volumes/names";
import { BUSY_POOL_MS, refreshPool } from "../volumes/poolRoom";
import type { HostSession } from "../connection/session";
import { ensureVolume } from "../volumes/volumes";

/**
 * Which hosts' pools are one directory, however each host calls and mounts it: what one host puts there the others see.
 * The file bears the name of a copy's map, so that one left behind is a leftover as any other. A host that does not
 * answer, or whose pool is too busy to be looked at, is said to share with nobody.
 */
export async function sharedStores(fleetId: string, sessions: readonly HostSession[]): Promise<string[][]> {
  const placeOf = async (session: HostSession): Promise<Place> => ({ session, scope: { fleetId, hostUuid: await session.uuid() } });
  const id = randomBytes(8).toString("hex");
  const marks = new Map<HostSession, string>();
  try {
    await each(sessions, async (session) => {
      const place = await placeOf(session);
      const name = volumeName(place.scope, { kind: "map", id });
      await session.pool();
      marks.set(session, name); // before it is there: what fails half-way is removed, too
      await inPlace(place, "mark pool", (here) => ensureVolume(here, name, 1, "raw"));
    });
    const seenBy = new Map<HostSession, ReadonlySet<string>>();
    await each([...marks.keys()], async (session) => {
      seenBy.set(session, await inPlace(await placeOf(session), "look for marks", async (here) => {
        await refreshPool(here, BUSY_POOL_MS);
        return new Set((await here.client.listVolumes(here.pool)).map(({ name }) => name));
      }));
    });
    return grouped([...marks], seenBy);
  } finally {
    await each([...marks.keys()], async (session) => {
      await inPlace(await placeOf(session), "remove mark", (here) => deleteOwnMap(here, marks.get(session)!));
    });
  }
}

/** Whoever sees a mark shares the store of whoever made it. */
function grouped(marks: readonly [HostSession, string][], seenBy: ReadonlyMap<HostSession, ReadonlySet<string>>): string[][] {
  const groups: HostSession[][] = [];
  for (const [session, name] of marks) {
    const shares = ([other]: HostSession[]): boolean =>
      seenBy.get(other!)?.has(name) === true || seenBy.get(session)?.has(marks.find(([one]) => one === other)![1]) === true;
    const group = groups.find(shares);
    if (group) group.push(session);
    else groups.push([session]);
  }
  return groups.filter((group) => group.length > 1).map((group) => group.map(({ name }) => name));
}

/** At once; one host's failure is no other's. */
async function each(sessions: readonly HostSession[], act: (session: HostSession) => Promise<void>): Promise<void> {
  await Promise.all(sessions.map(async (session) => {
    try {
      await act(session);
    } catch (error) {
      if (!(error instanceof HypervisorError)) throw error;
    }
  }));
}
