import type { PoolAt } from "../rpc/poolAt";
import type { VolumeScope } from "../volumes/names";
import type { HostSession } from "./session";

/** One fleet on one host. */
export interface Place {
  session: HostSession;
  scope: VolumeScope;
}

/** A place with its pool and a connection at hand. */
export interface Here extends Place, PoolAt {}

/** Runs calls under one step name, as `HostSession.run` does. */
export async function inPlace<T>(place: Place, step: string, body: (here: Here) => Promise<T>): Promise<T> {
  const { pool } = await place.session.pool();
  return place.session.run(step, (client) => body({ ...place, client, pool }));
}
