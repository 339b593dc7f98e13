export { choiceSteps, choosePolicy, type PolicyChoice } from "./auto";
export { FlowNetwork, type Flow } from "./flows";
export { HostIndex } from "./hostIndex";
export { asLearned, learnFrom, type ObservedCopy, type ObservedRun } from "./learned";
export { policies, policyNames } from "./policies";
export { simulatePolicy, simulationSteps, type SimulatedRun, type SimulatedTransfer, type SimulateOptions } from "./simulate";
export { expectedRates, PROVIDER_HOST, soloRate, soloSeconds } from "./timeModel";
export { DEFAULT_IMAGE_BYTES, topologyOf, type TopologyOptions } from "./topology";
export type * from "./types";
