import type { Pool } from "../rpc/handles";
import type { PoolAt } from "../rpc/poolAt";
import type { VolumeScope } from "../volumes/names";
import type { HostSession } from "./session";

/** One fleet on one host. */
export interface Place {
  session: HostSession;
  scope: VolumeScope;
}

/** A place with its pool and a connection at hand. */
export interface Here extends Place, PoolAt {
  /** The fleet's own pool, where `pool` is another one of the host: who uses what is asked from there. */
  home?: Pool;
}

/** The same place, at another of its host's pools. */
export const atPool = (here: Here, pool: Pool): Here => ({ ...here, pool, home: here.home ?? here.pool });

export const atHome = (here: Here): Here => (here.home ? { ...here, pool: here.home } : here);

/** Runs calls under one step name, as `HostSession.run` does. */
export async function inPlace<T>(place: Place, step: string, body: (here: Here) => Promise<T>): Promise<T> {
  const { pool } = await place.session.pool();
  return place.session.run(step, (client) => body({ ...place, client, pool }));
}
