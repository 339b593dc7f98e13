/** check: is what was declared a fleet at all? And where there is none yet, what would be made. */
import type * as dynamic from "@pulumi/pulumi/dynamic";
import { fleetIdFromOrigin, formatProblem, parseFleetSpec } from "../../fleet";
import type { Dependencies } from "../../front/dependencies";
import { previewOf } from "../../front/preview";
import { type Bag, hasRecord, isUnknown, requestOf, withoutPreview } from "./properties";
import { rowOf } from "./row";

/** @param previewed URNs of the resources that this process was last asked about for a preview: diff is not told */
export async function checkFleet(
  olds: Bag | undefined, news: Bag, dependencies: Dependencies, previewed: Set<string>,
): Promise<dynamic.CheckResult> {
  const { urn, preview, declared, organization } = requestOf(news);
  if (preview) previewed.add(urn);
  else previewed.delete(urn);
  const inputs = withoutPreview(news);
  const { spec, problems, unknown } = parseFleetSpec(declared, { isUnknown });
  if (problems.length > 0) {
    // The path goes into the reason: given a nested path, Pulumi would print `value {<nil>}` in the midst of the message.
    return { inputs, failures: problems.map((problem) => ({ property: "", reason: formatProblem(problem) })) };
  }
  // With a resource in the state, diff speaks: only diff is told what was recorded.
  if (!preview || hasRecord(olds)) return { inputs };

  const row = rowOf(dependencies.link, urn);
  if (spec) {
    const fleetId = spec.fleetId ?? fleetIdFromOrigin({ urn, organization, backend: dependencies.backend() });
    const answer = await previewOf({ spec, unknown, fleetId, incarnation: "preview" }, dependencies);
    row.info(answer.line);
    answer.warnings.forEach(row.warn);
  } else {
    row.info(`a new fleet; its plan depends on values that are not known yet: ${unknown.join(", ")}`);
  }
  await row.settled();
  return { inputs };
}
