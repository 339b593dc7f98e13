/**
 * What every front of the provider does, whatever it speaks: checks, previews and compares fleets in words, runs them,
 * tells of them, and shows no secret. A front translates from and to this, nothing else.
 */
import { parseFleetSpec, type Origin, type PreviewParseResult } from "../fleet";
import type { FleetState } from "../fleet/model";
import { type Declared, fleetIdOf, specOf } from "./declared";
import type { FrontDependencies } from "./dependencies";
import { applyRun, type FleetRun, refreshRun, removeRun } from "./fleetRun";
import { compareWithRecorded, type Comparison, type DeclaredAgain, type PreviewWords, wordsOfNew } from "./previewWords";
import { redacting } from "./redacting";
import { resourceLog } from "./resourceLog";
import { createRuns } from "./runs";

export { FleetRefusedError, FleetRunError } from "../engine/types";
export type { Origin, PreviewParseResult } from "../fleet";
export type { Declared } from "./declared";
export type { FrontDependencies } from "./dependencies";
export { redacting } from "./redacting";
export type { Manner, OtherSide } from "./otherSide";
export type { Comparison, DeclaredAgain, PreviewWords } from "./previewWords";

/** A resource by the front's name of it, such as its URN: where what is said of it goes. */
interface Of {
  resource: string;
}

export interface Front {
  /** Is it a fleet at all? `problems` hold no secrets, and tell all that is wrong in reading order. Asks no host. */
  check(declared: Declared): Promise<PreviewParseResult>;
  /**
   * What would be made of a fleet that is not there yet. Looks at the hosts for a short while, and never fails for their sake.
   * @param checked what `check` said, without problems
   * @param origin asked only where no fleet id is declared
   */
  previewNew(checked: PreviewParseResult, origin: () => Origin): Promise<PreviewWords>;
  /** What a run over a recorded fleet would do; looks as `previewNew` does. */
  compare(question: DeclaredAgain): Promise<Comparison>;
  /** Says a preview's words of the resource. Resolves when they have been delivered. */
  tell(question: Of & { words: PreviewWords }): Promise<void>;
  /**
   * @throws FleetRefusedError when nothing was touched
   * @throws FleetRunError when some of it failed: its `state` is to be recorded, and an update goes on from it
   */
  create(question: Of & { declared: Declared; origin: () => Origin }): Promise<FleetState>;
  /** @param question.fleetId where nothing is recorded. @throws as create */
  update(question: Of & { declared: Declared; fleetId: string; recorded?: FleetState }): Promise<FleetState>;
  /** What the hosts hold now. @returns null when nothing of the fleet is left */
  refresh(question: Of & { declaredBefore: Declared; recorded: FleetState }): Promise<FleetState | null>;
  /**
   * @throws FleetRefusedError when nothing was touched
   * @throws FleetRunError when something is left
   */
  remove(question: Of & { declaredBefore: Declared; recorded: FleetState }): Promise<void>;
}

export function createFront(dependencies: FrontDependencies): Front {
  const runs = createRuns(dependencies.otherSide, dependencies.exit, dependencies.clock);

  const recordedRun = ({ resource, declaredBefore, recorded }: Parameters<Front["refresh"]>[0]): FleetRun => ({
    resource, previous: recorded, spec: specOf(declaredBefore, recorded, true), fleetId: recorded.fleetId, incarnation: recorded.incarnation,
  });

  return redacting<Front>({
    check: async (declared) => parseFleetSpec(declared, { isUnknown: dependencies.isUnknown }),
    previewNew: (checked, origin) => runs.run(() => wordsOfNew(checked, origin, dependencies)),
    compare: (question) => runs.run(() => compareWithRecorded(question, dependencies)),
    tell: async ({ resource, words: { line, warnings } }) => {
      const log = resourceLog(dependencies.otherSide, resource);
      if (line !== undefined) log.info(line);
      warnings.forEach(log.warn);
      await log.settled();
    },
    create: async ({ resource, declared, origin }) => {
      const spec = specOf(declared);
      return applyRun({ resource, spec, fleetId: fleetIdOf(spec, origin), incarnation: dependencies.newIncarnation() }, dependencies, runs);
    },
    update: async ({ resource, declared, fleetId, recorded }) => applyRun({
      resource, spec: specOf(declared, recorded), fleetId: recorded?.fleetId ?? fleetId, incarnation: recorded?.incarnation ?? dependencies.newIncarnation(),
      ...(recorded && { previous: recorded }),
    }, dependencies, runs),
    refresh: async (question) => refreshRun(recordedRun(question), dependencies, runs),
    remove: async (question) => removeRun(recordedRun(question), dependencies, runs),
  });
}
