import type { HostSpec } from "../fleet/model";
import { HostUnreachableError, type FleetLock, type Hypervisor, type LockRequest } from "../hypervisors/hypervisor";

/**
 * Locks the fleet on all of these hosts that answer. A host that does not is left out here: what its silence means is
 * for the plan to say.
 */
export async function lockReachable(hypervisor: Hypervisor, request: LockRequest): Promise<FleetLock | undefined> {
  let hosts: HostSpec[] = request.hosts;
  while (hosts.length > 0) {
    try {
      return await hypervisor.lock({ ...request, hosts });
    } catch (error) {
      const without = error instanceof HostUnreachableError ? hosts.filter((h) => h.name !== error.host) : hosts;
      if (without.length === hosts.length) throw error;
      hosts = without;
    }
  }
  return undefined;
}
