import type { Observation, ObservedMember } from "../../fleet/model";

const keyOf = (host: string, slot: number) => `${slot}@${host}`;

/** The observed members, by where they stand. */
export class FoundMembers {
  private readonly members: Map<string, ObservedMember>;

  constructor(observation: Observation) {
    this.members = new Map(observation.hosts.flatMap((host) => (
      host.status === "reachable" ? host.members.map((m) => [keyOf(host.name, m.slot), m] as const) : []
    )));
  }

  at(host: string, slot: number): ObservedMember | undefined {
    return this.members.get(keyOf(host, slot));
  }
}
