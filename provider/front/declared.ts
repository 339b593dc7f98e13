/** What a user declared, as a front hands it over, and what follows from it alone. */
import { FleetRefusedError } from "../engine/types";
import { defaultsVersionOf, fleetIdFromOrigin, parseFleetSpec, type Origin } from "../fleet";
import type { FleetSpec, FleetState } from "../fleet/model";

/** The fleet's inputs by name, nothing else; fleet/inputs says what they may be. */
export type Declared = Record<string, unknown>;

/**
 * @param recorded what the last run recorded; undefined: the fleet is new
 * @param passed it was let pass before: what later versions are stricter about is overlooked
 * @throws FleetRefusedError with every problem
 */
export function specOf(declared: Declared, recorded?: FleetState, passed = false): FleetSpec {
  const { spec, problems } = parseFleetSpec(declared, { recorded: passed, defaultsVersion: defaultsVersionOf(recorded) });
  if (spec) return spec;
  throw new FleetRefusedError(problems);
}

/** Of a fleet that is recorded nowhere. @param origin asked only where no id is declared */
export const fleetIdOf = (spec: FleetSpec, origin: () => Origin): string => spec.fleetId ?? fleetIdFromOrigin(origin());
