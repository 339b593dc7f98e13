import type { LibvirtClient } from "./client";
import type { Pool } from "./handles";

/** A storage pool, and the connection over which it is asked. */
export interface PoolAt {
  client: LibvirtClient;
  pool: Pool;
}
