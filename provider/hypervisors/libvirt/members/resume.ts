import type { LibvirtClient } from "../rpc/client";
import type { Domain } from "../rpc/handles";

/** A guest that stands still because of its disk goes on. Whoever minds it may be quicker: one that runs by then is as was wanted. */
export async function resumeStopped(client: LibvirtClient, domain: Domain): Promise<void> {
  if (!(await client.isStoppedByDisk(domain))) return;
  try {
    await client.resumeDomain(domain);
  } catch (error) {
    if (await client.isStoppedByDisk(domain)) throw error;
  }
}
