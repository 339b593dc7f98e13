/** Uploads of a local file, which stand for the template on the hosts that have them. */
import type { Observation, ObservedTemplate } from "../../../fleet/model";
import type { Source } from "../copy/feeds";

/**
 * What an upload is, known from who sent it: it was made as a raw file for its bytes to be written to, and libvirt
 * learns what it holds when it looks at the pool again, which others may keep it from.
 */
export function uploadFacts(
  { contentId }: { contentId: string }, volumeName: string, template: ObservedTemplate | undefined,
): Partial<Pick<Source, "format" | "capacityBytes" | "allocationBytes">> {
  const disk = template?.contentId === contentId ? template.disks[0] : undefined;
  return { format: volumeName.endsWith(".raw") ? "raw" : "qcow2", ...(disk && { capacityBytes: disk.capacityBytes, allocationBytes: disk.bytes }) };
}

/** The first host that holds a whole upload of the template's content. */
export function uploadHost(observation: Observation): string | undefined {
  for (const host of observation.hosts) {
    if (host.status !== "reachable") continue;
    if (host.replicas.some((r) => r.purpose === "template" && r.contentId === observation.template?.contentId)) return host.name;
  }
  return undefined;
}
