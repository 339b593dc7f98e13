/** Previews in words: what is said of a fleet that a run would make or change, and whether the run would do anything. */
import { isDeepStrictEqual } from "node:util";
import { defaultsVersionOf, parseFleetSpec, quietChanges, type Origin, type PreviewParseResult } from "../fleet";
import type { FleetSpec, FleetState } from "../fleet/model";
import { isOutlived } from "./begun";
import { type Declared, fleetIdOf } from "./declared";
import type { FrontDependencies } from "./dependencies";
import { hasWork, previewOf } from "./preview";

export interface PreviewWords {
  /** The plan, or why there is none. Absent: nothing to say. */
  line?: string;
  warnings: readonly string[];
}

/** Of a fleet that is not there yet. @param checked without problems */
export async function wordsOfNew(
  { spec, unknown }: PreviewParseResult, origin: () => Origin, dependencies: FrontDependencies,
): Promise<PreviewWords> {
  if (!spec) return { line: `a new fleet; its plan depends on values that are not known yet: ${unknown.join(", ")}`, warnings: [] };
  return previewOf({ spec, unknown, fleetId: fleetIdOf(spec, origin), incarnation: "preview" }, dependencies);
}

export interface DeclaredAgain {
  declared: Declared;
  /** What was declared at the last run, without the fleet id. */
  declaredBefore: Declared;
  /** What the last run recorded; undefined where nothing was. */
  recorded?: FleetState;
}

export interface Comparison {
  /** The declared fleet id names another fleet than the recorded one: this one goes, and that is made. */
  isOtherFleet: boolean;
  /** A run would touch something or leave another record. */
  hasChanges: boolean;
  words: PreviewWords;
}

/** Of a recorded fleet. Of another fleet nothing is said here: it is a new one. */
export async function compareWithRecorded(
  { declared, declaredBefore, recorded }: DeclaredAgain, dependencies: FrontDependencies,
): Promise<Comparison> {
  const { isUnknown } = dependencies;
  if (namesAnother(declared["fleetId"], recorded, isUnknown)) return { isOtherFleet: true, hasChanges: true, words: { warnings: [] } };

  const defaultsVersion = defaultsVersionOf(recorded);
  const { spec, unknown } = parseFleetSpec(declared, { isUnknown, defaultsVersion });
  if (!spec || !recorded) {
    const line = unknown.length > 0 ? `the plan depends on values that are not known yet: ${unknown.join(", ")}` : undefined;
    return { isOtherFleet: false, hasChanges: true, words: { ...(line && { line }), warnings: [] } };
  }
  const { fleetId, incarnation } = recorded;
  const run = { spec, fleetId, incarnation, previous: recorded };
  const answer = await previewOf({ ...run, unknown }, dependencies);
  const work = hasWork(answer.plan);
  const begun = dependencies.begun.hostsOf(fleetId);
  if (!work && begun.length > 0 && answer.observation && isOutlived(run, begun, answer.observation)) dependencies.begun.forget(fleetId);
  const before = parseFleetSpec(declaredBefore, { recorded: true, defaultsVersion }).spec;
  return {
    isOtherFleet: false,
    hasChanges: work || unknown.length > 0 || !sameSpec(before, spec),
    words: {
      // A no-op says nothing, unless it is one only as far as could be seen.
      ...((work || answer.line !== answer.text) && { line: answer.line }),
      warnings: [...answer.warnings, ...(recorded.members.length > 0 ? quietChanges(before, spec) : [])],
    },
  };
}

/** Only a fleet id that was given and differs names another fleet; one left out keeps the recorded one. */
function namesAnother(given: unknown, recorded: FleetState | undefined, isUnknown: (value: unknown) => boolean): boolean {
  return recorded !== undefined && given !== undefined && !isUnknown(given) && given !== recorded.fleetId;
}

/** Compared as understood: a default written out is no change. */
function sameSpec(before: FleetSpec | undefined, after: FleetSpec): boolean {
  return before !== undefined && isDeepStrictEqual(comparable(before), comparable(after));
}

function comparable({ fleetId: _id, assumed: _assumed, ...spec }: FleetSpec): unknown {
  return JSON.parse(JSON.stringify(spec));
}
