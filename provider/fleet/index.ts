/** What other rooms may use of fleet/. */
export * from "./model";
export { parseFleetSpec, fleetInputsSchema, DEFAULTS } from "./spec";
export type { FleetInputs, ParseOptions, ParseResult, PreviewParseResult } from "./spec";
export { fleetIdFromUrn, slotName, memberUuid, macAddress, memberMacs, kindOfSlot } from "./identity";
export { place, fairShares, removalOrder } from "./placement";
export { formatProblem, formatBytes, formatPath, plural, tidy } from "./problems";
export { uriParts, TRANSPORTS } from "./uri";
