/** create, update, read and delete: the engine's doors with Pulumi's properties around them. */
import type * as dynamic from "@pulumi/pulumi/dynamic";
import { FleetRefusedError, FleetRunError, type RunRequest } from "../../engine/types";
import { throttled } from "../../engine";
import { adoptionWarning, fleetIdFromOrigin, parseFleetSpec, redact } from "../../fleet";
import type { FleetSpec, FleetState } from "../../fleet/model";
import { withBegun } from "../../front/begun";
import type { Dependencies } from "../../front/dependencies";
import { writePicture } from "../../front/picture";
import { hasWork } from "../../front/preview";
import { progressText } from "../../front/progressText";
import { type Bag, declaredInOutputs, outputsOf, recordedState, requestOf } from "./properties";
import { redacted, rowOf } from "./row";
import type { Runs } from "../../front/runs";

/**
 * Some of the fleet exists: Pulumi keeps `id` and `properties`, shows `reasons`, and calls update at the next `up`.
 * The names of the fields are Pulumi's.
 */
export class PartialFailureError extends Error {
  constructor(readonly id: string, readonly properties: Bag, readonly reasons: string[], options?: { cause?: unknown }) {
    super(reasons.join("\n"), options);
    this.name = "PartialFailureError";
  }
}

interface Run {
  urn: string;
  spec: FleetSpec;
  fleetId: string;
  incarnation: string;
  previous?: FleetState;
}

export function createLifecycle(dependencies: Dependencies, runs: Runs) {
  const { fleetDoors } = dependencies;
  const unrecorded = new WeakSet<Run>();

  /** One call of an engine door: its hypervisor, its signal, its live text. */
  function withFleet<T>(run: Run, door: (request: RunRequest) => Promise<T>, isRemoval = false): Promise<T> {
    return runs.run(async (signal) => {
      const { urn, ...question } = withBegun(run, dependencies.begun.hostsOf(run.fleetId));
      const row = rowOf(dependencies.link, urn);
      const progress = throttled(
        (event) => row.status(progressText(event)), dependencies.clock, dependencies.progressIntervalMs,
      );
      const holder = dependencies.holder();
      const hypervisor = dependencies.createHypervisor({ spec: run.spec, holder });
      try {
        const onPlan: RunRequest["onPlan"] = (plan, observation) => {
          // Nobody previews what a removal leaves; the resource that could tell of it later is gone then.
          (isRemoval ? plan.warnings : adoptionWarning(plan)).forEach(row.warn);
          if (!isRemoval && hasWork(plan)) dependencies.begun.note({ ...question, observation });
        };
        return await door({ ...question, hypervisor, clock: dependencies.clock, holder, onProgress: progress, onPlan, signal });
      } finally {
        progress.flush();
        await hypervisor.close().catch(() => undefined);
        await row.settled();
        // A run that was aborted because Pulumi is gone has nobody who records what it came to.
        if (signal.aborted) unrecorded.add(run);
      }
    });
  }

  /** The run has an end that Pulumi records. */
  function ended(run: Run): void {
    if (!unrecorded.has(run)) dependencies.begun.forget(run.fleetId);
  }

  async function apply(inputs: Bag, run: Run): Promise<{ id: string; outs: Bag }> {
    try {
      const { state, clones } = await withFleet(run, fleetDoors.applyFleet);
      ended(run);
      await writePicture(run.urn, run.spec, state, clones, dependencies);
      return { id: state.fleetId, outs: outputsOf(inputs, state) };
    } catch (error) {
      if (!(error instanceof FleetRunError)) throw error;
      ended(run);
      const { state, reasons, clones } = error;
      await writePicture(run.urn, run.spec, state, clones, dependencies);
      throw new PartialFailureError(state.fleetId, outputsOf(inputs, state), reasons.map(redact), { cause: error });
    }
  }

  /** The run that a resource's outputs describe. @throws Error when they do not */
  function recordedRun(outputs: Bag): Run {
    const { urn } = requestOf(outputs);
    const previous = recordedState(outputs);
    if (!previous) throw new Error("the recorded state of this fleet is damaged: `pulumi stack export` shows it");
    return {
      urn, previous, spec: specOf(declaredInOutputs(outputs), true), fleetId: previous.fleetId, incarnation: previous.incarnation,
    };
  }

  const methods = {
    async create(inputs: Bag): Promise<dynamic.CreateResult> {
      const { urn, declared, organization } = requestOf(inputs);
      const spec = specOf(declared);
      const fleetId = spec.fleetId ?? fleetIdFromOrigin({ urn, organization, backend: dependencies.backend() });
      return apply(inputs, { urn, spec, fleetId, incarnation: dependencies.newIncarnation() });
    },

    async update(id: string, olds: Bag, news: Bag): Promise<dynamic.UpdateResult> {
      const { urn, declared } = requestOf(news);
      const spec = specOf(declared);
      const previous = recordedState(olds);
      const { outs } = await apply(news, {
        urn, spec, fleetId: previous?.fleetId ?? id, incarnation: previous?.incarnation ?? dependencies.newIncarnation(),
        ...(previous && { previous }),
      });
      return { outs };
    },

    async read(id: string, outputs: Bag): Promise<dynamic.ReadResult> {
      const state = await withFleet(recordedRun(outputs), fleetDoors.refreshFleet);
      // No id: Pulumi takes the resource for gone and makes it anew at the next `up`.
      return state ? { id, props: outputsOf(outputs, state) } : {};
    },

    async delete(_id: string, outputs: Bag): Promise<void> {
      try {
        const run = recordedRun(outputs);
        await withFleet(run, fleetDoors.removeFleet, true);
        ended(run);
      } catch (error) {
        // Pulumi prints the stack of an error that a delete throws; a refusal is no fault of the code.
        if (error instanceof FleetRefusedError || error instanceof FleetRunError) error.stack = error.message;
        throw error;
      }
    },
  };
  return {
    create: redacted(methods.create), update: redacted(methods.update), read: redacted(methods.read), delete: redacted(methods.delete),
  };
}

function specOf(declared: Bag, recorded = false): FleetSpec {
  const { spec, problems } = parseFleetSpec(declared, { recorded });
  if (spec) return spec;
  throw new FleetRefusedError(problems);
}
