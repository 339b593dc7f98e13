import { NO_RUN, recordState } from "../../fleet";
import type { FleetState } from "../../fleet/model";
import { hearGuests } from "../run/news";
import { contextOf, observe } from "../run/session";
import type { RunRequest } from "../types";

/**
 * Read: what the hosts hold of the fleet now, without a lock and without touching anything. Members on hosts that do
 * not answer are told as they were recorded.
 * @returns null when members were recorded and nothing of the fleet exists any more
 */
export async function refreshFleet(request: RunRequest): Promise<FleetState | null> {
  const { spec, fleetId, incarnation, previous } = request;
  const context = contextOf(request, request.signal ?? new AbortController().signal);
  const observation = await observe(context, false, context.signal);
  const state = recordState({
    spec, fleetId, incarnation, observation, previous, lastRun: previous?.lastRun ?? NO_RUN, timeline: previous?.timeline, learned: context.learned, readProfiles: context.reads.all,
    guests: await hearGuests(context, observation),
  });
  const left = observation.hosts.some((host) => (
    host.status === "reachable" && host.members.length + host.replicas.length + host.leftovers.length > 0
  ));
  // A fleet of no members that was recorded as such is no fleet that went away; nor is one on a host out of sight.
  const wasEmpty = previous !== undefined && previous.members.length === 0;
  return left || wasEmpty || state.members.length > 0 || state.hosts.some((host) => host.unsettled) ? state : null;
}
