import { slotKeyOn } from "../../fleet";
import type { Observation, ObservedMember, SlotId } from "../../fleet/model";

/** The observed members, by where they stand. */
export class FoundMembers {
  private readonly members: Map<string, ObservedMember>;

  constructor(observation: Observation) {
    this.members = new Map(observation.hosts.flatMap((host) => (
      host.status === "reachable" ? host.members.map((m) => [slotKeyOn(host.name, m), m] as const) : []
    )));
  }

  at(host: string, id: SlotId): ObservedMember | undefined {
    return this.members.get(slotKeyOn(host, id));
  }
}
