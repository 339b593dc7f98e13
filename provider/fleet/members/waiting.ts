/** Which members' guests are waited for. */
import type { FleetSpec, ObservedMember } from "../model";

type Waits = Pick<FleetSpec, "waitFor" | "powerOn">;

/** Members that are started are not ready with that. */
export const waitsForGuests = ({ waitFor, powerOn }: Waits): boolean => powerOn && waitFor.kind !== "started";

/** An agent that nobody can ask is not waited for: the member was made before there was something to wait for. */
export const canBeAwaited = ({ waitFor }: Waits, { agentChannel }: Pick<ObservedMember, "agentChannel">): boolean =>
  waitFor.kind !== "guestAgent" || agentChannel !== false;

/** Its guest was started by an earlier run, and nobody saw it ready. */
export const isAwaited = (spec: Waits, member: Pick<ObservedMember, "configuring" | "agentChannel">): boolean =>
  waitsForGuests(spec) && member.configuring === true && canBeAwaited(spec, member);
