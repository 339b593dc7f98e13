import type { FleetSpec, Observation, TemplateDisk } from "../../fleet/model";
import { replicaKey, type SimulatedHost } from "./world";

export interface SimulatedTemplate {
  contentId: string;
  /** null: a local file, uploaded by the provider. */
  host: string | null;
  /** What each copy is of. */
  disks: readonly TemplateDisk[];
}

interface Seen {
  template: SimulatedTemplate;
  hosts: ReadonlyMap<string, SimulatedHost>;
}

/** What a look says of it; of a file that was uploaded, also where it lies. */
export function observeTemplate({ template, hosts }: Seen, fleetId: string, spec: FleetSpec): Pick<Observation, "template" | "templateProblem"> {
  const { contentId, disks } = template;
  let { host } = template;
  if (host !== null && hosts.get(host)?.down !== undefined) {
    return { templateProblem: { property: "host", message: `${host} does not answer` } };
  }
  if (host === null && spec.template.kind === "file") {
    const uploaded = replicaKey(fleetId, "template", contentId);
    host = [...hosts.values()].find((one) => one.down === undefined && one.replicas.get(uploaded)?.whole)?.name ?? null;
  }
  return { template: { contentId, ...(host !== null && { host }), disks } };
}
