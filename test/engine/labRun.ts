/** Whole runs of one fleet on the lab, as a front makes them: what a run says goes into the next. */
import assert from "node:assert/strict";
import { applyFleet, FleetRefusedError, FleetRunError, realClock, removeFleet, type Progress, type RunResult } from "../../provider/engine";
import type { FleetState } from "../../provider/fleet/model";
import { createLibvirt } from "../../provider/hypervisors/libvirt";
import { freshFleetId, specOf } from "../hypervisors/libvirt/labFleet";

export interface UpOptions {
  onProgress?: (progress: Progress) => void;
  onNotice?: (notice: string) => void;
  /** @default "test" */
  holder?: string;
}

export class LabRun {
  /** As recorded by the last run that had an end. */
  state: FleetState | undefined;

  constructor(public inputs: Record<string, unknown>, readonly fleetId = freshFleetId()) {}

  /** @param changes over the inputs, for this run alone */
  async up(changes: Record<string, unknown>, { onProgress, onNotice, holder = "test" }: UpOptions = {}): Promise<RunResult> {
    const spec = specOf({ ...this.inputs, ...changes });
    const hypervisor = createLibvirt({ spec });
    try {
      const result = await applyFleet({ spec, fleetId: this.fleetId, incarnation: "one", previous: this.state, hypervisor, clock: realClock, holder, onProgress, onNotice });
      this.state = result.state;
      return result;
    } catch (error) {
      if (error instanceof FleetRunError) this.state = error.state;
      throw error;
    } finally {
      await hypervisor.close();
    }
  }

  /** Destroys the fleet, whatever its inputs said last of how many. */
  async remove(): Promise<void> {
    const spec = specOf({ ...this.inputs, count: 1, countPerHost: undefined });
    const hypervisor = createLibvirt({ spec });
    await removeFleet({ spec, fleetId: this.fleetId, incarnation: "one", previous: this.state, hypervisor, clock: realClock, holder: "clean-up" }).finally(() => hypervisor.close());
    this.state = undefined;
  }
}

/** What a run that must fail says. */
export async function failureOf(running: Promise<unknown>): Promise<FleetRunError | FleetRefusedError> {
  const error = await running.then(() => undefined, (e: unknown) => e);
  assert.ok(error instanceof FleetRunError || error instanceof FleetRefusedError, `expected a failed run, got ${String(error)}`);
  return error;
}
