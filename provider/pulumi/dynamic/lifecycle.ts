/** create, update, read and delete: the front's runs with Pulumi's properties around them. */
import type * as dynamic from "@pulumi/pulumi/dynamic";
import type { FleetState } from "../../fleet/model";
import { FleetRefusedError, FleetRunError, type Front } from "../../front";
import { type Bag, declaredInOutputs, outputsOf, recordedState, requestOf } from "./properties";

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

export function createLifecycle(front: Front, backend: () => string) {
  return {
    async create(inputs: Bag): Promise<dynamic.CreateResult> {
      const { urn, organization, declared } = requestOf(inputs);
      return recording(inputs, front.create({ resource: urn, declared, origin: () => ({ urn, organization, backend: backend() }) }));
    },

    async update(id: string, olds: Bag, news: Bag): Promise<dynamic.UpdateResult> {
      const { urn, declared } = requestOf(news);
      const { outs } = await recording(news, front.update({ resource: urn, declared, fleetId: id, recorded: recordedState(olds) }));
      return { outs };
    },

    async read(id: string, outputs: Bag): Promise<dynamic.ReadResult> {
      const state = await front.refresh(recordedFleet(outputs));
      // No id: Pulumi takes the resource for gone and makes it anew at the next `up`.
      return state ? { id, props: outputsOf(outputs, state) } : {};
    },

    async delete(_id: string, outputs: Bag): Promise<void> {
      try {
        await front.remove(recordedFleet(outputs));
      } catch (error) {
        // Pulumi prints the stack of an error that a delete throws; a refusal is no fault of the code.
        if (error instanceof FleetRefusedError || error instanceof FleetRunError) error.stack = error.message;
        throw error;
      }
    },
  };
}

/** The fleet that a resource's outputs describe. @throws Error when they do not */
function recordedFleet(outputs: Bag): { resource: string; declaredBefore: Bag; recorded: FleetState } {
  const { urn } = requestOf(outputs);
  const recorded = recordedState(outputs);
  if (!recorded) throw new Error("the recorded state of this fleet is damaged: `pulumi stack export` shows it");
  return { resource: urn, recorded, declaredBefore: declaredInOutputs(outputs) };
}

/** What Pulumi records of a run. @throws PartialFailureError where it is not all that was asked for */
async function recording(inputs: Bag, running: Promise<FleetState>): Promise<{ id: string; outs: Bag }> {
  try {
    const state = await running;
    return { id: state.fleetId, outs: outputsOf(inputs, state) };
  } catch (error) {
    if (!(error instanceof FleetRunError)) throw error;
    throw new PartialFailureError(error.state.fleetId, outputsOf(inputs, error.state), error.reasons, { cause: error });
  }
}
