/** check: is what was declared a fleet at all? And where there is none yet, what would be made. */
import type * as dynamic from "@pulumi/pulumi/dynamic";
import { formatProblem } from "../../fleet";
import type { Front } from "../../front";
import { type Bag, hasRecord, requestOf, withoutPreview } from "./properties";

/** @param previewed URNs of the resources that this process was last asked about for a preview: diff is not told */
export async function checkFleet(
  olds: Bag | undefined, news: Bag, front: Front, backend: () => string, previewed: Set<string>,
): Promise<dynamic.CheckResult> {
  const { urn, organization, preview, declared } = requestOf(news);
  if (preview) previewed.add(urn);
  else previewed.delete(urn);
  const inputs = withoutPreview(news);
  const checked = await front.check(declared);
  if (checked.problems.length > 0) {
    // The path goes into the reason: given a nested path, Pulumi would print `value {<nil>}` in the midst of the message.
    return { inputs, failures: checked.problems.map((problem) => ({ property: "", reason: formatProblem(problem) })) };
  }
  // With a resource in the state, diff speaks: only diff is told what was recorded.
  if (!preview || hasRecord(olds)) return { inputs };
  const words = await front.previewNew(checked, () => ({ urn, organization, backend: backend() }));
  await front.tell({ resource: urn, words });
  return { inputs };
}
