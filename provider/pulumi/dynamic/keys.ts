/** The names of what stands in a resource's property bags beside its inputs; the sdk writes them, too. */
import { OUTPUT_NAMES, type FleetOutputs } from "../../fleet/record/outputs";

/*
 * Keys that begin with `__` are hidden by Pulumi's own display. The sdk sends these, for methods of a dynamic provider
 * are told none of it; all are left out of every comparison.
 */

/** The resource's URN. */
export const URN_KEY = "__urn";
/** The organization in Pulumi Cloud, which the URN leaves out; known to programs alone. */
export const ORGANIZATION_KEY = "__organization";
/** True while a program runs for a preview, absent otherwise, so that it never reaches the state. */
export const PREVIEW_KEY = "__preview";

/** The serialized methods. Pulumi adds it to what succeeds; a partial failure must carry it itself. */
export const PROVIDER_KEY = "__provider";
export const INCARNATION_KEY = "__incarnation";
/** The recorded hosts; they repeat URIs, and a URI may carry a password. */
export const HOSTS_KEY = "__hosts";
/** FleetState.defaultsVersion. */
export const DEFAULTS_KEY = "__defaults";

/** Outputs under their own names that are no inputs. `fleetId` is both, and the incarnation is among the internal keys. */
export type OwnOutput = Exclude<keyof FleetOutputs, "fleetId" | "incarnation">;
export const OWN_OUTPUTS: readonly OwnOutput[] = OUTPUT_NAMES.filter((name): name is OwnOutput => name !== "fleetId" && name !== "incarnation");
