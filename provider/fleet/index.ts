/** What other rooms may use of fleet/. */
export * from "./model";
export { parseFleetSpec, fleetInputsSchema, DEFAULTS } from "./spec";
export type { FleetInputs, ParseOptions, ParseResult, PreviewParseResult } from "./spec";
export { fleetIdFromUrn, slotName, memberUuid, macAddress, memberMacs, kindOfSlot } from "./identity";
export { place, fairShares, removalOrder } from "./placement";
export { formatProblem, formatBytes, formatPath, plural, tidy } from "./problems";
export { uriParts, TRANSPORTS } from "./uri";
export { reconcile, type ReconcileRequest } from "./reconcile";
export { hostsToObserve, knowHosts } from "./hosts";
export { ownerOf } from "./leftovers";
export { isStillRead } from "./refusals";
export { quietChanges } from "./changes";
export { seedKeeper } from "./seeds";
export { planRemoval, type RemovalRequest } from "./removal";
export { preflight, bytesNeeded } from "./preflight";
export { describePlan, describePlanAtLength, formatSeconds } from "./describe";
export { recordState, parseState, timelineSchema, NO_RUN, type RecordRequest } from "./state";
export { fleetOutputsSchema, type FleetOutputs } from "./outputs";
