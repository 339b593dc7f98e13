/** diff: would an update do anything, and is it another fleet? */
import { isDeepStrictEqual } from "node:util";
import type * as dynamic from "@pulumi/pulumi/dynamic";
import { parseFleetSpec, quietChanges } from "../../fleet";
import type { FleetSpec } from "../../fleet/model";
import { isOutlived } from "../../front/begun";
import type { Dependencies } from "../../front/dependencies";
import { hasWork, previewOf } from "../../front/preview";
import { type Bag, declaredInOutputs, isUnknown, recordedState, requestOf } from "./properties";
import { rowOf } from "./row";

/** @param olds outputs of the last run; @param news inputs as checked; @param previewed URNs that check was asked about for a preview */
export async function diffFleet(
  olds: Bag, news: Bag, dependencies: Dependencies, previewed: ReadonlySet<string>,
): Promise<dynamic.DiffResult> {
  const { urn, declared } = requestOf(news);
  const preview = previewed.has(urn);
  const deleteBeforeReplace = true;
  const previous = recordedState(olds);
  const replaces = replacedBy(declared, previous?.fleetId);
  // A replacement is a new fleet: Pulumi checks it once more as one, and that check tells the plan.
  if (replaces.length > 0) return { changes: true, replaces, deleteBeforeReplace };

  const { spec, unknown } = parseFleetSpec(declared, { isUnknown });
  const row = rowOf(dependencies.link, urn);
  if (!spec || !previous) {
    if (preview && unknown.length > 0) {
      row.info(`the plan depends on values that are not known yet: ${unknown.join(", ")}`);
      await row.settled();
    }
    return { changes: true, deleteBeforeReplace };
  }
  const { fleetId, incarnation } = previous;
  const answer = await previewOf({ spec, unknown, fleetId, incarnation, previous }, dependencies);
  const work = hasWork(answer.plan);
  const begun = dependencies.begun.hostsOf(fleetId);
  if (!work && begun.length > 0 && answer.observation && isOutlived({ spec, fleetId, incarnation, previous }, begun, answer.observation)) {
    dependencies.begun.forget(fleetId);
  }
  const before = parseFleetSpec(declaredInOutputs(olds), { recorded: true }).spec;
  if (preview) {
    // A no-op says nothing, unless it is one only as far as could be seen.
    if (work || answer.line !== answer.text) row.info(answer.line);
    answer.warnings.forEach(row.warn);
    if (previous.members.length > 0) quietChanges(before, spec).forEach(row.warn);
    await row.settled();
  }
  return { changes: work || unknown.length > 0 || !sameSpec(before, spec), deleteBeforeReplace };
}

/** Only a fleet id that was given and differs names another fleet; one left out keeps the recorded one. */
function replacedBy(declared: Bag, recordedId: string | undefined): string[] {
  const given = declared["fleetId"];
  return recordedId !== undefined && given !== undefined && !isUnknown(given) && given !== recordedId ? ["fleetId"] : [];
}

/** Compared as understood: a default written out is no change. */
function sameSpec(before: FleetSpec | undefined, after: FleetSpec): boolean {
  return before !== undefined && isDeepStrictEqual(comparable(before), comparable(after));
}

function comparable({ fleetId: _id, assumed: _assumed, ...spec }: FleetSpec): unknown {
  return JSON.parse(JSON.stringify(spec));
}
