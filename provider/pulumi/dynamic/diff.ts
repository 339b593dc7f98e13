/** diff: would an update do anything, and is it another fleet? */
import type * as dynamic from "@pulumi/pulumi/dynamic";
import type { Front } from "../../front";
import { type Bag, declaredInOutputs, recordedState, requestOf } from "./properties";

/** @param olds outputs of the last run; @param news inputs as checked; @param previewed URNs that check was asked about for a preview */
export async function diffFleet(olds: Bag, news: Bag, front: Front, previewed: ReadonlySet<string>): Promise<dynamic.DiffResult> {
  const { urn, declared } = requestOf(news);
  const recorded = recordedState(olds);
  const { isOtherFleet, hasChanges, words } = await front.compare({ declared, declaredBefore: declaredInOutputs(olds), recorded });
  // Pulumi checks a replacement once more, as a new resource, and that check tells the plan.
  if (previewed.has(urn)) await front.tell({ resource: urn, words });
  return { changes: hasChanges, ...(isOtherFleet && { replaces: ["fleetId"] }), deleteBeforeReplace: true };
}
