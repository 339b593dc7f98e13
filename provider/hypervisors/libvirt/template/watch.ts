import type { FleetSpec } from "../../../fleet/model";
import { problemOfTemplate } from "../../../fleet/words/paths";
import { formatProblem } from "../../../fleet/words/problems";
import type { Clock } from "../../../async/clock";
import { DeadlineError, deadlineAfter } from "../../../async/deadline";
import { HostUnreachableError, SourceLostError, TemplateChangedError, UnansweredError, type CloneOrder } from "../../hypervisor";
import type { Place } from "../connection/place";
import type { HostSession } from "../connection/session";
import { discardArrivals } from "../volumes/arrivals";
import { findTemplate, type LocatedTemplate } from "./find";

/** For a second look at the template. A host that is silent this long tells nothing about it. */
const TEMPLATE_LOOK_MS = 5_000;
export const SILENT = Symbol("the template's host does not answer");

/** The template while a run lasts: where it is, and that it is still the one that was found. */
export class TemplateWatch {
  /** Where it was found last. */
  located: LocatedTemplate | undefined;

  constructor(private readonly spec: FleetSpec, private readonly session: (host: string) => HostSession, private readonly clock: Clock) {}

  async look(order: CloneOrder): Promise<LocatedTemplate> {
    if (!this.located) {
      const finding = await findTemplate(this.spec, this.session);
      if ("problem" in finding) throw new TemplateChangedError(order.target.host, "clone", formatProblem(problemOfTemplate(finding.problem)));
      this.located = finding.found;
    }
    return this.located;
  }

  /** A copy of an image that was written meanwhile is a copy of nothing: it is thrown away again. */
  async assertUnchanged(order: CloneOrder, place: Place): Promise<void> {
    const trouble = await this.trouble(order);
    if (trouble === undefined) return;
    await discardArrivals(place, order.target, order.image.contentId);
    // Whether it was written while its host was silent nobody can say: the copy counts for nothing then.
    if (trouble === SILENT) throw new SourceLostError(this.located?.observed.host ?? "", order.target.host, "the template's host went silent, so the copy cannot be vouched for");
    throw new TemplateChangedError(order.target.host, "clone", trouble);
  }

  /** What became of the template since the run began, in words; undefined: nothing. */
  async trouble(order: CloneOrder): Promise<string | typeof SILENT | undefined> {
    const deadline = deadlineAfter(this.clock, TEMPLATE_LOOK_MS);
    try {
      const finding = await Promise.race([findTemplate(this.spec, this.session, { again: true, measureMs: 0 }), deadline.expired]);
      if ("problem" in finding) return `the template changed during the run: ${finding.problem.message}`;
      return finding.found.observed.contentId === order.image.contentId ? undefined : "the template changed during the run: its content is another";
    } catch (error) {
      if (error instanceof HostUnreachableError || error instanceof UnansweredError || error instanceof DeadlineError) return SILENT;
      return `the template cannot be looked at any more: ${(error as Error).message}`;
    } finally {
      deadline.cancel();
    }
  }
}
