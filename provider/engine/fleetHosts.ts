import type { FleetSpec, FleetState, HostSpec, Observation } from "../fleet/model";

/** Hosts of the recorded state that the program no longer declares. One only renamed is no such host. */
export function undeclaredHosts(spec: FleetSpec, previous: FleetState | undefined): HostSpec[] {
  const names = new Set(spec.hosts.map((h) => h.name));
  const uris = new Set(spec.hosts.map((h) => h.uri));
  return (previous?.hosts ?? []).filter((h) => !names.has(h.name) && !uris.has(h.uri));
}

/** One entry a host: a recorded host that turns out, by its uuid, to be a declared one under a new name is left out. */
export function withoutRenamed(observation: Observation, spec: FleetSpec): Observation {
  const declared = new Set(spec.hosts.map((h) => h.name));
  const uuids = new Set(observation.hosts.flatMap((h) => (
    h.status === "reachable" && declared.has(h.name) ? [h.uuid] : []
  )));
  return {
    ...observation,
    hosts: observation.hosts.filter((h) => declared.has(h.name) || h.status !== "reachable" || !uuids.has(h.uuid)),
  };
}
