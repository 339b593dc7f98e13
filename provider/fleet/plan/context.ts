/** What the parts of a plan are made from. */
import { takeCensus, type Census } from "../hosts/census";
import { knowHosts, type HostTable } from "../hosts/table";
import { unfinishedBases, type UnfinishedBase } from "../hosts/unfinished";
import { imageOf, supposedImage } from "../images";
import type { FleetSpec, FleetState, Image, Observation } from "../model";

export interface ReconcileRequest {
  spec: FleetSpec;
  fleetId: string;
  incarnation: string;
  /** Absent only in a preview that could ask no host: planned from `previous` alone. */
  observation?: Observation;
  /** The recorded state of the last run. */
  previous?: FleetState;
  /** preview: hosts that did not answer are warnings, and count as recorded. @default "apply" */
  mode?: "apply" | "preview";
}

export interface PlanContext extends ReconcileRequest {
  mode: "apply" | "preview";
  table: HostTable;
  census: Census;
  /** What new members are made of. */
  image: Image;
  /** By slot; absent: 0. */
  nextGeneration: ReadonlyMap<number, number>;
  /** By slot: copies of this content that a run left unfinished. */
  unfinished: ReadonlyMap<number, UnfinishedBase>;
}

/** The wave of every change, as long as no rule of the fleet says that members change one after the other. */
export const FIRST_WAVE = 0;

export function contextOf(request: ReconcileRequest): PlanContext {
  const { spec, observation, previous, mode = "apply" } = request;
  const table = knowHosts(spec, previous, observation);
  const census = takeCensus(table, previous, mode === "preview" && !observation);
  const image = observation?.template ? imageOf(observation.template) : supposedImage(spec, previous?.contentId ?? "");
  return { ...request, mode, table, census, image, nextGeneration: nextGenerations(table, previous), unfinished: unfinishedBases(table, previous, image.contentId) };
}

/** One more than any object of the slot that was ever seen or recorded: volume names are never used twice. */
function nextGenerations(table: HostTable, previous: FleetState | undefined): Map<number, number> {
  const next = new Map<number, number>();
  const note = ({ slot, generation }: { slot?: number; generation?: number }) => {
    if (slot !== undefined && generation !== undefined) next.set(slot, Math.max(next.get(slot) ?? 0, generation + 1));
  };
  previous?.members.forEach(note);
  for (const { seen } of table.hosts) {
    seen?.members.forEach(note);
    seen?.kept.forEach(note);
    seen?.leftovers.forEach(note);
    seen?.heldGenerations.forEach(note);
  }
  return next;
}
